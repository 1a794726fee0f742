"""What subjects and everything else looked like, patch by patch: what is seen is compared with what was seen before.

A patch is a cell of CELL px with its neighbourhood, at two scales, in Lab. Patches of given frames stay for good; those of
later frames come in where they are beyond doubt, and push out older ones, so memory does not grow. A pixel is the likelier a
subject's the closer it lies to a patch of that subject, compared with the closest patch of anything else: what stands
behind a subject is known as such even where the subject has never been in front of it.
"""

from __future__ import annotations

import cv2
import numpy as np

CELL = 4  # px
LIGHT = 0.6  # weight of brightness against chroma
DIMENSIONS = 16
GIVEN_KEPT, RECENT_KEPT = 700, 500  # patches of each subject
REST_GIVEN, REST_RECENT = 1800, 1500  # patches of everything else
FLOOR = 30.0  # squared distance that noise alone makes
LIMIT = 3.0
JUDGED, APART = 48, 3  # patches of a subject that are judged, without what is within so many cells of them
PART = 256  # patches compared at a time


def patches(lab: np.ndarray) -> np.ndarray:
    """(rows, columns, 54) float32: what is seen around each cell of a picture (h, w, 3) float32 Lab."""
    rows, columns = lab.shape[0] // CELL, lab.shape[1] // CELL
    fine = cv2.resize(lab, (columns, rows), interpolation=cv2.INTER_AREA) * np.array([LIGHT, 1, 1], np.float32)
    coarse = cv2.blur(fine, (3, 3))
    parts = []
    for values, reach, weight in ((fine, 1, 1.0), (coarse, 3, 0.8)):
        padded = cv2.copyMakeBorder(values, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
        for dy in (0, reach, 2 * reach):
            for dx in (0, reach, 2 * reach):
                centre = (dy == reach) + (dx == reach)
                part = padded[dy : dy + rows, dx : dx + columns]
                parts.append(part * (weight * (0.5, 0.7, 1.6)[centre]))
    return np.concatenate(parts, axis=-1)


def cells(values: np.ndarray) -> np.ndarray:
    """(rows, columns) float32: values (h, w) float32 averaged over each cell."""
    return cv2.resize(values, (values.shape[1] // CELL, values.shape[0] // CELL), interpolation=cv2.INTER_AREA)


class PatchMemory:
    """Patches by subject number; REST stands for everything else.

    `telling`: for each subject the odds, within ±LIMIT, that its patches had against everything else in the first frame it was
    given on.
    """

    REST = 0

    def __init__(self) -> None:
        self._basis: np.ndarray | None = None
        self._given: dict[int, np.ndarray] = {}
        self._recent: dict[int, np.ndarray] = {}
        self._rng = np.random.default_rng(0)
        self.telling: dict[int, float] = {}

    def again(self) -> PatchMemory:
        """A memory that knows the given patches only."""
        other = PatchMemory()
        other._basis, other._given, other.telling = self._basis, dict(self._given), self.telling
        return other

    def reduced(self, seen: np.ndarray) -> np.ndarray:
        """(n, DIMENSIONS) float32: patches (..., 54) along the directions in which the first picture varies most."""
        flat = seen.reshape(-1, seen.shape[-1])
        if self._basis is None:
            _, vectors = np.linalg.eigh(np.cov(flat, rowvar=False).astype(np.float64))
            self._basis = vectors[:, ::-1][:, :DIMENSIONS].astype(np.float32)
        return flat @ self._basis

    def learn(self, seen: np.ndarray, labels: np.ndarray, given: bool) -> None:
        """Takes in reduced patches (n, DIMENSIONS) with labels (n,) int: a subject's number, REST, or −1 for unclear."""
        store = self._given if given else self._recent
        for label in np.unique(labels[labels >= 0]):
            fresh = seen[labels == label]
            rest = label == self.REST
            kept = (REST_GIVEN if rest else GIVEN_KEPT) if given else (REST_RECENT if rest else RECENT_KEPT)
            share = kept if given else kept // 5
            if len(fresh) > share:
                fresh = fresh[self._rng.choice(len(fresh), share, replace=False)]
            old = store.get(int(label), fresh[:0])
            both = np.concatenate([old, fresh])
            if len(both) > kept:
                both = both[self._rng.choice(len(both), kept, replace=False)] if given else both[-kept:]
            store[int(label)] = both

    def judge(self, seen: np.ndarray, labels: np.ndarray, subject: int) -> None:
        """Finds how telling a subject's patches are: each against all of the picture (rows, columns, …) but its neighbours."""
        rows, columns = np.nonzero(labels == subject)
        if len(rows) > JUDGED:
            chosen = self._rng.choice(len(rows), JUDGED, replace=False)
            rows, columns = rows[chosen], columns[chosen]
        gained = []
        for row, column in zip(rows, columns, strict=True):
            away = (seen - seen[row, column]) ** 2 @ np.ones(seen.shape[-1], np.float32)
            near = np.s_[max(0, row - APART) : row + APART + 1, max(0, column - APART) : column + APART + 1]
            away[near] = np.inf
            own = away[labels == subject].min(initial=np.inf)
            rest = away[(labels >= 0) & (labels != subject)].min(initial=np.inf)
            if np.isfinite(own) and np.isfinite(rest):
                gained.append(LIMIT * (rest - own) / (rest + own + FLOOR))
        # Too small to be compared with itself: undecided.
        self.telling[subject] = float(np.mean(gained)) if gained else 0.0

    def distances(self, seen: np.ndarray, recent: bool = True) -> dict[int, np.ndarray]:
        """(n,) float32 squared distance of reduced patches to the closest one of every label."""
        stores = (self._given, self._recent) if recent else (self._given,)
        found: dict[int, np.ndarray] = {}
        for label in sorted({*self._given, *(self._recent if recent else ())}):
            known = np.concatenate([store[label] for store in stores if label in store])
            norms = (known**2).sum(axis=1)
            best = np.empty(len(seen), np.float32)
            for start in range(0, len(seen), PART):
                part = seen[start : start + PART]
                best[start : start + PART] = (norms - 2 * (part @ known.T)).min(axis=1) + (part**2).sum(axis=1)
            found[label] = np.maximum(best, 0)
        return found


def odds_of(distances: dict[int, np.ndarray], subject: int) -> np.ndarray:
    """(n,) float32 within ±LIMIT: odds of a subject against all others, from the distances to their closest patches."""
    rest = [value for label, value in distances.items() if label != subject]
    if subject not in distances or not rest:  # too small to be known by its patches, or it fills the picture
        return np.zeros(len(next(iter(distances.values()), ())), np.float32)
    own, others = distances[subject], np.min(rest, axis=0)
    return LIMIT * (others - own) / (others + own + FLOOR)
