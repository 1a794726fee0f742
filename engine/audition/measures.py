"""What is measured of a method in an audition, over the frames that are shown, inside the edit region."""

from __future__ import annotations

import cv2
import numpy as np

from engine.motion.flow import grid, sample
from engine.motion.steps import Steps
from engine.types import FrameIndex

TRUSTED = 20.0
"""Levels: where even the clip, carried along its own motion, differs more than that, the motion is not believed (our choice)."""


class Flicker:
    """How much what moves along changes from frame to frame, beyond what the clip itself does: mean levels over the region.

    Each frame is compared with the one before carried along the clip's motion, at motion scale; 0 = as steady as the clip.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps, self._pixels = steps, grid(steps.size)
        self._before: tuple[FrameIndex, np.ndarray, np.ndarray] | None = None
        self._sum, self._count = 0.0, 0

    def add(self, frame: FrameIndex, image: np.ndarray, source: np.ndarray, region: np.ndarray) -> None:
        """The next frame: image and source (H, W, 3) uint8, region (H, W) uint8."""
        size = self._steps.size[::-1]
        image, source, region = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (image, source, region))
        if self._before is not None and self._before[0] == frame - 1:
            _, image_before, source_before = self._before
            there = self._pixels + self._steps.flow(frame, frame - 1)
            own = cv2.absdiff(source, sample(source_before, there)).mean(axis=2)
            made = cv2.absdiff(image, sample(image_before, there)).mean(axis=2)
            counted = (region > 127) & (own < TRUSTED)
            self._sum += float((made - own)[counted].sum())
            self._count += int(counted.sum())
        self._before = frame, image, source

    @property
    def levels(self) -> float | None:
        """None where no two neighbouring frames had a region."""
        return round(max(0.0, self._sum / self._count), 2) if self._count else None
