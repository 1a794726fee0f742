"""Finding cuts: the frames where a new shot begins."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

SMALL = (64, 36)
"""(width, height) of the picture that is compared: a pan moves little of it."""
BINS = 16
HISTORY = 12
LEAST = 0.25
"""A change of at least this much (0–1) is needed for a cut, and `TIMES` the typical change of the frames before."""
TIMES = 3.0
LEAST_SHOT = 4
"""Frames that a shot lasts at least: what comes and goes sooner is a flash (our choice)."""
BLACK, WHITE = 8, 240
"""Light outside these says nothing: it is crushed or burnt out."""
LEAST_CLEAR = 0.2
"""Share of pixels that must say something for a frame to be compared at all."""


class CutDetector:
    """Told every frame in order, says which are the first of a new shot.

    A frame is compared with the one before it by its colours (histogram) and by its picture (correlation of the light,
    which a change of exposure leaves alone); both must change, far more than they did lately. White and black frames
    are passed over: the frame after them is compared with the one before them.
    """

    def __init__(self) -> None:
        self._earlier: deque[_Look] = deque(maxlen=LEAST_SHOT)
        self._changes: deque[float] = deque(maxlen=HISTORY)
        self._since = LEAST_SHOT

    def push(self, frame: np.ndarray) -> bool:
        """Takes the next frame, (H, W, 3) uint8 RGB of any size; True when it begins a new shot (never the first)."""
        look = _Look(frame)
        self._since += 1
        if look.says_nothing:
            return False
        change = look.change_from(self._earlier[-1]) if self._earlier else 0.0
        typical = float(np.median(self._changes)) if self._changes else 0.0
        jump = change >= max(LEAST, TIMES * typical)
        back = any(look.change_from(earlier) < LEAST / 2 for earlier in self._earlier)
        cut = jump and not back and self._since > LEAST_SHOT
        if cut:
            self._earlier.clear()
            self._changes.clear()
            self._since = 1
        elif not jump:
            self._changes.append(change)
        self._earlier.append(look)
        return cut


class _Look:
    """What is compared of a frame."""

    def __init__(self, frame: np.ndarray) -> None:
        small = cv2.resize(frame, SMALL, interpolation=cv2.INTER_AREA)
        yuv = cv2.cvtColor(small, cv2.COLOR_RGB2YUV)
        self.light = yuv[..., 0].astype(np.float32)
        self.clear = (self.light > BLACK) & (self.light < WHITE)
        self.says_nothing = float(self.light.std()) < 3 or float(self.clear.mean()) < LEAST_CLEAR
        self.colours = np.concatenate([_histogram(yuv[..., channel]) for channel in range(3)])

    def change_from(self, other: _Look) -> float:
        """0 = the same picture, 1 = nothing in common: geometric mean of the two measures."""
        light = 1 - max(0.0, _correlation(self.light, other.light, self.clear & other.clear))
        colours = float(np.abs(self.colours - other.colours).sum()) / 6
        return float(np.sqrt(light * colours))


def _correlation(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    """Pearson's correlation of two pictures over the pixels of a mask; 0 where there is nothing to compare."""
    if where.mean() < LEAST_CLEAR / 2:
        return 0.0
    first, second = one[where] - one[where].mean(), other[where] - other[where].mean()
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / size if size > 0 else 0.0


def _histogram(channel: np.ndarray) -> np.ndarray:
    counts = np.bincount((channel.ravel() >> 4).astype(np.intp), minlength=BINS).astype(np.float32)
    return counts / counts.sum()
