"""AnchorSync's second half: the frames between two edited anchors, by a model that is given both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.backbones.bundled import Bundled, read_parts
from engine.backbones.bundled_beside import BESIDE
from engine.backbones.bundled_beside import edges_of as learnt_edges
from engine.backbones.bundled_model import PREFIXES, BundledConfig, BundledModel
from engine.diffusion.backbone import Condition, OutOfMemory, Prediction, Text
from engine.diffusion.memory import half_as_long
from engine.errors import MethodError
from engine.methods import anchorsync, method
from engine.methods.anchorsync import Interpolation, _between_texts
from engine.methods.anchorsync_guides import control_video, edges_of, flow_back
from engine.methods.base import Prepared, Segment, Shot
from engine.types import Edit, FrameRange
from engine.world.draw import draw
from engine.world.truth import flow
from tests.balls import ball
from tests.drawn import drawn_clip
from tests.test_anchorsync import CONFIG, context, tick
from tests.test_methods import FRAMES, Setting


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return Setting(drawn_clip(FRAMES, (96, 128), 3), tmp_path).shot()


# --- interpolation ----------------------------------------------------------------------------------------


def test_what_a_video_model_is_shown() -> None:
    sources = draw(ball(), (48, 64), 5).video[0] * 2 - 1
    ends = torch.full((3, 48, 64), 0.5), torch.full((3, 48, 64), -0.5)
    video, mask = control_video(sources, ends, edges=True, flow=True)
    assert torch.equal(video[0], ends[0]) and torch.equal(video[-1], ends[1])
    assert mask.flatten(1).amax(1).tolist() == [0, 1, 1, 1, 0]
    edges, _ = control_video(sources, ends, edges=True, flow=False)
    assert set(edges[2].unique().tolist()) == {-1.0, 1.0}
    neither, _ = control_video(sources, ends, edges=False, flow=False)
    assert float(neither[1:-1].max()) == -1 and not torch.equal(video[2], edges[2])


@dataclass
class Straight:
    """A model that makes the mean of both ends, and notes what it was given."""

    name: str = "straight"
    takes: tuple[str, ...] = ("video", "mask")
    max_frames: int = 5

    def __post_init__(self) -> None:
        self.lengths: list[int] = []

    def encode(self, frames: Tensor) -> Tensor:
        return frames.transpose(0, 1)[None]

    def decode(self, z: Tensor, frames: int) -> Tensor:
        return z[0].transpose(0, 1)[:frames]

    def levels(self, steps: int) -> list[float]:
        return [1 - i / steps for i in range(steps + 1)]

    def scales(self, level: float) -> tuple[float, float]:
        return 1 - level, level

    def predict(self, z: Tensor, level: float, text: Text, condition: Condition) -> Prediction:
        assert condition.video is not None
        if level == 1:
            self.lengths.append(z.shape[2])
        mean = (condition.video[0] + condition.video[-1]) / 2
        x0 = mean[None, :, None].expand_as(z)
        return Prediction(x0, (z - (1 - level) * x0) / level)


def pairs_of(sources: Tensor, ends: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.stack([sources[0], ends[0]]), torch.stack([sources[-1], ends[1]])


def interpolation(model: Straight) -> Interpolation:
    text = Text("", (), (), torch.zeros(1, 1, 1))
    return Interpolation(model, (text, text), replace(CONFIG, video_steps=2), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [2, 3, 5, 6, 17, 30])
def test_gaps_of_any_length_are_filled_by_halves_and_end_exactly(count: int) -> None:
    model = Straight()
    ends = torch.zeros(3, 16, 16), torch.ones(3, 16, 16)
    sources = torch.linspace(0, 0.5, count)[:, None, None, None].expand(-1, 3, 16, 16)
    both = interpolation(model).between(sources, pairs_of(sources, ends), tick)
    made = both[:, 1]
    assert torch.equal(both[:, 0], sources)  # this model's autoencoder loses nothing
    assert len(made) == count and torch.equal(made[0], ends[0]) and torch.equal(made[-1], ends[1])
    assert all(length <= model.max_frames for length in model.lengths)
    if count > 5:
        values = made[:, 0, 0, 0].tolist()
        assert values == sorted(values)


def test_a_model_without_inputs_for_ends_is_refused() -> None:
    model = Straight(takes=("source",))
    with pytest.raises(MethodError, match="first and a last"):
        sources = torch.zeros(4, 3, 16, 16)
        interpolation(model).between(sources, pairs_of(sources, (sources[0], sources[1] + 1)), tick)


@cache
def between_model() -> Bundled:
    """The bundled model's autoencoder and an untrained model with inputs for pictures, edges and flow."""
    config = BundledConfig(24, 2, 16, 2, 64, text_width=32, text_layers=1, beside=24 + BESIDE)
    torch.manual_seed(0)
    words = (*PREFIXES, *["a", "blue", "ball", "on", "grass"])
    return Bundled(BundledModel(config, words), read_parts()[1])


def test_guides_of_the_bundled_model_are_what_it_learns() -> None:
    """The motion that is found is the drawn scene's own, at the frames that the model reads it from."""
    drawing = draw(ball(), (64, 64), 9)
    sources, masks = drawing.video[0] * 2 - 1, drawing.visible[0, 0]
    assert torch.allclose(edges_of(sources), learnt_edges(sources.transpose(0, 1)[None])[0], atol=1e-5)
    found = flow_back(sources, 4)
    assert found.shape == (9, 2, 64, 64) and not found[[0, 1, 2, 3, 5, 6, 7]].any()
    for mark in (4, 8):
        exact = flow(ball(), (64, 64), float(mark), float(mark - 4))[0].permute(2, 0, 1)
        inside = masks[mark] > 0.9
        error, length = (one[:, inside].norm(dim=0).mean() for one in (found[mark] - exact, exact))
        assert float(length) > 1 and float(error) < 0.5 * float(length)


