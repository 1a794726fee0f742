"""The analytic backbone: its closed forms, its words, and real edits of drawn clips."""

from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from engine.backbones.analytic import AnalyticBackbone
from engine.backbones.analytic_text import WIDTH, near, query
from engine.diffusion.attention import AttentionSite, Untouched
from engine.diffusion.backbone import Condition, Text
from engine.diffusion.flow import velocity_of
from engine.errors import MethodError
from engine.world.draw import draw
from tests.balls import LOOKS, ball, psnr

SIZE, FRAMES = (64, 96), 7
PROMPT = "a blue ball on grass"


@cache
def shown(colour: str = "red", number: int = 0) -> tuple[Tensor, Tensor]:
    """(pictures (T, 3, H, W) in [−1, 1], the ball's cover (T, H, W))."""
    drawing = draw(ball(colour, number=number), SIZE, FRAMES)
    return drawing.video[0] * 2 - 1, drawing.whole[0, 0]


def edited(model: AnalyticBackbone, frames: Tensor, text: Text | str = PROMPT) -> Tensor:
    """mu as pictures."""
    source = model.encode(frames)
    text = model.encode_text(text) if isinstance(text, str) else text
    return model.decode(model.predict(torch.zeros_like(source), 1.0, text, Condition(source)).x0, len(frames))


def mean_of(model: AnalyticBackbone, z: Tensor, prompt: str = PROMPT) -> Tensor:
    return model.predict(z, 1.0, model.encode_text(prompt), Condition(z)).x0


# closed forms


