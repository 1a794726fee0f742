"""Carrying: where each pixel of the current frame lies in a source frame, kept up frame by frame.

Positions are chained, never pictures, so the edit is resampled once however far it goes. Two things keep the chain
from drifting: after each step the source picture is compared with the frame directly and the rest is corrected, and
inside a subject the field is held close to one affine motion with a small smooth remainder (measured in PROPAGATION.md:
together they stop most of the fall with distance).
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.motion.flow import DenseFlow, consistency, grid, sample
from engine.motion.steps import Steps
from engine.types import FrameIndex

LOCAL_LIGHT = 12.0  # px: brightness is equalised over this neighbourhood before the direct comparison
CORRECTION_LIMIT = 4.0  # px at motion scale: larger corrections are mismatches
REMAINDER_LIMIT = (1.0, 4.0)  # px a subject's field may differ from its affine motion: all points on it … none
REMAINDER_BLUR = 6.0
INLIER = 1.5  # px
FEW_INLIERS = 0.5  # share of inliers below which a subject does not move as one piece
SAMPLES = 1500
CORRECT_EVERY = 2  # frames; every frame gains little for a third more time


class Chain:
    """Positions of the current frame's pixels in the source frame.

    `positions` (h, w, 2) float32 (x, y); `confidence` (h, w) float32 0–1, falling where pixels were hidden on the way.
    """

    def __init__(self, steps: Steps, frame: FrameIndex, subject: np.ndarray | None = None) -> None:
        """Starts at a frame; `subject` (h, w) bool, the edited part of it, or None."""
        self._steps, self._at, self._length = steps, frame, 0
        self._source, self._subject = steps.gray(frame), subject
        self._direct = DenseFlow()
        self._pixels = grid(steps.size)
        self.positions = self._pixels.copy()
        self.confidence = np.ones(steps.size, np.float32)

    def advance(self, frame: FrameIndex, subject: np.ndarray | None = None) -> None:
        """Goes on to the neighbouring frame. `subject` (h, w) bool: the edited part of that frame, if known."""
        there, back = self._steps.flow(frame, self._at), self._steps.flow(self._at, frame)
        at = self._pixels + there
        self.confidence = sample(self.confidence, at) * consistency(there, back, self._pixels)
        # Resampling the displacement keeps the frame's border from dragging absolute positions along.
        self.positions = at + sample(self.positions - self._pixels, at)
        self._at, self._length = frame, self._length + 1
        if self._length % CORRECT_EVERY == 0:
            self._correct(self._steps.gray(frame))
        if subject is not None and self._subject is not None:
            self._hold_together(subject)

    def _correct(self, frame: np.ndarray) -> None:
        """Compares the carried source picture with the frame and corrects the positions by what is left."""
        carried = sample(self._source, self.positions)
        rest = self._direct.flow(frame, _relit(carried, frame))
        rest = cv2.GaussianBlur(rest, (0, 0), 2)
        length = np.sqrt((rest**2).sum(axis=-1, keepdims=True))
        rest *= np.minimum(1, CORRECTION_LIMIT / np.maximum(length, 1e-6))
        at = self._pixels + rest
        self.positions = at + sample(self.positions - self._pixels, at)

    def _hold_together(self, subject: np.ndarray) -> None:
        """Robust affine motion of the subject plus a bounded, smooth remainder."""
        ys, xs = np.nonzero(subject & (self.confidence > 0.02))
        if len(ys) < 50:
            return
        chosen = np.random.default_rng(0).choice(len(ys), min(SAMPLES, len(ys)), replace=False)
        here = self._pixels[ys[chosen], xs[chosen]]
        there = self.positions[ys[chosen], xs[chosen]]
        cv2.setRNGSeed(0)
        matrix, inliers = cv2.estimateAffine2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=INLIER)
        if matrix is None or inliers.mean() < FEW_INLIERS:
            return
        model = (self._pixels @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        # The less the subject moves as one piece, the more it may differ from it.
        limit = REMAINDER_LIMIT[0] + (REMAINDER_LIMIT[1] - REMAINDER_LIMIT[0]) * (1 - float(inliers.mean()))
        remainder = np.clip(self.positions - model, -limit, limit) * subject[..., None]
        weight = cv2.GaussianBlur(subject.astype(np.float32), (0, 0), REMAINDER_BLUR)
        remainder = cv2.GaussianBlur(remainder, (0, 0), REMAINDER_BLUR) / np.maximum(weight, 1e-3)[..., None]
        self.positions = np.where(subject[..., None], model + remainder, self.positions)


def _relit(carried: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """(h, w) uint8: the carried picture with the local brightness of the frame."""
    a, b = frame.astype(np.float32), carried.astype(np.float32)
    gain = (cv2.GaussianBlur(a, (0, 0), LOCAL_LIGHT) + 8) / (cv2.GaussianBlur(b, (0, 0), LOCAL_LIGHT) + 8)
    return np.clip(b * gain, 0, 255).astype(np.uint8)
