"""SAMA: pretext tasks, loss terms, semantic tokens, the released layout through disk, and the method on the drawn world."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.backbones.bundled import Bundled
from engine.backbones.bundled_autoencoder import ClipAutoencoder
from engine.backbones.bundled_beside import BESIDE, beside, edges_of, known_video
from engine.backbones.bundled_encoder import DualEncoder
from engine.backbones.bundled_model import PREFIXES, BundledModel, Output
from engine.diffusion.backbone import Condition
from engine.diffusion.semantic import SemanticBackbone
from engine.diffusion.windows import Window
from engine.methods.sama import Editing, States, anchored, denoise
from engine.training.__main__ import PRESETS
from engine.training.autoencoder import AutoencoderTask
from engine.training.drawn import pairs
from engine.training.encoder import EncoderTask
from engine.training.examples import Example, Maker, anchor_tokens, degraded
from engine.training.model import WEIGHTS, ModelTask
from engine.training.motion_alignment import (
    MASKED,
    MIX,
    PRETEXTS,
    cube_inpainting,
    draw_pretext,
    speed_perturbation,
    tube_shuffle,
)
from engine.world.draw import draw
from engine.world.scene import sample
from engine.world.words import VOCABULARY

SMOKE = PRESETS["smoke"]


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def autoencoder() -> ClipAutoencoder:
    task = AutoencoderTask(SMOKE.autoencoder, seed=1, size=32)
    task.calibrate(task.module)
    return task.module.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def encoder() -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(SMOKE.encoder, VOCABULARY).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def task(autoencoder: ClipAutoencoder, encoder: DualEncoder) -> ModelTask:
    return ModelTask(SMOKE.model, autoencoder, budget=SMOKE.budget, stage=1, encoder=encoder)


@pytest.fixture(scope="module")
def bundled(autoencoder: ClipAutoencoder, encoder: DualEncoder) -> Bundled:
    torch.manual_seed(2)
    model = BundledModel(SMOKE.model, (*VOCABULARY, *PREFIXES))
    for value in model.parameters():
        if not value.any():
            torch.nn.init.normal_(value, std=0.05)
    return Bundled(model, autoencoder, encoder)


# --- Motion Alignment -------------------------------------------------------------------------------------


def test_pretexts_are_drawn_in_the_papers_shares() -> None:
    one = dice()
    drawn = [draw_pretext(one) for _ in range(2000)]
    for name, share in zip(PRETEXTS, MIX, strict=True):
        assert abs(drawn.count(name) / 2000 - share / 10) < 0.04


def test_cube_inpainting_takes_one_block_of_frames_away() -> None:
    video = torch.rand(2, 3, 17, 8, 8) + 0.1
    gone = (cube_inpainting(video, dice()) == 0).all(dim=1).all(-1).all(-1)[0]
    places = gone.nonzero()[:, 0].tolist()
    assert len(places) == round(MASKED * 17) and places == list(range(places[0], places[-1] + 1))


def test_speed_perturbation_is_twice_as_fast_and_as_long() -> None:
    video = torch.arange(9.0).view(1, 1, 9, 1, 1)
    assert speed_perturbation(video, dice()).flatten().tolist() == [0, 2, 4, 6, 8, 8, 8, 8, 8]


def test_tube_shuffle_moves_eight_blocks_and_loses_none() -> None:
    video = torch.arange(9 * 4 * 4.0).view(1, 1, 9, 4, 4)
    out = tube_shuffle(video, dice(3))
    assert out.flatten().sort().values.equal(video.flatten()) and not out.equal(video)
    assert out[:, :, 0].equal(video[:, :, 0])
    blocks = [out[0, 0, t : t + 4, y : y + 2, x : x + 2] for t in (1, 5) for y in (0, 2) for x in (0, 2)]
    truth = [video[0, 0, t : t + 4, y : y + 2, x : x + 2] for t in (1, 5) for y in (0, 2) for x in (0, 2)]
    assert all(any(block.equal(other) for other in truth) for block in blocks)


def test_only_the_source_is_spoilt_and_the_prefix_says_how(autoencoder: ClipAutoencoder, encoder: DualEncoder) -> None:
    made = pairs(autoencoder, range(2), 5, seed=0, size=32, device=torch.device("cpu"))
    maker = Maker(autoencoder, encoder, dice())
    for pretext, prefix in (("cube", "[complete]"), ("speed", "[speed]"), ("tube", "[order]")):
        example = maker.pretext(made, pretext)
        assert example.target.equal(made.target) and example.source is not None and not example.source.equal(made.target)
        assert all(text.startswith(prefix) for text in example.texts)
    assert maker.pretext(made, "none").source is None
    assert not degraded(made.target_video, dice()).equal(made.target_video)


# --- Loss terms -------------------------------------------------------------------------------------------


class Oracle(torch.nn.Module):
    """Answers with what it is given, so that every loss has a known value."""

    def __init__(self, example: Example, off: float = 0.0) -> None:
        super().__init__()
        self.example, self.off = example, off

    def encode_text(self, prompts: list[str]) -> Tensor:
        return torch.zeros(len(prompts), 1, 1)

    def answer(self, z: Tensor, t: Tensor, text: Tensor, source: Tensor | None, **more: Any) -> Output:
        semantic = None if more["semantic"] is None else self.example.semantic
        labels = None if self.example.labels is None else torch.logit(self.example.labels.clamp(1e-6, 1 - 1e-6))
        return Output(self.example.target + self.off, None if semantic is None else semantic + self.off, labels)


def terms(task: ModelTask, oracle: Oracle, example: Example) -> dict[str, Tensor]:
    """The losses on the example of a model that answers as the oracle does."""
    module = task.module
    task.module = oracle  # type: ignore[assignment]
    try:
        return task.terms(example, dice())
    finally:
        task.module = module


def test_every_loss_is_zero_for_the_right_answer_and_grows_with_the_error(
    task: ModelTask, autoencoder: ClipAutoencoder, encoder: DualEncoder
) -> None:
    made = pairs(autoencoder, range(2), 5, seed=0, size=32, device=torch.device("cpu"))
    example = replace(Maker(autoencoder, encoder, dice()).edit(made), semantic=anchor_tokens(encoder, made.target_video))
    right, wrong, worse = (terms(task, Oracle(example, off), example) for off in (0.0, 0.1, 0.2))
    assert set(right) == set(WEIGHTS) and float(right["flow"]) == 0 and float(right["semantic"]) == 0
    assert torch.isclose(worse["flow"], 4 * wrong["flow"])  # a square
    assert torch.isclose(worse["semantic"], 2 * wrong["semantic"], rtol=1e-3)  # an absolute value
    assert example.labels is not None
    shown = (example.labels > 0.5).float()
    hard, flipped = replace(example, labels=shown), replace(example, labels=1 - shown)
    assert float(terms(task, Oracle(hard), hard)["labels"]) < 1e-4
    assert float(terms(task, Oracle(hard), flipped)["labels"]) > 5


def test_a_step_of_stage_1_trains_every_part_of_the_model(task: ModelTask) -> None:
    for value in task.module.parameters():
        if not value.any():
            torch.nn.init.normal_(value, std=0.05)
    for step in range(8):
        task.losses(step)["loss"].backward()
    untouched = [name for name, value in task.module.named_parameters() if value.grad is None or not value.grad.any()]
    assert not untouched


def test_semantic_tokens_of_several_anchors_stand_one_after_another(encoder: DualEncoder) -> None:
    video = torch.rand(2, 3, 9, 32, 32) * 2 - 1
    three = anchor_tokens(encoder, video, 3)
    assert three.shape == (2, 3 * 17, SMOKE.encoder.features)
    assert torch.allclose(three[:, 17:34], encoder.tokens(video[:, :, 4]), atol=1e-5)
    assert torch.allclose(anchor_tokens(encoder, video), encoder.tokens(video[:, :, 0]), atol=1e-5)


def test_the_dual_encoder_learns_which_caption_belongs_where() -> None:
    task = EncoderTask(replace(SMOKE.encoder, width=8, features=16), scenes=8, size=32)
    pictures, prompts = task.batch("train", 0, 4)
    optimiser = torch.optim.AdamW(task.module.parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        loss = task.module.loss(pictures, prompts)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    near = task.module.pictures(pictures) @ task.module.captions(prompts).T
    assert (near.diagonal() > near.mean(1)).float().mean() > 0.8


# --- What else is known of a clip -------------------------------------------------------------------------


def test_known_pictures_edges_and_flow_have_their_channels() -> None:
    first, last = torch.ones(1, 3, 16, 16), -torch.ones(1, 3, 16, 16)
    clip, mask = known_video(first, last, 9)
    assert clip[:, :, 0].equal(first) and clip[:, :, -4:].eq(-1).all() and not clip[:, :, 1:5].any()
    assert mask.tolist() == [[1, 0, 1]]
    known = torch.rand(1, 8, 3, 4, 4)
    bare = beside(known, mask)
    assert bare.shape == (1, 8 + BESIDE, 3, 4, 4) and not bare[:, 9:].any() and not bare[:, :8, 1].any()
    flow = torch.zeros(1, 9, 2, 16, 16)
    flow[:, 4, 0] = 8.0
    full = beside(known, mask, edges_of(clip), flow)
    assert full[:, -1].eq(1).all() and full[0, -3, 1].eq(2).all() and full[:, 25].eq(1).all()
    with pytest.raises(ValueError, match="neither a first nor a last"):
        known_video(None, None, 5)


def test_the_backbone_makes_what_lies_between_two_pictures(bundled: Bundled) -> None:
    assert {"source", "first", "last"} <= set(bundled.takes)
    z, text = torch.randn(1, 8, 3, 8, 8), bundled.encode_text("[between] a red ball on grass")
    picture = torch.rand(3, 32, 32) * 2 - 1
    with torch.no_grad():
        one, two, none = (bundled.predict(z, 0.9, text, c).x0 for c in (Condition(first=picture), Condition(last=picture), None))
    assert not torch.allclose(one, none) and not torch.allclose(one, two)


# --- The method -------------------------------------------------------------------------------------------


def test_an_anchor_holds_the_semantic_tokens_while_there_is_much_noise() -> None:
    semantic, noise, anchor = torch.randn(3, 1, 17, 8)
    states = States(torch.zeros(1), torch.zeros(1), semantic, noise, anchor)
    held = anchored(states, 0.75, 0.3)
    assert held is not None and torch.allclose(held, 0.25 * anchor + 0.75 * noise)
    assert anchored(states, 0.2, 0.3) is semantic
    assert anchored(replace(states, anchor=None), 0.75, 0.3) is semantic


def test_the_bundled_model_is_a_semantic_backbone_and_its_anchor_matters(bundled: Bundled) -> None:
    assert isinstance(bundled, SemanticBackbone) and bundled.semantic_shape == (17, SMOKE.encoder.features)
    source = bundled.encode(torch.rand(5, 3, 32, 32) * 2 - 1)
    asked, nothing = (bundled.encode_text(bundled.instructed(text)) for text in ("make the ball green", ""))
    editing = Editing(bundled, asked, nothing, 1.5, 0.3)
    noise, start = torch.randn_like(source), torch.randn(1, 17, SMOKE.encoder.features)
    tokens = bundled.semantic_tokens(torch.rand(3, 32, 32) * 2 - 1)
    ticks: list[int] = []
    free, guided, again = (
        denoise(editing, (Window(0, 5),), [States(source, noise, start, start, anchor)], 3, lambda: ticks.append(1))[0]
        for anchor in (None, tokens, tokens)
    )
    assert len(ticks) == 9 and guided.equal(again) and not torch.allclose(free, guided)


def test_instructions_are_told_from_captions_and_words_keep_their_places(bundled: Bundled) -> None:
    order, caption = bundled.encode_text("make the ball green"), bundled.encode_text("a green ball on grass")
    assert order.words == ("make", "the", "ball", "green") and order.pieces == ((1,), (2,), (3,), (4,))
    assert caption.pieces[0] == (0,)
    asked = bundled.model.encode_text(["[edit] make the ball green"])
    assert torch.allclose(order.embeddings, asked, atol=1e-5)
    assert not bundled.encode_text("").embeddings.equal(bundled.encode_text("[edit]").embeddings)


def test_the_user_is_told_what_the_bundled_model_is_for(bundled: Bundled) -> None:
    noise = torch.from_numpy(np.random.default_rng(0).random((5, 3, 32, 32), np.float32)) * 2 - 1
    assert "made for a drawn world" in bundled.purpose(noise)
    worlds = draw(sample(5, range(24), "test"), (64, 64), 5).video
    assert [bundled.purpose(2 * video - 1) for video in worlds] == [""] * 24
