"""The camera's motion, registered with the first picture: it does not drift, and subjects do not take it along."""

import cv2
import numpy as np
import pytest

from engine.tracking.camera import Camera
from engine.tracking.patches import pyramid

SIZE = (180, 240)


def ground(contrast: float) -> np.ndarray:
    """(h, w) float32 about 120 grey levels, with soft marks of a contrast."""
    noise = cv2.GaussianBlur(np.random.default_rng(4).standard_normal((2 * SIZE[0], 2 * SIZE[1])), (0, 0), 4)
    return (120 + contrast * noise / noise.std()).astype(np.float32)


def motion(frame: int) -> np.ndarray:
    """(3, 3): from the first picture to this one: it pans back and forth, turns and grows a little."""
    angle, scale = 0.03 * np.sin(frame / 7), 1 + 0.03 * np.sin(frame / 9)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array(SIZE[::-1]) / 2
    moved = np.eye(3)
    moved[:2, :2], moved[:2, 2] = turn, middle - turn @ middle + (18 * np.sin(frame / 8), 9 * np.sin(frame / 5))
    return moved


def picture(frame: int, contrast: float, subject: bool = True) -> np.ndarray:
    shift = np.eye(3)
    shift[:2, 2] = -SIZE[1] / 2, -SIZE[0] / 2
    seen = cv2.warpAffine(ground(contrast), (motion(frame) @ shift)[:2], SIZE[::-1])
    if subject:
        cv2.circle(seen, (20 + 6 * frame, 90), 30, 200.0, -1)
        cv2.circle(seen, (20 + 6 * frame, 80), 8, 30.0, -1)
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def errors(contrast: float, subject: bool = True, last: int = 30) -> list[float]:
    """Mean distance in px between where the camera takes places of the first picture and where they are."""
    places = np.array([(x, y, 1.0) for x in (40, 120, 200) for y in (30, 150)]).T
    camera, found = Camera(pyramid(picture(0, contrast, subject))), []
    for frame in range(1, last + 1):
        step = motion(frame) @ np.linalg.inv(motion(frame - 1))
        step[:2, 2] += 0.4  # what the flow says is a little off, always to one side
        camera.advance(pyramid(picture(frame, contrast, subject)), step[:2])
        found.append(float(np.linalg.norm(((camera.total - motion(frame)) @ places)[:2], axis=0).mean()))
    return found


@pytest.mark.parametrize("contrast", [20, 3])
def test_it_does_not_drift_and_a_passing_subject_does_not_take_it_along(contrast: float) -> None:
    assert max(errors(contrast)) < 0.5


def test_without_marks_it_goes_as_the_flow_does() -> None:
    led = 0.4 * np.sqrt(2) * np.arange(1, 11)
    assert np.abs(np.array(errors(0, subject=False, last=10)) - led).max() < 0.5


def test_it_goes_on_where_the_first_picture_is_out_of_sight() -> None:
    wide = np.tile(ground(20), (1, 3))

    def view(frame: int) -> list[np.ndarray]:
        return pyramid(np.clip(np.rint(wide[: SIZE[0], 10 * frame : 10 * frame + SIZE[1]]), 0, 255).astype(np.uint8))

    camera = Camera(view(0))
    for frame in range(1, 41):
        camera.advance(view(frame), np.array([[1.0, 0, -10.3], [0, 1, 0]]))
    assert camera.total[0, 2] == pytest.approx(-400, abs=2)
    assert camera.total[1, 2] == pytest.approx(0, abs=1)
