"""A subject's surface on its way from an anchor: where each of its pixels lies in the anchor's picture.

The field is smooth over the subject and knows nothing of what surrounds it. From frame to frame it is predicted by the
clip's motion inside the subject; then the anchor's own picture, warped by it, is compared with the frame and the rest is
corrected (align.py). So errors do not add up with distance, what was hidden comes back where the rest of the subject says,
and an edit is resampled once however far it goes.
"""

from __future__ import annotations

from collections import OrderedDict

import cv2
import numpy as np

from engine.motion.align import (
    SPACING,
    STILL,
    compare,
    compare_outlines,
    correction,
    eroded,
    fit_affine,
    misfit,
    outline,
    spread,
    to_nodes,
    to_pixels,
)
from engine.motion.flow import consistency, grid, sample
from engine.motion.sight import Sight
from engine.motion.steps import Steps
from engine.types import FrameIndex

ALIGN_SIDE = 480  # px, short side of the pictures that are aligned; larger clips are aligned at this size
ROUNDS = 3  # corrections a frame, the first of them coarse
COARSE_BLUR, FINE_BLUR = 2.0, 0.8  # px: pictures are smoothed before they are compared
MARGIN = 4  # nodes around the subject
STEP_WINDOW = 2.5  # nodes over which the motion between neighbouring frames is smoothed
STEP_HOLD = 0.05
BENDS = (1.0, 12.0)  # px a part may deviate from the subject's affine motion in one frame: where all of it moves as one … none
LEAST_BELIEF = 0.15  # a place that misfits still counts so much
OUTWARD = 5.0  # nodes: how far a field is continued beyond the subject before its affine motion takes over
SETTLED = 0.04  # px, root mean square: after a smaller correction another one is not worth its time
SOLID, INWARD = 0.99, 2  # pixels are compared where the subject is whole, and this many px inside that
FEWEST = 12  # nodes; a smaller sight of the subject corrects nothing
KEPT = 3
FITS, DOUBT = 0.7, 1.5  # misfit up to which the anchor is wholly believed, and how fast belief falls beyond

Nodes = tuple[slice, slice]


