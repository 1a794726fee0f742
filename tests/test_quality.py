"""Doubt of frames, and the next anchor: closed cases."""

import numpy as np
import pytest

from engine.quality import doubt, doubts, levels, suggestions, usual_doubt
from engine.types import FrameRange

SHOT = FrameRange(0, 60)


def noted(values: dict[int, float], region: float = 0.1) -> dict[int, dict[str, float]]:
    return {frame: {"unseen": 0.0, "confidence": 1 - value, "region": region} for frame, value in values.items()}


def test_doubt_is_what_is_unseen_or_unsure() -> None:
    assert doubt({"unseen": 0.0, "confidence": 1.0}) == 0
    assert doubt({"unseen": 1.0, "confidence": 1.0}) == 1
    assert doubt({"unseen": 0.5, "confidence": 0.5}) == pytest.approx(0.75)
    assert doubt({"frame": 3}) is None
    assert doubts({1: {"confidence": 0.5}, 2: {}}) == {1: 0.5}


def test_where_doubt_grows_evenly_the_middle_is_next() -> None:
    between = {frame: min(frame, 59 - frame) / 60 for frame in range(60)}
    best = suggestions(noted(between), [0, 59], [SHOT])[0]
    assert abs(best.frame - 29.5) < 3


def test_after_a_single_anchor_the_best_is_beyond_the_middle() -> None:
    """Frames on both sides of it gain; the ones near the old anchor need it least."""
    best = suggestions(noted({frame: frame / 60 for frame in range(60)}), [0], [SHOT])[0]
    assert 32 <= best.frame <= 50


def test_a_hump_is_where_it_is() -> None:
    hump = {frame: 0.05 + 0.8 * float(np.exp(-(((frame - 42) / 4) ** 2))) for frame in range(1, 59)} | {0: 0.0, 59: 0.0}
    assert abs(suggestions(noted(hump), [0, 59], [SHOT])[0].frame - 42) <= 6


def test_shots_are_judged_apart() -> None:
    values = {frame: min(frame, 29 - frame) / 30 for frame in range(30)}
    first, second = noted(values), noted({frame + 30: 2 * value for frame, value in values.items()})
    ranked = suggestions({**first, **second}, [0, 29, 30, 59], [FrameRange(0, 30), FrameRange(30, 60)])
    assert {one.frame // 30 for one in ranked} == {0, 1}
    assert ranked[0].frame >= 30 and ranked[0].gain > 1.5 * max(one.gain for one in ranked if one.frame < 30)


def test_a_frame_that_hardly_shows_the_subject_becomes_no_anchor() -> None:
    measures = noted({frame: frame / 60 for frame in range(60)})
    for frame in range(20, 45):
        measures[frame]["region"] = 0.001
    ranked = suggestions(measures, [0], [SHOT])
    assert ranked and not any(20 <= one.frame < 45 for one in ranked)


def test_nothing_to_gain_suggests_nothing() -> None:
    assert suggestions(noted(dict.fromkeys(range(60), 0.0)), [0], [SHOT]) == []
    assert suggestions({}, [0], [SHOT]) == [] and suggestions(noted({5: 0.4}), [], [SHOT]) == []


def test_the_usual_doubt_never_falls() -> None:
    curve = usual_doubt(np.array([0, 1, 2, 3, 4]), np.array([0.0, 0.4, 0.2, 0.3, 0.9]))
    assert np.allclose(curve, [0, 0.3, 0.3, 0.3, 0.9]) and curve.shape == (5,)
    assert np.all(np.diff(usual_doubt(np.arange(50), np.random.default_rng(0).random(50))) >= -1e-12)


def test_levels_as_text() -> None:
    assert levels({0: 0.0, 2: 0.5, 3: 1.0, 9: 0.3}, 5) == "0-49-"
