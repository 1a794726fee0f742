"""Bringing together what two anchors say of a frame, and filling what neither saw."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

UNSEEN = 0.02  # weight below which no anchor can be believed
DISAGREE = (4.0, 20.0)  # levels of fine detail between two anchors: below, they are mixed; above, the nearer one decides
SHARPEST = 6.0  # power of the weights where they disagree
CLOSE_BY = 3.0  # px: a gap no wider than a few of these is filled from its rim alone
COARSE = 8  # px: broad colour is mixed over cells of this size, fine detail beside it
BROAD = 3.0  # cells, standard deviation of what counts as broad


@dataclass(frozen=True, eq=False, slots=True)
class Carried:
    """What one anchor says of a window.

    edit (h, w, 3) float32 levels to add to the source; weight (h, w) float32 from 0; certain (h, w) float32 0–1: how far it is
    believed; colour (h, w, 3): what of the edit follows from the frame's own colours, so that it holds where the anchor saw
    nothing too, or None.
    """

    edit: np.ndarray
    weight: np.ndarray
    certain: np.ndarray
    colour: np.ndarray | None = None


def mixed(carried: list[Carried], inside: np.ndarray, *, bands: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The edit (h, w, 3) of all anchors together, and the weight (h, w) behind it. inside (h, w) bool: the edit region.

    With `bands`, fine detail on which two anchors disagree comes from one of them, since a mean of both is a ghost; broad
    colour is always the mean, so nothing jumps.
    """
    total = sum((one.weight for one in carried), np.zeros(inside.shape, np.float32))
    if len(carried) == 1:
        return carried[0].edit, total
    first, second = carried
    share = first.weight / np.maximum(total, 1e-6)
    difference = first.edit - second.edit
    if not bands or not (np.minimum(first.weight, second.weight) > 1e-3).any():
        return second.edit + share[..., None] * difference, total
    both = (inside & (np.minimum(first.weight, second.weight) > 1e-3)).astype(np.float32)
    fine = np.abs(difference - _broad(difference, both)).mean(axis=-1)
    doubt = np.clip((_broad(fine, both) - DISAGREE[0]) / (DISAGREE[1] - DISAGREE[0]), 0, 1)
    power = 1 + (SHARPEST - 1) * doubt
    a, b = share**power, (1 - share) ** power
    decided = a / np.maximum(a + b, 1e-6)
    edit = second.edit + decided[..., None] * difference
    # Broad colour goes by the plain shares; only the fine part was decided.
    return edit + _broad((share - decided)[..., None] * difference, inside.astype(np.float32)) * both[..., None], total


def _broad(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted local means of values (h, w) or (h, w, 3), smooth over some tens of px; 0 where nothing has weight."""
    height, width = weight.shape
    small = (max(1, width // COARSE), max(1, height // COARSE))
    weighted = values * (weight if values.ndim == 2 else weight[..., None])
    mass = cv2.GaussianBlur(cv2.resize(weight, small, interpolation=cv2.INTER_AREA), (0, 0), BROAD) + 1e-4
    mean = cv2.GaussianBlur(cv2.resize(weighted, small, interpolation=cv2.INTER_AREA), (0, 0), BROAD)
    mean = mean / (mass if values.ndim == 2 else mass[..., None])
    return cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)


def completed(edit: np.ndarray, weight: np.ndarray, region: np.ndarray, carried: list[Carried]) -> tuple[np.ndarray, float]:
    """The edit with what no anchor saw filled from around, and the share of the region (h, w) uint8 that was.

    What follows from the frame's own colours goes on there; only the rest is filled. Where nothing at all was seen the edit is
    left as it is.
    """
    missing = (weight < UNSEEN) & (region > 0)
    share = float(missing[region > 127].mean()) if (region > 127).any() else 0.0
    seen = (weight >= UNSEEN) & (region > 127)
    if not missing.any() or not seen.any():
        return edit, share
    colours = [one.colour for one in carried if one.colour is not None]
    colour = np.asarray(sum(colours, np.zeros_like(edit))) / len(carried)
    filled = _filled(edit - colour, seen, missing) * (region.astype(np.float32) / 255)[..., None] + colour
    return np.where(missing[..., None], filled, edit), share


def _filled(values: np.ndarray, known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values (h, w, 3) with what is wanted (h, w) bool filled: from close by where it can be, else by `fill`."""
    weight = known.astype(np.float32)
    near = cv2.GaussianBlur(weight, (0, 0), CLOSE_BY)
    close = cv2.GaussianBlur(values * weight[..., None], (0, 0), CLOSE_BY) / np.maximum(near, 1e-6)[..., None]
    return fill(values, known) if (wanted & (near < 0.02)).any() else close


def fill(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values (h, w, 3) float32 with unknown places filled from around: push–pull over a pyramid (Gortler et al., 1996, §3.4).

    known (h, w) bool. Known values are kept.
    """
    weight = known.astype(np.float32)
    pyramid: list[tuple[np.ndarray, np.ndarray]] = [(values * weight[..., None], weight)]
    while min(pyramid[-1][1].shape) > 2 and pyramid[-1][1].min() < 1e-3:
        level, mass = pyramid[-1]
        pyramid.append((cv2.pyrDown(level), cv2.pyrDown(mass)))
    level, mass = pyramid.pop()
    result = level / np.maximum(mass, 1e-6)[..., None]
    while pyramid:
        level, mass = pyramid.pop()
        coarse = cv2.resize(result, mass.shape[::-1], interpolation=cv2.INTER_LINEAR)
        share = np.minimum(1, mass)[..., None]
        result = share * (level / np.maximum(mass, 1e-6)[..., None]) + (1 - share) * coarse
    return np.where(known[..., None], values, result)
