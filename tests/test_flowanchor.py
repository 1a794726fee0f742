"""FlowAnchor by its equations: each in closed form on small tensors, then the whole on the model whose answers are known."""

from dataclasses import replace
from itertools import pairwise
from math import log

import pytest
import torch
from torch import Tensor

from engine.backbones.analytic import AnalyticBackbone
from engine.diffusion.attention import AttentionSite, Untouched
from engine.diffusion.backbone import Condition, Text
from engine.diffusion.masks import latent_frames
from engine.diffusion.windows import SharedNoise, plan_windows
from engine.errors import MethodError
from engine.methods import flowanchor as fa
from engine.methods.cards import FlowAnchorConfig as Config
from engine.types import Edit

RED = (0.9, 0.1, 0.1)
PLAIN = Config(backbone="analytic", beta_text=0, beta_space_time=0, gamma=0)
"""FlowEdit: neither SAR nor AMM."""


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def yes(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.bool)


# --- SAR --------------------------------------------------------------------------------------------------


def test_refinement_gives_the_golden_rows() -> None:
    a = torch.tensor([[1.0, 2, 0], [0.5, 1.5, 1], [2, 1, 0.5]])
    inside, target = yes(1, 1, 0), yes(1, 0, 0)
    first = fa.text_token_modulation(a, inside, target, yes(1, 1, 1), 0.3)
    both = fa.spatio_temporal_modulation(first, inside, target, 0.3)
    expected = torch.tensor([[1.51, 1.4, 0], [1.16, 1.2, 0.85], [1.64, 1, 0.5]])
    assert torch.allclose(both, expected, atol=1e-6)


def test_padding_has_no_part_in_the_first_step() -> None:
    a = torch.tensor([[1.0, 2.0, 99.0, -99.0]])
    got = fa.text_token_modulation(a, yes(1), yes(1, 0, 0, 0), yes(1, 1, 0, 0), 0.5)
    assert got.tolist() == [[1.5, 1.5, 99.0, -99.0]]


@pytest.mark.parametrize("beta", [0.1, 0.3, 1.0])
def test_each_head_keeps_within_its_own_extremes(beta: float) -> None:
    a, inside, target, real = normal(1, 4, 6, 5), yes(1, 0, 1, 1, 0, 0), yes(0, 1, 1, 0, 0), yes(1, 1, 1, 1, 0)
    first = fa.text_token_modulation(a, inside, target, real, beta)
    assert torch.equal(first[..., ~inside, :], a[..., ~inside, :])
    seen = a[..., real]
    assert (first[..., real] <= seen.amax(-1, keepdim=True) + 1e-6).all()
    assert (first[..., real] >= seen.amin(-1, keepdim=True) - 1e-6).all()
    both = fa.spatio_temporal_modulation(first, inside, target, beta)
    assert torch.equal(both[..., ~target], first[..., ~target])
    assert (both[..., target].amax(-2) <= first[..., target].amax(-2) + 1e-6).all()
    assert (both[..., inside, :][..., target] >= first[..., inside, :][..., target] - 1e-6).all()
    assert (both[..., ~inside, :][..., target] <= first[..., ~inside, :][..., target] + 1e-6).all()


def test_the_control_is_both_steps_on_the_video_tokens() -> None:
    inside, target, real = yes(1, 0, 0, 1), yes(0, 1, 0), yes(1, 1, 1)
    control = fa.Refinement(inside, target, real, 0.3, 0.2)
    logits = normal(1, 1, 6, 3)
    got = control.scores(AttentionSite(0, "cross", (1, 2, 2), lead=2), logits, slice(0, 1))
    tokens = fa.text_token_modulation(logits[..., 2:, :], inside, target, real, 0.3)
    assert torch.equal(got[..., :2, :], logits[..., :2, :])
    assert torch.equal(got[..., 2:, :], fa.spatio_temporal_modulation(tokens, inside, target, 0.2))
    still = replace(control, beta_text=0.0, beta_space_time=0.0)
    assert torch.equal(still.scores(AttentionSite(0, "cross", (1, 2, 3)), normal(1, 1, 4, 3), slice(0, 1)), normal(1, 1, 4, 3))
    assert not control.wants_scores(AttentionSite(0, "self", (1, 2, 2)))


# --- AMM --------------------------------------------------------------------------------------------------


def test_the_frame_factor_follows_the_clip() -> None:
    assert fa.frame_factor(1.0, 1) == 0 and fa.frame_factor(1.0, 21) == 1
    assert fa.frame_factor(0.5, 11) == pytest.approx(0.5 * log(11) / log(21))
    assert [round(fa.frame_factor(1.0, latent_frames(t, 4)), 3) for t in (41, 65, 161)] == [0.788, 0.931, 1.22]


