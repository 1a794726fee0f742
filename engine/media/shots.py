"""Finding cuts: the frames where a new shot begins."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

SMALL = (64, 36)
"""(width, height) of the picture that is compared: a pan moves little of it."""
BINS = 16
HISTORY = 12
LEAST = 0.28
"""A change of at least this much (0–1) is needed for a cut, and `TIMES` the typical change of the frames before."""
TIMES = 3.5
LEAST_SHOT = 4
"""Frames that a shot lasts at least: what comes and goes sooner is a flash (our choice)."""


class CutDetector:
    """Told every frame in order, says which are the first of a new shot.

    A frame is compared with the one before it by its colours (histogram) and by its picture (light, cell by cell); both
    must change, far more than they did lately. A flash changes back: the frame after it equals the one before it.
    """

    def __init__(self) -> None:
        self._before: _Look | None = None
        self._earlier: deque[_Look] = deque(maxlen=LEAST_SHOT)
        self._changes: deque[float] = deque(maxlen=HISTORY)
        self._since = LEAST_SHOT

    def push(self, frame: np.ndarray) -> bool:
        """Takes the next frame, (H, W, 3) uint8 RGB of any size; True when it begins a new shot (never the first)."""
        look = _Look(frame)
        before, self._before = self._before, look
        if before is None:
            self._earlier.append(look)
            return False
        change = look.change_from(before)
        typical = float(np.median(self._changes)) if self._changes else 0.0
        jump = change >= max(LEAST, TIMES * typical)
        known = any(look.change_from(earlier) < LEAST / 2 for earlier in self._earlier)
        flash = look.is_blank() or before.is_blank()
        cut = jump and not known and not flash and self._since >= LEAST_SHOT
        if cut:
            self._earlier.clear()
            self._changes.clear()
            self._since = 0
        elif not jump:
            self._changes.append(change)
        self._since += 1
        self._earlier.append(look)
        return cut


class _Look:
    """What is compared of a frame."""

    def __init__(self, frame: np.ndarray) -> None:
        small = cv2.resize(frame, SMALL, interpolation=cv2.INTER_AREA)
        yuv = cv2.cvtColor(small, cv2.COLOR_RGB2YUV)
        self.light = yuv[..., 0].astype(np.float32)
        self.colours = np.concatenate([_histogram(yuv[..., channel]) for channel in range(3)])

    def change_from(self, other: _Look) -> float:
        """0 = the same picture, 1 = nothing in common: the smaller of the two measures rules, the larger adds."""
        spread = max(16.0, float(self.light.std()), float(other.light.std()))
        light = min(1.0, float(np.abs(self.light - other.light).mean()) / (1.5 * spread))
        colours = float(np.abs(self.colours - other.colours).sum()) / 6
        return float(np.sqrt(light * colours))

    def is_blank(self) -> bool:
        """Whether the frame is one colour (white flash, black frame)."""
        return bool(self.light.std() < 3)


def _histogram(channel: np.ndarray) -> np.ndarray:
    counts = np.bincount((channel.ravel() >> 4).astype(np.intp), minlength=BINS).astype(np.float32)
    return counts / counts.sum()
