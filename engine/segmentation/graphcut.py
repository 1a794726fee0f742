"""The segmenter without weights: a region grown from each click where its outline is strongest, refined by a graph cut.

Clicks are taken one after the other: the first makes a mask, each later one changes it around itself and nowhere else.
Works on a reduced crop (colour models and cut do not get better with more pixels, only slower) and brings the outline
back to the full picture with a guided filter, so that it follows the real edge.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from engine.segmentation.growing import ColourGraph, Spot
from engine.segmentation.outline import full_outline
from engine.types import Point

WORK_SIDE = 384  # px of the crop's longer side while cutting
CUTS = 4
FIRST = (0.002, 0.6)  # smallest and largest part of the crop that the first click may mean
LATER = (0.0003, 0.5)  # the same for corrections
REACH = 3.0  # a correction is no larger than a disc of so many times the click's distance from the outline
ZONE = 0.35  # around a grown region, as part of the side of a square as large, where the cut decides anew
TAKEN = 0.3  # of a grown region must be left by the cut; else the region is taken as it was grown
BOX = 0.25  # half the side of the box around the first click, as part of the crop's shorter side
KEPT = 4  # pictures, each with up to KEPT_STEPS masks, for the next click
KEPT_STEPS = 64
Box = tuple[float, float, float, float]
Click = tuple[int, int, int]
"""x, y in reduced pixels; 1 inside or -1 outside."""


class GraphCut:
    """See the module. Keeps what the next click on the same picture needs; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: OrderedDict[object, _Place] = OrderedDict()

    def segment(
        self, image: np.ndarray, points: Sequence[Point], box: Box | None = None, prior: np.ndarray | None = None
    ) -> np.ndarray:
        """(H, W) uint8 alpha; see `Segmenter`."""
        if prior is not None and not (prior >= 128).any():
            prior = None
        with self._lock:
            place = self._place(image, _crop(image.shape[:2], points, box, prior), box, prior)
            found = place.after(points)
            whole = np.zeros(image.shape[:2], np.uint8) if prior is None else prior.copy()
            rows, columns = place.crop.rows, place.crop.columns
            outlined = full_outline(place.grey, found.astype(np.float32))
            if prior is None:
                whole[rows, columns] = outlined
            else:  # what no click changed stays as it was
                changed = cv2.dilate((found != place.start).astype(np.uint8), np.ones((5, 5), np.uint8))
                fresh = cv2.resize(changed, outlined.shape[::-1], interpolation=cv2.INTER_NEAREST)
                whole[rows, columns] = np.where(fresh > 0, outlined, whole[rows, columns])
        _force(whole, points)
        return whole

    def _place(self, image: np.ndarray, crop: _Crop, box: Box | None, prior: np.ndarray | None) -> _Place:
        """What depends on the picture and the start alone, kept for the next click."""
        known = (_digest(image), str(crop), box, None if prior is None else _digest(prior))
        if known not in self._places:
            self._places[known] = _Place(image, crop, box, prior)
            if len(self._places) > KEPT:
                self._places.popitem(last=False)
        self._places.move_to_end(known)
        return self._places[known]


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()


