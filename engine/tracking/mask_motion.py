"""One subject's own motion from a frame to its neighbour, where the motion of the whole picture fails.

Dense flow of whole pictures loses what is small or fast. Here the subject's picture is first looked for as a whole, over a
wide range and in colour; from the best place on, dense flow between two crops says the rest. Which of the two motions is
believed is decided pixel by pixel by how well they predict the new frame.

All arrays are at motion scale; a *window* is a pair of slices of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.motion.flow import DenseFlow, Window, consistency, grid, sample

LEAST = 12  # px inside, below which a subject has no motion of its own
ROOM = 0.35  # of the mask's box on every side, in the crops that flow is computed on
SMALLEST = 48  # px: side of the smallest crop
REDUCED = 0.5  # scale at which the subject is looked for
FAR = 0.22  # of the picture's longer side: how far it may move in one frame
STAY = 0.4  # how much worse (levels²) a place may match, per px it is away from where the subject is expected
INLIER = 1.5  # px
SAMPLES = 1200
CRITERION_BLUR = 2.5  # px
UNLIKE = 6.0  # Lab levels that motion without a way back counts as
Flows = tuple[np.ndarray, np.ndarray]
"""(h, w, 2) float32 px each."""


@dataclass(frozen=True, eq=False, slots=True)
class Moved:
    """Where a subject's soft mask goes in the new frame, inside `window`.

    soft, agree (h', w') float32 0–1: the moved mask and how far the motion can be believed; places (h', w', 2) float32: where
    each pixel was in the frame before; fit (h', w') float32: difference in colour to what motion predicts, in Lab levels;
    shift: the subject's mean motion (x, y) in px.
    """

    window: Window
    soft: np.ndarray
    agree: np.ndarray
    places: np.ndarray
    fit: np.ndarray
    shift: tuple[float, float]


def box_of(soft: np.ndarray, level: float = 0.5) -> tuple[int, int, int, int] | None:
    """x0, y0, x1, y1 of what is at least `level`; None where nothing is."""
    inside = soft >= level
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1) if len(rows) else None


def widened(box: tuple[int, int, int, int], room: int, size: tuple[int, int]) -> Window:
    """The window of a box with `room` px on every side, inside a picture of `size` (h, w)."""
    x0, y0, x1, y1 = box
    return slice(max(0, y0 - room), min(size[0], y1 + room)), slice(max(0, x0 - room), min(size[1], x1 + room))


class SubjectMotion:
    """Follows one subject from frame to frame; keeps the speed it had."""

    def __init__(self) -> None:
        self._speed = np.zeros(2, np.float32)
        self._dense = DenseFlow()

    def step(self, soft: np.ndarray, before: Picture, after: Picture, flows: Flows) -> Moved | None:
        """Moves the mask `soft` (h, w) of the frame `before` to the frame `after`; None where there is nothing to move.

        flows: of the whole picture, from `after` to `before` and the other way.
        """
        box = box_of(soft)
        if box is None or np.count_nonzero(soft >= 0.5) < LEAST:
            return None
        inside = soft >= 0.5
        shift = self._found(soft, box, (before, after), np.median(flows[1][inside], axis=0))
        room = max(int(ROOM * max(box[2] - box[0], box[3] - box[1])), 10)
        room += max(0, (SMALLEST - min(box[2] - box[0], box[3] - box[1])) // 2)
        size = soft.shape
        window = widened(_moved_box(box, shift, size), room + 4, (size[0], size[1]))
        moved = self._along(soft, window, shift, (before, after), flows)
        seen = moved.soft > 0.5
        if seen.any():
            self._speed = np.median((_pixels(window) - moved.places)[seen], axis=0).astype(np.float32)
        return moved

    def _found(
        self, soft: np.ndarray, box: tuple[int, int, int, int], pictures: tuple[Picture, Picture], flow: np.ndarray
    ) -> np.ndarray:
        """(2,) float32 px: the whole subject's motion, by where its picture fits best.

        Near where flow says, and near where its speed would bring it, a worse fit is as good.
        """
        before, after = pictures
        x0, y0, x1, y1 = (int(v * REDUCED) for v in box)
        x1, y1 = max(x1, x0 + 3), max(y1, y0 + 3)
        template, field = before.reduced[y0:y1, x0:x1], after.reduced
        mask = cv2.resize(soft, field.shape[1::-1], interpolation=cv2.INTER_AREA)[y0:y1, x0:x1]
        if mask.sum() < 4 or min(template.shape[:2]) < 3:
            return flow
        far = int(FAR * max(field.shape[:2]))
        top, left = max(0, y0 - far), max(0, x0 - far)
        error = _fits(field[top : y1 + far, left : x1 + far], template, mask)
        rows, columns = np.mgrid[: error.shape[0], : error.shape[1]].astype(np.float32)
        moved = np.stack([columns + left - x0, rows + top - y0], -1) / REDUCED
        away = np.minimum(np.linalg.norm(moved - flow, axis=-1), 2 + np.linalg.norm(moved - self._speed, axis=-1))
        cost = error + STAY * away
        best = np.unravel_index(int(cost.argmin()), cost.shape)
        found = moved[best]
        return flow if np.linalg.norm(found - flow) < 3 else found

    def _along(
        self, soft: np.ndarray, window: Window, shift: np.ndarray, pictures: tuple[Picture, Picture], flows: Flows
    ) -> Moved:
        """The mask moved by the picture's flow or the subject's own, whichever predicts the new frame better."""
        (before, after), (there, back) = pictures, flows
        pixels = _pixels(window)
        whole = pixels + there[window]
        lab = after.lab[window]
        fit_whole = _difference(before.lab, whole, lab)
        agree_whole = consistency_at(there, back, window, pixels)
        whole_shift = np.rint(shift).astype(np.float32)
        old = _crop(before.gray, pixels - whole_shift)
        new = np.ascontiguousarray(after.gray[window])
        own, own_back = self._dense.flow(new, old), self._dense.flow(old, new)
        local = grid(new.shape)
        agree_own = consistency(own, own_back, local)
        places = pixels - whole_shift + own
        fit_own = _difference(before.lab, places, lab)
        better = (fit_own + UNLIKE * (1 - agree_own) < fit_whole + UNLIKE * (1 - agree_whole))[..., None]
        chosen = np.where(better, places, whole).astype(np.float32)
        agree = np.where(better[..., 0], agree_own, agree_whole).astype(np.float32)
        fit = np.where(better[..., 0], fit_own, fit_whole).astype(np.float32)
        moved = cv2.remap(soft, chosen[..., 0], chosen[..., 1], cv2.INTER_LINEAR)
        as_one = _moved_as_one(soft, window, (places, whole), moved)
        if as_one is not None:
            moved = agree * moved + (1 - agree) * as_one
            agree = np.maximum(agree, 0.5)
        return Moved(window, moved.astype(np.float32), agree, chosen, fit, (float(shift[0]), float(shift[1])))


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """A frame at motion scale: gray (h, w) uint8, lab (h, w, 3) float32, reduced: lab at `REDUCED` size."""

    gray: np.ndarray
    lab: np.ndarray
    reduced: np.ndarray


def picture_of(rgb: np.ndarray) -> Picture:
    """rgb (h, w, 3) uint8."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    small = cv2.resize(lab, None, fx=REDUCED, fy=REDUCED, interpolation=cv2.INTER_AREA)
    return Picture(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), lab, small)


