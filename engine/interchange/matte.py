"""Matte video: the masks of all subjects as one soft matte, at the clip's times. FFV1 (.mkv) or ProRes 4444 (.mov).

FFV1 holds grey, lossless. ProRes 4444 holds the matte as its alpha, which that codec keeps to the bit, and once more as
its picture, which it does not, for programs that take a luma matte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.errors import MediaError
from engine.interchange.masks import Alphas, Masks, check_mask_size, present, union
from engine.media.convert import narrow
from engine.media.formats import ExportSettings
from engine.media.reader import FrameReader, open_video
from engine.media.writer import write_clip
from engine.types import FrameRange, Video

OPAQUE = 65535
SUFFIXES = (".mov", ".mkv", ".mp4", ".webm", ".m4v", ".avi")
"""Clips that are read as mattes; .mov and .mkv are written."""


def write(path: Path, masks: Masks, video: Video) -> None:
    """Writes .mkv or .mov; replaces what is there. `video` gives the times.

    Raises:
        MediaError: frames with gaps between, frames outside the clip, or the disk does not take it.
    """
    if not masks.numbers or masks.numbers[-1] - masks.numbers[0] + 1 != len(masks.numbers):
        raise MediaError(f"{path.name} needs a mask for every frame of a range; write a folder of pictures instead.")
    span = FrameRange(masks.numbers[0], masks.numbers[-1] + 1)
    silent = replace(video, kind="sequence", audio=())  # a matte has the clip's times, not its sound and subtitles
    merged = (union(alphas, masks.size) for alphas in masks.frames)
    if path.suffix.lower() == ".mov":
        fourfold = (np.repeat(matte[..., None], 4, axis=2) for matte in merged)
        write_clip(path, fourfold, silent, span, ExportSettings("prores"), force=True)
    else:
        write_clip(path, merged, silent, span, ExportSettings("matte"), force=True)


def read(path: Path, size: tuple[int, int]) -> Masks:
    """Reads a clip as the matte of subject 1: its transparency, or where it has none its brightness. Frames count from 0.

    Raises:
        MediaError: now or while the frames are gone through: not a clip, another size, damaged.
    """
    with open_video(path) as reader:
        video = reader.video
        check_mask_size(video.size, size, path.name)
        transparent = reader.has_alpha and any((alpha != OPAQUE).any() for alpha in reader.alphas(video.span))
    return Masks(size, (1,), tuple(video.span), _alphas(path, video, transparent))


def _alphas(path: Path, video: Video, transparent: bool) -> Iterator[Alphas]:
    with open_video(path, video, unchanged=True) as reader:
        for matte in _mattes(reader, transparent):
            yield present([(1, matte)])
        if reader.damaged:
            raise MediaError(f"“{path.name}” is damaged at frame {min(reader.damaged)}; export the matte again.")


def _mattes(reader: FrameReader, transparent: bool) -> Iterator[np.ndarray]:
    """(H, W) uint8."""
    if transparent:
        yield from map(narrow, reader.alphas(reader.video.span))
    else:
        yield from (picture.max(axis=2) for picture in reader.frames(reader.video.span))
