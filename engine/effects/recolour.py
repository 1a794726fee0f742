"""Recolour: another colour on the same thing. Shading, highlights and texture live on."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from engine.composite import inside


@dataclass(frozen=True)
class Recolour:
    colour: str = field(default="#2050ff", metadata={"kind": "colour", "help": "The new colour."})
    strength: float = field(default=1.0, metadata={"min": 0.0, "max": 1.0, "help": "0 keeps the old colour, 1 replaces it."})
    lightness: float = field(
        default=0.5, metadata={"min": 0.0, "max": 1.0, "help": "How far the mean lightness moves to the new colour's."}
    )


def apply(image: np.ndarray, alpha: np.ndarray, config: Recolour) -> np.ndarray:
    """Moves the region in CIE Lab: chroma takes the new colour's hue, lightness keeps its variation.

    The chroma of a pixel follows its lightness against the region's mean, so dark folds stay muted and highlights
    go towards white as they do on real surfaces (our choice).
    """
    weight = alpha.astype(np.float32)
    total = float(weight.sum())
    if total == 0 or config.strength == 0:
        return image.copy()
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    target = _lab_of(config.colour)
    light = lab[..., 0]
    mean = float((light * weight).sum()) / total
    scale = _chroma_scale(light, mean)
    new = np.empty_like(lab)
    new[..., 0] = _moved_lightness(light, mean, mean + config.lightness * (float(target[0]) - mean))
    new[..., 1:] = target[1:] * scale[..., None]
    mixed = lab + config.strength * (new - lab)
    edited = np.clip(np.rint(cv2.cvtColor(mixed, cv2.COLOR_LAB2RGB) * 255), 0, 255).astype(np.uint8)
    return inside(image, edited, alpha)


def _lab_of(colour: str) -> np.ndarray:
    """(3,) CIE Lab of "#rrggbb"."""
    rgb = np.array([[[int(colour[i : i + 2], 16) for i in (1, 3, 5)]]], np.float32) / 255
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0, 0]


def _moved_lightness(light: np.ndarray, mean: float, goal: float) -> np.ndarray:
    """Lightness 0–100 with its mean moved to `goal`: black stays black, white stays white, nothing clips."""
    below = light * (goal / max(mean, 1e-3))
    above = 100 - (100 - light) * ((100 - goal) / max(100 - mean, 1e-3))
    return np.where(light <= mean, below, above)


def _chroma_scale(light: np.ndarray, mean: float) -> np.ndarray:
    """1 at the mean lightness, falling to 0 at black and at white."""
    dark = np.clip(light / max(mean, 1e-3), 0, 1)
    bright = np.clip((100 - light) / max(100 - mean, 1e-3), 0, 1)
    return np.minimum(dark, bright) ** 0.7