def _fits(field: np.ndarray, template: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean squared difference (levels²) inside the mask at every place of the template in the field."""
    weight = np.repeat(mask[..., None], 3, axis=2).astype(np.float32)
    error = cv2.matchTemplate(field, template, cv2.TM_SQDIFF, mask=weight)
    return np.asarray(error / max(float((weight**2).sum()), 1e-6) * 3)


def _moved_box(box: tuple[int, int, int, int], shift: np.ndarray, size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The box moved by `shift`, no part of it outside a picture of `size`; never empty."""
    dx, dy = round(float(shift[0])), round(float(shift[1]))
    x0, x1 = (min(max(v + dx, 0), size[1]) for v in (box[0], box[2]))
    y0, y1 = (min(max(v + dy, 0), size[0]) for v in (box[1], box[3]))
    return min(x0, size[1] - 1), min(y0, size[0] - 1), max(x1, 1), max(y1, 1)


def _pixels(window: Window) -> np.ndarray:
    """(h', w', 2) float32: every pixel's own (x, y) in the whole picture."""
    rows, columns = window
    x, y = np.meshgrid(np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop))
    return np.stack([x, y], axis=-1).astype(np.float32)


def _crop(gray: np.ndarray, places: np.ndarray) -> np.ndarray:
    return cv2.remap(gray, places[..., 0], places[..., 1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def _difference(before: np.ndarray, places: np.ndarray, lab: np.ndarray) -> np.ndarray:
    """(h', w') float32: mean difference of the channels, smoothed."""
    predicted = cv2.remap(before, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.GaussianBlur(np.abs(predicted - lab).mean(axis=-1), (0, 0), CRITERION_BLUR)


def consistency_at(there: np.ndarray, back: np.ndarray, window: Window, pixels: np.ndarray) -> np.ndarray:
    """`consistency` of two flows of the whole picture, in a window of it."""
    ahead = there[window]
    target = pixels + ahead
    returned = ahead + sample(back, target)
    length = np.linalg.norm(ahead, axis=-1)
    error = np.maximum(0, np.linalg.norm(returned, axis=-1) - 0.5)
    agree = np.exp(-error / (1 + 0.02 * length))
    height, width = there.shape[:2]
    outside = (target[..., 0] < -0.5) | (target[..., 0] > width - 0.5) | (target[..., 1] < -0.5) | (target[..., 1] > height - 0.5)
    agree[outside] = 0
    return np.asarray(agree, np.float32)


def _moved_as_one(soft: np.ndarray, window: Window, fields: tuple[np.ndarray, ...], moved: np.ndarray) -> np.ndarray | None:
    """(h', w') soft mask moved by one robust affine motion; None where it does not move as one piece."""
    ys, xs = np.nonzero(moved > 0.5)
    if len(ys) < 50:
        return None
    chosen = np.random.default_rng(0).choice(len(ys), min(SAMPLES, len(ys)), replace=False)
    ys, xs = ys[chosen], xs[chosen]
    here = np.stack([xs, ys], -1).astype(np.float32)
    best: tuple[float, np.ndarray] | None = None
    for places in fields:
        cv2.setRNGSeed(0)
        matrix, inliers = cv2.estimateAffine2D(here, places[ys, xs], method=cv2.RANSAC, ransacReprojThreshold=INLIER)
        if matrix is None or inliers.mean() < 0.6 or not 0.7 < np.linalg.det(matrix[:, :2]) < 1.4:
            continue
        if best is None or inliers.mean() > best[0]:
            best = float(inliers.mean()), matrix
    if best is None:
        return None
    shape = moved.shape[1], moved.shape[0]
    return cv2.warpAffine(soft, best[1], shape, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
