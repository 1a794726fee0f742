"""Carrying a whole frame, which does not move as one surface: dense positions in a source frame, kept up frame by frame.

Positions are chained, never pictures, so the edit is resampled once however far it goes. To keep the chain from drifting, the
source picture is compared with the frame directly every other step and the rest is corrected.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.motion.flow import DenseFlow, consistency, grid, sample
from engine.motion.sight import Sight
from engine.motion.steps import Steps
from engine.types import FrameIndex

LOCAL_LIGHT = 12.0  # px: brightness is equalised over this neighbourhood before the direct comparison
CORRECTION_LIMIT = 4.0  # px at motion scale: larger corrections are mismatches
CORRECT_EVERY = 2  # frames; every frame gains little for a third more time


class Chain:
    """Positions of the current frame's pixels in the source frame.

    `positions` (h, w, 2) float32 (x, y); `confidence` (h, w) float32 0–1, falling where pixels were hidden on the way.
    """

    def __init__(self, steps: Steps, clip_size: tuple[int, int], frame: FrameIndex) -> None:
        """Starts at a frame of a clip of size (H, W)."""
        self._steps, self._clip_size, self._at, self._length = steps, clip_size, frame, 0
        self._source = steps.gray(frame)
        self._direct = DenseFlow()
        self._pixels = grid(steps.size)
        self.positions = self._pixels.copy()
        self.confidence = np.ones(steps.size, np.float32)

    def advance(self, frame: FrameIndex, region: np.ndarray | None = None) -> None:
        """Goes on to the neighbouring frame, whatever is edited there."""
        there, back = self._steps.flow(frame, self._at), self._steps.flow(self._at, frame)
        at = self._pixels + there
        self.confidence = sample(self.confidence, at) * consistency(there, back, self._pixels)
        # Resampling the displacement keeps the frame's border from dragging absolute positions along.
        self.positions = at + sample(self.positions - self._pixels, at)
        self._at, self._length = frame, self._length + 1
        if self._length % CORRECT_EVERY == 0:
            self._correct(self._steps.gray(frame))

    def sight(self) -> Sight:
        """What of the source frame the current one shows."""
        # Flow is kept at half of motion scale: nothing finer is known.
        height, width = self._steps.size[0] // 2, self._steps.size[1] // 2
        cell = (self._clip_size[0] / height, self._clip_size[1] / width)
        moved = cv2.resize(self.positions - self._pixels, (width, height), interpolation=cv2.INTER_AREA)
        certain = cv2.resize(self.confidence, (width, height), interpolation=cv2.INTER_AREA)
        shift = moved * np.array([0.5 * cell[1], 0.5 * cell[0]], np.float32)
        return Sight((slice(0, height), slice(0, width)), cell, shift, certain, np.ones_like(certain))

    def _correct(self, frame: np.ndarray) -> None:
        """Compares the carried source picture with the frame and corrects the positions by what is left."""
        carried = sample(self._source, self.positions)
        rest = self._direct.flow(frame, _relit(carried, frame))
        rest = cv2.GaussianBlur(rest, (0, 0), 2)
        length = np.sqrt((rest**2).sum(axis=-1, keepdims=True))
        rest *= np.minimum(1, CORRECTION_LIMIT / np.maximum(length, 1e-6))
        at = self._pixels + rest
        self.positions = at + sample(self.positions - self._pixels, at)


def _relit(carried: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """(h, w) uint8: the carried picture with the local brightness of the frame."""
    a, b = frame.astype(np.float32), carried.astype(np.float32)
    gain = (cv2.GaussianBlur(a, (0, 0), LOCAL_LIGHT) + 8) / (cv2.GaussianBlur(b, (0, 0), LOCAL_LIGHT) + 8)
    return np.clip(b * gain, 0, 255).astype(np.uint8)
