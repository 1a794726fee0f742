"""Flow, steps and chains: what goes where, kept on disk, carried without drifting away."""

import cv2
import numpy as np
import pytest

from engine.errors import MediaError
from engine.motion.carry import Chain
from engine.motion.flow import DenseFlow, consistency, grid, motion_size, sample, upsample, upsample_positions
from engine.motion.scratch import PositionStore
from engine.motion.steps import Steps
from engine.types import FrameRange
from tests.drawn import DrawnPictures, drawn_clip, psnr, texture


def moved(shift: tuple[float, float], size: tuple[int, int] = (160, 240)) -> tuple[np.ndarray, np.ndarray]:
    """Two grey pictures; what is at x in the first is at x + shift in the second."""
    big = cv2.cvtColor(texture((size[0] + 80, size[1] + 80), 3), cv2.COLOR_RGB2GRAY)
    matrix = np.array([[1, 0, -40 + shift[0]], [0, 1, -40 + shift[1]]], np.float32)
    return big[40 : 40 + size[0], 40 : 40 + size[1]], cv2.warpAffine(big, matrix, size[::-1], flags=cv2.INTER_CUBIC)


@pytest.mark.parametrize("shift", [(3, 0), (0, -5), (6.5, 4.25)])
def test_flow_points_from_a_to_b(shift):
    a, b = moved(shift)
    flow = DenseFlow().flow(a, b)[20:-20, 20:-20]
    assert np.abs(np.median(flow.reshape(-1, 2), axis=0) - shift).max() < 0.3


def test_consistency_falls_where_there_and_back_disagree():
    pixels = grid((20, 30))
    there = np.full((20, 30, 2), 2, np.float32)
    assert consistency(there, -there, pixels)[5:15, 5:20].min() > 0.99
    assert consistency(there, there, pixels)[5:15, 5:20].max() < 0.1
    assert consistency(there, -there, pixels)[:, -1].max() == 0  # leaves the picture


@pytest.mark.parametrize("size", [(480, 854), (720, 1280), (90, 120), (1080, 1920)])
def test_positions_keep_pixel_centres_at_full_size(size):
    small = motion_size(size)
    assert min(small) <= 288 and small[0] % 2 == 0 and small[1] % 2 == 0
    at = upsample_positions(grid(small), size)
    assert np.abs(at - grid(size)).max() < 1e-2
    window = (slice(10, 30), slice(20, 60))
    assert np.abs(upsample_positions(grid(small), size, window) - grid(size)[window]).max() < 1e-2
    assert upsample(np.ones(small, np.float32), size, window).shape == (20, 40)


def test_steps_are_computed_once_and_read_back(tmp_path):
    drawn = drawn_clip(6, (120, 200), 1)
    steps = Steps(DrawnPictures(drawn.source), drawn.size, tmp_path / "motion")
    assert steps.missing([FrameRange(0, 3), FrameRange(2, 6)]) == [0, 1, 2, 3, 4]
    steps.ensure([0, 1, 2], lambda done, total: None)
    assert steps.missing([FrameRange(0, 6)]) == [3, 4]
    steps.ensure([3, 4], lambda done, total: None)
    direct = DenseFlow().flow(steps.gray(4), steps.gray(3))
    assert np.abs(steps.flow(4, 3) - direct).mean() < 0.1
    with pytest.raises(MediaError, match="not known"):
        steps.flow(0, 2)


def test_positions_survive_the_disk(tmp_path):
    pixels = grid((40, 60))
    store = PositionStore(tmp_path / "p", pixels)
    positions = pixels + np.random.default_rng(0).normal(0, 9, pixels.shape).astype(np.float32)
    confidence = np.random.default_rng(1).random((40, 60)).astype(np.float32)
    store.put(7, positions, confidence)
    back, certain = store.get(7)
    assert np.abs(back - positions).max() <= 1 / 64 + 1e-4 and np.abs(certain - confidence).max() <= 1 / 510 + 1e-6


def test_paint_carried_far_stays_on_the_subject(tmp_path):
    """Over 20 frames of turning and growing, the chain beats following the flow alone by a clear margin."""
    drawn = drawn_clip(21, (240, 400), 3, turn=0.7, growth=0.25, light=0.1)
    steps = Steps(DrawnPictures(drawn.source), drawn.size, tmp_path / "motion")
    steps.ensure(steps.missing([FrameRange(0, 21)]), lambda done, total: None)
    subject = [cv2.resize(m, steps.size[::-1], interpolation=cv2.INTER_AREA) >= 128 for m in drawn.masks]
    difference = drawn.edited[0].astype(np.float32) - drawn.source[0]
    held, plain = Chain(steps, 0, subject[0]), grid(steps.size)
    for frame in range(1, 21):
        held.advance(frame, subject[frame])
        at = grid(steps.size) + steps.flow(frame, frame - 1)
        plain = sample(plain, at)
    results = []
    for positions in (held.positions, plain):
        carried = sample(difference, upsample_positions(positions, drawn.size), cv2.INTER_CUBIC)
        image = np.clip(drawn.source[20] + carried * (drawn.masks[20] > 0)[..., None], 0, 255)
        results.append(psnr(image, drawn.edited[20], drawn.masks[20]))
    assert results[0] > results[1] + 2, results