def test_contrast_is_the_channel_mean_between_its_extremes() -> None:
    signal = torch.zeros(1, 2, 1, 1, 3)
    signal[0, :, 0, 0] = torch.tensor([[-4.0, 0.0, 2.0], [0.0, 0.0, 2.0]])  # means −2, 0, 2
    assert torch.allclose(fa.contrast_maps([signal])[0].flatten(), torch.tensor([0, 0.5, 1]), atol=1e-6)
    assert torch.allclose(fa.contrast_maps([signal], "absolute")[0].flatten(), torch.tensor([1.0, 0, 1]), atol=1e-6)


def test_windows_share_the_extremes() -> None:
    signal = normal(1, 3, 4, 2, 2)
    whole = fa.contrast_maps([signal])[0]
    halves = fa.contrast_maps([signal[:, :, :2], signal[:, :, 2:]])
    assert torch.equal(torch.cat(halves, 2), whole)


def test_amplifying_keeps_the_direction_and_its_bounds() -> None:
    signal = normal(1, 3, 4, 2, 2)
    gain = fa.amplified([signal], 0.7)[0] / signal
    assert gain.min() == pytest.approx(1, abs=1e-5) and gain.max() == pytest.approx(1.7, abs=1e-5)
    assert torch.equal(fa.amplified([signal], 0.0)[0], signal)


# --- the words --------------------------------------------------------------------------------------------


def text(prompt: str, pieces: int = 1) -> Text:
    words = tuple(prompt.split())
    return Text(prompt, words, tuple(tuple(range(pieces * i, pieces * (i + 1))) for i in range(len(words))), torch.ones(1, 64, 2))


@pytest.mark.parametrize(
    ("target", "wanted", "places"),
    [
        ("a blue ball and a blue box", (), [1]),
        ("a big blue ball and a blue box", (), [1, 2]),
        ("a blue ball and a blue box", ("Blue",), [1]),
        ("a blue ball and a blue box", ("ball", "box,"), [2, 6]),
        ("a blue ball and a blue box", ("blue ball",), [1, 2]),
        ("a blue ball and a blue box", ("cat",), []),
        ("a red ball and a blue box .", (), [7]),
    ],
)
def test_the_words_to_edit_are_found(target: str, wanted: tuple[str, ...], places: list[int]) -> None:
    before = text("a red ball and a blue box")
    assert fa.words_to_edit(before, text(target), wanted) == places
    assert fa.words_to_edit(before, text(target, 2), wanted) == [at for place in places for at in (2 * place, 2 * place + 1)]


# --- the whole, where the answer is known -----------------------------------------------------------------


