"""AnchorSync's parts by themselves: who goes with whom, what pairs see, what holds, what a video model is shown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.backbones import backbone
from engine.backbones.analytic import AnalyticBackbone
from engine.backbones.shelf import Backbones
from engine.diffusion.attention import AttentionSite
from engine.diffusion.backbone import DiffusionBackbone
from engine.diffusion.pairs import PairAttention, averaged, pairs
from engine.errors import MethodError
from engine.methods import method
from engine.methods.anchorsync import Anchors, Editing, anchors_of, edit_anchors
from engine.methods.base import Context, Segment, Shot
from engine.methods.cards import AnchorSyncConfig
from engine.motion.spacing import spread
from engine.rendering.shots import carried
from engine.types import Anchor, FrameRange
from engine.world.draw import draw
from tests.balls import LOOKS, ball
from tests.drawn import drawn_clip
from tests.test_methods import FRAMES, Setting

CONFIG = AnchorSyncConfig(steps=4, structure_steps=1, interval=3)


@cache
def bundled() -> DiffusionBackbone:
    return backbone("bundled")


@cache
def latents() -> Tensor:
    frames = draw(ball(), (32, 32), 4).video[0] * 2 - 1
    return torch.cat([bundled().encode(frame[None]) for frame in frames])


def editing(config: AnchorSyncConfig = CONFIG) -> Editing:
    model = bundled()
    noise = torch.randn(latents()[:1].shape, generator=torch.Generator().manual_seed(0))
    return Editing(model, (model.encode_text("make the ball blue"), model.encode_text("")), (1.5, 1.0), config, noise)


def anchors(approved: int | None = None) -> Anchors:
    held = torch.zeros(4, 1, 1, 1, 1, dtype=torch.bool)
    if approved is not None:
        held[approved] = True
    return Anchors(latents(), latents() + 0.4, held)


def tick() -> None: ...


# --- pairs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 5, 9, 14])
def test_every_anchor_has_a_partner_at_every_step(count: int) -> None:
    distances = []
    for step in range(20):
        found = pairs(count, step / 20, 0.4)
        assert {one for pair in found for one in pair} == set(range(count))
        assert all(0 <= a < b < count for a, b in found)
        distances.append(max(b - a for a, b in found))
    assert distances[0] == count - 1 and distances == sorted(distances, reverse=True)
    assert pairs(count, 0.5, 0.4) == [(a, a + 1) for a in range(count - 1)]


def test_one_anchor_has_none() -> None:
    assert pairs(1, 0.0, 0.4) == []


def test_both_of_a_pair_see_each_other_and_keep_their_own_source() -> None:
    rows = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 3, 1)
    k, v = PairAttention().keys_values(AttentionSite(0, "self", (1, 1, 2), lead=1), rows, rows)
    assert k[:, 0, :, 0].tolist() == [[0, 0, 0, 1, 1], [1, 1, 1, 0, 0], [2, 2, 2, 3, 3], [3, 3, 3, 2, 2]] and torch.equal(k, v)
    same, _ = PairAttention().keys_values(AttentionSite(0, "cross", (1, 1, 3)), rows, rows)
    assert torch.equal(same, rows)


def test_a_picture_in_several_pairs_takes_their_mean() -> None:
    parts = torch.tensor([1.0, 2.0, 4.0, 8.0])[:, None]
    assert averaged(parts, [0, 1, 1, 2], 3).flatten().tolist() == [1.0, 3.0, 8.0]


# --- joint editing ----------------------------------------------------------------------------------------


def test_approved_anchors_hold_and_the_others_follow() -> None:
    held = edit_anchors(editing(), anchors(0), tick)
    free = edit_anchors(editing(), anchors(), tick)
    assert torch.allclose(held[0], anchors().takes[0], atol=1e-5)
    assert float((held[3] - free[3]).abs().max()) > 1e-5
    alone = replace(CONFIG, joint=False)
    assert torch.equal(edit_anchors(editing(alone), anchors(0), tick)[3], edit_anchors(editing(alone), anchors(), tick)[3])


def test_structure_is_the_sources_where_all_of_it_is_put_in() -> None:
    none, whole = (edit_anchors(editing(replace(CONFIG, structure=s, structure_steps=4)), anchors(), tick) for s in (0.0, 1.0))
    plain = edit_anchors(editing(replace(CONFIG, structure_steps=0)), anchors(), tick)
    assert torch.allclose(none, plain, atol=1e-5) and not torch.allclose(whole, plain, atol=1e-3)


# --- choosing ---------------------------------------------------------------------------------------------


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return Setting(drawn_clip(FRAMES, (96, 128), 3), tmp_path).shot()


def chosen(shot: Shot, interval: int, most: int = 0) -> list[int]:
    return anchors_of(shot, replace(CONFIG, interval=interval, most_anchors=most))


def test_anchors_are_even_and_keep_the_approved(shot: Shot) -> None:
    assert chosen(shot, 3) == [0, 3, 6, 9]
    assert chosen(replace(shot, anchors=(4,)), 100) == [0, 4, 9]


def test_there_are_no_more_anchors_than_allowed_beside_the_users_own(shot: Shot) -> None:
    assert len(chosen(shot, 2)) == 6
    assert chosen(shot, 2, 4) == [0, 3, 6, 9] and chosen(shot, 2, 1) == [0, 9]
    assert chosen(replace(shot, anchors=(1, 2, 5)), 2, 3) == [0, 1, 2, 5, 9]


def test_anchors_put_by_hand_count_instead(shot: Shot) -> None:
    by_hand = replace(shot, anchors=(), edit=replace(shot.edit, anchors=(Anchor(2), Anchor(5))))
    assert chosen(by_hand, 3, 2) == [0, 2, 5, 9]


class Broken:
    """Motion that contradicts itself from frame 6 on; frame 8's is not known."""

    def pair(self, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        assert a != 8
        half = np.random.default_rng(a).normal(0, 40 if a >= 6 else 0, (24, 32, 2)).astype(np.float32)
        return half, half

    def missing(self, spans: Collection[FrameRange]) -> list[int]:
        return [8]


def test_anchors_are_closer_where_the_flow_is_lost(shot: Shot) -> None:
    assert chosen(replace(shot, anchors=()), 5) == [0, 4, 9]
    assert spread(Broken(), FrameRange(0, 10), (), 5) == [0, 4, 7, 9]
    assert spread(Broken(), FrameRange(0, 10), (), 5, 3) == [0, 6, 9]


# --- the method -------------------------------------------------------------------------------------------


def context(folder: Path) -> Context:
    folder.mkdir(exist_ok=True)
    return Context(lambda done, total: None, 0, folder, folder / "store", Backbones(), carry=carried)


def test_anchors_without_a_take_cut_the_shot_and_only_their_neighbours_depend_on_them(shot: Shot, tmp_path: Path) -> None:
    made = method("anchorsync")
    prepared = made.prepare(shot, CONFIG, context(tmp_path / "a"))
    assert list(prepared.parts) == [3, 6] and prepared.digest == ""
    again = made.prepare(shot, CONFIG, context(tmp_path / "a"))
    assert again.parts == prepared.parts
    segment = Segment(1, 3, 6, 3, 6, FrameRange(0, FRAMES))
    rendered = dict(made.render(shot, segment, prepared, context(tmp_path / "a")))
    assert list(rendered) == [3, 4, 5]
    assert np.array_equal(rendered[3], np.load(prepared.value[3]))


def test_without_an_instruction_it_says_so(shot: Shot, tmp_path: Path) -> None:
    silent = replace(shot, edit=replace(shot.edit, instruction=""))
    with pytest.raises(MethodError, match="instruction"):
        method("anchorsync").prepare(silent, CONFIG, context(tmp_path / "a"))


def test_the_analytic_model_makes_anchors_of_one_colour(tmp_path: Path) -> None:
    """Where the editor follows words exactly, so do all anchors."""
    model = AnalyticBackbone(LOOKS)
    clip = draw(ball(), (32, 48), 3).video[0] * 2 - 1
    source = torch.cat([model.encode(frame[None]) for frame in clip])
    noise = torch.randn(source[:1].shape, generator=torch.Generator().manual_seed(0))
    texts = model.encode_text("a blue ball on grass"), model.encode_text("")
    edit = Editing(model, texts, (1.0, 1.0), replace(CONFIG, structure_steps=0), noise)
    z = edit_anchors(edit, Anchors(source, source, torch.zeros(3, 1, 1, 1, 1, dtype=torch.bool)), tick)
    made = torch.cat([model.decode(one[None], 1) for one in z])
    assert float((made - clip).abs().max()) > 0.5
    blue = (made[:, 2] - made[:, 0]).amax((1, 2))
    assert float(blue.std()) < 0.15 and float(blue.min()) > 0.5
