"""How what surrounds a point moves from frame to frame, and what of it moves along with the point.

Each point keeps a memory, in its own patch's coordinates, of which places around it belong to its surface: those that
have moved as it did. They say where the point goes while it cannot be seen, and keep its patch from following something
else. Points that have moved as the camera does go on with it when everything near them is hidden.

Shapes: `P` points, `V` votes (places around a point). A step is (P, 3, 2): shift, and change of shape per REACH_OUT px.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.tracking.patches import OFFSETS, RADIUS, SIDE, Pose, look, places

FLOW_SIDE = 240  # px, short side at which dense flow is computed
GRID = 9  # px of it between the places that say how the camera moves
ALIKE = 1.5  # px: standard deviation of motion within a surface
CLOSE = 30.0  # px: votes weigh by their distance
REACH_OUT = 40.0  # px
GREY = 14.0  # grey levels: before anything has moved, what looks like the point counts as its surface
AT_FIRST = 0.15  # … and the rest this much
LEAST = 0.02
STRAYED = 3.5  # px by which a point without marks may have strayed from the camera's motion of late
KEPT = 0.9  # share of that which counts on the next frame
AS_CAMERA = 0.6  # how far a point counts as moving with the camera before it has moved
TRUSTED = 0.7  # how far a point has to have moved as the camera does before it goes on with it

_TURNS = np.arange(12) * np.pi / 6
_RINGS = [radius * np.stack([np.cos(_TURNS), np.sin(_TURNS)], axis=1) for radius in (55, 80, 115)]
VOTES = np.concatenate([4 * OFFSETS, *_RINGS]).astype(np.float32)
NEAR = np.exp(-(VOTES**2).sum(axis=1) / (2 * CLOSE**2)).astype(np.float32)
NEAR[len(OFFSETS) :] = 0.08  # the rings: for when nothing nearer is left
_BETWEEN = np.clip(np.rint((np.arange(SIDE) - RADIUS) / 2).astype(int) + RADIUS, 0, SIDE - 1)
_INNER = np.clip(np.rint((np.arange(SIDE) - RADIUS) / 4).astype(int) + RADIUS, 0, SIDE - 1)


class Motion:
    """Dense motion from one picture (h, w) uint8 to the next, in their px. `camera` (2, 3) affine, or None."""

    def __init__(self, dis: cv2.DISOpticalFlow, before: np.ndarray, after: np.ndarray) -> None:
        self.size = before.shape
        self._scale = max(1.0, min(self.size) / FLOW_SIDE)
        small = (round(self.size[1] / self._scale), round(self.size[0] / self._scale))
        a, b = (cv2.resize(one, small, interpolation=cv2.INTER_AREA) for one in (before, after))
        self._flow = dis.calc(a, b, np.zeros((*a.shape, 2), np.float32))
        self.camera = self._camera()

    def at(self, xy: np.ndarray) -> np.ndarray:
        """(P, V, 2) px at places (P, V, 2)."""
        factor = np.float32(self._scale)
        return factor * look(self._flow, (xy + 0.5) / factor - 0.5)

    def within(self, xy: np.ndarray) -> np.ndarray:
        """(P, V) bool for places (P, V, 2)."""
        return np.asarray(((xy >= 0) & (xy <= np.array([self.size[1] - 1, self.size[0] - 1]))).all(axis=-1))

    def _camera(self) -> np.ndarray | None:
        height, width = self._flow.shape[:2]
        y, x = (axis.ravel() for axis in np.mgrid[4:height:GRID, 4:width:GRID])
        start = np.stack([x, y], axis=1).astype(np.float32)
        cv2.setRNGSeed(0)
        here, there = ((one + 0.5) * self._scale - 0.5 for one in (start, start + self._flow[y, x]))
        affine, _ = cv2.estimateAffine2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=1.0, maxIters=500, confidence=0.99)
        return None if affine is None else affine.astype(np.float32)


class Company:
    """The memory of P points."""

    def __init__(self, count: int) -> None:
        self._along = np.ones((count, len(VOTES)), np.float32)
        self._step = np.zeros((count, 3, 2), np.float32)
        self._camera = np.full(count, AS_CAMERA, np.float32)
        self._faint = np.zeros(count, bool)
        self._strayed = np.zeros((count, 2), np.float32)

    def begin(self, which: np.ndarray, coarse: np.ndarray, pose: Pose, faint: np.ndarray) -> None:
        """Points `which` start at poses in a picture, of which `coarse` is level 2; `faint` (n,) bool: without marks to hold."""
        seen = look(coarse, places(pose.xy / 4, pose.matrix, VOTES / 4))
        away = (seen - seen[:, len(OFFSETS) // 2][:, None]) / GREY
        self._along[which] = np.maximum(AT_FIRST, np.exp(-(away**2) / 2))
        self._step[which], self._strayed[which] = 0, 0
        self._camera[which], self._faint[which] = AS_CAMERA, faint

    def windows(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(n, S) each: which pixels of the patches of levels 0, 1 and 2 move along."""
        coarse = self._along[which][:, : len(OFFSETS)]
        fine = coarse.reshape(-1, SIDE, SIDE)[:, _BETWEEN][:, :, _BETWEEN].reshape(len(coarse), -1)
        finest = coarse.reshape(-1, SIDE, SIDE)[:, _INNER][:, :, _INNER].reshape(len(coarse), -1)
        return finest, fine, coarse

    def predict(self, which: np.ndarray, motion: Motion, pose: Pose, camera: Panned) -> Prediction:
        """Where motion takes the points `which` from their poses. Faint ones go with the camera unless their surroundings have
        gone elsewhere; once they have gone with it for a while, they stay with it: only what passes in front moves there."""
        votes = places(*pose, VOTES)
        moved, inside = motion.at(votes), motion.within(votes)
        weights = self._along[which] * NEAR
        step, share = _fit(votes - pose.xy[:, None], moved, weights * inside, self._step[which])
        share = share / np.maximum(weights.sum(axis=1), 1e-6)
        near = Pose(pose.xy + step[:, 0], pose.matrix + (step[:, 1:].transpose(0, 2, 1) / REACH_OUT) @ pose.matrix)
        panned, faint, trusted = camera.pose, self._faint[which], self._camera[which] > TRUSTED
        self._strayed[which] = KEPT * self._strayed[which] + np.where(trusted[:, None], 0, near.xy - camera.stepped)
        split = np.linalg.norm(near.xy - panned.xy, axis=1) > ALIKE
        pans = trusted & (split | (share < 0.4)) | faint & ~split
        best, other = panned.where(pans, near), near.where(pans, panned)
        return Prediction(best, other, split, panned, trusted & faint, share, votes + moved, inside)

    def learn(self, which: np.ndarray, guess: Prediction, old: Pose, new: Pose, sure: np.ndarray) -> None:
        """The points `which` went from old to new poses; `sure` (n,) bool: those that were seen there."""
        away = np.linalg.norm(guess.voted - places(*new, VOTES), axis=2)
        agree = np.exp(-(np.minimum(away, 30) ** 2) / (2 * ALIKE**2))
        memory = self._along[which]
        self._along[which] = np.where(guess.inside & sure[:, None], np.clip(memory * (0.25 + 0.95 * agree), LEAST, 1), memory)
        strayed = np.where(self._faint[which][:, None], self._strayed[which] * (ALIKE / STRAYED), new.xy - guess.panned.xy)
        away = np.linalg.norm(strayed, axis=1)
        memory, agree = self._camera[which], np.exp(-(np.minimum(away, 20) ** 2) / (2 * ALIKE**2))
        told = sure & (guess.share > 0.3)
        self._camera[which] = np.where(told, np.clip(memory * (0.6 + 0.5 * agree), LEAST, 1), memory)
        turned = np.clip(new.matrix @ np.linalg.inv(old.matrix) - np.eye(2), -0.15, 0.15)
        self._step[which] = np.concatenate([(new.xy - old.xy)[:, None], REACH_OUT * turned.transpose(0, 2, 1)], axis=1)