@pytest.mark.parametrize("s", [0.05, 0.4, 1.0])
@pytest.mark.parametrize("t", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_velocity_is_the_closed_form(s: float, t: float) -> None:
    model = AnalyticBackbone(LOOKS, spread=s)
    source = model.encode(shown()[0])
    z, mu = torch.randn(source.shape, generator=torch.Generator().manual_seed(1)), mean_of(model, source)
    v = velocity_of(model.predict(z, t, model.encode_text(PROMPT), Condition(source)))
    expected = (t - (1 - t) * s**2) / ((1 - t) ** 2 * s**2 + t**2) * (z - (1 - t) * mu) - mu
    assert torch.allclose(v, expected, atol=1e-4 / s)


@pytest.mark.parametrize("level", [0.0, 0.001, 0.3, 1.0])
def test_eps_is_the_closed_form(level: float) -> None:
    s = 0.4
    model = AnalyticBackbone(LOOKS, spread=s, schedule="ddpm")
    source = model.encode(shown()[0])
    z, mu = torch.randn(source.shape, generator=torch.Generator().manual_seed(1)), mean_of(AnalyticBackbone(LOOKS), source)
    eps = model.predict(z, level, model.encode_text(PROMPT), Condition(source)).noise
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    ab = float((1 - betas)[: round(1000 * level)].prod())
    assert torch.allclose(eps, (1 - ab) ** 0.5 * (z - ab**0.5 * mu) / (ab * s**2 + 1 - ab), atol=1e-5)


def test_the_prediction_is_the_best_guess_of_what_was_blended() -> None:
    """Over clips drawn from the Gaussian, x0 less its prediction has nothing to do with z."""
    model, s, t = AnalyticBackbone(spread=0.5, patch=1), 0.5, 0.6
    generator = torch.Generator().manual_seed(2)
    x0, noise = s * torch.randn(1, 3, 4, 60, 60, generator=generator), torch.randn(1, 3, 4, 60, 60, generator=generator)
    z = (1 - t) * x0 + t * noise
    with model.inject("shared", lambda change: change * 0):
        found = model.predict(z, t, model.encode_text(""))
    assert abs(float(((x0 - found.x0) * z).mean())) < 0.005
    assert abs(float((x0 * z).mean())) > 0.05


def test_at_the_ends_nothing_is_guessed() -> None:
    model, text = AnalyticBackbone(LOOKS), AnalyticBackbone(LOOKS).encode_text(PROMPT)
    source = model.encode(shown()[0])
    z = torch.randn(source.shape, generator=torch.Generator().manual_seed(1))
    last, first = (model.predict(z, t, text, Condition(source)) for t in (0.0, 1.0))
    assert torch.equal(last.x0, z) and not last.noise.any()
    assert torch.equal(first.noise, z) and torch.equal(first.x0, mean_of(model, source))


@pytest.mark.parametrize("steps", [1, 4, 20])
def test_ddim_lands_on_the_mean_and_a_spread_keeps_some_noise(steps: int) -> None:
    landed = []
    for spread in (0.0, 0.2):
        model = AnalyticBackbone(LOOKS, spread=spread, schedule="ddpm", patch=8)
        source, text = model.encode(shown()[0][:3]), model.encode_text(PROMPT)
        z = torch.randn(source.shape, generator=torch.Generator().manual_seed(1))
        levels = model.levels(steps)
        for level, following in pairwise(levels):
            found, (a, b) = model.predict(z, level, text, Condition(source)), model.scales(following)
            z = a * found.x0 + b * found.noise
        landed.append(z - mean_of(model, source))
    assert landed[0].abs().max() < 1e-5
    assert landed[1].std() > 0.002


# latents and refusals


def test_latents_are_the_pixels() -> None:
    for patch in (1, 2, 4, 8):
        model = AnalyticBackbone(patch=patch)
        latents = model.encode(shown()[0])
        assert latents.shape == (1, 3 * patch**2, FRAMES, SIZE[0] // patch, SIZE[1] // patch)
        assert torch.equal(model.decode(latents, FRAMES), shown()[0])


def test_what_does_not_fit_is_refused() -> None:
    model = AnalyticBackbone(max_frames=3)
    text = model.encode_text("")
    with pytest.raises(MethodError, match="multiples of 4"):
        model.encode(torch.zeros(1, 3, 10, 8))
    with pytest.raises(MethodError, match="3 frames at a time, not 4"):
        model.encode(torch.zeros(4, 3, 8, 8))
    with pytest.raises(ValueError, match="as large as"):
        model.predict(torch.zeros(1, 48, 2, 2, 2), 0.5, text, Condition(torch.zeros(1, 48, 3, 2, 2)))
    with pytest.raises(ValueError, match="levels"):
        model.predict(torch.zeros(1, 48, 2, 2, 2), 1.5, text)
    with pytest.raises(ValueError, match="steps"):
        AnalyticBackbone(schedule="ddpm").levels(1001)
    with pytest.raises(ValueError, match="made"), model.inject("mean", lambda state: state[:, :1]):
        model.predict(torch.zeros(1, 48, 2, 2, 2), 0.5, text)
    for wrong in ({"patch": 0}, {"spread": -1.0}, {"schedule": "vp"}, {"looks": {"ball": (2.0, 0.0, 0.0)}}):
        with pytest.raises(ValueError):
            AnalyticBackbone(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_latents_keep_their_kind_of_number(dtype: torch.dtype) -> None:
    model = AnalyticBackbone(LOOKS)
    source = model.encode(shown()[0]).to(dtype)
    found = model.predict(source, 0.5, model.encode_text(PROMPT), Condition(source))
    assert found.x0.dtype == found.noise.dtype == dtype


def test_decoded_pictures_stay_within_range() -> None:
    assert AnalyticBackbone().decode(torch.full((1, 48, 1, 2, 2), 1.5), 1).unique().tolist() == [1]


def test_descriptors_tell_colour_slope_and_place() -> None:
    """A ramp from left to right, twice as steep in the second frame: slopes 0.01 and 0.02 a pixel in all three colours."""
    ramp = 2 * torch.tensor([0.01, 0.02])[:, None, None, None] * torch.arange(16) - 1
    model = AnalyticBackbone()
    source = model.encode(ramp.expand(2, 3, 8, 16))
    with model.features("descriptors") as read:
        model.predict(source, 0.5, model.encode_text(""), Condition(source))
    colour, slope, place = read[0][0].split([3, 1, 2])
    assert torch.allclose(colour[:, 1, 0], torch.tensor([0.03, 0.11, 0.19, 0.27]).expand(3, 4), atol=1e-6)
    assert torch.allclose(slope[0, :, :, :-1], torch.tensor([0.01, 0.02])[:, None, None].expand(2, 2, 3), atol=1e-6)
    assert place[0, 0].tolist() == [[0.125] * 4, [0.375] * 4] and place[1, 0, 0].tolist() == [0.0625, 0.1875, 0.3125, 0.4375]


# words


def test_nearness_is_a_product_of_query_and_key() -> None:
    points, keys = torch.rand(5, 6), torch.rand(4, 6)
    logits = query(points) @ near(keys, 0.02, bias=-1.5).T / WIDTH**0.5
    assert torch.allclose(logits, -1.5 - torch.cdist(points, keys) ** 2 / 0.02, atol=1e-3)


@pytest.mark.parametrize(
    ("prompt", "changes"),
    [
        ("a blue ball on grass", True),
        ("BLUE, shiny, striped ball!", True),
        ("blue ball", True),
        ("a ball on grass", False),
        ("a red ball on grass", False),  # it is red
        ("a blue sky and a ball", False),
        ("a ball on blue", False),
        ("a blue cat on grass", False),  # nobody said what a cat looks like
        ("", False),
    ],
)
def test_a_colour_word_acts_on_the_noun_that_it_stands_before(prompt: str, changes: bool) -> None:
    out = edited(AnalyticBackbone(LOOKS), shown()[0], prompt)
    assert torch.equal(out, shown()[0]) is not changes
    if changes:
        assert psnr(out, shown()[0], (shown()[1] > 0.99).float()) < 12


def test_a_word_in_pieces_weighs_as_much_as_a_whole_one() -> None:
    short, long = AnalyticBackbone(LOOKS), AnalyticBackbone({"basketball": LOOKS["ball"], "grass": LOOKS["grass"]})
    a = edited(short, shown()[0], "a blue ball on grass")
    b = edited(long, shown()[0], "a blue basketball on grass")
    assert [len(piece) for piece in long.encode_text("a basketball").pieces] == [1, 2]
    assert torch.allclose(a, b, atol=1e-5)


# edits


@pytest.mark.parametrize(("patch", "inside", "outside"), [(4, 14, 38), (2, 19, 45)])
@pytest.mark.parametrize("number", range(4))
def test_the_ball_is_recoloured_and_the_grass_is_not(patch: int, inside: float, outside: float, number: int) -> None:
    """Against the clip drawn with a blue ball; dB, peak 1. Cells at the outline hold both, hence the gain of smaller ones."""
    (source, cover), (true, _) = shown("red", number), shown("blue", number)
    out = edited(AnalyticBackbone(LOOKS, patch=patch), source)
    ball_itself, rest = (cover > 0.99).float(), (cover == 0).float()
    assert psnr(source, true, ball_itself) < 6
    assert psnr(out, true, ball_itself) > inside
    assert psnr(out, source, rest) > outside


class FromFrame(Untouched):
    """Gathers keys and values of one frame's tokens in self-attention and lets every frame look at nothing else."""

    def __init__(self, frame: int) -> None:
        self.frame = frame

    def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if site.kind == "cross":
            return keys, values
        one = slice(self.frame * site.grid[1] * site.grid[2], (self.frame + 1) * site.grid[1] * site.grid[2])
        return keys[:, :, one], values[:, :, one]


@pytest.mark.parametrize("frame", [0, 3])
def test_a_group_of_one_frame_is_that_frame_alone(frame: int) -> None:
    model = AnalyticBackbone(LOOKS)
    with model.control(FromFrame(frame)):
        together = edited(model, shown()[0])
    alone = edited(model, shown()[0][frame : frame + 1])
    assert torch.allclose(together[frame], alone[0], atol=1e-5)
    assert not torch.equal(together, edited(model, shown()[0]))


def test_an_edit_of_one_frame_reaches_the_others_through_attention() -> None:
    model, (source, cover), (true, _) = AnalyticBackbone(LOOKS), shown("red"), shown("blue")

    def first_only(change: Tensor) -> Tensor:
        return torch.cat([change[:, :, :1], torch.zeros_like(change[:, :, 1:])], 2)

    with model.inject("words", first_only), model.control(FromFrame(0)):
        out = edited(model, source)
    later = (cover > 0.99).float()
    later[0] = 0
    assert psnr(source, true, later) < 6 < 14 < psnr(out, true, later)


def test_strengthening_a_word_strengthens_its_edit() -> None:
    model = AnalyticBackbone(LOOKS)
    (source, cover), (true, _) = shown("red"), shown("blue")
    at = model.encode_text(PROMPT).positions({"blue"})

    class More(Untouched):
        def wants_scores(self, site: AttentionSite) -> bool:
            return site.kind == "cross"

        def scores(self, site: AttentionSite, logits: Tensor, heads: slice) -> Tensor:
            logits = logits.clone()
            logits[..., at] += 2
            return logits

    stock = edited(model, source)
    with model.control(More()):
        more = edited(model, source)
    inside = (cover > 0.99).float()
    assert psnr(more, true, inside) > psnr(stock, true, inside) + 0.5


def test_two_subjects_take_their_own_colours() -> None:
    frames = torch.full((2, 3, 32, 64), -0.5)
    frames[:, :, 8:24, 8:24] = torch.tensor([0.8, -0.8, -0.8])[:, None, None]
    frames[:, :, 8:24, 40:56] = torch.tensor([0.9, 0.8, -0.8])[:, None, None]
    model = AnalyticBackbone({"ball": (0.9, 0.1, 0.1), "box": (0.95, 0.9, 0.1)})
    out = edited(model, frames, "a green ball and a blue box")[0]
    assert out[:, 16, 16].argmax() == 1 and out[:, 16, 48].argmax() == 2
    assert torch.allclose(out[:, :4], frames[0, :, :4], atol=0.01)
