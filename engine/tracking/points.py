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
FADE = 0.995  # confidence per frame


def track_points(
    pictures: Pictures, size: tuple[int, int], queries: np.ndarray, span: FrameRange, step: Callable[[int, int], None]
) -> Tracks:
    """Follows `queries` (P, 3) float32 (frame, x, y) through the span. `step` may raise Cancelled.

    A lost point stays where it was last seen, not visible, to the end of the span: it is not found again.
    """
    count, length = len(queries), len(span)
    xy = np.repeat(queries[None, :, 1:].astype(np.float32), length, axis=0)
    visible = np.zeros((length, count), bool)
    confidence = np.zeros((length, count), np.float32)
    tracks = Tracks(xy, visible, confidence, queries.astype(np.float32), span.start)
    for point, (frame, _, _) in enumerate(queries):
        at = int(frame) - span.start
        visible[at, point], confidence[at, point] = True, 1
    looks = _Looks(pictures, size)
    for number, direction in enumerate((1, -1)):
        _follow(looks, tracks, span, direction)
        step(length * (number + 1) // 2, length)
    return tracks


class _Looks:
    """Frames at tracking scale, and points to and from it; pixel centres stay pixel centres."""

    def __init__(self, pictures: Pictures, size: tuple[int, int]) -> None:
        self._pictures = pictures
        scale = min(1.0, TRACK_SIDE / min(size))
        self.size = (round(size[0] * scale), round(size[1] * scale))
        self._factor = np.array([self.size[1] / size[1], self.size[0] / size[0]], np.float32)

    def at(self, frame: int) -> np.ndarray:
        return self._pictures.gray(frame, self.size)

    def to_small(self, points: np.ndarray) -> np.ndarray:
        return (points + 0.5) * self._factor - 0.5

    def to_full(self, points: np.ndarray) -> np.ndarray:
        return (points + 0.5) / self._factor - 0.5

    def inside(self, points: np.ndarray) -> np.ndarray:
        """(P,) bool for points at tracking scale."""
        return np.asarray((points >= -0.5).all(1) & (points <= np.array(self.size[::-1]) - 0.5).all(1))


def _follow(looks: _Looks, tracks: Tracks, span: FrameRange, direction: int) -> None:
    """One pass over the span: every point from its query on in this direction."""
    rows = range(len(span)) if direction > 0 else range(len(span) - 1, -1, -1)
    start = tracks.queries[:, 0].astype(int) - span.start
    before = None
    for row in rows:
        picture = looks.at(span.start + row)
        begun = (row - start) * direction > 0
        if before is not None and begun.any():
            last = row - direction
            active = begun & tracks.visible[last]
            tracks.xy[row, begun] = tracks.xy[last, begun]
            if active.any():
                found, agrees = _step(before, picture, looks.to_small(tracks.xy[last, active]))
                seen = agrees & looks.inside(found)
                tracks.xy[row, active] = np.where(seen[:, None], looks.to_full(found), tracks.xy[last, active])
                tracks.visible[row, active] = seen
                tracks.confidence[row, active] = seen * tracks.confidence[last, active] * FADE
        before = picture


def _step(before: np.ndarray, after: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """New places (P, 2) and whether going back ends within `AGREE` px of the start (P,)."""
    options = {"winSize": WINDOW, "maxLevel": LEVELS, "criteria": CRITERIA}
    start = np.ascontiguousarray(points[:, None])
    there, fine, _ = cv2.calcOpticalFlowPyrLK(before, after, start, start.copy(), **options)  # type: ignore[call-overload]
    back, fine_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, there.copy(), **options)  # type: ignore[call-overload]
    error = np.linalg.norm((back - start)[:, 0], axis=1)
    return there[:, 0], (fine[:, 0] > 0) & (fine_back[:, 0] > 0) & (error < AGREE)
