"""What rendering itself measures of each frame, whatever the method: how large the region is, how the edit's colour lies."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


def noted_of_frame(source: np.ndarray, image: np.ndarray, region: np.ndarray) -> dict[str, Any]:
    """`region`: share of the picture inside the edit region, 0–1; `change`: mean of image − source there, three levels,
    missing where the region is empty. source, image (H, W, 3) uint8, region (H, W) uint8."""
    inside = int(np.count_nonzero(region))
    found: dict[str, Any] = {"region": round(inside / region.size, 5)}
    if inside:
        after, before = cv2.mean(image, mask=region), cv2.mean(source, mask=region)
        found["change"] = [round(a - b, 1) for a, b in zip(after[:3], before[:3], strict=True)]
    return found


def strayed(take: np.ndarray, made: np.ndarray, region: np.ndarray) -> float:
    """Mean difference in levels, over the region, between an approved take and what the method made of its frame; 0 where the
    region is empty. take, made (H, W, 3) uint8, region (H, W) uint8."""
    if not region.any():
        return 0.0
    return round(float(np.mean(cv2.mean(cv2.absdiff(take, made), mask=region)[:3])), 2)
