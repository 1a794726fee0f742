"""An edit region shared out among its subjects: each moves by itself, so each is carried by itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import cv2
import numpy as np

from engine.types import FrameIndex

KEPT = 4
INSIDE = 128


class Parts:
    """The parts of a region, one per subject; they do not overlap and together are the region. The last frames are kept."""

    def __init__(
        self,
        region: Callable[[FrameIndex], np.ndarray],
        alpha: Callable[[int, FrameIndex], np.ndarray | None],
        subjects: tuple[int, ...],
    ) -> None:
        """`region(frame)` (H, W) uint8; `alpha(subject, frame)` (H, W) uint8 or None; with fewer than two subjects there is
        one part, the whole region."""
        self._region, self._alpha, self._subjects = region, alpha, subjects
        self._kept: OrderedDict[FrameIndex, list[np.ndarray]] = OrderedDict()

    def __len__(self) -> int:
        return max(1, len(self._subjects))

    def part(self, number: int, frame: FrameIndex) -> np.ndarray:
        """(H, W) uint8: that part of the region, 0 elsewhere."""
        if len(self) == 1:
            return self._region(frame)
        if frame not in self._kept:
            alphas = [self._alpha(subject, frame) for subject in self._subjects]
            self._kept[frame] = shared_out(self._region(frame), alphas)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[frame][number]


def shared_out(region: np.ndarray, alphas: list[np.ndarray | None]) -> list[np.ndarray]:
    """(H, W) uint8 each: what of the region belongs to which subject. Each pixel goes to the subject that covers most of it;
    beyond all of them, as where a hat was added, to the nearest one; to the first where none is seen."""
    covers = np.stack([np.zeros_like(region) if alpha is None else alpha for alpha in alphas])
    owner = covers.argmax(axis=0)
    covered = covers.max(axis=0) >= INSIDE
    beyond = (region > 0) & ~covered
    if beyond.any() and covered.any():
        _, nearest = cv2.distanceTransformWithLabels((~covered).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        owners = np.zeros(int(nearest.max()) + 1, owner.dtype)
        owners[nearest[covered]] = owner[covered]
        owner = np.where(beyond, owners[nearest], owner)
    return [np.where(owner == number, region, 0).astype(np.uint8) for number in range(len(alphas))]
