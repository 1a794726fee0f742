"""Measures that compare frames with each other: colour against the anchors, the region against the frame before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.types import FrameIndex

LEAST_REGION = 0.002
"""Share of the picture below which a region's change of size says nothing (our choice)."""

Noted = Mapping[FrameIndex, Mapping[str, Any]]


def drifts(noted: Noted, anchors: Sequence[FrameIndex], cuts: Iterable[FrameIndex]) -> dict[FrameIndex, float]:
    """How far, in levels, a rendered frame's mean change of colour is from what the anchors around it say.

    `noted[frame]["change"]`: mean of edited − source in the region (3 levels). Between two anchors the expected change goes
    evenly from one to the other, beyond them it is that of the nearest; none is looked at over a cut.
    """
    known = {frame: np.array(one["change"], float) for frame, one in noted.items() if "change" in one}
    edges, found = sorted(cuts), {}
    for frame, change in known.items():
        here = [anchor for anchor in anchors if anchor in known and not _cut_between(edges, frame, anchor)]
        left = max((anchor for anchor in here if anchor <= frame), default=None)
        right = min((anchor for anchor in here if anchor >= frame), default=None)
        expected = _expected(known, frame, left, right)
        if expected is not None and frame not in (left, right):
            found[frame] = float(np.abs(change - expected).max())
    return found


def _expected(
    known: Mapping[FrameIndex, np.ndarray], frame: FrameIndex, left: FrameIndex | None, right: FrameIndex | None
) -> np.ndarray | None:
    if left is None or right is None:
        nearest = right if left is None else left
        return None if nearest is None else known[nearest]
    share = (frame - left) / max(1, right - left)
    mixed: np.ndarray = (1 - share) * known[left] + share * known[right]
    return mixed


def _cut_between(cuts: Sequence[FrameIndex], one: FrameIndex, other: FrameIndex) -> bool:
    return any(min(one, other) < cut <= max(one, other) for cut in cuts)


def jumps(noted: Noted, cuts: Iterable[FrameIndex]) -> dict[FrameIndex, float]:
    """By which share the edited region grows or shrinks from the frame before: |a − b| over the larger of both."""
    sizes = {frame: float(one["region"]) for frame, one in noted.items() if "region" in one}
    edges, found = set(cuts), {}
    for frame, size in sizes.items():
        before = sizes.get(frame - 1)
        if before is not None and frame not in edges and max(size, before) >= LEAST_REGION:
            found[frame] = abs(size - before) / max(size, before)
    return found
