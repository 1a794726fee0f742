"""Training of the bundled diffusion model: text to video and instruction edits in one network.

Stage 0 learns from stills, which are many times cheaper and carry the words; stage 1 from stills and clips in each step. Every
drawn pair serves twice: as an edit, and its target as the answer to its caption or in another task.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones.bundled_autoencoder import ClipAutoencoder
from engine.backbones.bundled_encoder import DualEncoder
from engine.backbones.bundled_model import PREFIXES, BundledConfig, BundledModel
from engine.backbones.wan_lean import training_type
from engine.diffusion.flow import blend
from engine.training.drawn import Pairs, pairs
from engine.training.examples import Example, Maker
from engine.training.score import Sampling, score
from engine.training.trainer import generator
from engine.world.words import VOCABULARY

STRIDE = 1024
"""Scene numbers that each step may use: at most so many scenes are drawn in one."""
CLIP_WEIGHT = 0.5
"""Of a clip's losses beside those of stills: a step has few clips, and their gradients are noisy (our choice)."""
LEAST_NOISE = 0.3
"""t in the loss is at least this: the last remains of noise must not outweigh everything else."""
MOST = 10.0
"""How many times a place of the edit may count what another place counts."""
WEIGHTS = {"flow": 1.0, "semantic": 0.1, "labels": 0.5}
"""Of the losses. `semantic`: the paper's λ. `labels`: on what each token shows. Aligning the middle of a
diffusion transformer with what an image encoder says of the clean picture speeds training many times (REPA, Yu et al., arXiv
2410.06940); the drawn world knows the truth (our choice)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is drawn in a step: still scenes in stage 0 and 1, clips; frames of a clip; side of a picture in pixels."""

    stills: tuple[int, int] = (16, 10)
    clips: int = 1
    frames: int = 17
    size: int = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """What of SAMA is trained: Semantic Anchoring, on how many frames, and Motion Alignment (with restoration and in-betweening);
    for ablations, one may be left out."""

    anchoring: bool = True
    alignment: bool = True
    anchors: int = 1


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
        stage: int = 0,
        encoder: DualEncoder | None = None,
        plan: Plan | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.config, self.seed, self.device, self.budget = config, seed, torch.device(device), budget or Budget()
        self.stage, self.plan = stage, plan or Plan()
        self.encoder = None if encoder is None else encoder.to(device).eval().requires_grad_(False)
        self.autoencoder = autoencoder.to(device).eval().requires_grad_(False)
        self.module = BundledModel(config, (*VOCABULARY, *PREFIXES)).to(device)
        self.matrices = {
            name for name, value in self.module.named_parameters() if name.startswith("transformer.blocks.") and value.dim() == 2
        }
        self._lean = training_type(self.device)
        self._planner = ThreadPoolExecutor(1)
        self._made: dict[int, Future[list[Example]]] = {}

    def losses(self, step: int) -> dict[str, Tensor]:
        waiting = self._made.pop(step, None) or self._planner.submit(self.examples, step)
        self._made[step + 1] = self._planner.submit(self.examples, step + 1)  # those of the next step, while this one runs
        dice = generator(self.seed, step)
        parts: dict[str, Tensor] = {}
        total = torch.zeros((), device=self.device)
        for example in waiting.result():
            terms = self.terms(example, dice)
            total = total + example.weight * sum(WEIGHTS[name] * value for name, value in terms.items())
            parts |= {example.name: terms["flow"].detach()}
            parts |= {name: value.detach() for name, value in terms.items() if name != "flow"}
        return {"loss": total, **parts}

    @torch.no_grad()
    def examples(self, step: int) -> list[Example]:
        """All that step n draws by lot, but for noise and its level."""
        maker = Maker(
            self.autoencoder,
            self.encoder if self.plan.anchoring and self.config.semantic else None,
            generator(self.seed + 1, step),
            self.plan.anchors,
        )
        stills = self.pairs(step * STRIDE, self.budget.stills[self.stage], 1)
        examples = [maker.edit(stills), maker.caption(stills)]
        if self.stage == 1:
            clips = self.pairs(step * STRIDE + STRIDE // 2, self.budget.clips, self.budget.frames)
            second = maker.beside_edit(clips) if self.plan.alignment else maker.caption(clips)
            examples += [
                replace(example, name=f"clip_{example.name}", weight=CLIP_WEIGHT) for example in (maker.edit(clips), second)
            ]
        return examples

    def pairs(self, start: int, count: int, frames: int) -> Pairs:
        numbers = range(start, start + count)
        return pairs(self.autoencoder, numbers, frames, seed=self.seed, size=self.budget.size, device=self.device)

    def terms(self, example: Example, dice: torch.Generator) -> dict[str, Tensor]:
        """`flow`: the loss on velocity, v̂ − v = (x0 − x̂0) / t with t held at or above LEAST_NOISE. `semantic`: the same of
        the semantic tokens, noised with the same t, as L1. `labels`: of what each token shows."""
        target, semantic = example.target, example.semantic
        mean, deviation = example.noise
        t = torch.sigmoid(mean + deviation * torch.randn(len(target), generator=dice)).to(target)
        held = t.clamp_min(LEAST_NOISE)
        noise = torch.randn(target.shape, generator=dice).to(target)
        told = None if semantic is None else blend(semantic, torch.randn(semantic.shape, generator=dice).to(target), t)
        answer = self.module.answer(
            blend(target, noise, t),
            t,
            self.module.encode_text(example.texts),
            example.source,
            semantic=told,
            beside=example.beside,
            lean=self._lean,
        )
        error = (answer.x0 - target).square().mean(1) / held.square()[:, None, None, None]
        edited = example.source if example.name.endswith("edit") else None
        terms = {"flow": (error * edit_weight(target, edited)).mean()}
        if answer.semantic is not None and semantic is not None:
            terms["semantic"] = ((answer.semantic - semantic).abs() / held[:, None, None]).mean()
        if answer.labels is not None and example.labels is not None:
            terms["labels"] = F.binary_cross_entropy_with_logits(answer.labels, example.labels)
        return terms

    def scores(self, module: BundledModel) -> dict[str, float]:
        """Scores on 36 edits and 12 captions of the validation split, on short clips: success by kind, presence of attributes."""
        frames = 1 if self.stage == 0 else 5
        return score(
            module, self.autoencoder, Sampling(6), self.encoder, split="validation", edits_per_kind=6, videos=12, frames=frames
        )


def edit_weight(target: Tensor, source: Tensor | None) -> Tensor | float:
    """(B, F, h, w), mean 1 per clip: what the edit changes counts as much as all the rest, but a place at most MOST times what
    another does. An edit is a few per cent of a picture and would drown (our choice)."""
    if source is None:
        return 1.0
    edited = F.max_pool3d(((target - source).abs().amax(1, keepdim=True) > 0.25).float(), (1, 3, 3), 1, (0, 1, 1))[:, 0]
    share = edited.mean((1, 2, 3), keepdim=True)
    weight = 1 + edited * ((1 - share) / share.clamp_min(1e-6) - 1).clamp(0, MOST - 1)
    return weight / weight.mean((1, 2, 3), keepdim=True)
