"""The method of motion as a whole: several subjects, what is noted of a frame, what is kept to the bit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.composite import edit_region, inside
from engine.methods.base import Context, Segment, Shot
from engine.methods.motion import Config, Motion
from engine.motion.steps import Steps
from engine.types import Edit, FrameRange
from tests.drawn import DrawnPictures, psnr, texture

FRAMES, SIZE = 9, (140, 240)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two discs that come to touch and part again; each is painted with stripes. masks (2, T, H, W) uint8."""

    source: np.ndarray
    edited: np.ndarray
    masks: np.ndarray

    def region(self, frame: int) -> np.ndarray:
        return edit_region(self.masks[:, frame].max(axis=0), 0, 2)


@pytest.fixture(scope="module")
def pair() -> Pair:
    backdrop, skins = texture(SIZE, 1), [texture((120, 120), 5, (190, 90, 60)), texture((120, 120), 6, (60, 90, 190))]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    frames: list[list[np.ndarray]] = [[], []]
    masks = np.zeros((2, FRAMES, *SIZE), np.uint8)
    for frame in range(FRAMES):
        pictures = [backdrop.astype(np.float32), backdrop.astype(np.float32)]
        places = ((80 + frame, 45 + 3 * frame), (160 - frame, 95 - 3 * frame))
        for number, (centre, skin) in enumerate(zip(places, skins, strict=True)):
            u, v = x - centre[0], y - centre[1]
            turn = np.float32(0.05 * frame * (1 - 2 * number))
            u, v = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
            body = cv2.remap(skin, u + 60, v + 60, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT).astype(np.float32)
            cover = np.clip(38.5 - np.hypot(u, v), 0, 1)[..., None]
            stripes = (0.65 + 0.35 * np.sin(u / 3))[..., None]
            for picture, look in zip(pictures, (body, body * stripes), strict=True):
                picture += cover * (look - picture)
            masks[number, frame] = np.where(np.hypot(u, v) < 38.5, 255, 0)
        masks[0, frame][masks[1, frame] > 0] = 0
        for kept, picture in zip(frames, pictures, strict=True):
            kept.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
    return Pair(np.stack(frames[0]), np.stack(frames[1]), masks)


class Source:
    def __init__(self, frames: np.ndarray) -> None:
        self._frames = frames

    def get(self, frame: int) -> np.ndarray:
        return self._frames[frame]

    def frames(self, span: FrameRange):
        yield from (self._frames[frame] for frame in span)


def shot_of(pair: Pair, folder: Path, subjects: tuple[int, ...]) -> Shot:
    steps = Steps(DrawnPictures(pair.source), SIZE, folder / "motion")
    steps.ensure(steps.missing([FrameRange(0, FRAMES)]), lambda done, total: None)
    return Shot(
        frames=Source(pair.source),
        steps=steps,
        size=SIZE,
        span=FrameRange(0, FRAMES),
        anchors=(0,),
        region=pair.region,
        alpha=lambda subject, frame: pair.masks[subject - 1, frame],
        take=lambda frame: inside(pair.source[frame], pair.edited[frame], pair.region(frame)),
        tracks=lambda: None,
        edit=Edit(),
        subjects=subjects,
    )


def rendered(shot: Shot, folder: Path, segment: Segment, config: Config | None = None) -> tuple[dict, dict]:
    noted: dict[int, dict[str, float]] = {}
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)

    def no_model(*names: str) -> None:
        raise AssertionError("motion needs no model")

    context = Context(lambda done, total: None, 0, scratch, scratch, no_model, lambda frame, **told: noted.update({frame: told}))
    method = Motion()
    return dict(method.render(shot, segment, method.prepare(shot, config or Config(), context), context)), noted


ALONE = Segment(0, 0, FRAMES, 0, None, FrameRange(0, FRAMES))
BETWEEN = Segment(0, 0, FRAMES - 1, 0, FRAMES - 1, FrameRange(0, FRAMES))


def test_subjects_that_touch_are_carried_each_by_itself(pair, tmp_path):
    apart, _ = rendered(shot_of(pair, tmp_path, (1, 2)), tmp_path, ALONE)
    as_one, _ = rendered(shot_of(pair, tmp_path, ()), tmp_path, ALONE)
    last, truth, both = FRAMES - 1, pair.edited[FRAMES - 1], pair.masks[:, FRAMES - 1].max(axis=0)
    assert psnr(apart[last], truth, both) > max(28.0, psnr(as_one[last], truth, both) + 2)


@pytest.mark.parametrize("subjects", [(), (1, 2)], ids=["as one", "each by itself"])
def test_what_is_outside_and_the_anchors_stay_to_the_bit(pair, tmp_path, subjects):
    shot = shot_of(pair, tmp_path, subjects)
    frames, noted = rendered(shot, tmp_path, BETWEEN)
    assert sorted(frames) == sorted(noted) == list(range(FRAMES - 1))
    assert np.array_equal(frames[0], shot.take(0))
    for frame, image in frames.items():
        outside = pair.region(frame) == 0
        assert np.array_equal(image[outside], pair.source[frame][outside])
        assert 0 <= noted[frame]["unseen"] < 0.1 and 0.8 < noted[frame]["confidence"] <= 1


def test_what_no_anchor_saw_is_noted(pair, tmp_path):
    """From a frame that shows half of the subjects, the other half is unseen."""
    shot = shot_of(pair, tmp_path, ())

    def region(frame: int) -> np.ndarray:
        whole = pair.region(frame)
        return whole * (np.arange(SIZE[1]) < 118).astype(np.uint8) if frame == 0 else whole

    half = replace(shot, region=region)
    _, noted = rendered(half, tmp_path, ALONE)
    assert noted[FRAMES - 1]["unseen"] > 0.25 and noted[FRAMES - 1]["confidence"] < 0.8


@pytest.mark.parametrize("part", ["recolour", "smooth", "lock", "edges", "light", "bands"])
def test_each_part_can_be_switched_off(pair, tmp_path, part):
    frames, _ = rendered(shot_of(pair, tmp_path, ()), tmp_path, BETWEEN, Config(**{part: False}))
    subjects, truth = pair.masks[:, 4].max(axis=0), pair.edited[4]
    assert psnr(frames[4], truth, subjects) > psnr(pair.source[4], truth, subjects) + 1
