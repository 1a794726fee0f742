"""Frames to a model's size and back: what did not change keeps its detail."""

import numpy as np
import pytest
import torch

from engine.diffusion.pictures import fit, lay, working_size


def noise(size: tuple[int, int], count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8)


def test_range_and_size() -> None:
    frames = noise((60, 90))
    shown = fit(frames, (60, 90))
    assert shown.shape == (2, 3, 60, 90) and float(shown.min()) == -1 and float(shown.max()) == 1
    assert torch.equal(shown[1, :, 7, 9], torch.from_numpy(frames[1, 7, 9]).float() / 127.5 - 1)
    assert fit(frames, (32, 48)).shape == (2, 3, 32, 48)


@pytest.mark.parametrize("size", [(32, 48), (60, 90), (120, 64)])
def test_no_change_leaves_the_source_to_the_bit(size: tuple[int, int]) -> None:
    frames = noise((60, 90))
    shown = fit(frames, size)
    assert np.array_equal(lay(frames[0], shown[0], shown[0]), frames[0])


def test_an_even_change_is_laid_on_evenly() -> None:
    source = np.full((60, 90, 3), 100, np.uint8)
    shown = fit(source[None], (32, 48))[0]
    assert np.array_equal(lay(source, shown, shown + 20 / 127.5), source + 20)
    assert lay(source, shown, shown + 2).max() == 255


def test_the_change_lands_where_it_was_made() -> None:
    source = np.zeros((64, 96, 3), np.uint8)
    shown = fit(source[None], (32, 48))[0]
    after = shown.clone()
    after[:, 8:16, 24:36] += 1
    ys, xs = np.nonzero(lay(source, shown, after)[..., 0] > 64)
    assert abs(ys.min() - 16) <= 1 and abs(ys.max() - 31) <= 1 and abs(xs.min() - 48) <= 1 and abs(xs.max() - 71) <= 1


def test_the_working_size_keeps_proportions_and_multiples() -> None:
    assert working_size((480, 854), 832 * 480, (16, 16)) == (480, 848)
    assert working_size((64, 64), 64 * 64, (4, 4)) == (64, 64)
    height, width = working_size((100, 1000), 4096, (4, 4))
    assert height % 4 == width % 4 == 0 and height >= 4 and abs(width / height - 10) < 2.5
