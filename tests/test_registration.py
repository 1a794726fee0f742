"""How a painted picture lies on its frame: shifts to a tenth of a pixel, colours, and nothing where nothing is wrong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.handover.registration import measure, shifted_back

SIZE = (180, 260)


def scene() -> np.ndarray:
    """(H, W, 3): smooth noise of several sizes, as photographs have it."""
    lot = np.random.default_rng(5)
    picture = sum(cv2.GaussianBlur(lot.normal(0, 20 * s, (*SIZE, 3)).astype(np.float32), (0, 0), s) for s in (1.5, 4, 12))
    return np.clip(np.asarray(picture) + 128, 0, 255).astype(np.uint8)


def region() -> np.ndarray:
    return cv2.ellipse(np.zeros(SIZE, np.uint8), (120, 90), (40, 50), 0, 0, 360, 255, -1)


def painted(picture: np.ndarray) -> np.ndarray:
    mask = region() > 0
    return np.where(mask[..., None], picture // 3 + np.array([150, 10, 10], np.uint8), picture).astype(np.uint8)


def moved(picture: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    return cv2.warpAffine(picture, matrix, SIZE[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("shift", [(3, -2), (-11, 0), (0.5, 0.25), (0, 27), (-1, 1)])
def test_a_shift_is_measured_outside_the_mask(shift: tuple[float, float]) -> None:
    found = measure(scene(), moved(painted(scene()), shift), region())
    assert found.shift is not None and np.abs(np.subtract(found.shift, shift)).max() < 0.1
    assert found.is_shifted and "px" in " ".join(found.sentences())


def test_painting_inside_the_mask_is_no_shift_and_no_change() -> None:
    found = measure(scene(), painted(scene()), region())
    assert found.shift == (0.0, 0.0) and found.changed == 0.0 and found.sentences() == []


def test_codec_noise_and_strokes_outside_are_no_shift() -> None:
    rough = np.clip(painted(scene()).astype(int) + np.random.default_rng(1).integers(-4, 5, (*SIZE, 3)), 0, 255).astype(np.uint8)
    assert measure(scene(), rough, region()).shift == (0.0, 0.0)
    stroke = painted(scene())
    stroke[:30] = 250
    found = measure(scene(), stroke, region())
    assert found.shift == (0.0, 0.0) and 0.1 < found.changed < 0.3 and "%" in found.sentences()[0]


def test_a_change_of_all_colours_is_said() -> None:
    found = measure(scene(), np.clip(painted(scene()).astype(int) + np.array([5, 0, -3]), 0, 255).astype(np.uint8), region())
    assert found.levels == (5, 0, -3) and "red +5, green +0, blue -3" in found.sentences()[0]


def test_whole_pixels_are_undone_to_the_bit() -> None:
    source = scene()
    back = shifted_back(moved(source, (6, -4)), (6.02, -3.97), source)
    assert (back == source).all(), "what the shift pushed out of the picture comes from the source"


def test_parts_of_a_pixel_are_undone_closely() -> None:
    source = scene()
    back = shifted_back(moved(painted(source), (2.5, 1.5)), (2.5, 1.5), source)
    assert measure(source, back, region()).shift == (0.0, 0.0)


def test_a_mask_over_everything_leaves_nothing_to_measure() -> None:
    found = measure(scene(), scene(), np.full(SIZE, 255, np.uint8))
    assert found.shift is None and not found.is_shifted and "could not be measured" in found.sentences()[0]
