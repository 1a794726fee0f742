"""The algebra that diffusion methods stand on: paths, levels, steps, guidance, and attention with its control."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones.analytic import AnalyticBackbone
from engine.diffusion.attention import AttentionSite, Untouched, attend
from engine.diffusion.backbone import Condition, DiffusionBackbone, Prediction, Text
from engine.diffusion.flow import blend, euler, from_clean, from_velocity, guided, shifted_levels, velocity_of

SITE = AttentionSite(0, "cross", (2, 3, 4))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("t", [0.0, 0.176, 0.5, 1.0, torch.tensor([0.2, 0.9])])
def test_a_velocity_gives_back_what_was_blended(t: float | Tensor) -> None:
    x0, noise = normal(2, 3, 4, 5, 5), normal(2, 3, 4, 5, 5, seed=1)
    found = from_velocity(blend(x0, noise, t), noise - x0, t)
    assert torch.allclose(found.x0, x0, atol=1e-6)
    assert torch.allclose(found.noise, noise, atol=1e-6)
    assert torch.allclose(velocity_of(found), noise - x0, atol=2e-6)


def test_blending_takes_one_time_for_each_of_a_batch() -> None:
    x0, noise = normal(2, 3, 1, 2, 2), normal(2, 3, 1, 2, 2, seed=1)
    both = blend(x0, noise, torch.tensor([0.25, 1.0]))
    assert torch.equal(both[0], blend(x0, noise, 0.25)[0])
    assert torch.equal(both[1], noise[1])


def test_levels_are_the_published_grid() -> None:
    levels = shifted_levels(25, 5)
    assert [round(t, 3) for t in levels[:6]] == [1.000, 0.992, 0.983, 0.973, 0.963, 0.952]
    assert [round(t, 3) for t in levels[-5:]] == [0.489, 0.407, 0.306, 0.176, 0.0]
    assert len(levels) == 26


@pytest.mark.parametrize("steps", [1, 2, 25, 100])
@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0])
def test_levels_fall_from_the_first_to_none(steps: int, shift: float) -> None:
    levels = shifted_levels(steps, shift, first=0.8)
    assert levels[0] == pytest.approx(0.8) and levels[-1] == 0 and len(levels) == steps + 1
    assert all(a > b for a, b in pairwise(levels))


def test_sampling_without_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="one step"):
        shifted_levels(0, 5)


def test_euler_is_exact_on_a_constant_field() -> None:
    z, v = normal(1, 3, 2, 4, 4), normal(1, 3, 2, 4, 4, seed=1)
    assert torch.allclose(euler(z, shifted_levels(7, 5), lambda z, t: v), z - v, atol=1e-6)


def test_euler_asks_at_every_level_but_the_last() -> None:
    asked: list[float] = []
    euler(torch.zeros(1), [1.0, 0.5, 0.0], lambda z, t: asked.append(t) or z)  # type: ignore[func-returns-value]
    assert asked == [1.0, 0.5]


def test_guidance_keeps_its_identities() -> None:
    u, c = normal(3, 4), normal(3, 4, seed=1)
    assert torch.equal(guided(u, c, 0), u)
    assert torch.allclose(guided(u, c, 1), c, atol=1e-6)
    assert torch.equal(guided(c, c, 7.5), c)
    assert torch.allclose(guided(u, c, 3) - guided(u, c, 2), c - u, atol=1e-5)


def heads(seed: int = 0, keys: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    return normal(2, 3, 24, 8, seed=seed), normal(2, 3, keys, 8, seed=seed + 1), normal(2, 3, keys, 8, seed=seed + 2)


class Logits(Untouched):
    """Wants the scores of one kind of site; adds `more` to them and notes which heads it was shown."""

    def __init__(self, more: Tensor | float = 0.0) -> None:
        self.more = more
        self.seen: list[tuple[slice, tuple[int, ...]]] = []

    def wants_scores(self, site: AttentionSite) -> bool:
        return True

    def scores(self, site: AttentionSite, logits: Tensor, heads: slice) -> Tensor:
        self.seen.append((heads, tuple(logits.shape)))
        return logits + self.more


def test_attention_left_alone_is_the_fused_kernel_to_the_bit() -> None:
    q, k, v = heads()
    plain = F.scaled_dot_product_attention(q, k, v)
    assert torch.equal(attend(q, k, v, SITE, None), plain)
    assert torch.equal(attend(q, k, v, SITE, Untouched()), plain)


def test_scores_handed_back_unchanged_change_nothing() -> None:
    q, k, v = heads()
    control = Logits()
    assert torch.allclose(attend(q, k, v, SITE, control), F.scaled_dot_product_attention(q, k, v), atol=1e-6)
    assert control.seen == [(slice(h, h + 1), (2, 1, 24, 7)) for h in range(3)]


def test_scores_are_asked_for_where_tokens_look_for_words_only() -> None:
    q, k, v = heads()
    for kind in ("self", "temporal"):
        control = Logits(1e9)
        out = attend(q, k, v, AttentionSite(0, kind, (2, 3, 4)), control)  # type: ignore[arg-type]
        assert torch.equal(out, F.scaled_dot_product_attention(q, k, v)) and not control.seen


def test_scores_are_float32_in_a_model_of_half_precision() -> None:
    q, k, v = (part.bfloat16() for part in heads())
    seen = []

    class Types(Logits):
        def scores(self, site: AttentionSite, logits: Tensor, heads: slice) -> Tensor:
            seen.append(logits.dtype)
            return logits

    out = attend(q, k, v, SITE, Types())
    assert out.dtype == torch.bfloat16 and set(seen) == {torch.float32}
    assert torch.allclose(out, F.scaled_dot_product_attention(q, k, v), atol=0.02)


def test_scores_decide_where_attention_goes() -> None:
    q, k, v = heads()
    only_third = torch.full((7,), -1e9)
    only_third[2] = 0
    out = attend(q, k, v, SITE, Logits(only_third))
    assert torch.allclose(out, v[:, :, 2:3].expand_as(out), atol=1e-6)


def test_keys_and_values_may_be_other_ones_in_another_number() -> None:
    q, k, v = heads()
    _, more_k, more_v = heads(seed=5, keys=11)

    class Swap(Untouched):
        def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            assert site is SITE and torch.equal(keys, k) and torch.equal(values, v)
            return more_k, more_v

    assert torch.equal(attend(q, k, v, SITE, Swap()), F.scaled_dot_product_attention(q, more_k, more_v))


def test_positions_of_words_name_all_their_pieces() -> None:
    text = Text("", ("a", "striped", "ball", "a"), ((1,), (2, 3), (4,), (5,)), torch.zeros(1, 6, 2))
    assert text.positions({"striped"}) == [2, 3]
    assert text.positions({"a", "ball"}) == [1, 4, 5]
    assert text.positions({"cat"}) == []


@dataclass
class Edit:
    """A clip, X + D, and the model that knows both by their prompts."""

    model: DiffusionBackbone
    source: Tensor
    wanted: Tensor
    texts: tuple[Text, Text]


def edit() -> Edit:
    model = AnalyticBackbone({"ball": (0.9, 0.1, 0.1)})
    frames = 0.3 * normal(3, 3, 16, 16).clamp(-1, 1)
    frames[:, :, 4:12, 4:12] += torch.tensor([0.5, -0.5, -0.5])[:, None, None]
    source = model.encode(frames.clamp(-1, 1))
    texts = model.encode_text("a ball"), model.encode_text("a blue ball")
    wanted = model.predict(source, 1.0, texts[1], Condition(source)).x0
    assert (wanted - source).abs().max() > 0.5
    return Edit(model, source, wanted, texts)


def flow_edit(given: Edit, levels: list[float], seed: int) -> Tensor:
    """FlowEdit (arXiv 2412.08629): the same fresh noise in both branches, the edit follows the velocities' difference."""
    condition, z = Condition(given.source), given.source
    for i, (t, following) in enumerate(pairwise(levels)):
        at_source = blend(given.source, normal(*z.shape, seed=seed + i), t)
        target = velocity_of(given.model.predict(z + at_source - given.source, t, given.texts[1], condition))
        source = velocity_of(given.model.predict(at_source, t, given.texts[0], condition))
        z = z + (following - t) * (target - source)
    return z


