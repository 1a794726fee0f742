"""The segmenter without weights: a region grown from the clicks where its outline is strongest, refined by a graph cut.

Works on a reduced crop (colour models and cut do not get better with more pixels, only slower) and brings the outline
back to the full picture with a guided filter, so that it follows the real edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from engine.segmentation.outline import full_outline
from engine.types import Point

WORK_SIDE = 288  # px of the crop's longer side while cutting
CUTS = 3
SHARE = (0.002, 0.6)  # smallest and largest part of the crop that one click may mean
THRESHOLDS = 40
Box = tuple[float, float, float, float]


class GraphCut:
    """See the module. Stateless."""

    def segment(
        self, image: np.ndarray, points: Sequence[Point], box: Box | None = None, prior: np.ndarray | None = None
    ) -> np.ndarray:
        """(H, W) uint8 alpha; see `Segmenter`."""
        crop = _crop(image.shape[:2], points, box, prior)
        whole = np.zeros(image.shape[:2], np.uint8)
        piece = np.ascontiguousarray(image[crop.rows, crop.columns])
        small = cv2.resize(piece, crop.small, interpolation=cv2.INTER_AREA)
        seeds = _Seeds.of(points, crop)
        labels = _labels(small, seeds, crop.inner(box), crop.reduced(prior))
        cut = _cut(small, labels)
        cut = _kept_parts(cut, seeds)
        whole[crop.rows, crop.columns] = full_outline(cv2.cvtColor(piece, cv2.COLOR_RGB2GRAY), cut.astype(np.float32))
        _force(whole, points)
        return whole


@dataclass(frozen=True, slots=True)
class _Crop:
    """The part of the picture that is looked at, and its reduced size (width, height)."""

    rows: slice
    columns: slice
    small: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        return self.small[0] / (self.columns.stop - self.columns.start), self.small[1] / (self.rows.stop - self.rows.start)

    def inner(self, box: Box | None) -> tuple[slice, slice] | None:
        """The box in reduced pixels."""
        if box is None:
            return None
        sx, sy = self.scale
        x0, x1 = round((box[0] - self.columns.start) * sx), round((box[2] - self.columns.start) * sx)
        y0, y1 = round((box[1] - self.rows.start) * sy), round((box[3] - self.rows.start) * sy)
        return slice(max(0, y0), max(1, y1)), slice(max(0, x0), max(1, x1))

    def reduced(self, mask: np.ndarray | None) -> np.ndarray | None:
        if mask is None:
            return None
        piece = np.ascontiguousarray(mask[self.rows, self.columns])
        return cv2.resize(piece, self.small, interpolation=cv2.INTER_AREA) >= 128


def _crop(size: tuple[int, int], points: Sequence[Point], box: Box | None, prior: np.ndarray | None) -> _Crop:
    """Around the box, or the earlier mask and the clicks, with room; the whole picture for clicks alone."""
    height, width = size
    x0, y0, x1, y1 = 0.0, 0.0, float(width), float(height)
    known = prior is not None and bool((prior >= 128).any())
    if box is not None or known:
        spots = [(p.x, p.y) for p in points]
        if box is not None:
            spots += [(box[0], box[1]), (box[2], box[3])]
        if known and prior is not None:
            ys, xs = np.nonzero(prior >= 128)
            spots += [(float(xs.min()), float(ys.min())), (float(xs.max()), float(ys.max()))]
        low, high = np.min(spots, axis=0), np.max(spots, axis=0)
        room = 12 + 0.3 * float((high - low).max())
        x0, x1 = max(0.0, float(low[0]) - room), min(float(width), float(high[0]) + room)
        y0, y1 = max(0.0, float(low[1]) - room), min(float(height), float(high[1]) + room)
    rows, columns = slice(int(y0), int(np.ceil(y1))), slice(int(x0), int(np.ceil(x1)))
    factor = min(1.0, WORK_SIDE / max(rows.stop - rows.start, columns.stop - columns.start))
    small = (max(8, round((columns.stop - columns.start) * factor)), max(8, round((rows.stop - rows.start) * factor)))
    return _Crop(rows, columns, small)


@dataclass(frozen=True, slots=True)
class _Seeds:
    """Clicks in reduced pixels, (x, y)."""

    inside: tuple[tuple[int, int], ...]
    outside: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, points: Sequence[Point], crop: _Crop) -> _Seeds:
        sx, sy = crop.scale

        def place(point: Point) -> tuple[int, int]:
            x = int((point.x + 0.5 - crop.columns.start) * sx)
            y = int((point.y + 0.5 - crop.rows.start) * sy)
            return min(max(x, 0), crop.small[0] - 1), min(max(y, 0), crop.small[1] - 1)

        return cls(tuple(place(p) for p in points if p.label > 0), tuple(place(p) for p in points if p.label < 0))


def _labels(small: np.ndarray, seeds: _Seeds, box: tuple[slice, slice] | None, prior: np.ndarray | None) -> np.ndarray:
    """(h, w) uint8 start labels for the cut: what is sure, what is probable."""
    height, width = small.shape[:2]
    labels = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    if prior is not None and prior.any():
        labels[prior] = cv2.GC_PR_FGD
        reach = max(4, round(0.12 * max(height, width)))
        labels[cv2.distanceTransform((~prior).astype(np.uint8), cv2.DIST_L2, 3) > reach] = cv2.GC_BGD
    elif box is not None:
        labels[:] = cv2.GC_BGD
        labels[box] = cv2.GC_PR_FGD
    graph = _ColourGraph(small)
    for seed in seeds.inside:
        if labels[seed[1], seed[0]] != cv2.GC_PR_FGD or (prior is None and box is None):
            labels[graph.grown(seed, seeds.outside)] = cv2.GC_PR_FGD
    if prior is not None:
        for seed in seeds.outside:
            labels[graph.grown(seed, seeds.inside)] = cv2.GC_PR_BGD
    radius = max(1, round(0.008 * max(height, width)))
    for spots, label in ((seeds.inside, cv2.GC_FGD), (seeds.outside, cv2.GC_BGD)):
        for x, y in spots:
            cv2.circle(labels, (x, y), radius, int(label), -1)
    if prior is None and box is None:
        _settle_border(labels)
    return labels


def _settle_border(labels: np.ndarray) -> None:
    """The frame's border is background where the grown region does not reach it."""
    for edge in (labels[:2], labels[-2:], labels[:, :2], labels[:, -2:]):
        edge[edge == cv2.GC_PR_BGD] = cv2.GC_BGD


