"""Doubt of frames, and the next anchor: closed cases."""

import numpy as np
import pytest

from engine.quality import doubt, doubts, levels, suggestions
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


def test_where_doubt_grows_evenly_about_the_middle_is_next() -> None:
    between = {frame: min(frame, 59 - frame) / 60 for frame in range(60)}
    best = suggestions(noted(between), [0, 59], [SHOT])[0]
    assert abs(best.frame - 29.5) < 10


def test_after_a_single_anchor_the_best_is_beyond_the_middle() -> None:
    """Frames on both sides of it gain; the ones near the old anchor need it least."""
    best = suggestions(noted({frame: frame / 60 for frame in range(60)}), [0], [SHOT])[0]
    assert best.frame >= 32


@pytest.mark.parametrize("middle", [20, 42])
def test_a_wide_hump_is_worth_an_anchor_and_a_short_one_is_not(middle: int) -> None:
    """A frame that is like few others helps few others."""

    def hump(width: float) -> int:
        values = {frame: 0.05 + 0.8 * float(np.exp(-(((frame - middle) / width) ** 4))) for frame in range(1, 59)}
        return suggestions(noted(values | {0: 0.0, 59: 0.0}), [0, 59], [SHOT])[0].frame

    assert abs(hump(9) - middle) <= 9 and abs(hump(1.5) - middle) > 3


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


def test_two_anchors_are_better_than_one_and_an_open_end_wants_one_late() -> None:
    """With errors that do not grow, frames gain by lying between two anchors: most do where the new one is late."""
    best = suggestions(noted({frame: 0.1 * min(1.0, frame / 5) for frame in range(60)}), [0], [SHOT])[0]
    assert best.frame >= 40


def test_what_shows_little_of_the_subject_is_no_good_anchor() -> None:
    measures = noted({frame: 0.1 * min(1.0, frame / 5) for frame in range(60)})
    for frame in range(40, 60):
        measures[frame]["region"] = 0.055  # just enough to be an anchor at all
    gains = {one.frame: one.gain for one in suggestions(measures, [0], [SHOT])}
    assert max(gains, key=lambda frame: gains[frame]) < 40 and gains[35] > gains[50] > 0


def test_levels_as_text() -> None:
    assert levels({0: 0.0, 2: 0.5, 3: 1.0, 9: 0.3}, 5) == "0-49-"
