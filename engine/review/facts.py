"""Entries of the list that rest on facts and not on a measure: what waits, what is out of date, what is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from engine.media.records import RecordReader
from engine.rendering.material import Material
from engine.review.runs import runs_of
from engine.types import FrameIndex

if TYPE_CHECKING:
    from engine.review.problems import Problem


def facts_of(material: Material, damaged: frozenset[FrameIndex], entry: Callable[..., Problem]) -> list[Problem]:
    """Takes that wait for approval, segments that are out of date or break a promise, remarks, damaged pictures.

    `entry` makes one.
    """
    found = [*_waiting(material, entry), *_outdated(material, entry), *_left_behind(material, entry)]
    for run in runs_of(dict.fromkeys(damaged, 1.0), 1.0):
        said = "These frames of the source are damaged; the picture before stands in, or what could be decoded."
        found.append(entry("damaged", run.start, run.stop, run.start, 0.35, said, "look"))
    return found


def _waiting(material: Material, entry: Callable[..., Problem]) -> Iterator[Problem]:
    for anchor in material.project.edit.anchors:
        if anchor.chosen or anchor.frame not in material.project.range:
            continue
        place = (anchor.frame, anchor.frame + 1, anchor.frame)
        if anchor.takes:
            count = len(anchor.takes)
            said = f"{count} take{'s wait' if count > 1 else ' waits'} here, none is approved, so the anchor does nothing yet."
            yield entry("waiting", *place, 0.6, said, "approve")
        else:
            yield entry("empty_anchor", *place, 0.3, "This anchor has no take yet, so it does nothing.", "make_take")


def _outdated(material: Material, entry: Callable[..., Problem]) -> Iterator[Problem]:
    """Segments that were rendered from what was said earlier; neighbours are one entry."""
    old = [one for one in material.segments if not material.is_done(one) and material.was_rendered(one)]
    frames = {frame: 1.0 for one in old for frame in range(one.start, one.stop)}
    for run in runs_of(frames, 1.0, material.cuts, 0):
        said = "Rendered before something changed here; the preview is shown until it is rendered again."
        yield entry("outdated", run.start, run.stop, run.start, 0.45, said, "propagate")


def _left_behind(material: Material, entry: Callable[..., Problem]) -> Iterator[Problem]:
    """What finished segments say of themselves: broken promises, remarks of the method."""
    for segment in material.segments:
        if not material.is_done(segment):
            continue
        meta = RecordReader(material.workspace.segment(material.key_of(segment))).meta
        place = (segment.start, segment.stop, segment.start)
        if meta.get("outside"):
            said = f"Pixels outside the region changed by up to {meta['outside']} levels, which must not happen."
            yield entry("outside", *place, 1.0, said, "look")
        if meta.get("anchor"):
            said = f"An approved anchor came out changed by up to {meta['anchor']} levels, which must not happen."
            yield entry("anchor", *place, 1.0, said, "look")
        for sentence in meta.get("warnings", ()):
            yield entry("remark", *place, 0.2, sentence, "look")
