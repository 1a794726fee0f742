"""Masks carried through a shot: exact where given, close in between, gone where the subject is gone."""

from pathlib import Path

import numpy as np
import pytest

from engine.errors import Cancelled
from engine.motion.steps import Steps
from engine.tracking.masks import carry_masks
from engine.types import FrameRange
from tests.drawn import DrawnPictures, drawn_clip, jaccard

FRAMES = 16


@pytest.fixture(scope="module")
def drawn():
    return drawn_clip(FRAMES, (200, 320), 9, turn=0.4, growth=0.15, light=0.08)


def carried(drawn, given: dict[int, np.ndarray], folder: Path, span: FrameRange | None = None, step=lambda done, total: None):
    span = span or FrameRange(0, FRAMES)
    steps = Steps(DrawnPictures(drawn.source), drawn.size, folder / "motion")
    steps.ensure(steps.missing([span]), lambda done, total: None)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return list(carry_masks(steps, drawn.size, given, span, step=step, scratch=scratch))


@pytest.mark.parametrize("ends", [(0,), (FRAMES - 1,), (0, FRAMES - 1), (7,)], ids=str)
def test_masks_follow_the_subject(drawn, ends, tmp_path):
    given = {frame: drawn.masks[frame] for frame in ends}
    masks = carried(drawn, given, tmp_path)
    assert [frame for frame, _ in masks] == list(range(FRAMES))
    for frame, alpha in masks:
        assert alpha.shape == drawn.size and alpha.dtype == np.uint8
        if frame in given:
            assert np.array_equal(alpha, given[frame])
    assert min(jaccard(alpha, drawn.masks[frame]) for frame, alpha in masks) > 0.85


def test_an_empty_mask_stays_empty(drawn, tmp_path):
    masks = carried(drawn, {0: np.zeros(drawn.size, np.uint8)}, tmp_path, FrameRange(0, 5))
    assert not any(alpha.any() for _, alpha in masks)


def test_same_inputs_give_same_bytes(drawn, tmp_path):
    runs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        runs.append(carried(drawn, {0: drawn.masks[0]}, tmp_path / name, FrameRange(0, 6)))
    assert all(np.array_equal(one[1], other[1]) for one, other in zip(*runs, strict=True))


def test_progress_reaches_its_total_and_cancel_is_heard(drawn, tmp_path):
    seen = []
    carried(drawn, {0: drawn.masks[0], 5: drawn.masks[5]}, tmp_path, FrameRange(0, 6), lambda *at: seen.append(at))
    assert seen[-1][0] == seen[-1][1] and [done for done, _ in seen] == sorted(done for done, _ in seen)

    def stop(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        carried(drawn, {0: drawn.masks[0]}, tmp_path, FrameRange(0, 6), stop)