@dataclass(frozen=True, eq=False, slots=True)
class Panned:
    """Where the camera alone takes points: from where they were last sure (poses), and from where they are (n, 2)."""

    pose: Pose
    stepped: np.ndarray


@dataclass(frozen=True, eq=False, slots=True)
class Prediction:
    """Poses by motion alone (n), the likelier and the other where the camera's and that of the surroundings are `split`
    (n,) bool; the camera's; `held` (n,) bool: it stays with the camera; `share` (n,) 0–1 of the surface that agrees; where the
    votes went."""

    pose: Pose
    other: Pose
    split: np.ndarray
    panned: Pose
    held: np.ndarray
    share: np.ndarray
    voted: np.ndarray
    inside: np.ndarray


def _fit(out: np.ndarray, moved: np.ndarray, weights: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Robust affine steps (n, 3, 2) of votes at `out` (n, V, 2) that `moved` (n, V, 2), and the weight that agrees (n,).

    Begins at the last step: when something passes in front, most of what is seen there moves with it.
    """
    design = np.concatenate([np.ones((*out.shape[:2], 1), np.float32), out / np.float32(REACH_OUT)], axis=2)
    step, scale = start, 6.0
    for more in (4.0, 2.0, 1.33, 1.0):
        rest = ((moved - design @ step) ** 2).sum(axis=2)
        heavy = design * (weights / (1 + rest / scale**2) ** 2)[..., None]
        normal = heavy.transpose(0, 2, 1) @ design + np.diag(np.array([1e-4, 0.3, 0.3], np.float32))
        step = np.linalg.solve(normal, heavy.transpose(0, 2, 1) @ moved)
        scale = more
    rest = ((moved - design @ step) ** 2).sum(axis=2)
    return step, (weights * (rest < 4)).sum(axis=1)
