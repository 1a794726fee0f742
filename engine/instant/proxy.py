"""Proxy first: the same edit by its own method at preview size, over the whole range, before it is rendered.

What comes out lies in the cache as JPEGs under a key of the segment that it stands for: the page shows it as a preview, and
what is measured on the way fills the lane and the list of problems. Masks and motion are those that the real run needs too.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import MethodError
from engine.instant.chains import Chains
from engine.instant.pictures import QuickPictures, as_jpeg, proxy_size
from engine.media.records import RecordReader, RecordWriter
from engine.methods import card, method
from engine.methods.base import Context, Segment, Shot
from engine.progress import Progress, Step
from engine.rendering.anchoring import locked
from engine.rendering.material import Material
from engine.rendering.noting import noted_of_frame
from engine.rendering.order import nearest_first
from engine.rendering.render import carry, check_there_is_work, dirty_segments, read_motion, spans_to_carry
from engine.rendering.segments import Shared, plan
from engine.rendering.shots import carried
from engine.store.entries import Entry, seal
from engine.store.workspace import Workspace, content_key
from engine.types import FrameIndex, FrameRange

PHASE = "Previewing"
OPEN = 12
"""Entries that are kept open."""


def proxy_key(key: str) -> str:
    """Under which the preview of a segment with this key lies."""
    return content_key(what="proxy", of=key)


def is_smaller(material: Material) -> bool:
    """Whether a preview is smaller than the clip, so that it is worth making first."""
    size = material.project.video.size
    return proxy_size(size) != size


def missing_proxies(material: Material) -> list[Segment]:
    """Segments that are neither rendered nor previewed."""
    return [one for one in dirty_segments(material) if not (_folder(material, one) / "done.json").exists()]


def render_proxies(material: Material, progress: Progress, *, near: FrameIndex | None = None) -> int:
    """Previews what is neither rendered nor previewed, around the frame `near` first; returns how many frames that were.

    Raises:
        MethodError: nothing to go by, or the clip is no larger than a preview.
        Cancelled: previewed segments stay.
    """
    check_there_is_work(material)
    if not is_smaller(material):
        raise MethodError("This clip is no larger than a preview, so propagating takes no longer: press Ctrl+Enter.")
    todo = missing_proxies(material)
    seen = material.segments if todo and card(material.project.edit.method).shares else todo
    material.drop_damaged_masks([span for one in material.project.subjects for span in material.spans(one.id)])
    spans = spans_to_carry(material, seen)
    frames = sum(one.stop - one.start for one in todo)
    progress.total += sum(len(span.range) for span in spans) + frames
    read_motion(material, [FrameRange(one.start, one.stop + (one.right is not None)) for one in seen], progress)
    carry(material, spans, progress)
    for segment in nearest_first(todo, near):
        _render(material.of(segment), segment, _folder(material, segment), progress.part(PHASE, segment.stop - segment.start))
    return frames


def _folder(material: Material, segment: Segment) -> Path:
    return material.workspace.proxies(proxy_key(material.key_of(segment)))


def _render(material: Material, segment: Segment, folder: Path, step: Step) -> None:
    """One segment as JPEGs, what was noted of its frames in `meta`."""
    pictures = QuickPictures(material, Chains(material.steps))
    quality: dict[FrameIndex, dict[str, Any]] = {}
    warnings: list[str] = []
    with material.workspace.scratch() as scratch, RecordWriter(folder, resume=False) as records:
        context = Context(
            step,
            material.project.edit.seed,
            scratch,
            scratch / "prepared",
            material.backbones,
            lambda frame, **measures: quality.setdefault(frame, {}).update(measures),
            warnings.append,
            carried,
        )
        material.backbones.warn = warnings.append
        for frame, image in _frames(pictures, segment, context):
            source, region = pictures.proxies.source(frame), pictures.region(frame)
            quality.setdefault(frame, {}).update(noted_of_frame(source, image, region))
            records.append(frame, seal(frame, as_jpeg(image)))
        measured = [{"frame": frame, **quality[frame]} for frame in records.frames]
        records.finish({"quality": measured, "warnings": warnings})


def _frames(pictures: QuickPictures, segment: Segment, context: Context) -> Iterator[tuple[FrameIndex, Any]]:
    """Every frame of the segment, by the edit's own method; what it prepares may cut the segment into several."""
    project = pictures.material.project
    chosen, worker = card(project.edit.method), method(project.edit.method)
    shot = _shot(pictures, segment)
    context.store.mkdir(parents=True, exist_ok=True)
    prepared = worker.prepare(shot, chosen.Config(**project.edit.config), context)
    shared = {segment.shot.start: Shared(prepared.digest, prepared.parts)} if chosen.shares else {}
    for part in plan(project, pictures.material.cuts, shared, pictures.material.window):
        if segment.start <= part.start and part.stop <= segment.stop:
            rendered = worker.render(shot, part, prepared, context)
            yield from rendered if chosen.exact else locked(shot, part, rendered, context)


def _shot(pictures: QuickPictures, segment: Segment) -> Shot:
    project = pictures.material.project
    span = segment.shot.meet(pictures.material.window or project.range)
    return replace(pictures.shot(segment), span=span, edit=project.edit)


# --- what the page shows ----------------------------------------------------------------------------------


class ProxyStore:
    """The previews of one project as they lie on the disk. For one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._workspace = Workspace(folder)
        self._open: OrderedDict[str, Entry] = OrderedDict()
        self._noted: OrderedDict[str, dict[FrameIndex, dict[str, Any]]] = OrderedDict()

    def has(self, key: str) -> bool:
        """Whether the segment with this key is previewed whole."""
        return (self._workspace.proxies(proxy_key(key)) / "done.json").exists()

    def frames(self, key: str) -> list[FrameIndex]:
        """The frames that are previewed so far."""
        entry = self._entry(key)
        return entry.frames if entry else []

    def jpeg(self, key: str, frame: FrameIndex) -> bytes | None:
        """The preview of a frame; None where there is none."""
        entry = self._entry(key)
        return entry.get(frame) if entry else None

    def measures(self, key: str) -> dict[FrameIndex, dict[str, Any]]:
        """What was noted of the frames; empty until the segment is previewed whole."""
        if not self.has(key):
            return {}
        if key not in self._noted:
            try:
                meta = RecordReader(self._workspace.proxies(proxy_key(key))).meta
            except (OSError, json.JSONDecodeError):  # thrown away this moment
                return {}
            self._noted[key] = {one["frame"]: one for one in meta.get("quality", [])}
            if len(self._noted) > OPEN * 8:
                self._noted.popitem(last=False)
        return self._noted[key]

    def _entry(self, key: str) -> Entry | None:
        folder = self._workspace.proxies(proxy_key(key))
        if not (folder / "index").exists():
            self._drop(key)
            return None
        try:
            if key not in self._open:
                self._open[key] = Entry(folder)
                if len(self._open) > OPEN:
                    self._open.popitem(last=False)[1].close()
            self._open.move_to_end(key)
            self._open[key].refresh()
            return self._open[key]
        except OSError:  # it was thrown away this moment
            self._drop(key)
            return None

    def _drop(self, key: str) -> None:
        self._noted.pop(key, None)
        gone = self._open.pop(key, None)
        if gone is not None:
            gone.close()

    def close(self) -> None:
        for entry in self._open.values():
            entry.close()
        self._open.clear()
