"""Point tracks: where a point goes, both ways from its query; hidden ones are found again; spots cut what is solved."""

import cv2
import numpy as np
import pytest

from engine.tracking.points import Stretch, gathered, solve, stretches_of, track_points
from engine.types import FrameRange, Spot
from tests.drawn import DrawnPictures, drawn_clip, texture

FRAMES = 12


def silent(done: int, total: int) -> None:
    """No progress."""


def truth(drawn, frame: int, xy: np.ndarray, at: int) -> np.ndarray:
    """Where a point of the subject, seen at `xy` on `frame`, lies on frame `at`."""
    plane = drawn.to_subject[frame][:, :2] @ xy + drawn.to_subject[frame][:, 2]
    back = drawn.to_subject[at]
    return np.linalg.solve(back[:, :2], plane - back[:, 2])


def hidden_clip(frames: int = 24, bar: range = range(8, 15)) -> tuple[np.ndarray, np.ndarray]:
    """(T, 120, 160, 3) of a texture that moves 2 px a frame to the right, an upright bar over it on the frames `bar`; and
    the shift of the texture (T,)."""
    ground, cover = texture((120, 260), 5), texture((120, 44), 9, base=(60, 160, 70))
    shift = 2.0 * np.arange(frames)
    source = np.stack([ground[:, 90 - 2 * t : 250 - 2 * t] for t in range(frames)])
    for frame in bar:
        source[frame, :, 60:104] = cover
    return source, shift


def test_points_on_the_subject_are_followed_both_ways():
    drawn = drawn_clip(FRAMES, (200, 320), 4, turn=0.3, growth=0.1)
    y, x = np.nonzero(drawn.masks[5])
    centre = np.array([x.mean(), y.mean()])
    queries = np.array([[5, *(centre + offset)] for offset in ((0, 0), (-12, 6), (9, -10), (4, 14))], np.float32)
    tracks = track_points(DrawnPictures(drawn.source), drawn.size, queries, FrameRange(0, FRAMES), silent)
    assert tracks.xy.shape == (FRAMES, 4, 2) and np.isfinite(tracks.xy).all() and tracks.visible[5].all()
    errors = [
        np.linalg.norm(tracks.xy[at, point] - truth(drawn, 5, queries[point, 1:], at))
        for at in range(FRAMES)
        for point in range(4)
        if tracks.visible[at, point]
    ]
    assert len(errors) == FRAMES * 4 and np.percentile(errors, 90) < 0.6 and max(errors) < 1.5


def test_a_point_on_a_turning_subject_does_not_drift():
    drawn = drawn_clip(30, (160, 240), 7, turn=1.5, growth=0.25)
    y, x = np.nonzero(drawn.masks[0])
    queries = np.array([[0, x.mean() + 8, y.mean() - 6]], np.float32)
    tracks = track_points(DrawnPictures(drawn.source), drawn.size, queries, FrameRange(0, 30), silent)
    assert tracks.visible[:, 0].mean() > 0.9
    assert np.linalg.norm(tracks.xy[29, 0] - truth(drawn, 0, queries[0, 1:], 29)) < 1.0


def test_a_hidden_point_is_found_again_where_it_is():
    source, shift = hidden_clip()
    queries = np.array([[0, 60, 50], [0, 66, 80]], np.float32)
    tracks = track_points(DrawnPictures(source), (120, 160), queries, FrameRange(0, 24), silent)
    errors = np.linalg.norm(tracks.xy - (queries[None, :, 1:] + np.stack([shift, 0 * shift], axis=1)[:, None]), axis=2)
    assert not tracks.visible[9:14].any() and tracks.visible[:7].all() and tracks.visible[17:].all()
    assert errors[tracks.visible].max() < 1.0


def test_what_is_gone_is_not_seen():
    source = drawn_clip(6, (120, 160), 2).source.copy()
    source[3:] = np.random.default_rng(0).integers(0, 256, source[3:].shape, np.uint8)
    tracks = track_points(DrawnPictures(source), (120, 160), np.array([[0, 54, 60]], np.float32), FrameRange(0, 6), silent)
    assert tracks.visible[:3, 0].all() and not tracks.visible[3:, 0].any() and (tracks.confidence[3:, 0] == 0).all()
    assert np.isfinite(tracks.xy).all()


