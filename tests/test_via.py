"""VIA's parts by themselves, on the analytic and the bundled model: what each equation must do, exactly where it can be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.backbones import backbone
from engine.backbones.analytic import AnalyticBackbone
from engine.diffusion.adapt import adapter, load, save
from engine.diffusion.attention import AttentionSite, Untouched
from engine.diffusion.backbone import DiffusionBackbone
from engine.diffusion.masks import soften
from engine.methods.cards import ViaConfig
from engine.methods.via import (
    Editing,
    Frames,
    Gather,
    Swap,
    adapt,
    affine_pair,
    boundary_share,
    edit_frames,
    edit_group,
    editing_loss,
    group_of,
    integrated,
)
from engine.types import FrameRange
from engine.world.draw import draw
from tests.balls import LOOKS, ball

SITE = AttentionSite(0, "self", (1, 2, 2))
CONFIG = ViaConfig(steps=3, swap_steps=2)


@cache
def bundled() -> DiffusionBackbone:
    return backbone("bundled")


@cache
def latents(count: int = 4, size: tuple[int, int] = (32, 32)) -> Tensor:
    """(count, C, 1, h, w) of the bundled model, of a ball that rolls."""
    frames = draw(ball(), size, count).video[0] * 2 - 1
    return torch.cat([bundled().encode(frame[None]) for frame in frames])


def editing(config: ViaConfig = CONFIG, prompt: str = "make the ball blue", model: DiffusionBackbone | None = None) -> Editing:
    model = model or bundled()
    shape = latents()[:1].shape
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return Editing(model, (model.encode_text(prompt), model.encode_text("")), (1.5, 1.0), config, noise)


def frames(anchor: int | None = None, *, mask: float = 1.0) -> Frames:
    z = latents()
    held = torch.zeros(len(z), 1, 1, 1, 1, dtype=torch.bool)
    if anchor is not None:
        held[anchor] = True
    return Frames(z, torch.full((len(z), 1, 1, *z.shape[-2:]), mask), z + 0.5, held)


def tick() -> None: ...


# --- adaptation -------------------------------------------------------------------------------------------


def test_a_pair_moves_as_one_and_moves_little() -> None:
    picture = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
    dice = torch.Generator().manual_seed(3)
    source, edit = affine_pair(picture, 1 - picture, dice)
    assert torch.allclose(source, 1 - edit, atol=1e-5) and not torch.allclose(source, picture, atol=0.05)
    places = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 64), indexing="ij"))
    ramp = torch.cat([places, places[:1]])
    for _ in range(20):
        moved, _ = affine_pair(ramp, ramp, dice)
        assert float((moved - ramp)[:2, 12:36, 16:48].abs().max()) < 0.5
        across = float((moved[1, 24, 40] - moved[1, 24, 24]) / (ramp[1, 24, 40] - ramp[1, 24, 24]))
        assert 0.7 < across < 1.02  # crop of 75 to 100 %, a little turn


def test_the_loss_is_nothing_for_a_model_that_knows_the_answer() -> None:
    model = AnalyticBackbone(LOOKS)
    clip = draw(ball(), (32, 48), 2).video[0] * 2 - 1
    z = torch.cat([model.encode(frame[None]) for frame in clip])
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    text = model.encode_text("")
    assert float(editing_loss(model, (z, z), 0.6, text, noise)) < 1e-8
    assert float(editing_loss(model, (z, z + 0.3), 0.6, text, noise)) > 1e-3


def test_adaptation_learns_the_pair_and_leaves_no_trace(tmp_path: Path) -> None:
    model = bundled()
    picture = draw(ball(), (32, 32), 1).video[0, 0] * 2 - 1
    pair = picture, picture.flip(0)  # another colour
    text = model.encode_text("make the ball blue")
    noise = torch.randn(latents()[:1].shape, generator=torch.Generator().manual_seed(1))
    source, edit = (model.encode(one[None]) for one in pair)

    def loss() -> float:
        with torch.no_grad():
            return float(editing_loss(model, (source, edit), 0.9, text, noise))

    stock = loss()
    assert model.denoiser is not None
    with adapter(model.denoiser) as parameters:
        assert parameters and loss() == pytest.approx(stock, rel=1e-5)
        adapt(model, [pair], text, parameters, steps=8, seed=0, tick=tick)
        learnt = loss()
        save(parameters, tmp_path / "a.safetensors")
    assert learnt < 0.97 * stock and loss() == stock
    with adapter(model.denoiser) as parameters:
        load(parameters, tmp_path / "a.safetensors")
        assert loss() == pytest.approx(learnt, rel=1e-4)


# --- local latents ----------------------------------------------------------------------------------------


def test_the_source_is_whole_outside_after_the_last_step() -> None:
    z, source = latents(), latents() + 1
    mask = torch.zeros(len(z), 1, 1, *z.shape[-2:])
    mask[..., :3] = 1
    shares = [boundary_share(step, 5) for step in range(5)]
    assert shares == sorted(shares) and shares[0] == 0.2 and shares[-1] == 1
    result = integrated(z, source, mask, shares[-1])
    assert torch.equal(result[..., 3:], source[..., 3:]) and torch.equal(result[..., :3], z[..., :3])


def test_the_mask_is_soft_by_one_latent_pixel() -> None:
    inside = torch.zeros(1, 9, 9, dtype=torch.bool)
    inside[0, 3:6, 3:6] = True
    soft = soften(inside)[0]
    assert (soft[inside[0]] == 1).all() and 0 < float(soft[2, 4]) < 1 and float(soft[1, 4]) == 0


# --- gather and swap --------------------------------------------------------------------------------------


def keys(frame: int, count: int = 4) -> tuple[Tensor, Tensor]:
    return torch.full((1, 2, count, 3), float(frame)), torch.full((1, 2, count, 3), 10.0 + frame)


def test_gathering_sees_the_frames_before_and_adds_its_own() -> None:
    gather = Gather({})
    first = gather.keys_values(SITE, *keys(0))
    assert torch.equal(first[0], keys(0)[0])
    second = gather.keys_values(SITE, *keys(1))
    assert second[0].unique().tolist() == [0.0] and second[1].unique().tolist() == [10.0]
    third = gather.keys_values(SITE, *keys(2))
    assert third[0].shape[2] == 8 and third[0].unique().tolist() == [0.0, 1.0]
    assert gather.bank["self", 0][0].unique().tolist() == [0.0, 1.0, 2.0]


def test_swapping_sees_the_group_alone_for_any_batch() -> None:
    bank = {("self", 0): keys(7, 6)}
    k, v = Swap(bank).keys_values(SITE, *(torch.cat([one] * 3) for one in keys(1)))
    assert k.shape == (3, 2, 6, 3) and k.unique().tolist() == [7.0] and v.unique().tolist() == [17.0]


def test_a_frames_own_source_tokens_stay() -> None:
    site = replace(SITE, lead=2)
    k, _ = Swap({("self", 0): keys(7, 6)}).keys_values(site, *keys(1, 6))
    assert k[0, 0, :, 0].tolist() == [1, 1, 7, 7, 7, 7, 7, 7]
    gather = Gather({})
    gather.keys_values(site, *keys(1, 6))
    assert gather.bank["self", 0][0].shape[2] == 4


def test_words_are_left_alone_unless_frames_have_their_own() -> None:
    cross = replace(SITE, kind="cross")
    assert torch.equal(Swap({}).keys_values(cross, *keys(1))[0], keys(1)[0])


@pytest.mark.parametrize("kind", ["analytic", "bundled"])
def test_with_one_prompt_swapping_where_words_are_looked_for_changes_nothing(kind: str) -> None:
    model: DiffusionBackbone = bundled() if kind == "bundled" else AnalyticBackbone(LOOKS)
    clip = draw(ball(), (32, 32), 3).video[0] * 2 - 1
    z = torch.cat([model.encode(frame[None]) for frame in clip])
    noise = torch.randn(z[:1].shape, generator=torch.Generator().manual_seed(0))

    class OnlyWords(Untouched):
        def __init__(self, inner: Gather | Swap) -> None:
            self.inner = inner

        def keys_values(self, site: AttentionSite, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            return self.inner.keys_values(site, k, v) if site.kind == "cross" else (k, v)

    edit = Editing(model, (model.encode_text("a blue ball on grass"), model.encode_text("")), (1.5, 1.0), CONFIG, noise)
    noisy = 0.3 * z + 0.7 * noise
    bank: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
    with torch.no_grad():
        plain = edit.predict(noisy, 0.7, z, [None, None])
        for one, shown in zip(noisy.split(1), z.split(1), strict=True):
            edit.predict(one, 0.7, shown, [OnlyWords(Gather(bank, texts=True)), None])
        swapped = edit.predict(noisy, 0.7, z, [OnlyWords(Swap(bank, texts=True)), None])
    assert bank and torch.allclose(plain.x0, swapped.x0, atol=1e-4)


def test_the_group_is_even_and_takes_the_anchors() -> None:
    assert group_of(FrameRange(10, 43), 4, ()) == [10, 21, 31, 42]
    assert group_of(FrameRange(0, 33), 4, (5, 16)) == [0, 5, 11, 16, 21, 32]
    assert group_of(FrameRange(4, 5), 4, ()) == [4]
    assert len(group_of(FrameRange(0, 400), 4, tuple(range(0, 400, 7)))) <= 12


# --- sampling ---------------------------------------------------------------------------------------------


def test_equal_frames_stay_equal() -> None:
    """What the swap is for: frames that show the same come out the same, and follow the group."""
    group = frames()
    trajectory = edit_group(editing(), group, tick)
    same = Frames(*(one[[1, 1]] for one in (group.source, group.mask, group.takes, group.is_anchor)))
    z = edit_frames(editing(), same, (trajectory, group.source), tick)
    assert torch.allclose(z[0], z[1], atol=1e-5)
    alone = edit_frames(editing(replace(CONFIG, swap=False)), same, None, tick)
    assert not torch.allclose(z[0], alone[0], atol=1e-3)


def test_a_member_of_the_group_comes_out_as_in_the_group() -> None:
    """Rendered in a segment of its own, a frame of the group repeats the group's path: segments meet."""
    group = frames()
    trajectory = edit_group(editing(), group, tick)
    seen: list[Tensor] = []

    class Keeping(Editing):
        __slots__ = ()

        def swapped(self, z: Tensor, *rest: object) -> object:  # type: ignore[override]
            seen.append(z)
            return super().swapped(z, *rest)  # type: ignore[arg-type]

    plain = editing()
    watching = Keeping(plain.model, plain.texts, plain.guidance, plain.config, plain.noise)
    edit_frames(watching, group, (trajectory, group.source), tick)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(seen, trajectory, strict=True))


