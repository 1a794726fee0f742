"""Regions grown from a click: the pixels nearest to it in colour, up to where their outline is strongest.

All outlines around a click are judged at once: every pair of neighbouring pixels lies on the outlines of one interval
of reaches, so sums over pairs, accumulated along the reach, give the mean colour step and the length of each outline.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

Spot = tuple[int, int]
"""(x, y) in reduced pixels."""

STEP_POWER, STEP_BASE = 1.5, 0.15  # cost of a colour step (CIE Lab), and of a pixel of way
STRONGEST = 40.0  # colour steps above this are all an outline
LEAST = 12  # px
LARGER = 0.15  # a subject holds stripes and patches whose outlines are as strong as its own: the power of the area
RAGGED, CENTRED = 0.25, 0.15  # how much a ragged outline counts against a region, and a click away from its middle


class ColourGraph:
    """A reduced picture's pixels joined to their neighbours; what depends on the picture alone, made once."""

    def __init__(self, small: np.ndarray) -> None:
        """small (h, w, 3) uint8."""
        self.shape = small.shape[:2]
        lab = cv2.cvtColor(cv2.bilateralFilter(small, 7, 30, 5).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        height, width = self.shape
        number = np.arange(height * width).reshape(self.shape)
        strength = _strength(lab)
        pairs, costs, strengths = [], [], []
        for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
            pairs.append((number[one].ravel(), number[other].ravel()))
            costs.append(np.linalg.norm(lab[one] - lab[other], axis=2).ravel() ** STEP_POWER + STEP_BASE)
            strengths.append(np.maximum(strength[one], strength[other]).ravel())
        self._from, self._to = np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])
        self._costs, self._strengths = np.concatenate(costs), np.concatenate(strengths)
        border = np.zeros(self.shape, np.float64)
        for edge in (border[0], border[-1], border[:, 0], border[:, -1]):
            edge += 1
        self._border = border.ravel()

    def grown(self, seed: Spot, allowed: np.ndarray, against: Sequence[Spot], shares: tuple[float, float]) -> np.ndarray:
        """(h, w) bool: the region around a seed whose outline has the strongest mean colour step.

        It stays inside `allowed` (h, w) bool and nearer to the seed than to any of `against`; `shares` are its smallest
        and largest size as parts of the picture.
        """
        distance = self._reach(seed, allowed, against).ravel()
        order = np.argsort(distance, kind="stable")
        count = int(np.isfinite(distance).sum())
        most = min(count, max(LEAST, round(shares[1] * distance.size)))
        least = min(most, max(LEAST, round(shares[0] * distance.size)))
        scores = self._scores(distance, order, allowed.ravel(), seed)[:most]
        best = least - 1 + int(np.argmax(scores[least - 1 :])) if most >= least > 0 else max(0, most - 1)
        region = np.zeros(distance.size, bool)
        region[order[: best + 1]] = True
        return region.reshape(self.shape)

    def judged(self, region: np.ndarray, spot: Spot) -> float:
        """How good a whole mask (h, w) bool is for a click: as `grown` judges, and larger is better."""
        inside = region.ravel()
        on = inside[self._from] != inside[self._to]
        if not on.any():
            return 0.0
        border, area = float(self._border[inside].sum()), float(inside.sum())
        whole = float(on.sum()) + border
        y, x = np.nonzero(region)
        off = np.hypot(x.mean() - spot[0], y.mean() - spot[1]) / np.sqrt(area / np.pi)
        ragged = max(whole**2 / (16 * area), 1)
        step = float(self._strengths[on].mean()) * (1 - border / whole)
        return float(step / ragged**RAGGED * np.exp(-CENTRED * off**2) * area**LARGER)

    def _reach(self, seed: Spot, allowed: np.ndarray, against: Sequence[Spot]) -> np.ndarray:
        """(h, w): cost of the cheapest way from the seed; infinite where none may go."""
        inside = allowed.ravel()
        usable = inside[self._from] & inside[self._to]
        size = inside.size
        graph = csr_matrix((self._costs[usable], (self._from[usable], self._to[usable])), shape=(size, size))
        spots = [seed, *(spot for spot in against if allowed[spot[1], spot[0]])]
        starts = [y * self.shape[1] + x for x, y in spots]
        ways = dijkstra(graph, directed=False, indices=starts)
        reach = ways[0]
        for other in ways[1:]:
            reach = np.where(other < reach, np.inf, reach)
        return np.asarray(reach).reshape(self.shape)

    def _scores(self, distance: np.ndarray, order: np.ndarray, allowed: np.ndarray, seed: Spot) -> np.ndarray:
        """(n,): how good the region of the n + 1 nearest pixels is, for every n."""
        size = distance.size
        rank = np.empty(size, np.int64)
        rank[order] = np.arange(size)
        one, other = rank[self._from], rank[self._to]
        first, last = np.minimum(one, other), np.maximum(one, other)
        # Towards what is already decided otherwise there is no outline to find: those pairs count for nothing.
        counted = allowed[self._from] & allowed[self._to]
        first, last, strengths = first[counted], last[counted], self._strengths[counted]

        def along(weights: np.ndarray | None) -> np.ndarray:
            return np.cumsum(np.bincount(first, weights, size) - np.bincount(last, weights, size))

        length, step = along(None), along(strengths)
        border = np.cumsum(self._border[order])
        area = np.arange(1, size + 1)
        x, y = order % self.shape[1], order // self.shape[1]
        off = np.hypot(np.cumsum(x) / area - seed[0], np.cumsum(y) / area - seed[1]) / np.sqrt(area / np.pi)
        whole = np.maximum(length + border, 1)
        ragged = np.maximum(whole**2 / (16 * area), 1)  # 16: a square's, whose length is counted along the grid
        return np.asarray(step / np.maximum(length, 1) * (1 - border / whole) / ragged**RAGGED * np.exp(-CENTRED * off**2))


def _strength(lab: np.ndarray) -> np.ndarray:
    """(h, w): the colour step across each pixel, over 4 px."""
    smooth = cv2.GaussianBlur(lab, (0, 0), 0.8)
    padded = cv2.copyMakeBorder(smooth, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    across = np.linalg.norm(padded[2:-2, 4:] - padded[2:-2, :-4], axis=2)
    down = np.linalg.norm(padded[4:, 2:-2] - padded[:-4, 2:-2], axis=2)
    return np.minimum(np.hypot(across, down), STRONGEST)