class _ColourGraph:
    """Pixels joined to their neighbours; an edge costs the colour step across it (CIE Lab, slightly smoothed)."""

    def __init__(self, small: np.ndarray) -> None:
        self.shape = small.shape[:2]
        lab = cv2.cvtColor(cv2.bilateralFilter(small, 7, 30, 5).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        self._lab = lab
        height, width = self.shape
        number = np.arange(height * width).reshape(self.shape)
        pairs, costs = [], []
        for a, b, first, second in (
            (number[:, :-1], number[:, 1:], lab[:, :-1], lab[:, 1:]),
            (number[:-1], number[1:], lab[:-1], lab[1:]),
        ):
            pairs.append((a.ravel(), b.ravel()))
            costs.append(np.linalg.norm(first - second, axis=2).ravel() ** 1.5 + 0.15)
        rows, columns = np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])
        size = height * width
        self._graph = csr_matrix((np.concatenate(costs), (rows, columns)), shape=(size, size))

    def grown(self, seed: tuple[int, int], against: tuple[tuple[int, int], ...]) -> np.ndarray:
        """(h, w) bool: the region around a seed whose outline has the strongest mean colour step."""
        distance = self._distance(seed)
        for other in against:
            distance = np.where(self._distance(other) < distance, np.inf, distance)
        finite = np.sort(distance[np.isfinite(distance)])
        low, high = (int(share * distance.size) for share in SHARE)
        best, chosen = -1.0, distance <= finite[min(low, len(finite) - 1)]
        sizes = np.unique(np.geomspace(max(low, 12), max(min(high, len(finite) - 1), 13), THRESHOLDS).astype(int))
        for size in sizes:
            region = distance <= finite[min(size, len(finite) - 1)]
            score = self._outline(region)
            if score > best:
                best, chosen = score, region
        return chosen

    def _distance(self, seed: tuple[int, int]) -> np.ndarray:
        start = seed[1] * self.shape[1] + seed[0]
        return dijkstra(self._graph, directed=False, indices=start).reshape(self.shape)

    def _outline(self, region: np.ndarray) -> float:
        """Mean colour step between just inside and just outside, less where the region runs along the picture's border."""
        mask = region.astype(np.uint8)
        kernel = np.ones((3, 3), np.uint8)
        outer = cv2.dilate(mask, kernel, iterations=2) - mask
        inner = mask - cv2.erode(mask, kernel, iterations=2, borderType=cv2.BORDER_CONSTANT, borderValue=1)
        if not outer.any() or not inner.any():
            return 0.0
        share = cv2.blur(inner.astype(np.float32), (5, 5))
        near = cv2.blur(self._lab * inner[..., None], (5, 5)) / np.maximum(share, 1e-3)[..., None]
        step = np.linalg.norm(near - self._lab, axis=2)[(outer > 0) & (share > 0.02)]
        if not len(step):
            return 0.0
        border = sum(int(edge.sum()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
        perimeter = int(inner.sum()) / 2 + border
        ragged = perimeter**2 / (4 * np.pi * max(int(mask.sum()), 1))
        return float(np.minimum(step, 40).mean()) * (1 - border / max(perimeter, 1)) / max(ragged, 1) ** 0.25


def _cut(small: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(h, w) bool after the graph cut; the start labels where it has nothing to work with."""
    probable = (labels == cv2.GC_PR_FGD) | (labels == cv2.GC_FGD)
    if probable.sum() < 8 or (~probable).sum() < 8:
        return probable
    cv2.setRNGSeed(0)  # the colour models start from k-means: the same click must give the same mask
    work = labels.copy()
    outer, inner = np.zeros((1, 65)), np.zeros((1, 65))
    whole = (0, 0, small.shape[1], small.shape[0])  # not used with start labels, but asked for
    cv2.grabCut(cv2.cvtColor(small, cv2.COLOR_RGB2BGR), work, whole, outer, inner, CUTS, cv2.GC_INIT_WITH_MASK)
    found = (work == cv2.GC_PR_FGD) | (work == cv2.GC_FGD)
    return found if found.any() else probable


def _kept_parts(cut: np.ndarray, seeds: _Seeds) -> np.ndarray:
    """Only parts that hold a click (the largest ones where there is none); their holes filled unless clicked out."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(cut.astype(np.uint8), connectivity=4)
    if count > 1:
        clicked = {int(parts[y, x]) for x, y in seeds.inside} - {0}
        largest = stats[1:, cv2.CC_STAT_AREA].max()
        keep = clicked or {i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= 0.2 * largest}
        cut = np.isin(parts, list(keep))
    count, holes, stats, _ = cv2.connectedComponentsWithStats((~cut).astype(np.uint8), connectivity=4)
    clicked_out = {int(holes[y, x]) for x, y in seeds.outside}
    height, width = cut.shape
    for i in range(1, count):
        x, y, w, h, area = stats[i]
        inner = x > 0 and y > 0 and x + w < width and y + h < height
        if inner and i not in clicked_out and area < 0.02 * cut.size:
            cut = cut | (holes == i)
    return cut


def _force(whole: np.ndarray, points: Sequence[Point]) -> None:
    """Clicks are law."""
    for point in points:
        cv2.circle(whole, (round(point.x), round(point.y)), 1, 255 if point.label > 0 else 0, -1)
