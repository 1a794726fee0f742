"""The long verbs over the whole stack of edits: each is rendered over the result of those below it, from the lowest up."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.methods import card
from engine.methods.base import Segment
from engine.progress import Progress
from engine.rendering.executors import Executor
from engine.rendering.material import Material
from engine.rendering.render import RenderReport, check_there_is_work, dirty_segments, propagate
from engine.types import FrameIndex, FrameRange


def propagate_all(
    material: Material,
    progress: Progress,
    executor: Executor | None = None,
    segments: list[Segment] | None = None,
    *,
    near: FrameIndex | None = None,
) -> RenderReport:
    """Renders what is not rendered yet of all edits that are on, or of the given segments of the material's edit, with what
    these need of the edits below. See `propagate`.

    Raises:
        MethodError: no edit has anything to go by.
    """
    whole = material.whole if segments is None else material
    if not any(layer.segments for layer in whole.layers):
        check_there_is_work(material)
    total = RenderReport()
    for layer, wanted in needed(whole, segments):
        report = propagate(layer, progress, executor, None if segments is None else wanted, near=near)
        if len(whole.layers) > 1:
            report.quality = [{"edit": layer.project.edit.id, **one} for one in report.quality]
        total.add(report)
    return total


def propagate_below(material: Material, progress: Progress) -> None:
    """Renders the edits below the one that is worked on, so that takes can be made over them."""
    if material.below is not None:
        for layer, _ in needed(material.below, None):
            propagate(layer, progress)


def unfinished(material: Material) -> list[tuple[Material, list[Segment]]]:
    """Every edit that is on, from the lowest up, with those of its segments that are not rendered yet, where it has any."""
    found = [(layer, dirty_segments(layer)) for layer in material.whole.layers]
    return [(layer, dirty) for layer, dirty in found if dirty]


def finished_below(material: Material) -> list[FrameRange]:
    """Frames that lower edits change and on which all of these are rendered, as ranges in order."""
    frames = material.project.video.frames
    changed, open_ = np.zeros(frames + 1, bool), np.zeros(frames + 1, bool)
    for layer in material.below.layers if material.below else ():
        for one in layer.segments:
            changed[one.start : one.stop] = True
            if not layer.is_done(one):
                open_[one.start : one.stop] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[False], changed & ~open_]).astype(np.int8)))
    return [FrameRange(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def needed(material: Material, segments: list[Segment] | None) -> Iterator[tuple[Material, list[Segment]]]:
    """Each edit up to the material's, from the lowest up, with its segments that `segments` of the topmost need; all where that
    is None. Edits without segments are left out.

    An edit is looked at when it is asked for: what is prepared for one decides what the segments of the next are.
    """
    spans = None if segments is None else [_seen(material, one) for one in segments]
    for project in [layer.project for layer in material.layers]:
        layer = material.working_on(project)
        wanted = layer.segments if spans is None else [s for s in layer.segments if any(_meets(s, span) for span in spans)]
        if project is material.project and segments is not None:
            wanted = segments
        if wanted:
            yield layer, wanted


def _seen(material: Material, segment: Segment) -> FrameRange:
    """The frames whose lower edits count for a segment: it and its right anchor, or its shot where its method looks at that."""
    if any(card(layer.of(segment).project.edit.method).shares for layer in material.layers):
        return segment.shot
    return FrameRange(segment.start, segment.stop + (segment.right is not None))


def _meets(segment: Segment, span: FrameRange) -> bool:
    return segment.start < span.stop and span.start < segment.stop
