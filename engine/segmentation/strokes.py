"""Brush strokes as masks, exactly as the canvas paints them (assets/brush.js is the twin, bit for bit)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from engine.types import Stroke


def draw_strokes(alpha: np.ndarray, strokes: Iterable[Stroke]) -> np.ndarray:
    """A copy of alpha (H, W) uint8 with the strokes in order: 255 where one adds, 0 where one erases.

    A stroke is a polyline swept by a disc. A pixel belongs to it when its centre lies within `radius` of the line
    (float64, `<= radius²`); no anti-aliasing. A filled one is what the closed polyline surrounds, however often it goes
    round: a pixel belongs to it when its centre does.
    """
    alpha = alpha.copy()
    for stroke in strokes:
        value = 255 if stroke.mode == "add" else 0
        if stroke.filled:
            _fill(alpha, np.array(stroke.xy, np.float64), value)
            continue
        line = stroke.xy if len(stroke.xy) > 1 else stroke.xy * 2
        for start, end in pairwise(line):
            _sweep(alpha, start, end, stroke.radius, value)
    return alpha


def _sweep(alpha: np.ndarray, start: tuple[float, float], end: tuple[float, float], radius: float, value: int) -> None:
    """Sets the pixels within `radius` of one straight piece."""
    (ax, ay), (bx, by) = start, end
    height, width = alpha.shape
    x0, x1 = max(0, int(np.floor(min(ax, bx) - radius))), min(width, int(np.ceil(max(ax, bx) + radius)) + 1)
    y0, y1 = max(0, int(np.floor(min(ay, by) - radius))), min(height, int(np.ceil(max(ay, by) + radius)) + 1)
    if x0 >= x1 or y0 >= y1:
        return
    px = np.arange(x0, x1, dtype=np.float64)[None, :] - ax
    py = np.arange(y0, y1, dtype=np.float64)[:, None] - ay
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    along = np.clip((px * dx + py * dy) / length, 0.0, 1.0) if length > 0 else 0.0
    ex, ey = px - along * dx, py - along * dy
    alpha[y0:y1, x0:x1][ex * ex + ey * ey <= radius * radius] = value


def _fill(alpha: np.ndarray, line: np.ndarray, value: int) -> None:
    """Sets the pixels whose centres a closed polyline (n, 2) winds round; on an edge the upper and left ones belong to it."""
    height, width = alpha.shape
    ends = np.roll(line, -1, axis=0)
    top, bottom = np.minimum(line[:, 1], ends[:, 1]), np.maximum(line[:, 1], ends[:, 1])
    for y in range(max(0, int(np.ceil(top.min()))), min(height, int(np.ceil(bottom.max())))):
        crossed = np.flatnonzero((top <= y) & (y < bottom))
        (ax, ay), (bx, by) = line[crossed].T, ends[crossed].T
        at = ax + (y - ay) * (bx - ax) / (by - ay)
        order = np.argsort(at, kind="stable")
        winding = np.cumsum(np.where(by > ay, 1, -1)[order])
        edges = np.clip(np.ceil(at[order]), 0, width).astype(int)
        for k in np.flatnonzero(winding[:-1]):
            alpha[y, edges[k] : edges[k + 1]] = value