@pytest.mark.parametrize("edges", [True, False], ids=["with edges", "without"])
def test_the_bundled_model_is_told_what_is_asked_for_once(edges: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, told = between_model(), []
    plain = model.predict

    def heard(z: Tensor, level: float, text: Text, condition: Condition | None = None) -> Prediction:
        told.append((condition, text.prompt))
        return plain(z, level, text, condition)

    monkeypatch.setattr(model, "predict", heard)
    clip = draw(ball(), (32, 32), 6).video[0] * 2 - 1
    ends = clip[0].flip(0), clip[-1].flip(0)
    texts = _between_texts(model, Edit(instruction="make it new", target_prompt="a blue ball"))
    work = Interpolation(model, texts, replace(CONFIG, video_steps=2, edges=edges), 0)
    made = work.between(clip, pairs_of(clip, ends), tick)[:, 1]
    assert made.shape == clip.shape and torch.equal(made[0], ends[0]) and torch.equal(made[-1], ends[1])
    assert {prompt for _, prompt in told} == {"[between] a blue ball", "[between]"}
    (condition,) = {condition for condition, _ in told}
    assert (
        condition is not None
        and condition.flow is not None
        and condition.given() == {"first", "last", "flow", *(["edges"] if edges else [])}
    )
    assert condition.flow.shape == (9, 2, 32, 32)


def test_edges_alone_are_refused() -> None:
    model = between_model()
    z = torch.zeros(1, 24, 2, 8, 8)
    with pytest.raises(MethodError, match="first or the last"):
        model.predict(z, 0.5, model.encode_text("[between]"), Condition(edges=torch.zeros(5, 32, 32)))


def test_a_segment_is_filled_by_the_bundled_model(shot: Shot, tmp_path: Path) -> None:
    config = replace(CONFIG, interpolation="bundled", video_steps=1)
    method_, short = method("anchorsync"), Segment(0, 0, FRAMES - 1, 0, FRAMES - 1, FrameRange(0, FRAMES))
    given = replace(context(tmp_path / "a"), backbone=lambda name: between_model())
    silent = replace(shot, edit=replace(shot.edit, target_prompt=""))
    rendered = dict(method_.render(silent, short, Prepared("", config, {}), given))
    assert list(rendered) == list(range(FRAMES - 1)) and np.array_equal(rendered[0], shot.take(0))
    outside = shot.region(4) == 0
    assert np.array_equal(rendered[4][outside], shot.frames.get(4)[outside])


class Narrow(Straight):
    """`Straight` with an autoencoder that loses detail, and memory for `room` frames at first."""

    stride: tuple[int, int, int] = (1, 8, 8)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.room, self.told = 5, list[str]()
        self.max_frames = 17

    def warn(self, sentence: str) -> None:
        self.told.append(sentence)

    def decode(self, z: Tensor, frames: int) -> Tensor:
        return super().decode(z, frames).mul(8).round().div(8)

    def encode_text(self, prompt: str) -> Text:
        return Text(prompt, (), (), torch.zeros(1, 1, 1))

    def predict(self, z: Tensor, level: float, text: Text, condition: Condition) -> Prediction:
        if z.shape[2] > self.room:
            self.max_frames = half_as_long(self.max_frames, 1)
            raise OutOfMemory("Too little memory for so many frames.")
        return super().predict(z, level, text, condition)


def drawn_by(shot: Shot, folder: Path, model: Narrow, takes: dict[int, np.ndarray], edges: list[int]) -> dict[int, np.ndarray]:
    """All frames of segments between neighbouring `edges`, and the last edge's take."""
    given = replace(context(folder), backbone=lambda name: model)  # type: ignore[arg-type, return-value]
    held = replace(shot, take=lambda frame: takes[frame])
    made: dict[int, np.ndarray] = {}
    for index, (start, stop) in enumerate(pairwise(edges)):
        segment = Segment(index, start, stop, start, stop, FrameRange(0, FRAMES))
        config = replace(CONFIG, interpolation="straight", video_steps=1)
        made.update(method("anchorsync").render(held, segment, Prepared("", config, {}), given))
    return made


def test_ends_are_exact_gaps_recursive_and_memory_may_be_short(
    shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchorsync, "VIDEO_AREA", 48 * 64)
    takes = {frame: 255 - shot.frames.get(frame) for frame in (0, 7, 9)}
    model = Narrow()
    made = drawn_by(shot, tmp_path / "a", model, takes, [0, 7, 9])
    assert list(made) == list(range(9))
    assert np.array_equal(made[0], takes[0]) and np.array_equal(made[7], takes[7])
    assert model.max_frames == 5 and max(model.lengths) <= 5
    assert model.lengths[::2] == [5, 3, 3, 3, 3]  # of 8 frames every second one and the last, then between them; of 3 all
    assert len(model.told) == 2 and "windows" in model.told[0]


def test_what_the_model_leaves_alone_keeps_the_sources_detail(
    shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its autoencoder loses of the source is no edit."""
    monkeypatch.setattr(anchorsync, "VIDEO_AREA", 48 * 64)

    class Idle(Narrow):
        def predict(self, z: Tensor, level: float, text: Text, condition: Condition) -> Prediction:
            x0 = self.clean
            return Prediction(x0, (z - (1 - level) * x0) / level)

        def encode(self, frames: Tensor) -> Tensor:
            self.clean = super().encode(frames)
            return self.clean

    takes = {frame: shot.frames.get(frame) for frame in (0, 9)}
    made = drawn_by(shot, tmp_path / "a", Idle(), takes, [0, 9])
    assert all(np.array_equal(made[frame], shot.frames.get(frame)) for frame in made)
