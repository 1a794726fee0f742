"""Lassos: the engine and the page fill the same pixels, and those whose centres the line winds round."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from engine.segmentation.strokes import draw_strokes
from engine.types import Stroke

LASSOS = json.loads((Path(__file__).parent / "js" / "lassos.json").read_text(encoding="utf-8"))


def winds_round(xy: list[list[float]], width: int, height: int) -> np.ndarray:
    """(H, W) bool by the angles under which each centre sees the line; centres are moved off the line by a hair."""
    y, x = np.mgrid[0:height, 0:width] + np.array([1e-9, 1e-6])[:, None, None]
    total = np.zeros((height, width))
    for (ax, ay), (bx, by) in zip(xy, [*xy[1:], xy[0]], strict=True):
        ux, uy, vx, vy = ax - x, ay - y, bx - x, by - y
        total += np.arctan2(ux * vy - uy * vx, ux * vx + uy * vy)
    return np.abs(total) > np.pi


@pytest.mark.parametrize("case", LASSOS, ids=lambda case: case["name"])
def test_golden_lassos(case: dict) -> None:
    before = np.full((case["height"], case["width"]), 255 if case["mode"] == "erase" else 0, np.uint8)
    mask = draw_strokes(before, [Stroke(tuple((x, y) for x, y in case["xy"]), 0, case["mode"], True)])
    assert np.array_equal(mask != before, winds_round(case["xy"], case["width"], case["height"]))
    assert int((mask > 0).sum()) == case["count"]
    assert hashlib.sha256(mask.tobytes()).hexdigest() == case["sha256"]