@pytest.mark.parametrize(("steps", "skip"), [(1, 0), (4, 0), (10, 3), (25, 2), (25, 24), (50, 15)])
def test_flow_editing_lands_on_the_edit(steps: int, skip: int) -> None:
    given = edit()
    landed = flow_edit(given, shifted_levels(steps, 5)[skip:], seed=100 * steps + skip)
    assert (landed - given.wanted).abs().max() < 1e-5


def test_flow_editing_stopped_early_has_gone_that_far() -> None:
    """d(t) = D (1 − t / t_first): each step shrinks what is left by t_next / t."""
    given = edit()
    levels = shifted_levels(25, 5)[2:-3]
    landed = flow_edit(given, levels, seed=9)
    expected = given.source + (1 - levels[-1] / levels[0]) * (given.wanted - given.source)
    assert (landed - expected).abs().max() < 1e-5


@pytest.mark.parametrize("steps", [1, 6])
def test_sampling_from_noise_lands_on_the_mean(steps: int) -> None:
    given = edit()

    def velocity(z: Tensor, t: float) -> Tensor:
        return velocity_of(given.model.predict(z, t, given.texts[1], Condition(given.source)))

    landed = euler(normal(*given.source.shape, seed=3), given.model.levels(steps), velocity)
    assert (landed - given.wanted).abs().max() < 1e-5


def test_a_prediction_is_made_of_two_tensors_like_z() -> None:
    found = from_velocity(torch.zeros(1, 1, 1, 2, 2), torch.ones(1, 1, 1, 2, 2), 0.25)
    assert isinstance(found, Prediction)
    assert found.x0.unique().tolist() == [-0.25] and found.noise.unique().tolist() == [0.75]


def test_clean_latents_and_velocity_make_the_same_prediction() -> None:
    z, x0 = torch.randn(3, 2, 1, 4, 4), torch.randn(3, 2, 1, 4, 4)
    t = torch.tensor([0.0, 0.3, 1.0])
    made = from_clean(z, x0, t)
    assert torch.allclose(blend(made.x0, made.noise, t), z, atol=1e-6)
    assert torch.equal(made.x0[0], z[0]) and torch.equal(made.x0[1:], x0[1:])
    for index, level in enumerate(t.tolist()):
        one = from_clean(z[index : index + 1], x0[index : index + 1], level)
        assert torch.allclose(one.noise, made.noise[index : index + 1], atol=1e-6)
    again = from_velocity(z[1:2], velocity_of(from_clean(z[1:2], x0[1:2], 0.3)), 0.3)
    assert torch.allclose(again.x0, x0[1:2], atol=1e-6)
