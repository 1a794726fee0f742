"""Training of the bundled diffusion model: text to video and instruction edits, still and moving, in one network.

Steps take turns (`MIX`): still edits, still scenes from captions, and now and then clips, edited and captioned by turns.
Still scenes are many times cheaper and carry the words; clips carry the motion.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones.bundled import SHIFT
from engine.backbones.bundled_autoencoder import ClipAutoencoder
from engine.backbones.bundled_model import BundledConfig, BundledModel
from engine.device import fast_arithmetic
from engine.diffusion.flow import blend, euler, guided, shifted_levels
from engine.training.trainer import generator
from engine.world.checkers import Verdict, attributes_present, check
from engine.world.draw import draw
from engine.world.edits import Edits, edits
from engine.world.language import captions
from engine.world.scene import Scenes, sample
from engine.world.words import KINDS, VOCABULARY

MIX = ("still_edit", "still_text", "still_edit", "still_text", "still_edit", "clip")
STRIDE = 1024
"""Scene numbers that each step may use: at most so many scenes are drawn in one."""
UNCONDITIONAL = 0.1
"""Share of prompts left out in training, for guidance."""
NOISE_MEAN = 1.5
"""Of the logit of t in training: half of the steps see t > 0.82. A token holds 96 values, so what it shows can be told from its
own noise below t = 0.9 or so; only above that do tokens have to agree with each other and with the words (our choice)."""
LEAST_NOISE = 0.1
"""t in the loss is at least this: the last remains of noise must not outweigh everything else."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is drawn in a step: still scenes, clips; frames of a clip; side of a picture in pixels."""

    stills: int = 12
    clips: int = 2
    frames: int = 17
    size: int = 64
    emphasis: float = 4.0
    """Extra weight of the loss where target and source differ: the edit is a few per cent of the picture (our choice)."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are sampled: steps, guidance on the text, shift of the noise levels."""

    steps: int = 12
    guidance: float = 1.5
    shift: float = SHIFT


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """What a step trains on: source scenes (edits only), target scenes, and what is said of them."""

    kind: str
    frames: int
    source: Scenes | None
    target: Scenes
    texts: list[str]


