"""Where the pixels of a frame lie in an anchor's picture, from the flows of neighbouring frames alone: rough, but at once.

Everything here depends on the clip only, so it outlives every change of takes, masks and settings.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from engine.errors import MediaError
from engine.motion.flow import DenseFlow, consistency, grid, sample
from engine.motion.steps import Steps
from engine.types import FrameIndex

KEPT = 600
"""Fields that are kept: about 0.2 MB each."""

Field = tuple[np.ndarray, np.ndarray]
"""Positions (h, w, 2) float32 (x, y) in the anchor's picture and confidence (h, w) float32 0–1, at half of motion scale."""


class Chains:
    """Fields from frames to anchors, each continued from the nearest one known on the way. For one clip, one thread."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self._dis = DenseFlow()
        self._pairs: OrderedDict[FrameIndex, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._kept: OrderedDict[tuple[FrameIndex, FrameIndex], Field] = OrderedDict()
        self._grays: OrderedDict[FrameIndex, np.ndarray] = OrderedDict()
        self._pixels = grid((steps.size[0] // 2, steps.size[1] // 2))

    def field(self, anchor: FrameIndex, frame: FrameIndex) -> Field:
        """From a frame to an anchor on either side of it. Flows that are not on the disk are computed, and kept in memory."""
        way = 1 if frame >= anchor else -1
        at = frame
        while at != anchor and (anchor, at) not in self._kept:
            at -= way
        field = self._kept.get((anchor, at)) or (self._pixels, np.ones(self._pixels.shape[:2], np.float32))
        while at != frame:
            field = self._advanced(field, at, at + way)
            at += way
            self._kept[anchor, at] = field
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return field

    def on_the_spot(self, a: FrameIndex, b: FrameIndex) -> bool:
        """Whether motion between the two frames had to be read here, roughly, because the project had not computed it."""
        return any(first in self._pairs for first in range(min(a, b), max(a, b)))

    def _advanced(self, field: Field, before: FrameIndex, frame: FrameIndex) -> Field:
        positions, confidence = field
        there, back = self._pair(frame, before)
        at = self._pixels + there
        sure = sample(confidence, at) * consistency(there, back, self._pixels)
        return at + sample(positions - self._pixels, at), sure

    def _pair(self, a: FrameIndex, b: FrameIndex) -> tuple[np.ndarray, np.ndarray]:
        """Flow from a to its neighbour b and back, at half of motion scale."""
        try:
            return self.steps.pair(a, b)
        except (MediaError, OSError):  # not read yet, or not a single pair is
            first = min(a, b)
        if first not in self._pairs:
            one, other = self._gray(first), self._gray(first + 1)
            self._pairs[first] = (self._dis.flow(one, other), self._dis.flow(other, one))
            if len(self._pairs) > KEPT:
                self._pairs.popitem(last=False)
        there, back = self._pairs[first]
        return (there, back) if a < b else (back, there)

    def _gray(self, frame: FrameIndex) -> np.ndarray:
        """(h, w) uint8 at half of motion scale: flow between such pictures is rougher, and quick."""
        if frame not in self._grays:
            self._grays[frame] = self.steps.pictures.gray(frame, self._pixels.shape[:2])
            if len(self._grays) > 2:
                self._grays.popitem(last=False)
        return self._grays[frame]
