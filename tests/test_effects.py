"""Built-in effects: nothing outside the mask, shading kept, wrong settings named."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from engine.effects import EFFECTS, apply_effect, checked_config
from engine.errors import RecipeError

SIZE = (48, 64)


def picture() -> np.ndarray:
    """A red ball-like gradient: one hue, many lightnesses."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    light = np.clip(1.1 - np.hypot(x - 24, y - 18) / 48, 0.15, 1)[..., None]
    return (np.array([220, 60, 50]) * light).astype(np.uint8)


def soft_mask() -> np.ndarray:
    alpha = np.zeros(SIZE, np.uint8)
    alpha[10:40, 12:50] = 255
    alpha[10:12] = alpha[10:12] // 2
    return alpha


@pytest.mark.parametrize("name", EFFECTS)
def test_outside_the_mask_not_a_bit_changes(name):
    image, alpha = picture(), soft_mask()
    edited = apply_effect(name, image, alpha, {})
    assert np.array_equal(edited[alpha == 0], image[alpha == 0])
    assert (edited[alpha == 255] != image[alpha == 255]).any()


@pytest.mark.parametrize("name", EFFECTS)
def test_an_empty_mask_changes_nothing(name):
    assert np.array_equal(apply_effect(name, picture(), np.zeros(SIZE, np.uint8), {}), picture())


@pytest.mark.parametrize("colour", ["#2050ff", "#20c040", "#f0e020", "#303030"])
def test_recolour_keeps_the_order_of_light_and_dark(colour):
    alpha = np.full(SIZE, 255, np.uint8)
    before = cv2.cvtColor(picture(), cv2.COLOR_RGB2LAB)[..., 0].astype(int)
    after = cv2.cvtColor(apply_effect("recolour", picture(), alpha, {"colour": colour}), cv2.COLOR_RGB2LAB)[..., 0].astype(int)
    a, b = before[:, :-8] - before[:, 8:], after[:, :-8] - after[:, 8:]
    clear = np.abs(a) > 12
    assert clear.any() and (np.sign(a) == np.sign(b))[clear].mean() > 0.97


def test_recolour_takes_the_hue_asked_for():
    edited = apply_effect("recolour", picture(), np.full(SIZE, 255, np.uint8), {"colour": "#2050ff"})
    red, green, blue = edited.reshape(-1, 3).mean(0)
    assert blue > red + 40 and blue > green


def test_grey_is_grey_and_pixels_are_blocks():
    alpha = np.full(SIZE, 255, np.uint8)
    grey = apply_effect("grade", picture(), alpha, {"brightness": 0.0, "saturation": -1.0}).astype(int)
    assert (grey.max(axis=2) - grey.min(axis=2)).max() <= 1
    blocks = apply_effect("blur", picture(), alpha, {"kind": "pixelate", "radius": 8})
    assert len(np.unique(blocks.reshape(-1, 3), axis=0)) <= (48 // 8) * (64 // 8)


WRONG = [
    ("sparkle", {}, "no effect"),
    ("recolour", {"color": "#ffffff"}, "no setting"),
    ("recolour", {"colour": "blue"}, "#2050ff"),
    ("recolour", {"strength": 2}, "from 0 to 1"),
    ("recolour", {"strength": "much"}, "from 0 to 1"),
    ("recolour", {"strength": float("nan")}, "from 0 to 1"),
    ("blur", {"kind": "swirl"}, "pixelate"),
    ("blur", {"radius": True}, "number"),
]


@pytest.mark.parametrize(("name", "config", "says"), WRONG, ids=[f"{name}-{says}" for name, _, says in WRONG])
def test_wrong_settings_are_named(name, config, says):
    with pytest.raises(RecipeError, match=says):
        apply_effect(name, picture(), soft_mask(), config)


def test_whole_numbers_stay_whole():
    """A setting that counts something takes 8 and 8.0, not 8.5."""

    @dataclass(frozen=True)
    class Counted:
        steps: int = field(default=4, metadata={"min": 1, "max": 50})

    assert checked_config(Counted, {"steps": 8.0}, "this").steps == 8
    with pytest.raises(RecipeError, match="whole number"):
        checked_config(Counted, {"steps": 8.5}, "this")
