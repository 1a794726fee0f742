"""Between the house and the promptable models: clicks and masks as they want them, their answers as alpha.

All of them are asked in pixels of a resized picture, with pixel centres at integers, and answer in logits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np

from engine.types import Point

SURE = 8.0  # logit of a pixel that an earlier mask calls inside (our choice: the model may still take it back)
RAMP = 64.0  # alpha per logit around the border, so that it is soft over the pixels where the model hesitates
DOT = 2.5  # px around a click that are what the click says


def placed(xy: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """(P, 2) source pixels → pixels of a picture that is `scale` (x, y) times as large; centres stay centres."""
    return (np.asarray(xy, np.float32) + 0.5) * np.asarray(scale, np.float32) - 0.5


def clicks(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) float32 places and (P,) int64 labels, 1 inside, 0 outside."""
    places = np.array([(point.x, point.y) for point in points], np.float32).reshape(-1, 2)
    return places, np.array([1 if point.label > 0 else 0 for point in points], np.int64)


def mask_prompt(prior: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Logits (h, w) float32 at a model's size that stand for an earlier mask (H, W) uint8 alpha."""
    small = cv2.resize(prior, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    return (small / 255 * 2 - 1) * SURE


def alpha_of(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 alpha from logits (h, w) float32: upsampled, hard but for a narrow border."""
    full = cv2.resize(logits.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(np.rint(full * RAMP + 127.5), 0, 255).astype(np.uint8)


def obeyed(alpha: np.ndarray, points: Sequence[Point]) -> np.ndarray:
    """The alpha (H, W) with a dot around every click being what the click says: the user is right."""
    y, x = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
    for point in points:
        alpha[(x - point.x) ** 2 + (y - point.y) ** 2 <= DOT**2] = 255 if point.label > 0 else 0
    return alpha


def best_of(logits: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The answer (h, w) of (K, h, w) that the model thinks best of."""
    return np.asarray(logits[int(np.argmax(scores))])


def is_ambiguous(points: Sequence[Point], box: object, prior: object) -> bool:
    """Whether so little was said that the model should give several answers: one click may mean a part or the whole."""
    return len(points) == 1 and box is None and prior is None


def normalised(picture: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """(3, h, w) float32 of a picture (h, w, 3) uint8: values in 0–1, minus `mean`, over `std` (by channel)."""
    values = picture.astype(np.float32) / 255
    scaled = (values - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def image_digest(image: np.ndarray) -> bytes:
    """Names a picture's content (H, W, 3) uint8."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