class _Place:
    """A crop of a picture, reduced, with the mask that marking starts from and those after each row of clicks."""

    def __init__(self, image: np.ndarray, crop: _Crop, box: Box | None, prior: np.ndarray | None) -> None:
        self.crop = crop
        piece = np.ascontiguousarray(image[crop.rows, crop.columns])
        self.grey = cv2.cvtColor(piece, cv2.COLOR_RGB2GRAY)
        self.small = cv2.resize(piece, crop.small, interpolation=cv2.INTER_AREA)
        self.graph = ColourGraph(self.small)
        self.start: np.ndarray = np.zeros(self.small.shape[:2], bool)
        inner, known = crop.inner(box), crop.reduced(prior)
        if known is not None:
            self.start = known
        elif inner is not None:
            labels = np.full(self.start.shape, cv2.GC_BGD, np.uint8)
            labels[inner] = cv2.GC_PR_FGD
            self.start = _kept_parts(_cut(self.small, labels), self.start, ())
        self._masks: OrderedDict[tuple[Click, ...], np.ndarray] = OrderedDict()

    def after(self, points: Sequence[Point]) -> np.ndarray:
        """(h, w) bool: the mask after these clicks, one after the other."""
        mask = self.start
        clicks: tuple[Click, ...] = ()
        for point in points:
            clicks = (*clicks, self.crop.place(point))
            if clicks not in self._masks:
                self._masks[clicks] = self._step(mask, clicks)
                if len(self._masks) > KEPT_STEPS:
                    self._masks.popitem(last=False)
            self._masks.move_to_end(clicks)
            mask = self._masks[clicks]
        return mask

    def _step(self, mask: np.ndarray, clicks: tuple[Click, ...]) -> np.ndarray:
        """The mask once the last of the clicks is said, too."""
        x, y, label = clicks[-1]
        if bool(mask[y, x]) == (label > 0):
            return mask  # said already; a click outside while there is nothing yet only stands in the way of later ones
        allowed = mask if label < 0 else ~mask
        shares = FIRST
        if mask.any():
            away = max(1.5, float(cv2.distanceTransform(allowed.astype(np.uint8), cv2.DIST_L2, 5)[y, x]))
            shares = LATER[0], min(LATER[1], np.pi * (REACH * away) ** 2 / mask.size)
        against: list[Spot] = [(cx, cy) for cx, cy, other in clicks if other != label]
        region = self.graph.grown((x, y), allowed, against, shares)
        changed = mask | region if label > 0 else mask & ~region
        refined = self._refined(mask, changed, region, clicks)
        if ((refined != mask) & region).sum() >= TAKEN * region.sum():
            changed = refined
        changed = _kept_parts(changed, mask, clicks)
        return changed if mask.any() else self._better(changed, clicks)

    def _better(self, found: np.ndarray, clicks: tuple[Click, ...]) -> np.ndarray:
        """The first click's mask, or what a cut of a box around it finds where that is outlined better."""
        x, y, _ = clicks[-1]
        half = round(BOX * min(found.shape))
        labels = np.full(found.shape, cv2.GC_BGD, np.uint8)
        labels[max(0, y - half) : y + half, max(0, x - half) : x + half] = cv2.GC_PR_FGD
        for cx, cy, label in clicks:
            cv2.circle(labels, (cx, cy), 3, int(cv2.GC_FGD if label > 0 else cv2.GC_BGD), -1)
        cut = _kept_parts(_cut(self.small, labels), self.start, clicks)
        return max((found, cut), key=lambda mask: self.graph.judged(mask, (x, y)))

    def _refined(self, mask: np.ndarray, changed: np.ndarray, region: np.ndarray, clicks: tuple[Click, ...]) -> np.ndarray:
        """`changed` after a cut around the region; everywhere else `mask` is sure."""
        reach = max(3, round(ZONE * float(np.sqrt(region.sum()))))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        zone = cv2.dilate(region.astype(np.uint8), disc) > 0
        probable = np.where(changed, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
        labels = np.where(zone, probable, np.where(mask, cv2.GC_FGD, cv2.GC_BGD)).astype(np.uint8)
        radius = max(1, round(0.008 * max(mask.shape)))
        for x, y, label in clicks:
            wide = radius if (x, y, label) == clicks[-1] else 1
            cv2.circle(labels, (x, y), wide, int(cv2.GC_FGD if label > 0 else cv2.GC_BGD), -1)
        rows, columns = np.flatnonzero(zone.any(axis=1)), np.flatnonzero(zone.any(axis=0))
        room = 24  # px, for the colour models
        part = np.s_[max(0, rows[0] - room) : rows[-1] + room, max(0, columns[0] - room) : columns[-1] + room]
        refined = mask.copy()
        refined[part] = _cut(np.ascontiguousarray(self.small[part]), np.ascontiguousarray(labels[part]))
        return refined


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

    def place(self, point: Point) -> Click:
        """A click in reduced pixels, inside the crop."""
        sx, sy = self.scale
        x, y = int((point.x + 0.5 - self.columns.start) * sx), int((point.y + 0.5 - self.rows.start) * sy)
        label = 1 if point.label > 0 else -1
        return min(max(x, 0), self.small[0] - 1), min(max(y, 0), self.small[1] - 1), label

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


def _kept_parts(cut: np.ndarray, before: np.ndarray, clicks: Sequence[Click]) -> np.ndarray:
    """Only parts that hold a click or some of the mask before; without either the largest. Small holes that were not
    there before are filled unless clicked out."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(cut.astype(np.uint8), connectivity=4)
    if count > 1:
        keep = ({int(parts[y, x]) for x, y, label in clicks if label > 0} | set(np.unique(parts[before & cut]))) - {0}
        largest = stats[1:, cv2.CC_STAT_AREA].max()
        cut = np.isin(parts, list(keep or {i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= 0.2 * largest}))
    count, holes, stats, _ = cv2.connectedComponentsWithStats((~cut).astype(np.uint8), connectivity=4)
    clicked_out = {int(holes[y, x]) for x, y, label in clicks if label < 0}
    height, width = cut.shape
    for i in range(1, count):
        x, y, w, h, area = stats[i]
        inner = x > 0 and y > 0 and x + w < width and y + h < height
        if not inner or i in clicked_out or area >= 0.02 * cut.size:
            continue
        if not before.any() or before[holes == i].any():
            cut = cut | (holes == i)
    return cut


def _force(whole: np.ndarray, points: Sequence[Point]) -> None:
    """Clicks are law."""
    for point in points:
        cv2.circle(whole, (round(point.x), round(point.y)), 1, 255 if point.label > 0 else 0, -1)
