"""Point tracks without weights: points followed through a clip from where the user put them.

A point has *spots*: frames on which the user said where it is (or that it is hidden). Between two spots, and before the
first and after the last up to the shot's ends, lie its *stretches*, each solved from the spots at its ends alone: a spot
that is moved later changes no other stretch. All stretches are solved in two passes over the frames they cover, one
forward and one back (engine/tracking/walk.py); where a stretch has a spot at both ends the two meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine.media.pictures import Pictures
from engine.tracking.walk import Views, Walk
from engine.types import FrameIndex, FrameRange, Spot, Tracks

TRACK_SIDE = 720  # short side of the pictures that are looked at, px
MEET = 3.0  # px: passes that are this close are mixed, else the surer one counts
Step = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames over which a point is followed; a spot at the first or at the last of them, or at both."""

    range: FrameRange
    left: Spot | None
    right: Spot | None


@dataclass(frozen=True, eq=False, slots=True)
class Trail:
    """One point over n frames: xy (n, 2) float32 px, visible (n,) bool, confidence (n,) float32 0–1."""

    xy: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray


def stretches_of(spots: Sequence[Spot], span: FrameRange, shots: Sequence[FrameRange]) -> list[Stretch]:
    """The stretches of a point inside the span, shot by shot; none in a shot without a spot.

    `spots` are in the order of frames, one a frame.
    """
    found = []
    for shot in shots:
        here = shot.meet(span)
        inside = [spot for spot in spots if spot.frame in here]
        if not inside:
            continue
        first, last = inside[0], inside[-1]
        if first.frame > here.start:
            found.append(Stretch(FrameRange(here.start, first.frame + 1), None, first))
        found += [Stretch(FrameRange(a.frame, b.frame + 1), a, b) for a, b in pairwise(inside)]
        if last.frame < here.stop - 1 or len(inside) == 1 == len(here):
            found.append(Stretch(FrameRange(last.frame, here.stop), last, None))
    return found


def solve(pictures: Pictures, size: tuple[int, int], stretches: Sequence[Stretch], step: Step) -> list[Trail]:
    """The trails of stretches, in their order. `size` (H, W) of the clip; `step` may raise Cancelled.

    Each is what it would be without the others.
    """
    frames = sorted({frame for one in stretches for frame in one.range})
    scale, total = _Scale(size), 2 * len(frames)
    ahead = _walk(pictures, scale, stretches, frames, lambda done: step(done, total))
    back = _walk(pictures, scale, stretches, frames[::-1], lambda done: step(len(frames) + done, total))
    return [_met(stretch, *both) for stretch, *both in zip(stretches, ahead, back, strict=True)]


def track_points(pictures: Pictures, size: tuple[int, int], queries: np.ndarray, span: FrameRange, step: Step) -> Tracks:
    """Follows `queries` (P, 3) float32 (frame, x, y) through a span without cuts. `step` may raise Cancelled."""
    points = [(Spot(int(frame), float(x), float(y)),) for frame, x, y in queries]
    per_point = [stretches_of(spots, span, [span]) for spots in points]
    trails = iter(solve(pictures, size, [one for some in per_point for one in some], step))
    return gathered([(spots, [(one, next(trails)) for one in some]) for spots, some in zip(points, per_point, strict=True)], span)


Solved = tuple[Sequence[Spot], Sequence[tuple[Stretch, Trail]]]
"""A point's spots and its solved stretches."""


def gathered(points: Iterable[Solved], span: FrameRange) -> Tracks:
    """Tracks over the span; exact on spots, not visible where nothing is known. A point's query is its first spot."""
    points = list(points)
    xy = np.zeros((len(span), len(points), 2), np.float32)
    visible = np.zeros((len(span), len(points)), bool)
    confidence = np.zeros((len(span), len(points)), np.float32)
    queries = np.array([(spots[0].frame, spots[0].x, spots[0].y) for spots, _ in points], np.float32).reshape(-1, 3)
    for column, (spots, stretches) in enumerate(points):
        xy[:, column] = queries[column, 1:]
        for stretch, trail in stretches:
            here = stretch.range.meet(span)
            rows, from_ = slice(here.start - span.start, here.stop - span.start), here.start - stretch.range.start
            part = slice(from_, from_ + len(here))
            xy[rows, column], visible[rows, column] = trail.xy[part], trail.visible[part]
            confidence[rows, column] = trail.confidence[part]
        for spot in spots:
            if spot.frame in span:
                row = spot.frame - span.start
                xy[row, column], visible[row, column], confidence[row, column] = (spot.x, spot.y), spot.seen, float(spot.seen)
    return Tracks(xy, visible, confidence, queries, span.start)