def test_an_anchor_is_held_and_the_others_follow_it() -> None:
    trajectory = edit_group(editing(), frames(anchor=2), tick)
    model, group = bundled(), frames(anchor=2)
    for step, level in enumerate(model.levels(CONFIG.steps)[:-1]):
        a, b = model.scales(level)
        assert torch.allclose(trajectory[step, 2], (a * group.takes + b * editing().noise)[2], atol=1e-5)
    with_anchor = edit_frames(editing(), frames(anchor=2), (trajectory, group.source), tick)
    assert torch.allclose(with_anchor[2], group.takes[2], atol=1e-5)
    without = edit_frames(editing(), frames(), (edit_group(editing(), frames(), tick), group.source), tick)
    assert not torch.allclose(with_anchor[0], without[0], atol=1e-3)


def test_outside_the_mask_latents_are_the_sources() -> None:
    nothing = frames(mask=0.0)
    z = edit_frames(editing(), nothing, None, tick)
    assert torch.allclose(z, nothing.source, atol=1e-5)
    free = edit_frames(editing(replace(CONFIG, local=False)), nothing, None, tick)
    assert not torch.allclose(free, nothing.source, atol=1e-2)


def test_guidance_weighs_three_branches() -> None:
    """ε = u + s_I (i − u) + s_T (t − i), on the analytic model, whose branches are told apart by their conditions."""
    model = AnalyticBackbone(LOOKS)
    clip = draw(ball(), (32, 32), 1).video[0] * 2 - 1
    z = model.encode(clip)
    texts = model.encode_text("a blue ball on grass"), model.encode_text("")
    noisy = 0.5 * z + 0.5 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        single = [
            Editing(model, texts, scales, CONFIG, z).predict(noisy, 0.5, z, [None] * 3).noise
            for scales in ((1.0, 0.999999), (0.0, 0.999999), (0.0, 1e-9))
        ]
        both = Editing(model, texts, (3.0, 2.0), CONFIG, z).predict(noisy, 0.5, z, [None] * 3).noise
    text, image, nothing = single
    assert torch.allclose(both, nothing + 2 * (image - nothing) + 3 * (text - image), atol=1e-3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
