"""Outlines at full size: a mask found on a reduced picture, brought back so that its outline follows the real edge."""

from __future__ import annotations

import cv2
import numpy as np

EPSILON = 1e-4  # of squared brightness 0–1: smaller steps than this are texture, not an edge
STEEPNESS = 3.0  # the filtered outline is a few px wide; this makes it 1–2 px
MARGIN = 12  # px of picture around a mask that the filter needs


def full_outline(guide: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """(H, W) uint8 alpha: `soft` (h, w) float32 0–1 at the size of `guide` (H, W) uint8 grey, its outline on the edges."""
    height, width = guide.shape
    small_height, small_width = soft.shape
    alpha = np.zeros((height, width), np.uint8)
    rows, columns = np.flatnonzero((soft > 0.02).any(axis=1)), np.flatnonzero((soft > 0.02).any(axis=0))
    if not len(rows):
        return alpha
    scale = max(height / small_height, width / small_width)
    radius = max(2, round(1.5 * scale))
    y0, y1 = _span(rows, height / small_height, height, MARGIN + radius)
    x0, x1 = _span(columns, width / small_width, width, MARGIN + radius)
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    at_x, at_y = (x + 0.5) * (small_width / width) - 0.5, (y + 0.5) * (small_height / height) - 0.5
    target = cv2.remap(soft, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    filtered = guided(guide[y0:y1, x0:x1].astype(np.float32) / 255, target, radius, EPSILON)
    alpha[y0:y1, x0:x1] = np.clip(np.rint(((filtered - 0.5) * STEEPNESS + 0.5) * 255), 0, 255)
    return alpha


def _span(used: np.ndarray, scale: float, limit: int, margin: int) -> tuple[int, int]:
    """First and last row (or column) at full size that the used ones at the small size reach, with a margin."""
    return max(0, int(used[0] * scale) - margin), min(limit, int(np.ceil((used[-1] + 1) * scale)) + margin)


def guided(guide: np.ndarray, target: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Guided image filter (He et al., 2010, eq. 5–8) with box windows of 2·radius + 1 px; all (H, W) float32."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (2 * radius + 1, 2 * radius + 1))

    mean_guide, mean_target = mean(guide), mean(target)
    slope = (mean(guide * target) - mean_guide * mean_target) / (mean(guide * guide) - mean_guide**2 + epsilon)
    offset = mean_target - slope * mean_guide
    return mean(slope) * guide + mean(offset)
