"""Point tracks: where a point goes, both ways from its query; lost points say so."""

import numpy as np

from engine.tracking.points import track_points
from engine.types import FrameRange
from tests.drawn import DrawnPictures, drawn_clip

FRAMES = 12


def truth(drawn, frame: int, xy: np.ndarray, at: int) -> np.ndarray:
    """Where a point of the subject, seen at `xy` on `frame`, lies on frame `at`."""
    plane = drawn.to_subject[frame][:, :2] @ xy + drawn.to_subject[frame][:, 2]
    back = drawn.to_subject[at]
    return np.linalg.solve(back[:, :2], plane - back[:, 2])


def test_points_on_the_subject_are_followed_both_ways():
    drawn = drawn_clip(FRAMES, (200, 320), 4, turn=0.3, growth=0.1)
    y, x = np.nonzero(drawn.masks[5])
    centre = np.array([x.mean(), y.mean()])
    queries = np.array([[5, *(centre + offset)] for offset in ((0, 0), (-12, 6), (9, -10), (4, 14))], np.float32)
    tracks = track_points(DrawnPictures(drawn.source), drawn.size, queries, FrameRange(0, FRAMES), lambda done, total: None)
    assert tracks.xy.shape == (FRAMES, 4, 2) and np.isfinite(tracks.xy).all() and tracks.visible[5].all()
    errors = [
        np.linalg.norm(tracks.xy[at, point] - truth(drawn, 5, queries[point, 1:], at))
        for at in range(FRAMES)
        for point in range(4)
        if tracks.visible[at, point]
    ]
    assert len(errors) > 0.8 * FRAMES * 4 and np.percentile(errors, 90) < 2


def test_a_lost_point_stays_where_it_was_seen_last():
    source = drawn_clip(6, (120, 160), 2).source.copy()
    source[3:] = np.random.default_rng(0).integers(0, 256, source[3:].shape, np.uint8)
    queries = np.array([[0, 80, 60]], np.float32)
    tracks = track_points(DrawnPictures(source), (120, 160), queries, FrameRange(0, 6), lambda done, total: None)
    lost = int(np.argmin(tracks.visible[:, 0]))
    assert 0 < lost <= 3 and not tracks.visible[lost:, 0].any()
    assert (tracks.xy[lost:, 0] == tracks.xy[lost - 1, 0]).all() and (tracks.confidence[lost:, 0] == 0).all()