def align_size(size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) at which pictures of a clip of size (H, W) are aligned: short side at most ALIGN_SIDE, never larger."""
    scale = min(1.0, ALIGN_SIDE / min(size))
    return max(SPACING, round(size[0] * scale)), max(SPACING, round(size[1] * scale))


class Looks:
    """Pictures and masks of a clip at align scale, padded to whole cells; the last few are kept."""

    def __init__(self, steps: Steps, clip_size: tuple[int, int]) -> None:
        self.steps, self.clip_size, self.size = steps, clip_size, align_size(clip_size)
        height, width = self.size
        self.nodes = (-(-height // SPACING), -(-width // SPACING))
        self.places = node_places((slice(0, self.nodes[0]), slice(0, self.nodes[1])))
        self._kept: OrderedDict[FrameIndex, np.ndarray] = OrderedDict()

    def gray(self, frame: FrameIndex) -> np.ndarray:
        """(h, w) float32 levels."""
        if frame not in self._kept:
            self._kept[frame] = self._padded(self.steps.pictures.gray(frame, self.size)).astype(np.float32)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[frame]

    def alpha(self, alpha: np.ndarray) -> np.ndarray:
        """(h, w) float32 0–1 of a mask (H, W) uint8."""
        small = alpha if alpha.shape == self.size else cv2.resize(alpha, self.size[::-1], interpolation=cv2.INTER_AREA)
        return self._padded(small).astype(np.float32) / 255

    def cells(self, alpha: np.ndarray) -> np.ndarray:
        """The same by nodes (n, m)."""
        return to_nodes(self.alpha(alpha))

    def _padded(self, picture: np.ndarray) -> np.ndarray:
        bottom, right = self.nodes[0] * SPACING - picture.shape[0], self.nodes[1] * SPACING - picture.shape[1]
        return cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_REPLICATE)

    def motion(self, a: FrameIndex, b: FrameIndex, nodes: Nodes) -> tuple[np.ndarray, np.ndarray]:
        """Motion from a to its neighbour b (n, m, 2) px at align scale, and how far it can be believed (n, m)."""
        there, back = self.steps.pair(a, b)
        height, width = there.shape[:2]
        scale = np.array([width / self.size[1], height / self.size[0]], np.float32)
        at = (self.places[nodes] + 0.5) * scale - 0.5
        flow = sample(there, at)
        return flow / scale, consistency(flow, back, at)


def node_places(nodes: Nodes) -> np.ndarray:
    """(n, m, 2) float32: where nodes lie, in px at align scale."""
    y, x = np.mgrid[nodes].astype(np.float32)
    return np.stack([x, y], axis=-1) * SPACING + (SPACING - 1) / 2


def _pixel_window(nodes: Nodes) -> tuple[slice, slice]:
    rows, columns = nodes
    return slice(rows.start * SPACING, rows.stop * SPACING), slice(columns.start * SPACING, columns.stop * SPACING)


class Surface:
    """One subject, seen from one anchor.

    `shift` (n, m, 2) float32 px at align scale: node + shift is where it lies in the anchor's picture, for all nodes of the
    frame, meaningful on the subject and a little around it. `misfit` (n, m) float32: 0 where the anchor's picture, warped,
    is what the frame shows; about 1 where it is not.
    """

    def __init__(
        self,
        looks: Looks,
        frame: FrameIndex,
        alpha: np.ndarray,
        *,
        lock: bool = True,
        smooth: bool = True,
        outlined: bool = True,
        area: float | None = None,
    ) -> None:
        """`alpha` (H, W) uint8: the subject there. `lock`: correct against the anchor; `smooth`: the deformation model;
        `outlined`: the outline is the subject's own; `area`: nodes of sight that tell turning and growing, else the subject's."""
        self._looks, self._at, self._lock, self._smooth, self._outlined = looks, frame, lock, smooth, outlined
        self._before = here = looks.alpha(alpha)
        gray, edge = looks.gray(frame), outline(here >= 0.5)
        # Picture, mask and outline are fetched together, in one go.
        self._coarse, self._fine = (np.dstack([cv2.GaussianBlur(gray, (0, 0), s), here, edge]) for s in (COARSE_BLUR, FINE_BLUR))
        self._area, self._whole = float(to_nodes(here).sum()) if area is None else area, STILL
        self.shift = np.zeros((*looks.nodes, 2), np.float32)
        self.misfit = np.zeros(looks.nodes, np.float32)
        self.light = np.ones(looks.nodes, np.float32)
        self._everywhere = self._nodes = (slice(0, looks.nodes[0]), slice(0, looks.nodes[1]))

    def advance(self, frame: FrameIndex, alpha: np.ndarray, nodes: Nodes | None = None) -> None:
        """Goes on to the neighbouring frame, with the subject at `alpha` (H, W) uint8; `nodes`: where to look, else around it."""
        here = self._looks.alpha(alpha)
        self._nodes = nodes = nodes or around(to_nodes(here), MARGIN) or self._everywhere
        self._predict(frame, here, nodes)
        if self._lock:
            self._correct(frame, here, nodes)
        self._at, self._before = frame, here

    def sight(self) -> Sight:
        """What of the anchor the current frame shows, over a window around the subject."""
        height, width = self._looks.size
        scale = np.array([self._looks.clip_size[1] / width, self._looks.clip_size[0] / height], np.float32)
        certain = _belief(self.misfit[self._nodes])
        cell = (SPACING * float(scale[1]), SPACING * float(scale[0]))
        return Sight(self._nodes, cell, self.shift[self._nodes] * scale, certain, self.light[self._nodes])

    def _predict(self, frame: FrameIndex, here: np.ndarray, nodes: Nodes) -> None:
        """Carries the field on along the motion inside the subject."""
        flow, sure = self._looks.motion(frame, self._at, nodes)
        places = self._looks.places[nodes]
        before = sample(self._before, places + flow)
        inside = to_nodes(here[_pixel_window(nodes)])
        weight = inside * before * sure
        if self._smooth:
            step = fit_affine(places, flow, self._away_from_edges(weight), hold=self._area)
            whole = step.shift(places)
            flow = whole + _bounded(flow - whole, weight)
            self._whole = self._whole.after(step)
        at = (places + flow - (SPACING - 1) / 2) / SPACING
        carried = flow + sample(self.shift, at)
        misfit = sample(self.misfit, at)
        support = inside * before * np.maximum(_belief(misfit), LEAST_BELIEF)
        self._put(carried, support, nodes)
        self.misfit, self.light = np.zeros_like(self.misfit), np.ones_like(self.light)
        self.misfit[nodes] = misfit

    def _away_from_edges(self, weight: np.ndarray) -> np.ndarray:
        """The weight without what lies next to other things, whose motion bleeds in; all of it where little would be left."""
        inner = weight * eroded((weight > 0.3).astype(np.float32), 2)
        return inner if inner.sum() > FEWEST else weight

    def _put(self, shift: np.ndarray, support: np.ndarray, nodes: Nodes) -> None:
        """Keeps a field over the window, continued from where the subject is seen (`support`, 0–1) to all around."""
        places = self._looks.places[nodes]
        self._whole = fit_affine(places, shift, support, around=self._whole, hold=self._area, limit=4.0)
        whole = self._whole.shift(places)
        beyond = whole + spread(shift - whole, support, OUTWARD, 0.02)
        share = np.clip(2 * spread(support, np.ones_like(support), 1.0), 0, 1)[..., None]
        self.shift[nodes] = share * shift + (1 - share) * beyond

    def _correct(self, frame: FrameIndex, here: np.ndarray, nodes: Nodes) -> None:
        """Compares the anchor's picture with the frame and corrects the field by what is left."""
        window = _pixel_window(nodes)
        inner = eroded((here[window] > SOLID).astype(np.float32), INWARD)
        if to_nodes(inner).sum() < FEWEST:
            return
        gray, edge = self._looks.gray(frame)[window], outline(here[window] >= 0.5)
        pixels = grid(gray.shape) + np.array([window[1].start, window[0].start], np.float32)
        places, settled = self._looks.places[nodes], False
        for number in range(ROUNDS + 1):
            coarse = number == 0 and ROUNDS > 1
            if number < 2:
                target = cv2.GaussianBlur(gray, (0, 0), COARSE_BLUR if coarse else FINE_BLUR)
            at = pixels + to_pixels(self.shift[nodes])
            warped = sample(self._coarse if coarse else self._fine, at)
            weight = inner * warped[..., 1]
            found = compare(target, warped[..., 0], weight)
            if number == ROUNDS or settled:
                break
            edges = compare_outlines(edge, warped[..., 2])
            if not self._outlined:
                edges.weight[:] = 0
            delta = correction([found, edges], affine=coarse)
            moved = (places + delta - (SPACING - 1) / 2) / SPACING
            support = to_nodes(np.maximum(weight, edges.weight))
            settled = not coarse and float((delta**2).sum(axis=-1).ravel() @ support.ravel()) < SETTLED**2 * float(support.sum())
            self._put(delta + sample(self.shift, moved), support, nodes)
        self.misfit[nodes] = misfit(found, target, weight)
        self.light[nodes] = found.light


