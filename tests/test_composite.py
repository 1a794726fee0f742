"""The region, exactness outside it, and what a take changes beyond it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.composite import clip_to_region, edit_region, inside, outside_difference, region_of_difference
from engine.rendering.patches import apply_patch, make_patch

SIZE = (60, 80)


def square() -> np.ndarray:
    alpha = np.zeros(SIZE, np.uint8)
    alpha[20:40, 30:50] = 255
    return alpha


@given(st.integers(-6, 12), st.integers(0, 10))
@settings(deadline=None, max_examples=40)
def test_region_is_whole_inside_and_nothing_beyond_its_reach(grow, feather):
    region = edit_region(square(), grow, feather)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    away = np.maximum(np.maximum(20 - y, y - 39), np.maximum(30 - x, x - 49))  # Chebyshev distance from the square
    assert (region[away <= min(grow, 0) - 1] == 255).all()
    assert (region[away > max(grow, 0) + feather + 1] == 0).all()


def test_a_plain_mask_is_its_own_region():
    alpha = square()
    alpha[20, 30] = 77
    assert np.array_equal(edit_region(alpha, 0, 0), alpha)
    assert not edit_region(np.zeros(SIZE, np.uint8), 5, 5).any()


def test_blending_is_exact_at_both_ends():
    rng = np.random.default_rng(0)
    source, edited = (rng.integers(0, 256, (*SIZE, 3), np.uint8) for _ in range(2))
    region = rng.integers(0, 256, SIZE, np.uint8)
    region[:10], region[10:20] = 0, 255
    mixed = inside(source, edited, region)
    assert np.array_equal(mixed[region == 0], source[region == 0])
    assert np.array_equal(mixed[region == 255], edited[region == 255])
    low, high = np.minimum(source, edited), np.maximum(source, edited)
    assert ((mixed >= low) & (mixed <= high)).all()


def test_codec_noise_is_no_difference_and_a_stroke_is_one():
    source = np.full((*SIZE, 3), 100, np.uint8)
    noisy = source.copy()
    noisy[5, 5] += 2
    assert outside_difference(source, noisy, square()) is None
    painted = noisy.copy()
    painted[5:8, 5:8] = 200
    painted[25, 35] = 0  # inside the region: allowed
    found = outside_difference(source, painted, square())
    assert found is not None and found.sum() == 9
    assert region_of_difference(source, painted)[6, 6] == 255
    assert np.array_equal(clip_to_region(source, painted, square())[5:8, 5:8], source[5:8, 5:8])


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.02))
@settings(deadline=None, max_examples=30)
def test_patches_bring_back_every_bit(seed, share):
    rng = np.random.default_rng(seed)
    source = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    image = np.where(rng.random(SIZE)[..., None] < share, rng.integers(0, 256, (*SIZE, 3), np.uint8), source)
    assert np.array_equal(apply_patch(source, make_patch(source, image)), image)
