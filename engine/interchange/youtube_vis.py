"""YouTube-VIS JSON: one video, one annotation per subject with COCO run lengths per frame, null where it is not seen.

Soft edges are not kept; subjects may overlap. Frame numbers are those in the file names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import MediaError
from engine.interchange.coco import mask_of, rle_of
from engine.interchange.files import read_text, whole
from engine.interchange.masks import INSIDE, MAX_FRAME, MAX_SUBJECT, Alphas, Masks, check_mask_size
from engine.store.strict import parse_strict
from engine.types import FrameIndex, Video

NUMBER = re.compile(r"([0-9]{1,9})\.[A-Za-z0-9]+$")
MAX_FRAMES = 1_000_000
MAX_BYTES = 128 * 2**20


def write(path: Path, masks: Masks, video: Video) -> None:
    """Writes the masks (inside from alpha 128 on). Raises MediaError when the disk does not take it."""
    height, width = masks.size
    length = len(masks.numbers)
    entries = {subject: _entry(subject, masks.size, length) for subject in masks.subjects}
    for at, alphas in enumerate(masks.frames):
        for subject, alpha in alphas.items():
            inside = alpha >= INSIDE
            if inside.any():
                entry = entries[subject]
                entry["segmentations"][at], entry["bboxes"][at], entry["areas"][at] = _looks(inside)
    names = [f"{number:05d}.jpg" for number in masks.numbers]
    body = {
        "videos": [{"id": 1, "width": width, "height": height, "length": length, "file_names": names}],
        "categories": [{"id": 1, "name": "subject", "supercategory": "object"}],
        "annotations": list(entries.values()),
    }
    with whole(path) as temporary:
        temporary.write_text(json.dumps(body) + "\n", encoding="utf-8")


def _entry(subject: int, size: tuple[int, int], length: int) -> dict[str, Any]:
    lists: dict[str, list[Any]] = {name: [None] * length for name in ("segmentations", "bboxes", "areas")}
    head = {"id": subject, "video_id": 1, "category_id": 1, "iscrowd": 0, "height": size[0], "width": size[1], "length": length}
    return head | lists


def _looks(inside: np.ndarray) -> tuple[dict[str, Any], list[float], int]:
    """Run lengths, box [x, y, width, height] and area."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return rle_of(inside), [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y], int(inside.sum())


# --- reading ----------------------------------------------------------------------------------------------


def read(path: Path, size: tuple[int, int]) -> Masks:
    """Reads masks of one video. Subjects are the annotations' ids, or 1, 2, … where those do not fit into 1–255.

    Raises:
        MediaError: now or while the frames are gone through: not such a file, several videos, another size, damaged.
    """
    name = path.name
    body = parse_strict(read_text(path, MAX_BYTES), name, MediaError)
    if not isinstance(body, dict) or not isinstance(body.get("videos"), list) or not isinstance(body.get("annotations"), list):
        raise MediaError(f"{name} is not YouTube-VIS JSON: it has no lists “videos” and “annotations”.")
    if len(body["videos"]) != 1 or not isinstance(body["videos"][0], dict):
        raise MediaError(f"{name} holds {len(body['videos'])} videos; keep the one of this clip.")
    video = body["videos"][0]
    check_mask_size((_whole(video, "height", name), _whole(video, "width", name)), size, name)
    numbers = _numbers(video, name)
    entries = [_checked(entry, at, len(numbers), name) for at, entry in enumerate(body["annotations"])]
    if len(entries) > MAX_SUBJECT:
        raise MediaError(f"{name} has {len(entries)} subjects; at most {MAX_SUBJECT} can be read.")
    ids: list[Any] = [entry.get("id") for entry in entries]
    if len(set(map(str, ids))) < len(ids) or not all(type(one) is int and 1 <= one <= MAX_SUBJECT for one in ids):
        ids = list(range(1, len(entries) + 1))
    subjects = dict(sorted(zip(ids, (entry["segmentations"] for entry in entries), strict=True)))
    return Masks(size, tuple(subjects), numbers, _alphas(subjects, numbers, size, name))


def _alphas(
    subjects: dict[int, list[Any]], numbers: tuple[FrameIndex, ...], size: tuple[int, int], name: str
) -> Iterator[Alphas]:
    for at, number in enumerate(numbers):
        alphas = {}
        for subject, looks in subjects.items():
            if looks[at] is not None:
                inside = mask_of(looks[at], size, f"{name}: the mask of subject {subject} on frame {number}")
                if inside.any():
                    alphas[subject] = np.where(inside, 255, 0).astype(np.uint8)
        yield alphas


def _numbers(video: dict[str, Any], name: str) -> tuple[FrameIndex, ...]:
    """Frame numbers: those in the file names where they ascend, else counted from 0."""
    names = video.get("file_names")
    if names is None:
        length = _whole(video, "length", name)
    elif isinstance(names, list) and all(isinstance(one, str) for one in names):
        length = len(names)
        if video.get("length", length) != length:
            raise MediaError(f"{name} has {length} file names and says otherwise in “length”; write it again.")
    else:
        raise MediaError(f"{name} has “file_names” that are no list of names; write it again.")
    if not 0 < length <= MAX_FRAMES:
        raise MediaError(f"{name} has {length} frames; from 1 to {MAX_FRAMES} can be read.")
    found = [NUMBER.search(one) for one in names or ()]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) == length and numbers[-1] <= MAX_FRAME and all(a < b for a, b in pairwise(numbers)):
        return tuple(numbers)
    return tuple(range(length))


def _checked(entry: Any, at: int, length: int, name: str) -> dict[str, Any]:
    looks = entry.get("segmentations") if isinstance(entry, dict) else None
    if not isinstance(looks, list) or len(looks) != length:
        raise MediaError(f"{name}: annotations[{at}] needs “segmentations” with one entry for each of the {length} frames.")
    return entry


def _whole(video: dict[str, Any], key: str, name: str) -> int:
    value = video.get(key)
    if type(value) is not int or not 0 < value < 2**31:
        raise MediaError(f"{name}: the video needs “{key}”, a whole number above 0.")
    return value
