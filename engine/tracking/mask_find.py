"""A lost subject found again: where enough patches close together look like it, not too far from where it was; or in a part of
another subject's mask that has come apart from it since the two touched.

All arrays are by cell of `mask_memory.CELL` px.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.tracking.mask_memory import CELL, LIMIT

LIKELY = 0.4  # odds from which a patch may be the subject's
ENOUGH = 0.12  # score of a place, at most about 2
NEAR, AWAY = 40.0, 8.0  # px it may have gone at once, and with every frame
TAKEN = 0.4  # share of a cell that another subject holds
NOT_UNLIKE, RATHER = -0.75, 0.25  # odds of the lost subject that such a part has at least, and beyond those of the rest
WORTH = (0.25, 2.5)  # its share of the lost subject's usual area
LARGER = 1.5  # times its area that a subject may have grown without arousing suspicion


@dataclass(frozen=True, slots=True)
class Sought:
    """What is known of it: usual area in px, centre (x, y) px when it was seen last, and frames since."""

    area: float
    centre: tuple[float, float]
    lost: int


def found_again(sought: Sought, odds: np.ndarray, held: np.ndarray) -> np.ndarray | None:
    """(rows, columns) float32 0 or 1: the cells of the likeliest place; None where none is likely enough.

    odds (rows, columns): of the subject's patches; held (rows, columns): share of each cell that other subjects hold.
    """
    odds = np.where(held > TAKEN, -LIMIT, cv2.GaussianBlur(odds, (0, 0), 1.0)).astype(np.float32)
    count, parts, stats, centres = cv2.connectedComponentsWithStats((odds > LIKELY).astype(np.uint8), connectivity=8)
    usual = max(sought.area / CELL**2, 1.0)
    free = NEAR + AWAY * sought.lost
    scores = np.zeros(count)
    for part in range(1, count):
        size = stats[part, cv2.CC_STAT_AREA] / usual
        away = float(np.hypot(*(centres[part] * CELL - sought.centre)))
        scores[part] = min(size, 1) / max(1, size / LARGER) * float(odds[parts == part].mean()) * np.exp(-((away / free) ** 2))
    best = int(scores.argmax())
    return (parts == best).astype(np.float32) if best and scores[best] >= ENOUGH else None


def taken_part(sought: Sought, soft: np.ndarray, rather: np.ndarray) -> np.ndarray | None:
    """(h, w) bool: what of another subject's mask `soft` (h, w) is the lost subject; None where nothing is.

    It stands apart from the rest of that mask, is near where the lost one was, and looks more like it than the rest does: rather
    (rows, columns) are odds of the lost subject's patches against those of the one that holds them.
    """
    count, parts, stats, centres = cv2.connectedComponentsWithStats((soft > 0.5).astype(np.uint8), connectivity=8)
    if count < 3:
        return None
    odds = cv2.resize(rather, soft.shape[::-1], interpolation=cv2.INTER_LINEAR)
    means = np.array([float(odds[parts == part].mean()) if part else -LIMIT for part in range(count)])
    scores = np.zeros(count)
    for part in range(1, count):
        size = stats[part, cv2.CC_STAT_AREA] / max(sought.area, 1.0)
        away = float(np.hypot(*(centres[part] - sought.centre))) / (NEAR + AWAY * sought.lost)
        apart = means[part] - np.delete(means, [0, part]).max()
        if WORTH[0] < size < WORTH[1] and away < 1 and means[part] > NOT_UNLIKE and apart > RATHER:
            scores[part] = apart
    best = int(scores.argmax())
    return parts == best if scores[best] > 0 else None