def clip(frames: int = 3, size: int = 16) -> tuple[Tensor, Tensor]:
    """A grey clip with two red squares, (T, 3, H, W) in [−1, 1], and a mask (T, H, W) of the left one."""
    pictures, mask = 0.1 * normal(frames, 3, size, size), torch.zeros(frames, size, size, dtype=torch.bool)
    half = size // 2
    for left in (0, half):
        square = torch.tensor(RED)[:, None, None] * 2 - 1
        pictures[:, :, size // 4 : half, left : left + size // 4] = square + 0.05 * normal(frames, 3, 1, 1, seed=left)
    mask[:, size // 4 : half, : size // 4] = True
    return pictures.clamp(-1, 1), mask


def editing(model: AnalyticBackbone, config: Config, prompts: tuple[str, str], frames: int) -> fa.Editing:
    asked = fa.ask(model, Edit(source_prompt=prompts[0], target_prompt=prompts[1]), config)
    return fa.Editing(model, asked, config, fa.frame_factor(config.gamma, frames), SharedNoise(3), bool(asked.target.any()))


PROMPTS = ("a red ball and a red box", "a blue ball and a red box")
LOOKS = {"ball": RED, "box": RED}


def run(
    config: Config, *, frames: int = 3, longest: int = 128, anchor: Tensor | None = None
) -> tuple[list[Tensor], list[fa.Part]]:
    model = AnalyticBackbone(LOOKS, max_frames=longest)
    pictures, mask = clip(frames)
    windows = plan_windows(frames, longest, 1)
    parts = [
        fa.make_part(model, pictures[w.start : w.stop], mask[w.start : w.stop], w.start, anchor if w.start == 0 else None)
        for w in windows
    ]
    with torch.no_grad():
        return fa.edit_windows(editing(model, config, PROMPTS, frames), parts, windows, lambda: None), parts


def closed_form(part: fa.Part, scales: tuple[float, float] = (1, 1)) -> Tensor:
    """X + w_target (mu_target − X) − w_source (mu_source − X), whatever the number of steps; mu of no words is X."""
    model = AnalyticBackbone(LOOKS)
    after, before = (model.predict(part.source, 1.0, model.encode_text(p), part.condition).x0 for p in reversed(PROMPTS))
    return part.source + scales[1] * (after - part.source) - scales[0] * (before - part.source)


@pytest.mark.parametrize(("steps", "skip"), [(1, 0), (4, 0), (10, 3), (25, 2), (3, 15), (50, 15)])
def test_flow_editing_lands_on_the_closed_form(steps: int, skip: int) -> None:
    states, parts = run(replace(PLAIN, steps=steps, skip=skip))
    wanted = closed_form(parts[0])
    assert (wanted - parts[0].source).abs().max() > 0.5
    assert (states[0] - wanted).abs().max() < 2e-5


def test_guidance_is_on_both_branches() -> None:
    states, parts = run(replace(PLAIN, steps=6, guidance_source=1.5, guidance_target=3.0))
    assert (states[0] - closed_form(parts[0], (1.5, 3.0))).abs().max() < 1e-4


def test_amplifying_lands_there_too_since_the_last_step_has_no_gain() -> None:
    states, parts = run(replace(PLAIN, gamma=1.0, steps=12))
    assert (states[0] - closed_form(parts[0])).abs().max() < 1e-4


def test_refinement_keeps_the_edit_in_the_mask() -> None:
    """Two squares that look alike: "blue" means both to the model, the mask means one."""

    def changes(config: Config) -> tuple[float, float]:
        states, parts = run(config)
        model = AnalyticBackbone(LOOKS)
        moved = (model.decode(states[0], 3) - model.decode(parts[0].source, 3)).abs().mean(1)
        return float(moved[:, 4:8, :4].mean()), float(moved[:, 4:8, 8:12].mean())

    plain_inside, plain_outside = changes(replace(PLAIN, steps=8))
    inside, outside = changes(replace(PLAIN, steps=8, beta_text=0.3, beta_space_time=0.3, tau=0.0))
    assert plain_outside == pytest.approx(plain_inside, rel=0.3)
    assert outside < 0.7 * plain_outside and inside > 0.8 * plain_inside


def test_refinement_is_asked_in_early_steps_of_the_targets_branch_only() -> None:
    seen: list[float] = []

    class Watched(AnalyticBackbone):
        def predict(self, z: Tensor, level: float, text: Text, condition: Condition | None = None):  # type: ignore[no-untyped-def]
            if self.installed is not None:
                assert text.prompt == PROMPTS[1] and isinstance(self.installed, Untouched)
                seen.append(level)
            return super().predict(z, level, text, condition)

    model = Watched(LOOKS)
    config = replace(PLAIN, steps=25, skip=2, guidance_target=2.0)
    pictures, mask = clip()
    parts = [fa.make_part(model, pictures, mask, 0)]
    fa.edit_windows(editing(model, config, PROMPTS, 3), parts, plan_windows(3, 128, 1), lambda: None)
    assert len(seen) == 18 and min(seen) >= 0.6  # the published grid: 18 of 23


def test_the_background_lock_keeps_the_source_outside_the_mask() -> None:
    states, parts = run(replace(PLAIN, steps=5, background_lock=True))
    changed = (states[0] != parts[0].source).any(1)[0]
    assert torch.equal(changed & ~parts[0].inside, torch.zeros_like(changed))
    assert changed[parts[0].inside].all()


def test_an_approved_anchor_is_reached_and_seen_on_the_way() -> None:
    take = clip()[0][0].flip(0)
    states, parts = run(replace(PLAIN, steps=5), anchor=take)
    assert parts[0].anchor is not None
    assert torch.allclose(states[0][:, :, 0], parts[0].anchor, atol=1e-6)


def test_windows_of_a_long_clip_meet() -> None:
    states, parts = run(replace(PLAIN, steps=3, gamma=1.0), frames=13, longest=6)
    windows = plan_windows(13, 6, 1)
    assert len(windows) > 2
    for a, b in pairwise(range(len(windows))):
        shared = set(parts[a].marks) & set(parts[b].marks[1:])
        for mark in shared:
            one = states[a][:, :, parts[a].marks.index(mark)]
            assert torch.allclose(one, states[b][:, :, parts[b].marks.index(mark)], atol=1e-5)


@pytest.mark.parametrize(
    ("prompts", "said"),
    [(("", "a ball"), "source prompt"), (("a ball", " "), "target prompt"), (("a ball", "a ball"), "the same")],
)
def test_prompts_that_say_nothing_are_refused(prompts: tuple[str, str], said: str) -> None:
    with pytest.raises(MethodError, match=said):
        fa.ask(AnalyticBackbone(), Edit(source_prompt=prompts[0], target_prompt=prompts[1]), Config())
