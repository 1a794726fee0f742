"""Effects that look around or place pictures: what is behind comes back, a picture lies in its corners."""

import cv2
import numpy as np
import pytest
from PIL import Image

from engine.effects import apply_effect, picture_fields
from engine.effects.nearby import Nearby
from engine.effects.perspective import Perspective, quad_of
from engine.errors import EngineError, ProjectError, RecipeError
from engine.types import FrameRange
from tests.drawn import texture

SIZE = (120, 180)
FRAMES = 25


def shot() -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """A camera that wanders over a textured ground, a dark disc that crosses it: pictures, masks, the ground alone."""
    ground = cv2.GaussianBlur(texture((200, 300), 3), (0, 0), 1)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    pictures, masks, behind = [], [], []
    for t in range(FRAMES):
        view = ground[20 + t : 20 + t + SIZE[0], 30 + t // 2 : 30 + t // 2 + SIZE[1]]
        disc = np.hypot(y - 60, x - (40 + 4 * t)) < 18
        masks.append(disc.astype(np.uint8) * 255)
        pictures.append(np.where(disc[..., None], np.uint8(25), view))
        behind.append(view)
    return pictures, masks, behind


def nearby(pictures: list[np.ndarray], masks: list[np.ndarray | None], frame: int) -> Nearby:
    return Nearby(frame, FrameRange(0, FRAMES), lambda f: pictures[f], lambda f: masks[f])


def test_what_is_behind_comes_from_other_frames() -> None:
    pictures, masks, behind = shot()
    alpha = cv2.dilate(masks[12], np.ones((5, 5), np.uint8))
    made = apply_effect("background", pictures[12], alpha, {}, nearby(pictures, masks, 12))
    assert np.array_equal(made[alpha == 0], pictures[12][alpha == 0])
    assert np.abs(made[alpha > 0].astype(int) - behind[12][alpha > 0]).mean() < 4
    made_up = apply_effect("background", pictures[12], alpha, {"reach": 0}, nearby(pictures, masks, 12))
    off = np.abs(made_up[alpha > 0].astype(int) - behind[12][alpha > 0]).mean()
    assert off > 2 * np.abs(made[alpha > 0].astype(int) - behind[12][alpha > 0]).mean()


def test_without_masks_on_other_frames_the_way_out_is_said() -> None:
    pictures, masks, _ = shot()
    alone = [mask if frame == 12 else None for frame, mask in enumerate(masks)]
    with pytest.raises(ProjectError, match="carry it"):
        apply_effect("background", pictures[12], masks[12], {}, nearby(pictures, alone, 12))


@pytest.mark.parametrize("turn", [0.0, 0.2])
def test_corners_are_those_of_the_mask(turn: float) -> None:
    away = np.array([[-50, -30], [45, -38], [48, 30], [-52, 26]], np.float32)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32)
    corners = away @ matrix.T + [90, 60]
    alpha = np.zeros(SIZE, np.uint8)
    cv2.fillConvexPoly(alpha, np.rint(corners).astype(np.int32), 255)
    assert np.abs(quad_of(alpha) - corners).max() < 3
    disc = shot()[1][12]
    assert np.abs(quad_of(disc) - [[70, 42], [107, 42], [107, 79], [70, 79]]).max() <= 2, "upright, where nothing says otherwise"


def test_a_picture_lies_in_its_corners(tmp_path) -> None:
    colours = np.zeros((40, 60, 3), np.uint8)
    colours[:20, :30], colours[:20, 30:], colours[20:, 30:], colours[20:, :30] = (
        (250, 0, 0),
        (0, 250, 0),
        (0, 0, 250),
        (250, 250, 0),
    )
    Image.fromarray(colours).save(tmp_path / "four.png")
    image, alpha = np.full((*SIZE, 3), 90, np.uint8), np.zeros(SIZE, np.uint8)
    alpha[20:100, 30:150] = 255
    made = apply_effect("picture", image, alpha, {"file": str(tmp_path / "four.png")})
    for y, x, colour in ((30, 45, (250, 0, 0)), (30, 135, (0, 250, 0)), (90, 135, (0, 0, 250)), (90, 45, (250, 250, 0))):
        assert np.abs(made[y, x].astype(int) - colour).max() < 12
    assert np.array_equal(made[alpha == 0], image[alpha == 0])
    moved = apply_effect("picture", image, alpha, {"file": str(tmp_path / "four.png"), "x1": 30.0, "x4": 30.0})
    assert np.abs(moved[60, 40].astype(int) - 90).max() < 2  # left of the moved corners the subject is seen
    whole = apply_effect("picture", image, alpha, {"file": str(tmp_path / "four.png"), "fit": "whole"})
    assert (np.abs(whole[60].astype(int) - 90).max(axis=1) > 20).sum() <= 121


def test_what_is_no_picture_is_said(tmp_path) -> None:
    (tmp_path / "no.png").write_text("no")
    alpha = np.full(SIZE, 255, np.uint8)
    with pytest.raises(EngineError):
        apply_effect("picture", np.zeros((*SIZE, 3), np.uint8), alpha, {"file": str(tmp_path / "no.png")})
    with pytest.raises(RecipeError, match="path"):
        apply_effect("picture", np.zeros((*SIZE, 3), np.uint8), alpha, {"file": 3})
    assert picture_fields(Perspective) == ["file"]
