"""The anchor lock, on methods that are as wrong as can be told exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engine.backbones.shelf import Backbones
from engine.methods.base import Context, Rendered, Segment, Shot
from engine.rendering.anchoring import FADE, locked
from engine.rendering.shots import carried
from engine.types import FrameRange
from tests.drawn import drawn_clip
from tests.test_methods import FRAMES, SEGMENTS, Setting

STILL = drawn_clip(FRAMES, (96, 128), 3, turn=0, growth=0)


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return Setting(STILL, tmp_path, whole=True).shot()


def context(folder: Path) -> Context:
    (folder / "scratch").mkdir(exist_ok=True)
    return Context(lambda done, total: None, 0, folder / "scratch", folder / "store", Backbones(), carry=carried)


def made(shot: Shot, segment: Segment, darker: int) -> Rendered:
    """A method that gives every frame's true edit, `darker` levels too dark."""
    last = segment.stop + (segment.right is not None)
    for frame in range(segment.start, last):
        yield frame, np.clip(shot.take(frame).astype(int) - darker, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", SEGMENTS)
def test_anchors_come_out_as_they_are_and_every_frame_once(name: str, shot: Shot, tmp_path: Path) -> None:
    segment = SEGMENTS[name]
    result = list(locked(shot, segment, made(shot, segment, 12), context(tmp_path)))
    assert [frame for frame, _ in result] == list(range(segment.start, segment.stop))
    if segment.left is not None:
        assert np.array_equal(dict(result)[segment.left], shot.take(segment.left))


def test_the_same_fault_at_both_anchors_is_mended_between_them(shot: Shot, tmp_path: Path) -> None:
    segment = SEGMENTS["between two anchors"]
    for frame, image in locked(shot, segment, made(shot, segment, 12), context(tmp_path)):
        truth = shot.take(frame).astype(int)
        told = truth >= 12  # what was not cut off at black
        assert np.abs(image - truth)[told].mean() < 1.5, frame


def test_a_fault_at_one_anchor_fades(shot: Shot, tmp_path: Path) -> None:
    segment = SEGMENTS["after the last anchor"]
    left = []
    for frame, image in locked(shot, segment, made(shot, segment, 24), context(tmp_path)):
        truth = shot.take(frame).astype(int)
        left.append(float((truth - image)[truth >= 24].mean()))
    assert left[0] == 0 and all(a <= b + 0.5 for a, b in pairwise(left))
    assert left[-1] == pytest.approx(24 * (segment.stop - 1 - segment.start) / FADE, abs=1.5)


def test_outside_the_region_the_source_stays(tmp_path: Path) -> None:
    shot = Setting(STILL, tmp_path).shot()
    segment = SEGMENTS["between two anchors"]
    for frame, image in locked(shot, segment, made(shot, segment, 40), context(tmp_path)):
        outside = shot.region(frame) == 0
        assert outside.any() and np.array_equal(image[outside], shot.frames.get(frame)[outside])


def test_a_shot_without_anchors_is_what_the_method_makes(shot: Shot, tmp_path: Path) -> None:
    segment = Segment(0, 0, FRAMES, None, None, FrameRange(0, FRAMES))
    plain = replace(shot, anchors=())
    for (frame, image), (_, given) in zip(
        locked(plain, segment, made(shot, segment, 9), context(tmp_path)), made(shot, segment, 9), strict=True
    ):
        assert np.array_equal(image, given), frame


def test_a_method_that_leaves_out_the_right_anchor_is_told(shot: Shot, tmp_path: Path) -> None:
    segment = SEGMENTS["between two anchors"]

    def short() -> Iterator[tuple[int, np.ndarray]]:
        yield from list(made(shot, segment, 1))[:-1]

    with pytest.raises(ValueError, match="right anchor"):
        list(locked(shot, segment, short(), context(tmp_path)))