class ModelTask:
    """Rectified flow: at time t, drawn logit-normal, predict x0 from (1 − t) x0 + t · noise."""

    name = "model"

    def __init__(
        self,
        config: BundledConfig,
        autoencoder: ClipAutoencoder,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        budget: Budget | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.config, self.seed, self.device, self.budget = config, seed, torch.device(device), budget or Budget()
        self.autoencoder = autoencoder.to(device).eval().requires_grad_(False)
        self.module = BundledModel(config, VOCABULARY).to(device)
        self._planner = ThreadPoolExecutor(1)
        self._plans: dict[int, Future[Plan]] = {}

    def losses(self, step: int) -> dict[str, Tensor]:
        waiting = self._plans.pop(step, None) or self._planner.submit(self.plan, step)
        self._plans[step + 1] = self._planner.submit(self.plan, step + 1)  # the scenes of the next step, while this one runs
        plan = waiting.result()
        with torch.no_grad():
            target = self.latents(plan.target, plan.frames)
            source = None if plan.source is None else self.latents(plan.source, plan.frames)
        return {f"{plan.kind}_loss": self._flow_loss(step, target, plan.texts, source)}

    def plan(self, step: int) -> Plan:
        """All that step n draws by lot, but for noise."""
        kind = MIX[step % len(MIX)]
        if kind == "clip":
            kind = "clip_edit" if step // len(MIX) % 2 else "clip_text"
        still = kind.startswith("still")
        count, frames = (self.budget.stills, 1) if still else (self.budget.clips, self.budget.frames)
        scenes = sample(self.seed, range(step * STRIDE, step * STRIDE + count))
        if kind.endswith("text"):
            return Plan(kind, frames, None, scenes, captions(scenes))
        made = edits(scenes)
        return Plan(kind, frames, made.source, made.target, [order.instruction for order in made.orders])

    def latents(self, scenes: Scenes, frames: int) -> Tensor:
        size = (self.budget.size, self.budget.size)
        video = draw(scenes.to(self.device), size, frames).video  # type: ignore[arg-type]
        return self.autoencoder.encode(2 * video.transpose(1, 2) - 1)

    def _flow_loss(self, step: int, target: Tensor, texts: list[str], source: Tensor | None) -> Tensor:
        """The loss on velocity: v̂ − v = (x0 − x̂0) / t, with t held at or above LEAST_NOISE."""
        dice = generator(self.seed, step)
        t = torch.sigmoid(NOISE_MEAN + torch.randn(len(target), generator=dice)).to(target)
        noise = torch.randn(target.shape, generator=dice).to(target)
        kept = torch.rand(len(texts), generator=dice) >= UNCONDITIONAL
        text = self.module.encode_text([text if keep else "" for text, keep in zip(texts, kept.tolist(), strict=True)])
        with fast_arithmetic(self.device):
            x0 = self.module(blend(target, noise, t), t, text, source)
        error = (x0.float() - target).square().mean(1) / t.clamp_min(LEAST_NOISE).square()[:, None, None, None]
        return (error * self._weight(target, source)).mean()

    def _weight(self, target: Tensor, source: Tensor | None) -> Tensor | float:
        """(B, F, h, w), mean 1 per clip: more where the edit is."""
        if source is None:
            return 1.0
        edited = F.max_pool3d(((target - source).abs().amax(1, keepdim=True) > 0.25).float(), (1, 3, 3), 1, (0, 1, 1))[:, 0]
        weight = 1 + self.budget.emphasis * edited
        return weight / weight.mean((1, 2, 3), keepdim=True)

    def scores(self, module: BundledModel) -> dict[str, float]:
        """Scores on 36 edits and 12 captions of the validation split, on short clips: success by kind, presence of attributes."""
        return score(module, self.autoencoder, Sampling(), split="validation", edits_per_kind=6, videos=12, frames=5)


@torch.no_grad()
def answer(
    model: BundledModel,
    autoencoder: ClipAutoencoder,
    texts: list[str],
    source: Tensor | tuple[int, ...],
    *,
    how: Sampling,
    seed: int = 0,
) -> Tensor:
    """Samples videos (B, T, 3, H, W) in [0, 1] for instructions about source videos of that shape, or for captions of videos
    of the given shape (B, T, 3, H, W). The noise of each is drawn from the seed and its place in the batch."""
    device = next(autoencoder.parameters()).device
    given = autoencoder.encode(2 * source.to(device).transpose(1, 2) - 1) if isinstance(source, Tensor) else None
    batch, frames, _, height, width = source.shape if isinstance(source, Tensor) else source
    shape = (len(autoencoder.mean), (frames + 3) // 4, height // 4, width // 4)
    noise = torch.stack([torch.randn(shape, generator=generator(seed, index)) for index in range(batch)]).to(device)
    text, nothing = model.encode_text(texts), model.encode_text([""] * batch)

    def velocity(z: Tensor, t: float) -> Tensor:
        times = torch.full((batch,), t, device=device)
        return (z - guided(model(z, times, nothing, given), model(z, times, text, given), how.guidance)) / t

    z = euler(noise, shifted_levels(how.steps, how.shift), velocity)
    return (autoencoder.decode(z).transpose(1, 2).clamp(-1, 1) + 1) / 2


@torch.no_grad()
def score(
    model: BundledModel,
    autoencoder: ClipAutoencoder,
    how: Sampling,
    *,
    split: str = "test",
    seed: int = 1,
    edits_per_kind: int = 30,
    videos: int = 60,
    frames: int = 17,
    size: int = 64,
) -> dict[str, float]:
    """What the exact checkers say of the model: `success_KIND`, means over all edits, and `t2v_…` of videos from captions.

    Scenes are numbered from 0 within the split; raises ValueError as `edits` does.
    """
    device = next(autoencoder.parameters()).device
    verdicts: list[Verdict] = []
    for index, kind in enumerate(KINDS):
        numbers = range(index * edits_per_kind, (index + 1) * edits_per_kind)
        for made in _batches(edits(sample(seed, numbers, split), split, [kind])):
            source = draw(made.source, (size, size), frames).video
            texts = [order.instruction for order in made.orders]
            verdicts += check(made, answer(model, autoencoder, texts, source.to(device), how=how).cpu())
    scenes = sample(seed, range(len(KINDS) * edits_per_kind, len(KINDS) * edits_per_kind + videos), split)
    shown = torch.cat(
        [
            answer(model, autoencoder, captions(part), (len(part), frames, 3, size, size), how=how).cpu()
            for part in (scenes[slice(i, i + 6)] for i in range(0, videos, 6))
        ]
    )
    return {**summary(verdicts), **attributes_present(scenes, shown)}


def _batches(made: Edits, size: int = 6) -> list[Edits]:
    starts = range(0, len(made.orders), size)
    return [Edits(made.source[slice(i, i + size)], made.target[slice(i, i + size)], made.orders[i : i + size]) for i in starts]


def summary(verdicts: list[Verdict]) -> dict[str, float]:
    """Success by kind, and means over all verdicts (`background_psnr`: over those whose edit leaves the background)."""
    by_kind = {kind: [verdict for verdict in verdicts if verdict.kind == kind] for kind in KINDS}
    success = {f"success_{kind}": _mean([float(v.success) for v in group]) for kind, group in by_kind.items() if group}
    agreement = [v.motion_agreement for v in verdicts if v.motion_agreement is not None]
    return {
        **success,
        "background_psnr": _mean([v.rest_psnr for v in verdicts if v.kind != "background"]),
        "exact_psnr": _mean([v.exact_psnr for v in verdicts]),
        "temporal_error": _mean([v.temporal_error for v in verdicts]),
        **({"motion_agreement": _mean(agreement)} if agreement else {}),
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
