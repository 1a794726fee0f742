"""How near a frame is to the truth, inside the region: PSNR, SSIM, and whether it changes over time as the truth does."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tests.bench.propagation_clips import TrueClip

BEST = 60.0
"""dB at most: beyond it pictures differ by less than rounding."""


@dataclass(frozen=True, slots=True)
class Seen:
    """PSNR in dB, SSIM of luma, and the mean difference (levels) between changes to the next frame and true changes."""

    psnr: float
    ssim: float
    temporal: float | None


def compare(clip: TrueClip, frame: int, picture: np.ndarray, following: np.ndarray | None = None) -> Seen:
    """A frame's picture (H, W, 3) uint8 against the truth where the region is whole; `following`: the next frame's."""
    inside = clip.region[frame] == 255
    truth = clip.edited[frame]
    temporal = None
    if following is not None:
        both = inside & (clip.region[frame + 1] == 255)
        change = following[both].astype(np.int16) - picture[both]
        true_change = clip.edited[frame + 1][both].astype(np.int16) - truth[both]
        temporal = float(np.abs(change - true_change).mean()) if len(change) else None
    return Seen(psnr(picture[inside], truth[inside]), ssim(picture, truth, inside), temporal)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB between values 0 … 255; at most BEST."""
    error = float(np.square(a.astype(np.float64) - b).mean())
    return min(BEST, 10 * float(np.log10(255**2 / max(error, 1e-9))))


def ssim(a: np.ndarray, b: np.ndarray, inside: np.ndarray) -> float:
    """Mean structural similarity of luma over the pixels inside (Wang et al., 2004: Gaussian window, σ = 1.5)."""
    x, y = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) for picture in (a, b))

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    mean_x, mean_y = mean(x), mean(y)
    spread_x, spread_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    together = mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * mean_x * mean_y + c1) * (2 * together + c2) / ((mean_x**2 + mean_y**2 + c1) * (spread_x + spread_y + c2))
    return float(similar[inside].mean())
