"""Blur or pixelate: to hide faces, number plates, names."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from engine.composite import inside


@dataclass(frozen=True)
class Blur:
    kind: str = field(default="blur", metadata={"kind": "choice", "choices": ("blur", "pixelate"), "help": "How to hide."})
    radius: float = field(default=12.0, metadata={"min": 1.0, "max": 200.0, "step": 1, "help": "Blur radius or block size, px."})


def apply(image: np.ndarray, alpha: np.ndarray, config: Blur) -> np.ndarray:
    """Gaussian blur of σ = radius / 2, or blocks of `radius` px with their mean."""
    if config.kind == "pixelate":
        height, width = image.shape[:2]
        small = (max(1, round(width / config.radius)), max(1, round(height / config.radius)))
        blocks = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        return inside(image, cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST), alpha)
    return inside(image, cv2.GaussianBlur(image, (0, 0), config.radius / 2), alpha)