# --- passes -----------------------------------------------------------------------------------------------


class _Scale:
    """From the clip's px to those that are looked at; pixel centres stay pixel centres."""

    def __init__(self, size: tuple[int, int]) -> None:
        scale = min(1.0, TRACK_SIDE / min(size))
        self.size = (round(size[0] * scale), round(size[1] * scale))
        self._factor = np.array([self.size[1] / size[1], self.size[0] / size[0]], np.float32)

    def down(self, xy: np.ndarray) -> np.ndarray:
        small: np.ndarray = (xy + 0.5) * self._factor - 0.5
        return small

    def up(self, xy: np.ndarray) -> np.ndarray:
        full: np.ndarray = (xy + 0.5) / self._factor - 0.5
        return full


def _walk(
    pictures: Pictures, scale: _Scale, stretches: Sequence[Stretch], order: list[FrameIndex], step: Callable[[int], None]
) -> list[Trail | None]:
    """One pass: the trails of the stretches that have a spot where the pass begins them, in the clip's px."""
    forward = len(order) < 2 or order[0] < order[1]
    spots = [stretch.left if forward else stretch.right for stretch in stretches]
    first = np.array([stretch.range.start for stretch in stretches])
    trails = [None if spot is None else _blank(len(one.range)) for spot, one in zip(spots, stretches, strict=True)]
    begins: dict[FrameIndex, list[int]] = {}
    for number, spot in enumerate(spots):
        if spot is not None:
            begins.setdefault(spot.frame, []).append(number)
    walk, views, active, last = Walk(len(stretches)), Views(), np.zeros(0, int), -1
    for done, frame in enumerate(order):
        active = np.array([number for number in active if frame in stretches[number].range], int)
        view = views.next(pictures.gray(frame, scale.size), bool(len(active)) and abs(frame - last) == 1)
        if len(active):
            walk.advance(active, view)
        new = np.array(begins.get(frame, []), int)
        if len(new):
            here = [spot for number in new if (spot := spots[number]) is not None]
            walk.begin(new, view, scale.down(np.array([(s.x, s.y) for s in here], np.float32)), np.array([s.seen for s in here]))
            active = np.concatenate([active, new])
        full = scale.up(walk.xy)
        for number in active:
            trail, row = trails[number], frame - first[number]
            if trail is not None:
                trail.xy[row], trail.visible[row], trail.confidence[row] = (
                    full[number],
                    walk.seen[number],
                    walk.confidence[number],
                )
        last = frame
        step(done + 1)
    return trails


def _blank(length: int) -> Trail:
    return Trail(np.zeros((length, 2), np.float32), np.zeros(length, bool), np.zeros(length, np.float32))


def _met(stretch: Stretch, ahead: Trail | None, back: Trail | None) -> Trail:
    """One trail of two passes: mixed where they agree, else the surer one; on a line between them where both are lost."""
    if ahead is None or back is None:
        trail = ahead or back
        assert trail is not None, "a stretch without a spot"
        return trail
    share = np.linspace(0, 1, len(stretch.range), dtype=np.float32)
    here, there = (1 - share) * ahead.confidence, share * back.confidence
    near = np.linalg.norm(ahead.xy - back.xy, axis=1) < MEET
    lost = ~ahead.visible & ~back.visible
    total = np.maximum(here + there, 1e-6)
    weight = np.where(lost, share, np.where(near, there / total, (there > here).astype(np.float32)))[:, None]
    xy = (1 - weight) * ahead.xy + weight * back.xy
    visible = np.where(near, ahead.visible | back.visible, np.where(there > here, back.visible, ahead.visible))
    return Trail(xy.astype(np.float32), visible, np.maximum(ahead.confidence, back.confidence) * visible)
