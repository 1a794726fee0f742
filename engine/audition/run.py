"""Holding an audition: each candidate renders its second into the cache, apart from what the project is made of.

Nothing of the project changes: segments that are rendered here lie in a place of their own, and only what the user picks becomes
the edit's method, by an act like any other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.audition.candidates import Candidate, as_material, candidates, window_of
from engine.audition.measures import Flicker
from engine.errors import EngineError, MediaError
from engine.media.records import RecordReader, RecordWriter
from engine.progress import Progress
from engine.rendering.material import Material
from engine.rendering.render import carry, dirty_segments, prepare_shots, propagate, read_motion, render_segment, spans_to_carry
from engine.rendering.stack import needed
from engine.store.entries import seal, unseal
from engine.store.workspace import Workspace, content_key
from engine.types import FrameIndex, FrameRange

LONG_SIDE = 640  # px of the pictures that are shown
QUALITY = 85
Tell = Callable[[dict[str, Any]], None]


class Apart(Workspace):
    """The project's files, with the segments of an audition beside those of the project."""

    def segment(self, key: str) -> Path:
        kept = super().segment(key)
        return kept if (kept / "done.json").exists() else self.audition(key)


def hold(material: Material, frame: FrameIndex, free: float | None, progress: Progress, tell: Tell) -> dict[str, Any]:
    """Renders one second around a frame by every method that can run here; `tell` is given the result so far after each.

    The result: `window` [start, stop), `tiles` (title, method, config, key of its pictures, measures; or what went wrong) and
    `cannot` (title and reason). `free`: see `candidates`.

    Raises:
        Cancelled: finished tiles stay in the cache.
    """
    window = window_of(material, frame)
    apart = Material(Apart(material.workspace.folder), material.project, lambda: material.reader, material.backbones)
    able, refused = candidates(apart, window, free)
    result: dict[str, Any] = {
        "frame": frame,
        "window": [window.start, window.stop],
        "tiles": [_waiting(one) for one in able],
        "cannot": [asdict(one) for one in refused],
    }
    progress.total += sum(len(one.span) + len(window) for one in able)
    tell(result)
    for place, one in enumerate(able):
        try:
            result["tiles"][place] |= {"state": "done", **_tile(as_material(apart, one), one, window, progress)}
        except EngineError as error:
            result["tiles"][place] |= {"state": "failed", "why": str(error)}
        tell(result)
    return result


def _waiting(one: Candidate) -> dict[str, Any]:
    return {
        "method": one.method,
        "title": one.title,
        "config": one.config,
        "span": [one.span.start, one.span.stop],
        "state": "waits",
    }


def _tile(material: Material, one: Candidate, window: FrameRange, progress: Progress) -> dict[str, Any]:
    """The pictures of a candidate and what is measured of them; what an earlier audition made of the same is taken."""
    _ready(material, progress)
    seconds = _render(material, progress)
    material = material.again()
    keys = [material.key_of(segment) for segment in material.segments]
    key = content_key(what="tile", segments=keys, window=[window.start, window.stop], clip=material.project.video.digest)
    folder = material.workspace.audition(key)
    if seconds is None and (folder / "done.json").exists():
        return RecordReader(folder).meta
    return _written(material, folder, window, {"key": key, "seconds": seconds}, progress)


def _ready(material: Material, progress: Progress) -> None:
    """Masks, motion and the edits below, where they are not there."""
    span = material.window or material.project.range
    for layer, wanted in needed(material, material.segments):
        if layer.project.edit.id != material.project.edit.id:
            propagate(layer, progress, None, wanted)
    spans = spans_to_carry(material, material.segments)
    progress.total += sum(len(one.range) for one in spans)
    carry(material, spans, progress)
    read_motion(material, [span], progress)


def _render(material: Material, progress: Progress) -> float | None:
    """Renders what is not rendered yet; seconds per frame, with what is prepared and loaded for it; None where all was there."""
    dirty = dirty_segments(material)
    if not dirty:
        return None
    begun = time.monotonic()
    if prepare_shots(material, dirty, progress):
        material = material.again()
        dirty = dirty_segments(material)
    frames = sum(one.stop - one.start for one in dirty)
    for one in dirty:
        render_segment(material, one, progress.part("Trying the methods", one.stop - one.start))
    return round((time.monotonic() - begun) / max(1, frames), 3)


def _written(material: Material, folder: Path, window: FrameRange, more: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The tile's pictures, small, with its measures and what else is told of it (`more`)."""
    flicker, step = Flicker(material.steps), progress.part("Measuring", len(window))
    with RecordWriter(folder, resume=False) as records:
        for done, frame in enumerate(window):
            image = material.edited(frame)
            if image is None:
                raise MediaError(f"Frame {frame} of the audition is not there; try again.")
            flicker.add(frame, image, material.picture(frame), material.region(frame))
            records.append(frame, seal(frame, _small(image)))
            step(done + 1, len(window))
        told = {"flicker": flicker.levels, **_of_segments(material), **more}
        records.finish(told)
    return told


def _of_segments(material: Material) -> dict[str, Any]:
    """`outside` and `anchor`: largest differences in levels, both 0 by the lock; `strayed`: how far the method by itself was from
    the approved takes, mean levels, None where there was none to compare with."""
    metas = [RecordReader(material.workspace.segment(material.key_of(one))).meta for one in material.segments]
    strayed = [one["strayed"] for meta in metas for one in meta.get("quality", []) if "strayed" in one]
    return {
        "outside": max((meta["outside"] for meta in metas), default=0),
        "anchor": max((meta["anchor"] for meta in metas), default=0),
        "strayed": round(float(np.mean(strayed)), 2) if strayed else None,
    }


def _small(image: np.ndarray) -> bytes:
    scale = min(1.0, LONG_SIDE / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, blob = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise MediaError("A picture of the audition could not be encoded; try again.")
    return blob.tobytes()


def picture_of(workspace: Workspace, key: str, frame: FrameIndex) -> bytes | None:
    """A JPEG of a tile; None where it is not there (any more)."""
    folder = workspace.audition(key)
    if not (folder / "done.json").exists():
        return None
    records = RecordReader(folder)
    try:
        return unseal(frame, records.get(frame)) if frame in records else None
    finally:
        records.close()
