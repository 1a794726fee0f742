"""What `run` and `render` leave behind beside the clip: masks, tracks, the report. Each is written beside and renamed."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from engine.errors import MediaError, RecipeError
from engine.interchange.files import whole
from engine.interchange.masks import Alphas, Masks, is_sequence, present
from engine.interchange.registry import mask_format, track_format
from engine.progress import Progress
from engine.rendering.material import Material
from engine.rendering.render import carry, spans_to_carry
from engine.rendering.trails import all_tracks
from engine.types import FrameRange


def check_folder(path: Path) -> None:
    """Refuses to replace a folder that holds anything but numbered pictures. Raises MediaError."""
    if path.exists() and (not path.is_dir() or not is_sequence(path)):
        raise MediaError(f"{path.name} holds more than numbered pictures and is not replaced; choose another name.")


def check_formats(masks: Path | None, form: str | None, tracks: Path | None) -> None:
    """Refuses what a format cannot be written to, and to replace what is something else. Raises MediaError."""
    if masks and mask_format(masks, form).suffixes == ("",):
        check_folder(masks)
    elif masks:
        check_file(masks)
    if tracks:
        check_file(tracks)
        track_format(tracks)


def check_file(path: Path) -> None:
    """Refuses to replace what is not a file. Raises MediaError."""
    if path.exists() and not path.is_file():
        raise MediaError(f"{path.name} is not a file and is not replaced; choose another name.")


def masks(material: Material, path: Path, form: str | None, span: FrameRange, progress: Progress) -> None:
    """The masks of the span as the path, or `form`, asks (see `mask_format`)."""
    spans, video = spans_to_carry(material), material.project.video
    progress.total += sum(len(one.range) for one in spans) + len(span)
    carry(material, spans, progress)
    subjects = tuple(sorted(subject.id for subject in material.project.subjects))
    alphas = _alphas(material, span, progress.part("Writing masks", len(span)))
    mask_format(path, form).write(path, Masks(video.size, subjects, tuple(span), alphas, material.original), video)


def _alphas(material: Material, span: FrameRange, step: Callable[[int, int], None]) -> Iterator[Alphas]:
    for done, frame in enumerate(span):
        yield present((subject.id, material.alpha(subject.id, frame)) for subject in material.project.subjects)
        step(done + 1, len(span))


def check_tracks(material_subjects: Iterable[Any], span: FrameRange) -> None:
    """Raises RecipeError when there is nothing to track, or a point outside the range."""
    points = [point for subject in material_subjects for point in subject.track_points]
    if not points:
        raise RecipeError("--tracks needs track points: give a subject track_points [[frame, x, y], …].")
    outside = [point.spots[0].frame for point in points if not any(spot.frame in span for spot in point.spots)]
    if outside:
        raise RecipeError(f"There is a track point on frame {outside[0]}, outside the range {span.start} to {span.stop - 1}.")


def tracks(material: Material, path: Path, progress: Progress) -> None:
    """The tracks of the subjects' track points over the project's range."""
    track_format(path).write(path, all_tracks(material, progress))


def report(path: Path, body: dict[str, Any]) -> None:
    with whole(path) as temporary:
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
    """sha256 of a file; of a folder, over names and contents in order."""
    if out.is_file():
        return _file_digest(out).hex()
    total = hashlib.sha256()
    for path in sorted(one for one in out.rglob("*") if one.is_file()):
        total.update(path.relative_to(out).as_posix().encode() + _file_digest(path))
    return total.hexdigest()


def _file_digest(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
