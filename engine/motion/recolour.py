"""What an edit did to colours, apart from what it painted: take − source ≈ G·source + b, fitted locally.

G is a 3×3 matrix per cell, from the colours of source and take around it (the local linear model of guided filters, He et
al., 2013, with all three channels). A tint or a grade comes out as G; fresh paint, or no change, as 0. What G does not
explain is the layer that sticks to the surface. At another frame the edit is G·its own source + the layer, so shading and
grain are that frame's own, and exact alignment matters only to what was really painted.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.motion.align import eroded

CELL_LINES = 60  # cells along the picture's height: 8 px at 480 lines
WINDOW = 3.0  # cells, standard deviation of the neighbourhood of a fit
HOLD = 60.0  # levels²: variance of the source below which G stays near 0
EXPLAINED = (0.5, 0.85)  # share of the edit's variance that G must explain before it is believed not at all … wholly
NOISE = 4.0  # levels²: an edit of less variance is none
GAIN_LIMIT = 3.0  # no entry of G is larger
SOLID = 254  # region from which on a pixel is all subject: the soft edge around is a mixture
RIM, SOFT = 2, 1.0  # px inside a region's edge that may still be a mixture, and how softly they are left out


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """gain (n, m, 3, 3) float32: G over the cells of the anchor's picture, None where nothing is recoloured.
    layer (H, W, 3) float32 levels: take − source − G·source."""

    gain: np.ndarray | None
    layer: np.ndarray


def split(source: np.ndarray, take: np.ndarray, region: np.ndarray, *, recolour: bool = True) -> Split:
    """Splits an anchor's edit. source, take (H, W, 3) uint8; region (H, W) uint8. Without `recolour` all of it is layer."""
    edit = take.astype(np.float32) - source
    edit[region == 0] = 0
    if not recolour or not edit.any():
        return Split(None, edit)
    gain = local_gain(source, edit, region)
    if np.abs(gain).max() < 1e-3:
        return Split(None, edit)
    size = source.shape[:2]
    whole = slice(0, size[0]), slice(0, size[1])
    return Split(gain, edit - solid(region)[..., None] * recoloured(gain, source.astype(np.float32), size, whole))


def solid(region: np.ndarray) -> np.ndarray:
    """(h, w) float32 0–1: where the subject alone is seen. Colours of a soft edge are mixtures that G does not fit."""
    return cv2.GaussianBlur(eroded((region >= SOLID).astype(np.float32), RIM), (0, 0), SOFT)


def cell_size(size: tuple[int, int]) -> int:
    """px along a cell's side, for a picture of size (H, W)."""
    return max(2, round(size[0] / CELL_LINES))


def local_gain(source: np.ndarray, edit: np.ndarray, region: np.ndarray) -> np.ndarray:
    """G (n, m, 3, 3) float32. source (H, W, 3) uint8, edit (H, W, 3) float32 levels."""
    inside = eroded((region >= SOLID).astype(np.float32), 2)
    mass = cv2.GaussianBlur(_means(inside), (0, 0), WINDOW)
    weight = mass[..., None] + 1e-4
    colour = source.astype(np.float32)

    def local(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(_means(values * inside[..., None]), (0, 0), WINDOW) / weight

    mean_colour, mean_edit = local(colour), local(edit)
    together = np.empty((*mass.shape, 3, 3), np.float32)
    spread = np.empty_like(together)
    for channel in range(3):
        one, mean = colour[..., channel, None], mean_colour[..., channel, None]
        together[..., channel] = local(edit * one) - mean_edit * mean
        spread[..., channel] = local(colour * one) - mean_colour * mean
    # G = cov(edit, source) (cov(source) + hold)⁻¹, transposed because solve works from the left.
    hold = HOLD * np.eye(3, dtype=np.float32)
    gain = np.swapaxes(np.linalg.solve(spread + hold, np.swapaxes(together, -1, -2)), -1, -2)
    power = (local(edit**2) - mean_edit**2).sum(axis=-1)
    explained = (gain * together).sum(axis=(-1, -2)) / (power + NOISE)
    trust = np.clip((explained - EXPLAINED[0]) / (EXPLAINED[1] - EXPLAINED[0]), 0, 1) * np.clip(mass / 0.05, 0, 1)
    return _continued(np.clip(trust[..., None, None] * gain, -GAIN_LIMIT, GAIN_LIMIT).astype(np.float32), mass)


def _continued(gain: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """G with cells beyond the region as the nearest ones in it: what an anchor did not see is recoloured alike."""
    if not (mass > 0.05).any():
        return gain
    far = cv2.distanceTransformWithLabels((mass <= 0.05).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1]
    places = np.flatnonzero(mass > 0.05)
    nearest = np.zeros(int(far.max()) + 1, np.int64)
    nearest[far.ravel()[places]] = places
    return gain.reshape(-1, 3, 3)[nearest[far]]


def _means(values: np.ndarray) -> np.ndarray:
    """Means over cells of a picture (H, W, …); the last cells may reach beyond it."""
    cell = cell_size(values.shape[:2])
    rows, columns = -(-values.shape[0] // cell), -(-values.shape[1] // cell)
    bottom, right = rows * cell - values.shape[0], columns * cell - values.shape[1]
    padded = cv2.copyMakeBorder(values, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA)


def carried(gain: np.ndarray, size: tuple[int, int], positions: np.ndarray) -> np.ndarray:
    """G of an anchor at positions (h, w, 2) px in its picture of size (H, W): (h, w, 3, 3)."""
    at = ((positions + 0.5) / cell_size(size) - 0.5).astype(np.float32)
    return _sampled(gain, at[..., 0], at[..., 1])


def cell_centres(size: tuple[int, int], window: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, in px, of the middles of the cells that cover a window of a picture of size (H, W)."""
    cell = cell_size(size)
    rows, columns = (np.arange(axis.start // cell, -(-axis.stop // cell) + 1, dtype=np.float32) for axis in window)
    return (rows + 0.5) * cell - 0.5, (columns + 0.5) * cell - 0.5


def recoloured(gain: np.ndarray, source: np.ndarray, size: tuple[int, int], window: tuple[slice, slice]) -> np.ndarray:
    """G·source (h, w, 3) float32 levels in a window of a picture of size (H, W).

    gain: (n, m, 3, 3) over the cells that cover the window (`cell_centres`), source (h, w, 3) float32.
    """
    cell = cell_size(size)
    top, left = (axis.start - axis.start // cell * cell for axis in window)
    height, width = source.shape[:2]
    total = np.zeros_like(source)
    for channel in range(3):
        column = np.ascontiguousarray(gain[..., channel])
        dense = cv2.resize(column, (gain.shape[1] * cell, gain.shape[0] * cell), interpolation=cv2.INTER_LINEAR)
        total += dense[top : top + height, left : left + width] * source[..., channel, None]
    return total


def _sampled(gain: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(h, w, 3, 3): matrices (n, m, 3, 3) between their cells."""
    columns = [
        cv2.remap(np.ascontiguousarray(gain[..., channel]), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for channel in range(3)
    ]
    return np.stack(columns, axis=-1)
