"""Which frames to edit where nobody has said it: evenly spread over a shot, closer where its motion cannot be believed.

our choice: each step to the next frame counts as one frame of distance, as WEIGHT where the flow there and back does not agree
on too much of the picture; no two anchors are farther apart than the interval, in that measure, unless there may only be fewer.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Protocol

import numpy as np

from engine.motion.flow import consistency, grid
from engine.types import FrameIndex, FrameRange

LOST = 0.3
"""Share of a picture whose flow back does not agree: there two anchors are closer."""
WEIGHT = 3
"""How much closer."""


class Motion(Protocol):
    """Flow between neighbouring frames (engine/motion/steps.py)."""

    def pair(self, a: FrameIndex, b: FrameIndex) -> tuple[np.ndarray, np.ndarray]: ...
    def missing(self, spans: Collection[FrameRange]) -> list[FrameIndex]: ...


def lost_share(motion: Motion, frame: FrameIndex) -> float:
    """Share of the picture whose flow from a frame to the next one and back does not agree."""
    there, back = motion.pair(frame, frame + 1)
    return float((consistency(there, back, grid(there.shape[:2])) < 0.5).mean())


def spread(motion: Motion, span: FrameRange, fixed: Collection[FrameIndex], interval: int, most: int = 0) -> list[FrameIndex]:
    """The fixed frames, the first and the last of the span, and so many more that no two are farther apart than `interval`.

    `most`: how many there may be at most, where it is not 0; the distances grow then. Fixed frames and the ends always stay.
    Motion that was not computed yet counts as believed.
    """
    if not len(span):
        return []
    unknown = set(motion.missing([span]))
    weights = [WEIGHT if f not in unknown and lost_share(motion, f) >= LOST else 1 for f in range(span.start, span.stop - 1)]
    along = np.concatenate([[0], np.cumsum(weights, dtype=np.int64)])
    kept = sorted({span.start, span.stop - 1} | {frame for frame in fixed if frame in span})
    reach = interval
    found = _filled(kept, along, span.start, reach)
    while most and len(found) > max(most, len(kept)) and reach < along[-1]:
        reach += 1
        found = _filled(kept, along, span.start, reach)
    return found


def _filled(kept: list[FrameIndex], along: np.ndarray, start: FrameIndex, reach: int) -> list[FrameIndex]:
    """`along[f − start]`: the distance up to frame f."""
    found = set(kept)
    for a, b in pairwise(kept):
        begin, end = along[a - start], along[b - start]
        parts = -(-int(end - begin) // reach)
        marks = begin + np.arange(1, parts) * (end - begin) / max(parts, 1)
        found |= {start + int(np.abs(along - mark).argmin()) for mark in marks}
    return sorted(found)
