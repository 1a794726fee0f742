"""How the camera moves, without drift: each picture is registered directly with the one at which following began.

Direct registration of the whole picture (Lucas–Kanade with an affine warp, coarse to fine, brightness taken out), begun where
the last step of the flow leads. Pixels that do not fit, subjects among them, lose their weight (Tukey's). So even ground that no
patch could be followed on is placed by everything that is fixed to it. What is farther away than what it is registered by moves
otherwise when the camera travels; points with marks of their own put that right (engine/tracking/walk.py).
"""

from __future__ import annotations

import cv2
import numpy as np

LEVELS = ((2, 5), (1, 2))
"""Levels of the pyramid (each half as large as the one before) and steps of registration on each."""
BLUR = 1.0  # px of its level
OVERLAP = 0.5  # share of the picture below which a later picture is registered with
LEAST = 0.1  # … and below which nothing is
FIT = 4.0  # residuals beyond this many times the usual one count for nothing
NOISE = 1.0  # grey levels, the least that is usual
TRUST = 16.0  # px of level 0 at a corner by which registration may correct the flow's step
OUTSIDE = -1000.0


class Camera:
    """The background's motion since a first picture. `total` (3, 3) float64: from places in that picture to places in the last
    one, in px of level 0."""

    def __init__(self, levels: list[np.ndarray]) -> None:
        """`levels`: pyramid of the first picture, (h / 2ⁿ, w / 2ⁿ) float32 each."""
        self.total = np.eye(3)
        self._take(levels)

    def advance(self, levels: list[np.ndarray], step: np.ndarray | None) -> None:
        """To the next picture; `step` (2, 3): its motion since the last one as the flow has it, or None."""
        if step is not None:
            self.total = np.vstack([step, (0, 0, 1)]) @ self.total
        led, shared = self.total, 1.0
        for level, rounds in LEVELS:
            scale = _to_level(level)
            warp = scale @ self.total @ np.linalg.inv(self._base) @ np.linalg.inv(scale)
            warp, shared = _registered(self._key[level], _smooth(levels[level]), warp, rounds)
            found = np.linalg.inv(scale) @ warp @ scale @ self._base
            if not _near(found, led, levels[0].shape):
                break
            self.total = found
        if shared < OVERLAP:
            self._take(levels)

    def _take(self, levels: list[np.ndarray]) -> None:
        """Registers with this picture from here on."""
        self._key, self._base = {level: _smooth(levels[level]) for level, _ in LEVELS}, self.total


def _registered(key: np.ndarray, now: np.ndarray, warp: np.ndarray, rounds: int) -> tuple[np.ndarray, float]:
    """The warp (3, 3) from `key` to `now`, both (h, w), refined; and the share of the picture where both are known."""
    height, width = now.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = (x - width / 2) / width, (y - height / 2) / width
    shared = 0.0
    for _ in range(rounds):
        seen = cv2.warpAffine(key, warp[:2], (width, height), flags=cv2.INTER_LINEAR, borderValue=OUTSIDE)
        known = cv2.erode((seen > -1).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        shared = float(known.mean())
        if shared < LEAST:
            break
        rest = (now - seen)[known]
        rest -= np.median(rest)
        usual = max(NOISE, 1.48 * float(np.median(np.abs(rest))))
        weight = np.maximum(0, 1 - (rest / (FIT * usual)) ** 2) ** 2
        both = np.where(known, 0.5 * (now + seen), now)
        across, down = (cv2.Sobel(both, cv2.CV_32F, *way, ksize=3, scale=1 / 8)[known] for way in ((1, 0), (0, 1)))
        u, v = x[known], y[known]
        slopes = np.stack([across, across * u, across * v, down, down * u, down * v, np.ones_like(u)])
        heavy = slopes * weight
        change = np.linalg.solve(heavy @ slopes.T + 1e-3 * np.eye(7), -heavy @ rest)[:6].reshape(2, 3)
        linear = np.eye(2) + change[:, 1:] / width
        middle = np.array([width, height]) / 2
        step = np.eye(3)
        step[:2, :2], step[:2, 2] = linear, change[:, 0] - (linear - np.eye(2)) @ middle
        warp = step @ warp
    return warp, shared


def _smooth(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), BLUR)


def _to_level(level: int) -> np.ndarray:
    """(3, 3): from px of level 0 to those of a level; pixel (x, y) of level 0 lies at (x, y) / 2ⁿ."""
    return np.diag([0.5**level, 0.5**level, 1.0])


def _near(found: np.ndarray, led: np.ndarray, size: tuple[int, ...]) -> bool:
    """Whether two motions take a picture (h, w)'s corners to about the same places."""
    corners = np.array([(0, 0, 1), (size[1], 0, 1), (0, size[0], 1), (size[1], size[0], 1)], float).T
    return bool(np.abs((found @ np.linalg.inv(led) @ corners - corners)[:2]).max() < TRUST)
