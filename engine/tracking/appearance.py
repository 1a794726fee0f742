"""What a subject and its surroundings look like: colour histograms, over the whole picture and place by place.

A local model lives in a coarse grid over place and colour, x, y, L, a, b, as in bilateral-space video segmentation
(Märki et al., 2016, §3): a pixel asks what was seen of its own colour near its own place. Labels of the frame before are
put in where they have moved to; nothing else of that frame is kept, so memory does not grow.
"""

from __future__ import annotations

import cv2
import numpy as np

CELL = 20  # px at motion scale: size of a place
BINS = (14, 12, 12)  # of L, a and b
STEPS = (19, 12, 12)  # levels of 8-bit Lab per bin
A_FLOOR, B_FLOOR = 128 - 72, 128 - 72  # chroma beyond ±72 counts as ±72
COLOURS = BINS[0] * BINS[1] * BINS[2]
LIMIT = 3.0  # a colour alone never says more than odds of e³


def colour_bins(rgb: np.ndarray) -> np.ndarray:
    """(h, w) int32: the number of each pixel's colour bin. rgb (h, w, 3) uint8."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.int32)
    light = np.minimum(lab[..., 0] // STEPS[0], BINS[0] - 1)
    a = np.clip((lab[..., 1] - A_FLOOR) // STEPS[1], 0, BINS[1] - 1)
    b = np.clip((lab[..., 2] - B_FLOOR) // STEPS[2], 0, BINS[2] - 1)
    return (light * BINS[1] + a) * BINS[2] + b


class Palette:
    """Colours of subject and surroundings over whole pictures, gathered from given frames."""

    def __init__(self) -> None:
        self._inside = np.zeros(COLOURS)
        self._outside = np.zeros(COLOURS)
        self._odds = np.zeros(COLOURS, np.float32)

    def learn(self, bins: np.ndarray, inside: np.ndarray, weight: float = 1.0, keep: float = 1.0) -> None:
        """Adds a picture's colours (h, w); what was learnt before counts `keep` as much. inside (h, w) float32 0–1."""
        flat, share = bins.ravel(), inside.ravel()
        self._inside = keep * self._inside + weight * np.bincount(flat, share, COLOURS)
        self._outside = keep * self._outside + weight * np.bincount(flat, 1 - share, COLOURS)
        self._odds = _log_odds(_share(_blurred(self._inside, BINS)), _share(_blurred(self._outside, BINS)), 2e-4).astype(
            np.float32
        )

    def odds(self, bins: np.ndarray) -> np.ndarray:
        """(h, w) float32: log of how much likelier each pixel's colour is inside than outside, within ±LIMIT."""
        return self._odds[bins]


def local_odds(places: np.ndarray, bins: np.ndarray, inside: np.ndarray, certain: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(h, w) float32: log odds for subject from colours seen near each place, within ±LIMIT.

    places (n, 2) float32 px: where the frame before's pixels are now; their `bins` (n,), `inside` (n,) float32 0–1 and
    weight `certain` (n,). asked (h, w) int32: colour bins of the frame in question.
    """
    height, width = asked.shape
    rows, columns = height // CELL + 2, width // CELL + 2
    row = np.clip(np.rint(places[:, 1] / CELL), 0, rows - 1).astype(np.int32)
    column = np.clip(np.rint(places[:, 0] / CELL), 0, columns - 1).astype(np.int32)
    cell = (row * columns + column) * COLOURS + bins
    shape = (rows, columns, *BINS)
    size = rows * columns * COLOURS
    seen_in = _blurred(np.bincount(cell, certain * inside, size).astype(np.float32), shape)
    seen_out = _blurred(np.bincount(cell, certain * (1 - inside), size).astype(np.float32), shape)
    odds = _log_odds(seen_in, seen_out, 0.5)
    at_row = np.rint(np.arange(height) / CELL).astype(np.int32)[:, None]
    at_column = np.rint(np.arange(width) / CELL).astype(np.int32)[None]
    return odds.ravel()[(at_row * columns + at_column) * COLOURS + asked]


def _blurred(counts: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Counts smoothed by (1 2 1)/4 along every axis."""
    values = counts.reshape(shape)
    for axis in range(len(shape)):
        moved = np.moveaxis(values, axis, 0)
        smooth = 0.5 * moved
        smooth[1:] += 0.25 * moved[:-1]
        smooth[:-1] += 0.25 * moved[1:]
        values = np.moveaxis(smooth, 0, axis)
    return values.ravel()


def _share(counts: np.ndarray) -> np.ndarray:
    return counts / max(float(counts.sum()), 1e-9)


def _log_odds(inside: np.ndarray, outside: np.ndarray, floor: float) -> np.ndarray:
    """log((inside + floor) / (outside + floor)), within ±LIMIT."""
    return np.clip(np.log((inside + floor) / (outside + floor)), -LIMIT, LIMIT)