def _belief(misfit: np.ndarray) -> np.ndarray:
    """0–1: how far a place is believed where the anchor's picture misfits so much."""
    return np.asarray(np.exp(-DOUBT * np.maximum(0, misfit - FITS)))


def _bounded(rest: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What motion between neighbouring frames (n, m, 2) px deviates from the subject's affine one, smooth, and the smaller the
    more of the subject moves as one piece: what deviates more there is another thing's motion."""
    length = np.sqrt((rest**2).sum(axis=-1))
    as_one = float((weight * (length < 1)).sum() / max(float(weight.sum()), 1e-6))
    limit = BENDS[0] + (BENDS[1] - BENDS[0]) * min(1.0, 2 * (1 - as_one))
    rest = rest * np.minimum(1, limit / np.maximum(length, 1e-6))[..., None]
    return spread(rest, weight, STEP_WINDOW, STEP_HOLD)


def around(alpha: np.ndarray, margin: int) -> Nodes | None:
    """Rows and columns of nodes that hold a mask (n, m), with so many around; None where it is not there."""
    rows, columns = np.flatnonzero(alpha.max(axis=1) > 0.1), np.flatnonzero(alpha.max(axis=0) > 0.1)
    if not len(rows):
        return None
    return (
        slice(max(0, int(rows[0]) - margin), min(alpha.shape[0], int(rows[-1]) + 1 + margin)),
        slice(max(0, int(columns[0]) - margin), min(alpha.shape[1], int(columns[-1]) + 1 + margin)),
    )
