"""Dense optical flow between two frames, and how far it can be believed."""

from __future__ import annotations

import cv2
import numpy as np

SHORT_SIDE = 288  # px; estimated at this size and sampled at full size: 480 costs 3 times as much for about 2 dB
AGREE = 1.0  # px of forward–backward disagreement, beyond the slack, at which confidence has fallen to 1/e
SLACK = 0.5  # px that flow may err; without it, confidence would fade with time where nothing is wrong
_PER_LENGTH = 0.02  # more disagreement is normal where motion is fast


def motion_size(size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) at which motion is estimated for a clip of size (H, W): short side at most 288 px, never larger, even."""
    scale = min(1.0, SHORT_SIDE / min(size))
    return max(16, round(size[0] * scale / 2) * 2), max(16, round(size[1] * scale / 2) * 2)


def grid(size: tuple[int, int]) -> np.ndarray:
    """(h, w, 2) float32: every pixel's own (x, y)."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    return np.stack([x, y], axis=-1)


class DenseFlow:
    """DIS optical flow, medium preset. Not thread-safe: one object per thread."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def flow(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(h, w, 2) float32 px: pixel x of a is found at x + flow(x) in b. a, b (h, w) uint8."""
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
        return self._dis.calc(a, b, np.zeros((*a.shape, 2), np.float32))


def sample(picture: np.ndarray, positions: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """The picture at positions (h, w, 2) float32 (x, y); beyond its border the nearest edge pixel."""
    return cv2.remap(picture, positions, None, interpolation, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


def consistency(there: np.ndarray, back: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(n, m) float32 0–1: how well going `there` and coming `back` ends where it began; 0 where it leaves the frame.

    there (n, m, 2), the flow at places `pixels` (n, m, 2): the grid of the frame, or some of it. back (h, w, 2): the whole flow
    the other way. exp(−(d − SLACK)₊ / (AGREE + 0.02·|there|)) of the distance d between start and return.
    """
    target = pixels + there
    returned = there + sample(back, target)
    length = cv2.magnitude(there[..., 0], there[..., 1])
    error = np.maximum(0, cv2.magnitude(returned[..., 0], returned[..., 1]) - SLACK)
    confidence = np.exp(-error / (AGREE + _PER_LENGTH * length))
    height, width = back.shape[:2]
    outside = (target[..., 0] < -0.5) | (target[..., 0] > width - 0.5) | (target[..., 1] < -0.5) | (target[..., 1] > height - 0.5)
    confidence[outside] = 0
    return confidence


Window = tuple[slice, slice]
"""Rows and columns of the full picture."""


def upsample_positions(positions: np.ndarray, size: tuple[int, int], window: Window | None = None) -> np.ndarray:
    """Positions (h, w, 2) at motion scale → at full size (H, W), or only in a window of it; pixel centres stay centres."""
    height, width = positions.shape[:2]
    rows, columns = window or (slice(0, size[0]), slice(0, size[1]))
    y, x = np.mgrid[rows, columns].astype(np.float32)
    scale = np.array([size[1] / width, size[0] / height], np.float32)
    small = np.stack([(x + 0.5) / scale[0] - 0.5, (y + 0.5) / scale[1] - 0.5], axis=-1)
    shift = sample(positions - grid((height, width)), small)
    return np.stack([x, y], axis=-1) + shift * scale


def upsample(values: np.ndarray, size: tuple[int, int], window: Window) -> np.ndarray:
    """Values (h, w) at motion scale → in a window of the full size (H, W)."""
    height, width = values.shape[:2]
    y, x = np.mgrid[window].astype(np.float32)
    return sample(values, np.stack([(x + 0.5) * width / size[1] - 0.5, (y + 0.5) * height / size[0] - 0.5], axis=-1))
