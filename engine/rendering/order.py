"""In which order segments are rendered: it changes nothing of what comes out, only what can be seen first."""

from __future__ import annotations

from collections.abc import Sequence

from engine.methods.base import Segment
from engine.types import FrameIndex


def nearest_first(segments: Sequence[Segment], near: FrameIndex | None) -> list[Segment]:
    """The segments by their distance, in frames, from a frame: the one that holds it first; in order where there is none."""
    if near is None:
        return list(segments)
    return sorted(segments, key=lambda one: (_distance(one, near), one.start))


def _distance(segment: Segment, frame: FrameIndex) -> int:
    return max(segment.start - frame, frame - segment.stop + 1, 0)
