"""What a lost subject gets back from another one that took it while they touched."""

import numpy as np
import pytest

from engine.tracking.mask_find import Sought, taken_part
from engine.tracking.mask_memory import CELL

SIZE = (80, 160)
LOST = Sought(area=400.0, centre=(112.0, 40.0), lost=3)


def mask(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    soft = np.zeros(SIZE, np.float32)
    for x0, y0, x1, y1 in boxes:
        soft[y0:y1, x0:x1] = 1
    return soft


def odds(main: float, part: float) -> np.ndarray:
    """By cell: left of the middle, and right of it."""
    rather = np.full((SIZE[0] // CELL, SIZE[1] // CELL), main, np.float32)
    rather[:, SIZE[1] // CELL // 2 :] = part
    return rather


MAIN, PART = (10, 20, 60, 60), (100, 30, 120, 50)


def test_a_part_that_came_apart_and_looks_like_the_lost_one_is_given_back() -> None:
    part = taken_part(LOST, mask(MAIN, PART), odds(-1.0, -0.2))
    assert part is not None and (part == (mask(PART) > 0)).all()


@pytest.mark.parametrize(
    ("soft", "rather", "why"),
    [
        (mask(MAIN), odds(-1.0, -0.2), "there is no other part"),
        (mask(MAIN, PART), odds(-0.3, -0.2), "it looks no more like the lost one than the rest does"),
        (mask(MAIN, PART), odds(-2.0, -1.5), "it does not look like the lost one"),
        (mask(MAIN, (100, 38, 104, 42)), odds(-1.0, -0.2), "it is a speck"),
        (mask((150, 0, 160, 10), (62, 10, 158, 78)), odds(-1.0, -0.2), "it is far larger"),
    ],
)
def test_what_is_the_others_stays_the_others(soft: np.ndarray, rather: np.ndarray, why: str) -> None:
    assert taken_part(LOST, soft, rather) is None, why


def test_what_is_far_from_where_it_was_lost_stays() -> None:
    assert taken_part(Sought(400.0, (300.0, 40.0), 3), mask(MAIN, PART), odds(-1.0, -0.2)) is None
