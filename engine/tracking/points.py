"""Point tracks without weights: pyramidal Lucas–Kanade both ways from each query, checked forward and back."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from engine.pictures import Pictures
from engine.types import FrameRange, Tracks

WINDOW = (21, 21)
LEVELS = 4
AGREE = 1.0  # px at tracking scale between start and return; beyond it a point counts as lost
CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)
TRACK_SIDE = 720  # short side, px


def track_points(
    pictures: Pictures, size: tuple[int, int], queries: np.ndarray, span: FrameRange, step: Callable[[int, int], None]
) -> Tracks:
    """Follows `queries` (P, 3) float32 (frame, x, y) through the span. `step` may raise Cancelled.

    A lost point stays where it was last seen, not visible; it is not found again (the next frames' check fails too).
    """
    count, length = len(queries), len(span)
    xy = np.repeat(queries[None, :, 1:].astype(np.float32), length, axis=0)
    visible = np.zeros((length, count), bool)
    confidence = np.zeros((length, count), np.float32)
    scale = min(1.0, TRACK_SIDE / min(size))
    small = (round(size[0] * scale), round(size[1] * scale))
    tracks = Tracks(xy, visible, confidence, queries.astype(np.float32), span.start)
    for point, (frame, _, _) in enumerate(queries):
        at = int(frame) - span.start
        visible[at, point], confidence[at, point] = True, 1
    for direction in (1, -1):
        _follow(pictures, small, tracks, span, direction, size)
        step(length * (1 if direction > 0 else 2) // 2, length)
    return tracks


def _follow(
    pictures: Pictures, small: tuple[int, int], tracks: Tracks, span: FrameRange, direction: int, size: tuple[int, int]
) -> None:
    """One pass over the span: every point from its query on in this direction."""
    factor = np.array([small[1] / size[1], small[0] / size[0]], np.float32)
    rows = range(len(span)) if direction > 0 else range(len(span) - 1, -1, -1)
    start = tracks.queries[:, 0].astype(int) - span.start
    before = None
    for row in rows:
        picture = pictures.gray(span.start + row, small)
        begun = (row - start) * direction > 0
        if before is not None and begun.any():
            last = row - direction
            active = begun & tracks.visible[last]
            tracks.xy[row, begun] = tracks.xy[last, begun]
            if active.any():
                found, agrees = _step(before, picture, tracks.xy[last, active] * factor)
                seen = agrees & (found >= -0.5).all(1) & (found <= np.array(small[::-1]) - 0.5).all(1)
                moved = np.where(seen[:, None], found / factor, tracks.xy[last, active])
                tracks.xy[row, active] = moved
                tracks.visible[row, active] = seen
                tracks.confidence[row, active] = seen * tracks.confidence[last, active] * 0.995
        before = picture


def _step(before: np.ndarray, after: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """New places (P, 2) and whether going back ends within `AGREE` px of the start (P,)."""
    options = {"winSize": WINDOW, "maxLevel": LEVELS, "criteria": CRITERIA}
    start = np.ascontiguousarray(points[:, None])
    there, fine, _ = cv2.calcOpticalFlowPyrLK(before, after, start, start.copy(), **options)  # type: ignore[call-overload]
    back, fine_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, there.copy(), **options)  # type: ignore[call-overload]
    error = np.linalg.norm((back - start)[:, 0], axis=1)
    return there[:, 0], (fine[:, 0] > 0) & (fine_back[:, 0] > 0) & (error < AGREE)
