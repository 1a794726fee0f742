"""What every diffusion backbone must keep, run on each. A new backbone is one line in `CASES`."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from math import prod

import pytest
import torch
from torch import Tensor

from engine.backbones import BACKBONES, animatediff, backbone, instruct_pix2pix, vace, wan
from engine.backbones.analytic import AnalyticBackbone
from engine.diffusion.attention import AttentionSite, Untouched
from engine.diffusion.backbone import Condition, DiffusionBackbone, Prediction
from engine.errors import MethodError
from engine.world.draw import draw
from tests.balls import LOOKS, ball, psnr
from tests.tiny_models import snapshot


@dataclass(frozen=True)
class Case:
    """A backbone to test. `fidelity`: PSNR in dB of encoding and decoding (peak 1), 0 for random weights; `size`, `frames`:
    what it can take; `ends`: it needs pictures to begin and to end with."""

    name: str
    make: Callable[[], DiffusionBackbone]
    fidelity: float
    size: tuple[int, int] = (32, 48)
    frames: int = 5
    prompt: str = "a blue striped ball on grass"
    ends: bool = False


def tiny(load: Callable[..., DiffusionBackbone], kind: str) -> DiffusionBackbone:
    """The tiny random model of that kind, loaded from disk."""
    return load(snapshot(kind), "cpu")


CASES = [
    Case("analytic", partial(AnalyticBackbone, LOOKS), fidelity=100),
    Case("analytic spread", partial(AnalyticBackbone, LOOKS, spread=0.3, patch=8), fidelity=100),
    Case("analytic ddpm", partial(AnalyticBackbone, LOOKS, schedule="ddpm", spread=0.2), fidelity=100),
    Case("bundled", partial(backbone, "bundled"), fidelity=26, prompt="make the ball blue"),
    Case("wan", partial(tiny, wan.load, "wan"), fidelity=0),
    Case("wan 2.2", partial(tiny, wan.load, "wan 2.2"), fidelity=0, size=(64, 96)),
    Case("vace", partial(tiny, vace.load, "vace"), fidelity=0),
    Case("first-last", partial(tiny, vace.load_first_last, "first-last"), fidelity=0, ends=True),
    Case("instruct-pix2pix", partial(tiny, instruct_pix2pix.load, "instruct-pix2pix"), fidelity=0),
    Case("instruct-pix2pix xl", partial(tiny, instruct_pix2pix.load, "instruct-pix2pix-xl"), fidelity=0),
    Case("animatediff", lambda: animatediff.load(snapshot("motion-adapter"), snapshot("stable-diffusion"), "cpu"), fidelity=0),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@cache
def made(case: Case) -> DiffusionBackbone:
    return case.make()


@cache
def clip(case: Case) -> Tensor:
    return draw(ball(), case.size, case.frames).video[0] * 2 - 1


@cache
def latents(case: Case) -> Tensor:
    return made(case).encode(clip(case))


@cache
def condition_of(case: Case, source: bool = True) -> Condition | None:
    """What the model takes, and none where it goes by text alone."""
    model, frames = made(case), clip(case)
    if case.ends:
        return Condition(first=frames[0], last=frames[-1])
    return Condition(latents(case)) if source and "source" in model.takes else None


def noisy(case: Case, level: float = 0.7, seed: int = 0) -> tuple[Tensor, Condition | None]:
    """(z at the level, the condition)."""
    a, b = made(case).scales(level)
    x0 = latents(case)
    return a * x0 + b * torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed)), condition_of(case)


def predicted(case: Case, level: float = 0.7, prompt: str | None = None) -> Prediction:
    model = made(case)
    z, condition = noisy(case, level)
    with torch.no_grad():
        return model.predict(z, level, model.encode_text(case.prompt if prompt is None else prompt), condition)


def same(a: Prediction, b: Prediction) -> bool:
    return torch.equal(a.x0, b.x0) and torch.equal(a.noise, b.noise)


def close(a: Prediction, b: Prediction) -> bool:
    return torch.allclose(a.x0, b.x0, atol=1e-5) and torch.allclose(a.noise, b.noise, atol=1e-5)


def some(sites: tuple[str, ...]) -> tuple[str, ...]:
    """About five of them, the first and the last among them: UNets have dozens."""
    return (*sites[: -1 : max(1, len(sites) // 4)], sites[-1])


class Watching(Untouched):
    """Changes nothing; notes the sites it is asked at, and wants scores where it is told to."""

    def __init__(self, scores: str = "") -> None:
        self.kinds = scores
        self.asked: list[tuple[AttentionSite, tuple[int, ...], tuple[int, ...]]] = []
        self.maps: list[tuple[AttentionSite, tuple[int, ...]]] = []

    def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        self.asked.append((site, tuple(keys.shape), tuple(values.shape)))
        return keys, values

    def wants_scores(self, site: AttentionSite) -> bool:
        return site.kind in self.kinds

    def scores(self, site: AttentionSite, logits: Tensor, heads: slice) -> Tensor:
        self.maps.append((site, tuple(logits.shape)))
        return logits


def test_a_clip_survives_the_latents(case: Case) -> None:
    model, frames = made(case), clip(case)
    with torch.no_grad():
        latents = model.encode(frames)
        back = model.decode(latents, case.frames)
        fewer = model.decode(latents, case.frames - 2)
    assert latents.dim() == 5 and latents.shape[0] == 1 and latents.shape[2] <= case.frames
    assert back.shape == frames.shape and float(back.abs().max()) <= 1
    assert psnr(back, frames) >= case.fidelity
    assert torch.allclose(fewer, back[: case.frames - 2], atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 10, 25, 50])
def test_levels_fall_to_none(case: Case, steps: int) -> None:
    levels = made(case).levels(steps)
    assert len(levels) == steps + 1 and levels[-1] == 0
    assert all(a > b for a, b in pairwise(levels))
    assert levels[0] == made(case).levels(25)[0]


def test_scales_go_from_noise_to_clip(case: Case) -> None:
    model = made(case)
    scales = [model.scales(level) for level in model.levels(25)]
    assert scales[-1] == (1, 0)
    assert scales[0][0] < 0.1 and scales[0][1] > 0.99
    assert all(a < more and b > less for (a, b), (more, less) in pairwise(scales))


@pytest.mark.parametrize("level", [1.0, 0.7, 0.176, 0.0])
def test_a_prediction_is_what_z_is_made_of(case: Case, level: float) -> None:
    z, _ = noisy(case, level)
    found, (a, b) = predicted(case, level), made(case).scales(level)
    assert found.x0.shape == found.noise.shape == z.shape
    assert torch.isfinite(found.x0).all() and torch.isfinite(found.noise).all()
    assert torch.allclose(a * found.x0 + b * found.noise, z, atol=2e-5)


def test_it_predicts_without_a_source_and_without_words(case: Case) -> None:
    model = made(case)
    z, _ = noisy(case)
    with torch.no_grad():
        found = model.predict(z, 0.7, model.encode_text(""), condition_of(case, source=False))
    assert found.x0.shape == z.shape and torch.isfinite(found.x0).all()


def test_same_inputs_same_bytes(case: Case) -> None:
    again = case.make()
    z, condition = noisy(case)
    with torch.no_grad():
        fresh = again.predict(z, 0.7, again.encode_text(case.prompt), condition)
    assert same(predicted(case), predicted(case)) and same(predicted(case), fresh)
    assert torch.equal(again.encode(clip(case)), made(case).encode(clip(case)))


def test_inputs_stay_as_they_were(case: Case) -> None:
    model = made(case)
    z, condition = noisy(case)
    text = model.encode_text(case.prompt)
    given = [getattr(condition, name) for name in sorted(condition.given())] if condition else []
    before = [tensor.clone() for tensor in (z, text.embeddings, *given)]
    with torch.no_grad():
        model.predict(z, 0.7, text, condition)
    assert all(torch.equal(a, b) for a, b in zip(before, (z, text.embeddings, *given), strict=True))


def test_a_batch_is_its_rows(case: Case) -> None:
    model, text = made(case), made(case).encode_text(case.prompt)
    (first, condition), (second, _) = noisy(case), noisy(case, seed=1)
    control = Watching()
    with torch.no_grad():
        with model.control(control):
            both = model.predict(torch.cat([first, second]), 0.7, text, condition)
        alone = [model.predict(z, 0.7, text, condition) for z in (first, second)]
    assert close(both, Prediction(torch.cat([p.x0 for p in alone]), torch.cat([p.noise for p in alone])))
    assert all(keys[0] == values[0] == 2 * prod(site.folded) for site, keys, values in control.asked)


def test_words_matter(case: Case) -> None:
    assert not close(predicted(case), predicted(case, prompt="a green ball on grass"))


def test_positions_of_words_are_right(case: Case) -> None:
    model = made(case)
    text = model.encode_text("A blue ball, on the Checkered ball.")
    assert text.words == ("a", "blue", "ball", "on", "the", "checkered", "ball")
    everywhere = [at for piece in text.pieces for at in piece]
    assert everywhere == sorted(set(everywhere)) and all(piece for piece in text.pieces)
    assert text.embeddings.shape[0] == 1 and everywhere[-1] < text.embeddings.shape[1]
    assert text.positions({"ball"}) == [*text.pieces[2], *text.pieces[6]] and text.positions({"cat"}) == []


def test_an_idle_control_changes_no_bit(case: Case) -> None:
    stock, control = predicted(case), Watching()
    with made(case).control(control):
        watched = predicted(case)
    assert same(stock, watched)
    assert {site.kind for site, _, _ in control.asked} - {"temporal"} == {"self", "cross"}


def test_sites_tell_where_attention_happens(case: Case) -> None:
    model, control = made(case), Watching("self cross")
    with model.control(control):
        predicted(case)
    text = model.encode_text(case.prompt)
    for site, keys, _ in control.asked:
        frames, rows, columns = (side * folded for side, folded in zip(site.grid, site.folded, strict=True))
        assert frames == latents(case).shape[2] and keys[0] == prod(site.folded)
        assert case.size[0] % (rows * model.stride[1]) == case.size[1] % (columns * model.stride[2]) == 0
    assert any(site.grid[1] * site.folded[1] * model.stride[1] == case.size[0] for site, _, _ in control.asked)
    for site, shape in control.maps:
        tokens = site.lead + prod(site.grid)
        assert site.kind == "cross" and shape[1:] == (1, tokens, text.embeddings.shape[1])
    assert control.maps
    for key in ("layer", "name"):
        places = [(getattr(site, key), site.kind) for site, _, _ in control.asked]
        assert len(set(places)) == len(places) or case.name.startswith("analytic")


def test_scores_handed_back_unchanged_stay_within_rounding(case: Case) -> None:
    stock = predicted(case)
    with made(case).control(Watching("self cross")):
        assert close(predicted(case), stock)


def test_a_condition_without_an_input_is_named(case: Case) -> None:
    model = made(case)
    z, _ = noisy(case)
    for name in {"first", "video"} - set(model.takes):
        with pytest.raises(MethodError, match=name):
            model.predict(z, 0.7, model.encode_text(case.prompt), Condition(**{name: clip(case)[0]}))  # type: ignore[arg-type]


def test_a_control_can_change_the_outcome_at_either_kind(case: Case) -> None:
    class Nothing(Untouched):
        def __init__(self, kind: str) -> None:
            self.kind = kind

        def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            return keys, values * 0 if site.kind == self.kind else values

    stock = predicted(case)
    for kind in ("self", "cross"):
        with made(case).control(Nothing(kind)):
            assert not close(predicted(case), stock), kind


def test_hooks_are_gone_after_an_exception(case: Case) -> None:
    model, stock = made(case), predicted(case)
    read: list[list[Tensor]] = []
    with pytest.raises(KeyError), ExitStack() as stack:
        stack.enter_context(model.control(Watching("self cross")))
        for site in model.sites:
            read.append(stack.enter_context(model.features(site)))
            stack.enter_context(model.inject(site, lambda state: state + 1))
        predicted(case)
        raise KeyError
    counts = [len(states) for states in read]
    assert all(counts)
    assert same(predicted(case), stock)
    assert [len(states) for states in read] == counts


def test_an_exception_inside_a_pass_leaves_nothing_behind(case: Case) -> None:
    def fail(state: Tensor) -> Tensor:
        raise KeyError

    stock = predicted(case)
    for site in some(made(case).sites):
        with pytest.raises(KeyError), made(case).inject(site, fail):
            predicted(case)
    assert same(predicted(case), stock)


def test_controls_nest(case: Case) -> None:
    outer, inner = Watching(), Watching()
    with made(case).control(outer):
        with made(case).control(inner):
            predicted(case)
        assert inner.asked and not outer.asked
        count = len(inner.asked)
        predicted(case)
    assert len(outer.asked) == count == len(inner.asked)


def test_states_are_read_at_every_site(case: Case) -> None:
    model, stock = made(case), predicted(case)
    z, _ = noisy(case)
    for site in some(model.sites):
        with model.features(site) as outer, model.features(site) as inner:
            assert same(predicted(case), stock)
            predicted(case)
        assert len(outer) >= 2 and [state.shape for state in outer] == [state.shape for state in inner]
        assert all(state.dim() == 5 and state.shape[0] == 1 and state.shape[2] == z.shape[2] for state in outer), site


def test_sites_are_in_the_order_of_a_pass(case: Case) -> None:
    model = made(case)
    met: list[str] = []

    def note(site: str, state: Tensor) -> Tensor:
        met.append(site)
        return state

    with ExitStack() as stack:
        for site in model.sites:
            stack.enter_context(model.inject(site, partial(note, site)))
        predicted(case)
    assert met == list(model.sites)


def test_a_state_written_is_what_goes_on(case: Case) -> None:
    model, stock = made(case), predicted(case)
    for site in some(model.sites):
        with model.features(site) as before:
            predicted(case)
        with model.inject(site, lambda state: state):
            assert close(predicted(case), stock), site
        with model.inject(site, torch.zeros_like), model.features(site) as after:
            changed = predicted(case)
        assert not close(changed, stock), site
        assert float(before[0].abs().max()) > 0 and float(after[0].abs().max()) == 0, site
        with (
            model.inject(site, lambda state: state * 3),
            model.inject(site, lambda state: state + 1),
            model.features(site) as both,
        ):
            predicted(case)
        assert torch.allclose(both[0], before[0] * 3 + 1, atol=1e-5), site


def test_an_unknown_site_is_named(case: Case) -> None:
    with pytest.raises(MethodError, match="nowhere"), made(case).features("nowhere"):
        pass
    with pytest.raises(MethodError, match="nowhere"), made(case).inject("nowhere", lambda state: state):
        pass


def test_gradients_reach_z(case: Case) -> None:
    model = made(case)
    z, condition = noisy(case)
    z.requires_grad_()
    found = model.predict(z, 0.7, model.encode_text(case.prompt), condition)
    (found.x0.sum() + found.noise.sum()).backward()
    assert z.grad is not None and float(z.grad.abs().sum()) > 0


def test_backbones_are_found_by_name() -> None:
    assert all(hasattr(backbone(name), "predict") for name in BACKBONES)
    assert backbone("analytic", patch=8).stride == (1, 8, 8)
    with pytest.raises(MethodError, match='no backbone "wann"'):
        backbone("wann")
