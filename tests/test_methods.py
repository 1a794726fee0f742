"""What every method must keep, run over the registry: a new method is tested before its author writes a test."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine.backbones.shelf import Backbones
from engine.composite import edit_region, inside
from engine.effects import checked_config
from engine.errors import Cancelled, MethodError
from engine.methods import METHODS, method
from engine.methods.base import Context, Segment, Shot
from engine.motion.steps import Steps
from engine.rendering.anchoring import locked
from engine.rendering.shots import carried
from engine.types import Edit, FrameRange
from tests.drawn import Drawn, DrawnPictures, drawn_clip, psnr

FRAMES = 10
BACKBONES = Backbones()


@pytest.fixture(autouse=True)
def one_thread():
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(scope="module")
def clip() -> Drawn:
    return drawn_clip(FRAMES, (120, 200), 5, turn=0.3, growth=0.1)


class Source:
    """Frames of a drawn clip as a reader gives them."""

    def __init__(self, drawn: Drawn) -> None:
        self._frames = drawn.source

    def get(self, frame: int) -> np.ndarray:
        return self._frames[frame]

    def frames(self, span: FrameRange):
        yield from (self._frames[frame] for frame in span)


@dataclass
class Setting:
    """A shot of the drawn clip; `whole` edits the whole frame."""

    drawn: Drawn
    folder: Path
    whole: bool = False

    def region(self, frame: int) -> np.ndarray:
        return np.full(self.drawn.size, 255, np.uint8) if self.whole else edit_region(self.drawn.masks[frame], 1, 2)

    def take(self, frame: int) -> np.ndarray:
        return inside(self.drawn.source[frame], self.drawn.edited[frame], self.region(frame))

    def shot(self) -> Shot:
        steps = Steps(DrawnPictures(self.drawn.source), self.drawn.size, self.folder / "motion")
        steps.ensure(steps.missing([FrameRange(0, FRAMES)]), lambda done, total: None)
        return Shot(
            frames=Source(self.drawn),
            steps=steps,
            size=self.drawn.size,
            span=FrameRange(0, FRAMES),
            anchors=(0, FRAMES - 1),
            region=self.region,
            alpha=lambda subject, frame: self.drawn.masks[frame],
            take=self.take,
            tracks=lambda: None,
            edit=Edit(
                subjects=() if self.whole else None,
                source_prompt="a red ball on grass",
                target_prompt="a blue ball on grass",
                instruction="make the ball blue",
            ),
        )


SEGMENTS = {
    "between two anchors": Segment(0, 0, FRAMES - 1, 0, FRAMES - 1, FrameRange(0, FRAMES)),
    "after the last anchor": Segment(0, 2, FRAMES, 2, None, FrameRange(0, FRAMES)),
    "before the first anchor": Segment(0, 0, 6, None, 6, FrameRange(0, FRAMES)),
    "the anchor alone": Segment(0, FRAMES - 1, FRAMES, FRAMES - 1, None, FrameRange(0, FRAMES)),
}


def anchored(shot: Shot, segment: Segment) -> Shot:
    """The shot whose approved anchors are the segment's ends."""
    return replace(shot, anchors=tuple(frame for frame in (segment.left, segment.right) if frame is not None))


def quick(config: Any) -> Any:
    """The same settings with few sampling steps, where there are any: the promises do not depend on their number."""
    few = {"steps": 3, "skip": 1, "swap_steps": 1, "group": 2, "adapt_steps": 1, "structure_steps": 1, "tune_steps": 1}
    return replace(config, **{name: count for name, count in few.items() if hasattr(config, name)})


def render(name: str, setting: Setting, segment: Segment, step: Any = lambda done, total: None) -> dict[int, np.ndarray]:
    chosen, shot = method(name), anchored(setting.shot(), segment)
    scratch = setting.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    context = Context(step, 0, scratch, setting.folder / "store", BACKBONES, carry=carried)
    prepared = chosen.prepare(shot, quick(chosen.Config()), replace(context, step=lambda done, total: None))
    frames = chosen.render(shot, segment, prepared, context)
    rendered = list(frames if METHODS[name].exact else locked(shot, segment, frames, context))
    assert [frame for frame, _ in rendered] == list(range(segment.start, segment.stop))
    return dict(rendered)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("whole", [False, True], ids=["in a mask", "whole frame"])
@pytest.mark.parametrize("segment", SEGMENTS.values(), ids=SEGMENTS)
def test_promises_hold(name, whole, segment, clip, tmp_path):
    setting = Setting(clip, tmp_path, whole)
    rendered = render(name, setting, segment)
    for frame, image in rendered.items():
        assert image.shape == clip.source[frame].shape and image.dtype == np.uint8
        outside = setting.region(frame) == 0
        assert np.array_equal(image[outside], clip.source[frame][outside])
    if segment.left is not None:
        assert np.array_equal(rendered[segment.left], setting.take(segment.left))


@pytest.mark.parametrize("name", [name for name, card in METHODS.items() if card.anchors])
def test_the_edit_arrives(name, clip, tmp_path):
    """Between two anchors the result is much nearer to the true edit than the source is."""
    rendered = render(name, Setting(clip, tmp_path), SEGMENTS["between two anchors"])
    for frame in (3, 5, 7):
        truth, mask = clip.edited[frame], clip.masks[frame]
        assert psnr(rendered[frame], truth, mask) > psnr(clip.source[frame], truth, mask) + 8


@pytest.mark.parametrize("name", METHODS)
def test_same_inputs_give_same_bytes(name, clip, tmp_path):
    runs = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        runs.append(render(name, Setting(clip, tmp_path / run), SEGMENTS["between two anchors"]))
    assert all(np.array_equal(runs[0][frame], runs[1][frame]) for frame in runs[0])


@pytest.mark.parametrize("name", METHODS)
def test_progress_reaches_its_total(name, clip, tmp_path):
    seen: list[tuple[int, int]] = []
    render(name, Setting(clip, tmp_path), SEGMENTS["between two anchors"], lambda done, total: seen.append((done, total)))
    counts = [done for done, _ in seen]
    assert counts == sorted(counts) and seen[-1][0] == seen[-1][1] and len({total for _, total in seen}) == 1


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("stop_at", [1, 5, 9])
def test_cancel_is_heard_at_the_next_step(name, stop_at, clip, tmp_path):
    calls = 0

    def step(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= stop_at:
            raise Cancelled

    with pytest.raises(Cancelled):
        render(name, Setting(clip, tmp_path), SEGMENTS["between two anchors"], step)
    assert calls == stop_at


@pytest.mark.parametrize("name", METHODS)
def test_config_is_data(name):
    """Panel, recipe and project file are derived from the config's fields: each says what it may be."""
    config = METHODS[name].Config
    assert method(name).Config is config
    for field in fields(config):
        assert field.metadata.get("help"), f"{name}.{field.name} has no help"
        assert (
            field.metadata.get("kind") in ("choice", "colour", "file")
            or isinstance(field.default, bool)
            or "min" in field.metadata
        )
    assert checked_config(config, asdict(config()), name) == config()


def test_unknown_method_names_the_known_ones():
    with pytest.raises(MethodError, match="motion"):
        method("magic")
