"""FlowAnchor as a method: shots, segments, anchors, words that are missing, and Wan by the same code."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backbones import wan
from engine.backbones.analytic import AnalyticBackbone
from engine.diffusion.backbone import DiffusionBackbone, OutOfMemory
from engine.errors import MethodError
from engine.methods import flowanchor as fa
from engine.methods.base import Context, Segment, Shot
from engine.methods.cards import FlowAnchorConfig as Config
from engine.types import Edit, FrameRange
from tests.test_flowanchor import LOOKS, PROMPTS, clip
from tests.tiny_models import snapshot


class Frames:
    """Frames of a clip (T, H, W, 3) as a reader gives them."""

    def __init__(self, pictures: np.ndarray) -> None:
        self._pictures = pictures

    def get(self, frame: int) -> np.ndarray:
        return self._pictures[frame]

    def frames(self, span: FrameRange):  # type: ignore[no-untyped-def]
        yield from self._pictures[span.start : span.stop]


def shot(frames: int, edit: Edit, anchors: tuple[int, ...] = ()) -> tuple[Shot, np.ndarray]:
    """A shot of two red squares, 64 × 64, and its frames; takes are green."""
    pictures, mask = clip(frames, 64)
    source = ((pictures.permute(0, 2, 3, 1) + 1) * 127.5).round().byte().numpy()
    region = 255 * mask.byte().numpy()
    green = np.array([20, 200, 20], np.uint8)
    made = Shot(
        frames=Frames(source),
        steps=None,  # type: ignore[arg-type]
        size=(64, 64),
        span=FrameRange(0, frames),
        anchors=anchors,
        region=lambda frame: region[frame],
        alpha=lambda subject, frame: region[frame],
        take=lambda frame: np.where(region[frame][..., None] > 0, green, source[frame]),
        tracks=lambda: None,
        edit=edit,
    )
    return made, source


def context(tmp_path: Path, model: DiffusionBackbone, warned: list[str] | None = None) -> Context:
    said = [] if warned is None else warned
    return Context(lambda done, total: None, 0, tmp_path, tmp_path, lambda name: model, warn=said.append)


EDIT = Edit(source_prompt=PROMPTS[0], target_prompt=PROMPTS[1])
QUICK = Config(backbone="analytic", steps=4, skip=0, tau=0.0)


def test_a_segment_is_edited_inside_and_little_changed_elsewhere(tmp_path: Path) -> None:
    given, source = shot(7, EDIT)
    model, method = AnalyticBackbone(LOOKS, max_frames=4), fa.FlowAnchor()
    prepared = method.prepare(given, QUICK, context(tmp_path, model))
    done = list(method.render(given, Segment(0, 1, 7, None, None, FrameRange(0, 7)), prepared, context(tmp_path, model)))
    assert [frame for frame, _ in done] == list(range(1, 7))
    for frame, image in done:
        subject, ground = image[16:32, :16].mean((0, 1)), np.abs(image[40:].astype(int) - source[frame][40:]).max()
        assert subject[2] > subject[0] + 60  # blue
        assert ground < 25


def test_the_frame_factor_is_the_shots_not_the_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, _ = shot(21, EDIT)
    factors: list[float] = []
    whole = fa.Editing

    def watched(*given: Any) -> fa.Editing:
        factors.append(given[3])
        return whole(*given)

    monkeypatch.setattr(fa, "Editing", watched)
    model, method = AnalyticBackbone(LOOKS), fa.FlowAnchor()
    prepared = method.prepare(given, QUICK, context(tmp_path, model))
    for segment in (Segment(0, 0, 2, None, None, FrameRange(0, 21)), Segment(1, 2, 5, None, None, FrameRange(0, 21))):
        list(method.render(given, segment, prepared, context(tmp_path, model)))
    method.take(given, 3, QUICK, context(tmp_path, model))
    assert factors == [1.0, 1.0, 0.0]
    assert method.prepare(given, QUICK, context(tmp_path, model)).digest == prepared.digest
    assert method.prepare(shot(5, EDIT)[0], QUICK, context(tmp_path, model)).digest != prepared.digest


def test_a_take_is_one_frame_edited(tmp_path: Path) -> None:
    given, source = shot(3, EDIT)
    take = fa.FlowAnchor().take(given, 1, QUICK, context(tmp_path, AnalyticBackbone(LOOKS)))
    assert take.shape == source[1].shape and take.dtype == np.uint8
    assert take[16:32, :16].mean((0, 1)).argmax() == 2


def test_the_right_anchor_is_made_too_and_the_left_one_kept(tmp_path: Path) -> None:
    given, _ = shot(5, EDIT, anchors=(0, 4))
    model, method = AnalyticBackbone(LOOKS), fa.FlowAnchor()
    prepared = method.prepare(given, QUICK, context(tmp_path, model))
    done = dict(method.render(given, Segment(0, 0, 4, 0, 4, FrameRange(0, 5)), prepared, context(tmp_path, model)))
    assert list(done) == [0, 1, 2, 3, 4]
    assert np.abs(done[0].astype(int) - given.take(0)).max() <= 1


@pytest.mark.parametrize(
    ("words", "subjects", "warns"), [(("cat",), None, True), ((), None, False), (("blue",), None, False), (("cat",), (), False)]
)
def test_missing_words_are_said(words: tuple[str, ...], subjects: tuple[int, ...] | None, warns: bool, tmp_path: Path) -> None:
    given, _ = shot(1, replace(EDIT, target_words=words, subjects=subjects))
    warned: list[str] = []
    fa.FlowAnchor().take(given, 0, QUICK, context(tmp_path, AnalyticBackbone(LOOKS), warned))
    assert len(warned) == warns
    assert all("cat" in sentence and "words to edit" in sentence for sentence in warned)


def test_other_models_are_refused(tmp_path: Path) -> None:
    given, _ = shot(1, EDIT)
    with pytest.raises(MethodError, match="rectified-flow"):
        fa.FlowAnchor().take(given, 0, QUICK, context(tmp_path, AnalyticBackbone(LOOKS, schedule="ddpm")))


@pytest.mark.parametrize("kind", ["wan", "wan 2.2"])
def test_wan_takes_the_same_code(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny, of the real classes: a clip longer than a window, with SAR on real pieces of words; then memory runs out once."""
    monkeypatch.setattr(fa, "WAN_AREA", 64 * 64)
    model = wan.load(snapshot(kind), "cpu")
    model.max_frames = 13
    given, source = shot(14, EDIT)
    asked = fa.ask(model, EDIT, Config())
    assert asked.target.sum() == 1 and 4 < asked.real.sum() < 20  # of 512 positions: "blue", and no padding
    assert asked.guidance == fa.WAN_GUIDANCE and asked.nothing.prompt == fa.UNWANTED["wan"]
    config, method = replace(QUICK, backbone="wan2.1-1.3b", steps=2), fa.FlowAnchor()
    warned: list[str] = []
    segment, ready = Segment(0, 0, 14, None, None, FrameRange(0, 14)), context(tmp_path, model)
    done = [image for _, image in method.render(given, segment, method.prepare(given, config, ready), ready)]
    assert len(done) == 14 and not np.array_equal(done[3], source[3])
    model.warn = warned.append
    predict = model.predict
    calls: list[int] = []

    def tight(*passed: Any) -> Any:
        calls.append(passed[0].shape[2])
        if len(calls) == 1:
            model.max_frames = 9
            raise OutOfMemory("full")
        return predict(*passed)

    monkeypatch.setattr(model, "predict", tight)
    again = list(method.render(given, segment, method.prepare(given, config, ready), ready))
    assert len(again) == 14 and calls[0] == 4 and max(calls[1:]) == 3 and len(warned) == 1