def test_stretches_lie_between_spots_and_never_cross_a_cut():
    spots = [Spot(3, 1, 1), Spot(7, 2, 2, False), Spot(14, 3, 3)]
    shots = [FrameRange(0, 10), FrameRange(10, 20), FrameRange(20, 30)]
    found = stretches_of(spots, FrameRange(1, 25), shots)
    assert found == [
        Stretch(FrameRange(1, 4), None, spots[0]),
        Stretch(FrameRange(3, 8), spots[0], spots[1]),
        Stretch(FrameRange(7, 10), spots[1], None),
        Stretch(FrameRange(10, 15), None, spots[2]),
        Stretch(FrameRange(14, 20), spots[2], None),
    ]
    tracks = gathered([(spots, [])], FrameRange(1, 25))
    assert tracks.visible[:, 0].nonzero()[0].tolist() == [2, 13] and tuple(tracks.xy[6, 0]) == (2, 2)


def test_a_spot_in_the_middle_is_met_from_both_sides():
    source, shift = hidden_clip(24, range(6, 20))
    there = Spot(22, 60 + shift[22], 50)
    spots = [Spot(0, 60, 50), there]
    (stretch, *rest) = stretches_of(spots, FrameRange(0, 24), [FrameRange(0, 24)])
    assert stretch == Stretch(FrameRange(0, 23), *spots) and len(rest) == 1
    (trail,) = solve(DrawnPictures(source), (120, 160), [stretch], silent)
    error = np.linalg.norm(trail.xy - np.stack([60 + shift[:23], np.full(23, 50)], axis=1), axis=1)
    assert trail.visible[[1, 2, 21]].all() and error[[1, 2, 21]].max() < 0.5 and not trail.visible[8:17].any()
    assert error.max() < 20  # also where it is hidden it goes from one spot to the other


def test_each_stretch_is_solved_as_if_it_were_alone():
    source, _ = hidden_clip(10, range(0))
    stretches = [Stretch(FrameRange(0, 10), Spot(0, 60, 50), None), Stretch(FrameRange(2, 7), Spot(2, 90, 70), Spot(6, 98, 70))]
    pictures = DrawnPictures(source)
    together = solve(pictures, (120, 160), stretches, silent)
    for stretch, trail in zip(stretches, together, strict=True):
        (alone,) = solve(pictures, (120, 160), [stretch], silent)
        assert np.array_equal(alone.xy, trail.xy) and np.array_equal(alone.visible, trail.visible)


def test_it_can_be_stopped():
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise Stop

    source, _ = hidden_clip(8, range(0))
    with pytest.raises(Stop):
        track_points(DrawnPictures(source), (120, 160), np.array([[0, 60, 50]], np.float32), FrameRange(0, 8), stop)


def test_a_point_on_even_ground_stays_when_something_passes_over_it():
    pan, frames, rng = 3, 24, np.random.default_rng(2)
    hills = cv2.GaussianBlur(rng.standard_normal((120, 300)), (0, 0), 6)
    ground = np.clip(120 + 2.5 * hills / hills.std(), 0, 255)
    ground[:, ::40] += 60  # marks far from the point
    source = np.repeat(np.stack([ground[:, pan * t : pan * t + 200] for t in range(frames)])[..., None], 3, axis=3).astype(
        np.uint8
    )
    ball = texture((40, 40), 11)
    for frame in range(6, frames):
        x = 12 * (frame - 6)
        wide = min(40, 200 - x)
        if wide > 0:
            source[frame, 40:80, x : x + wide] = ball[:, :wide]
    tracks = track_points(DrawnPictures(source), (120, 200), np.array([[0, 140, 60]], np.float32), FrameRange(0, frames), silent)
    hidden = [frame for frame in range(6, frames) if 0 <= 140 - pan * frame - 12 * (frame - 6) < 40]
    assert not tracks.visible[hidden[1:-1], 0].any() and tracks.visible[-1, 0]
    assert np.abs(tracks.xy[:, 0] - np.array([(140 - pan * t, 60) for t in range(frames)])).max() < 2.0
