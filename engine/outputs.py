"""What `run` and `render` leave behind beside the clip: masks, tracks, the report. Each is written beside and renamed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import MediaError, RecipeError
from engine.interchange.davis import index_map, write_masks
from engine.interchange.tracks import write_tracks
from engine.material import Material
from engine.media import target
from engine.progress import Progress
from engine.render import carry, spans_to_carry
from engine.tracking.points import track_points
from engine.types import FrameRange

FRAME_NAME = re.compile(r"\d{5,}\.png")


def check_folder(path: Path) -> None:
    """Refuses to replace a folder that holds anything but numbered pictures. Raises MediaError."""
    if path.exists() and (not path.is_dir() or any(not FRAME_NAME.fullmatch(name) for name in os.listdir(path))):
        raise MediaError(f"{path.name} holds more than numbered pictures and is not replaced; choose another name.")


def check_file(path: Path) -> None:
    """Refuses to replace what is not a file. Raises MediaError."""
    if path.exists() and not path.is_file():
        raise MediaError(f"{path.name} is not a file and is not replaced; choose another name.")


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A hidden name beside `out` that becomes `out` when the block ends well and is gone otherwise.

    Raises:
        MediaError: the disk does not take it.
    """
    try:
        with target.beside(out) as temporary:
            yield temporary
    except OSError as error:
        raise MediaError(f"Cannot write {out.name}: {error.strerror}; check free space and permissions.") from error


def masks(material: Material, folder: Path, span: FrameRange, progress: Progress) -> None:
    """DAVIS-style indexed PNGs of the span, named by absolute frame."""
    spans = spans_to_carry(material)
    progress.total += sum(len(one.range) for one in spans) + len(span)
    carry(material, spans, progress)
    step = progress.part("Writing masks", len(span))
    with beside(folder) as temporary:
        temporary.mkdir()
        for done, frame in enumerate(span):
            alphas = [(subject.id, material.alpha(subject.id, frame)) for subject in material.project.subjects]
            write_masks(temporary, frame, index_map(material.project.video.size, alphas))
            step(done + 1, len(span))


def check_tracks(material_subjects: Iterable[Any], span: FrameRange) -> None:
    """Raises RecipeError when there is nothing to track, or a point outside the range."""
    frames = [point[0] for subject in material_subjects for point in subject.track_points]
    if not frames:
        raise RecipeError("--tracks needs track points: give a subject track_points [[frame, x, y], …].")
    outside = [frame for frame in frames if frame not in span]
    if outside:
        raise RecipeError(f"There is a track point on frame {outside[0]}, outside the range {span.start} to {span.stop - 1}.")


def tracks(material: Material, path: Path, progress: Progress) -> None:
    """The tracks of the subjects' track points over the project's range."""
    project = material.project
    table = np.array([(subject.id, *point) for subject in project.subjects for point in subject.track_points], np.float64)
    progress.total += len(project.range)
    step = progress.part("Tracking points", len(project.range))
    found = track_points(material.ready_pack, project.video.size, table[:, 1:].astype(np.float32), project.range, step)
    write_tracks(path, found, table[:, 0].astype(np.int32), project.video.size, project.video.rate)


def report(path: Path, body: dict[str, Any]) -> None:
    with beside(path) as temporary:
        temporary.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def peak_rss_bytes() -> int:
    """The largest resident size so far of this process or one that it started; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak if sys.platform == "darwin" else peak * 1024


def digest(out: Path) -> str:
    """sha256 of a file; of a folder of frames, over names and contents in order."""
    if out.is_file():
        return _file_digest(out).hex()
    total = hashlib.sha256()
    for path in sorted(out.iterdir()):
        total.update(path.name.encode() + _file_digest(path))
    return total.hexdigest()


def _file_digest(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
