"""VIA: a long clip edited by an image editor, consistently (Gu et al., arXiv 2406.12831).

    paper                                                          here
    §3.2 Test-time editing adaptation: pairs by random affine      affine_pair
         the editor fine-tuned on them, ‖ε − ε_θ‖²                 editing_loss, adapt
    §3.2 Local latent adaptation: Progressive Boundary             boundary_share, integrated
         Integration (Eq. 6)
    §3.3 Spatio-temporal adaptation: gather (Eq. 7, 8)             Gather
         swap (Eq. 9)                                              Swap

Symbols: z (B, C, 1, h, w) latents of B frames, each a clip of one; X the source's; i of T steps; m the mask, 1 = edit.
Any editor of pictures will do: every frame is a row of the batch, and only keys and values pass between frames.

Departures. Learning rate, iterations and rank are not in the paper: our choice is LoRA of rank 16, AdamW 1e-4, batches of 4.
our choice: Eq. 6 is ambiguous; w rises from 1/T to 1, as Appendix B asks. our choice: all frames start from the same noise.
our choice: where the source is read as tokens of its own, only the target's keys and values are swapped. our choice: approved
anchors are the adaptation's pairs, join the group and are held at their takes. our choice: the group goes first and leaves
its latents of every level; from them each segment gathers anew, so segments are independent and memory does not grow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import cos, radians, sin, tan
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.diffusion.adapt import adapter, kept, save, train
from engine.diffusion.attention import AttentionControl, AttentionSite, Untouched
from engine.diffusion.backbone import Condition, DiffusionBackbone, Prediction, Text
from engine.diffusion.instruct import Scales, area_of, branches, count, scales_of, weighed
from engine.diffusion.masks import pool, soften
from engine.diffusion.pictures import fit, lay, working_size
from engine.errors import MethodError
from engine.methods.base import Context, Prepared, Rendered, Segment, Shot
from engine.methods.cards import ViaConfig as Config
from engine.types import FrameIndex, FrameRange

RANK, BATCH = 16, 4
RATES = {"bundled": 2e-3}
"""AdamW's, where 1e-4 is not right: small models learn at larger ones."""
TOGETHER, CHUNK = 8, 48
"""Frames in one pass of the swap; frames that go through the levels together."""
ADAPTER = "adapter.safetensors"


# --- Test-time editing adaptation -------------------------------------------------------------------------


def affine_pair(source: Tensor, edit: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The same random affine of both pictures (3, H, W): rotation ±5°, shift ≤ 5 %, crop of 75–100 %, shear ≤ 10°."""
    turn, shear, across, down, crop = (2 * torch.rand(5, generator=generator, dtype=torch.float64) - 1).tolist()
    scale = 1 - 0.125 * (crop + 1)
    angle, slope = radians(5 * turn), tan(radians(10 * shear))
    rotation = torch.tensor([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]], dtype=torch.float64)
    matrix = scale * rotation @ torch.tensor([[1.0, slope], [0.0, 1.0]], dtype=torch.float64)
    shift = torch.tensor([[0.1 * across], [0.1 * down]], dtype=torch.float64)  # places run from −1 to 1
    both = torch.stack([source, edit])
    grid = F.affine_grid(torch.cat([matrix, shift], 1).float()[None].expand(2, -1, -1), list(both.shape), align_corners=False)
    moved = F.grid_sample(both, grid.to(both), padding_mode="reflection", align_corners=False)
    return moved[0], moved[1]


def editing_loss(model: DiffusionBackbone, pair: tuple[Tensor, Tensor], level: float, text: Text, noise: Tensor) -> Tensor:
    """‖ε − ε_θ(z_t, t, X, c_T)‖² for a pair of latents (B, C, 1, h, w), sources and their edits.

    our choice: of a rectified flow, the same of the velocity, which such models are trained on.
    """
    (source, edit), (a, b) = pair, model.scales(level)
    said = model.predict(a * edit + b * noise, level, text, Condition(source))
    error = said.noise - noise
    return (error - (said.x0 - edit) if abs(a + b - 1) < 1e-6 else error).square().mean()


def adapt(
    model: DiffusionBackbone,
    pairs: Sequence[tuple[Tensor, Tensor]],
    text: Text,
    parameters: dict[str, torch.nn.Parameter],
    *,
    steps: int,
    seed: int,
    tick: Callable[[], None],
) -> None:
    """Trains the adapter on affine variations of pairs of pictures (3, H, W) in [−1, 1], at the levels of sampling."""
    dice = torch.Generator().manual_seed(seed)
    levels = model.levels(max(steps, 1))[:-1]

    def loss(step: int) -> Tensor:
        chosen = [pairs[int(torch.randint(len(pairs), (1,), generator=dice))] for _ in range(BATCH)]
        moved = [affine_pair(source, edit, dice) for source, edit in chosen]
        source, edit = (_latents(model, torch.stack(side)) for side in zip(*moved, strict=True))
        level = levels[int(torch.randint(len(levels), (1,), generator=dice))]
        noise = torch.randn(edit.shape, generator=dice).to(edit)
        return editing_loss(model, (source, edit), level, text, noise)

    train(parameters, loss, steps, RATES.get(model.name, 1e-4), lambda step, value: tick())


# --- Local latent adaptation ------------------------------------------------------------------------------


def boundary_share(step: int, steps: int) -> float:
    """w_i = (i + 1) / T: how much the source counts outside the mask after step i."""
    return (step + 1) / steps


def integrated(z: Tensor, source: Tensor, mask: Tensor, share: float) -> Tensor:
    """Eq. 6: z ← (1 − w (1 − m)) z + w (1 − m) z_src; the source's latents exactly where m = 0 and w = 1."""
    keep = share * (1 - mask)
    return (1 - keep) * z + keep * source


# --- Spatio-temporal adaptation ---------------------------------------------------------------------------

Bank = dict[tuple[str, int], tuple[Tensor, Tensor]]
"""Keys and values (1, heads, J, d) of the group by site, for one branch of the guidance."""


@dataclass(frozen=True, eq=False)
class Gather(Untouched):
    """Eq. 7, 8: a group's frame sees the frames before it alone, and its own keys and values are put beside theirs.

    `texts`: also where words are looked for, which changes something only where frames have prompts of their own.
    `alone`: it sees itself instead, for comparison.
    """

    bank: Bank
    texts: bool = False
    alone: bool = False

    def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if not _shared(site, self.texts):
            return keys, values
        lead = site.lead if site.kind == "self" else 0
        own = keys[:, :, lead:], values[:, :, lead:]
        before = self.bank.get((site.kind, site.layer))
        if before is None:
            self.bank[site.kind, site.layer] = own
            return keys, values
        self.bank[site.kind, site.layer] = torch.cat([before[0], own[0]], 2), torch.cat([before[1], own[1]], 2)
        return (keys, values) if self.alone else _instead(before, keys, values, lead)


@dataclass(frozen=True, eq=False)
class Swap(Untouched):
    """Eq. 9: every frame sees the group alone."""

    bank: Bank
    texts: bool = False

    def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if not _shared(site, self.texts):
            return keys, values
        return _instead(self.bank[site.kind, site.layer], keys, values, site.lead if site.kind == "self" else 0)


def _shared(site: AttentionSite, texts: bool) -> bool:
    return site.kind == "self" or (texts and site.kind == "cross")


def _instead(group: tuple[Tensor, Tensor], keys: Tensor, values: Tensor, lead: int) -> tuple[Tensor, Tensor]:
    """The group's in place of the frames' own; the first `lead`, of their sources, stay."""
    k, v = (one.expand(len(keys), -1, -1, -1) for one in group)
    return (torch.cat([keys[:, :, :lead], k], 2), torch.cat([values[:, :, :lead], v], 2)) if lead else (k, v)


def group_of(span: FrameRange, size: int, anchors: Sequence[FrameIndex]) -> list[FrameIndex]:
    """`size` evenly spaced frames, joined by the anchors (all of them up to twice the size, then evenly chosen ones)."""
    even = {span.start + round(i * (len(span) - 1) / max(1, size - 1)) for i in range(min(size, len(span)))}
    kept = sorted(anchors)
    if len(kept) > 2 * size:
        kept = [kept[round(i * (len(kept) - 1) / (2 * size - 1))] for i in range(2 * size)]
    return sorted(even | set(kept))


# --- Sampling ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Editing:
    """One edit under way: `texts` = the instruction's encoding and the empty one, `guidance` = (text, image) scales."""

    model: DiffusionBackbone
    texts: tuple[Text, Text]
    guidance: Scales
    config: Any
    noise: Tensor

    def predict(self, z: Tensor, level: float, source: Tensor, controls: Sequence[AttentionControl | None]) -> Prediction:
        """All branches of the guidance, each under its own control, combined."""
        said = []
        for (text, condition), control in zip(branches(self.texts, source, self.guidance), controls, strict=True):
            with nullcontext() if control is None else self.model.control(control):
                said.append(self.model.predict(z, level, text, condition))
        return Prediction(*(weighed([getattr(one, part) for one in said], self.guidance) for part in ("x0", "noise")))

    def next(self, z: Tensor, said: Prediction, level: float, frames: Frames, step: int) -> Tensor:
        """z at the next level (DDIM, or Euler along a rectified flow), with the source outside the mask and held anchors."""
        a, b = self.model.scales(level)
        z = a * said.x0 + b * said.noise
        if self.config.local:
            z = integrated(z, a * frames.source + b * self.noise, frames.mask, boundary_share(step, self.config.steps))
        return self.held(z, frames, level)

    def held(self, z: Tensor, frames: Frames, level: float) -> Tensor:
        """Approved anchors at their takes."""
        a, b = self.model.scales(level)
        return torch.where(frames.is_anchor, a * frames.takes + b * self.noise, z)

    def gathered(self, z: Tensor, level: float, source: Tensor) -> list[Bank]:
        """The banks of all branches, from the group's latents at a level, one frame after the other."""
        banks: list[Bank] = [{} for _ in range(count(self.guidance))]
        for one, shown in zip(z.split(1), source.split(1), strict=True):
            self.predict(one, level, shown, [Gather(bank, alone=not self.config.gather) for bank in banks])
        return banks

    def swapped(self, z: Tensor, level: float, source: Tensor, banks: Sequence[Bank] | None) -> Prediction:
        """All frames of z, some at a time; without banks each by itself."""
        controls = [None] * count(self.guidance) if banks is None else [Swap(bank) for bank in banks]
        parts = [
            self.predict(some, level, shown, controls)
            for some, shown in zip(z.split(TOGETHER), source.split(TOGETHER), strict=True)
        ]
        return Prediction(torch.cat([part.x0 for part in parts]), torch.cat([part.noise for part in parts]))


@dataclass(frozen=True, eq=False, slots=True)
class Frames:
    """Frames as the model sees them: X, m, and the takes' latents where `is_anchor` (B, 1, 1, 1, 1); all (B, C, 1, h, w)."""

    source: Tensor
    mask: Tensor
    takes: Tensor
    is_anchor: Tensor


@torch.no_grad()
def edit_group(editing: Editing, frames: Frames, tick: Callable[[], None]) -> Tensor:
    """The group's latents (T, G, C, 1, h, w) before every step: gather and swap among themselves."""
    levels = editing.model.levels(editing.config.steps)
    z = editing.held(editing.noise.expand_as(frames.source), frames, levels[0])
    trajectory = []
    for step in range(editing.config.steps):
        trajectory.append(z)
        tick()
        banks = editing.gathered(z, levels[step], frames.source) if _swaps(editing.config, step) else None
        z = editing.next(z, editing.swapped(z, levels[step], frames.source, banks), levels[step + 1], frames, step)
    return torch.stack(trajectory)


@torch.no_grad()
def edit_frames(editing: Editing, frames: Frames, group: tuple[Tensor, Tensor] | None, tick: Callable[[], None]) -> Tensor:
    """Latents (B, C, 1, h, w) of edited frames. `group`: its latents before every step, and its sources."""
    levels = editing.model.levels(editing.config.steps)
    z = editing.held(editing.noise.expand_as(frames.source), frames, levels[0])
    for step in range(editing.config.steps):
        tick()
        swaps = group is not None and _swaps(editing.config, step)
        banks = editing.gathered(group[0][step], levels[step], group[1]) if swaps and group else None
        z = editing.next(z, editing.swapped(z, levels[step], frames.source, banks), levels[step + 1], frames, step)
    return z


def _swaps(config: Any, step: int) -> bool:
    return config.swap and step < config.swap_steps


# --- The method -------------------------------------------------------------------------------------------


class Via:
    """See the module. `prepare` adapts the editor and edits the group, and keeps both."""

    Config: ClassVar[type] = Config

    def prepare(self, shot: Shot, config: Any, context: Context) -> Prepared:
        """Raises MethodError without an instruction."""
        adapted, trajectory = context.store / ADAPTER, context.store / "group.npy"
        group = group_of(shot.span, config.group, shot.anchors)
        if not trajectory.exists():
            context.store.mkdir(parents=True, exist_ok=True)
            model = context.backbone(config.backbone)
            # A run that was stopped after the adaptation goes on behind it.
            count = config.adapt_steps if shot.anchors and not adapted.exists() else 0
            tick = context.ticks(count + config.steps)
            if count:
                _adapt(model, shot, config, context, tick)
            with kept(model.denoiser, adapted, RANK):
                editing, frames = _editing(model, shot, config, context), _frames(model, shot, group)
                part = trajectory.with_suffix(".part.npy")
                np.save(part, edit_group(editing, frames, tick).cpu().numpy())
                part.replace(trajectory)
        digest = hashlib.sha256(trajectory.read_bytes())
        if adapted.exists():
            digest.update(adapted.read_bytes())
        return Prepared(digest.hexdigest(), config, (group, trajectory, adapted))

    def render(self, shot: Shot, segment: Segment, prepared: Prepared, context: Context) -> Rendered:
        """Every frame of the segment and the right anchor's, in order."""
        config, (group, trajectory, adapted) = prepared.config, prepared.value
        model = context.backbone(config.backbone)
        span = range(segment.start, segment.stop + (segment.right is not None))
        chunks = [span[at : at + CHUNK] for at in range(0, len(span), CHUNK)]
        tick = context.ticks(len(chunks) * config.steps + len(span))
        with kept(model.denoiser, adapted, RANK):
            editing = _editing(model, shot, config, context)
            states = torch.from_numpy(np.load(trajectory)).to(editing.noise)
            leaders = states, _frames(model, shot, group).source
            for chunk in chunks:
                frames = _frames(model, shot, chunk)
                z = edit_frames(editing, frames, leaders, tick)
                for at, frame in enumerate(chunk):
                    tick()
                    yield frame, _shown(model, shot, frame, frames.source[at : at + 1], z[at : at + 1])

    def take(self, shot: Shot, frame: FrameIndex, config: Any, context: Context) -> np.ndarray:
        """A root edit: the frame by itself, as the editor makes it from this seed."""
        model = context.backbone(config.backbone)
        editing, frames = _editing(model, shot, config, context), _frames(model, shot, [frame], anchors=False)
        z = edit_frames(editing, frames, None, context.ticks(config.steps))
        return _shown(model, shot, frame, frames.source, z)


def _size(model: DiffusionBackbone, shot: Shot) -> tuple[int, int]:
    return working_size(shot.size, area_of(model), model.stride[1:])


def _latents(model: DiffusionBackbone, pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [−1, 1] -> (B, C, 1, h, w): every picture a clip of its own."""
    return torch.cat([model.encode(picture[None]) for picture in pictures]).float()


def _editing(model: DiffusionBackbone, shot: Shot, config: Any, context: Context) -> Editing:
    instruction = shot.edit.instruction.strip()
    if not instruction:
        raise MethodError('VIA has no instruction: write what to change, such as "make the ball blue".')
    guidance = scales_of(model, config.guidance_text, config.guidance_image)
    blank = model.encode(torch.zeros(1, 3, *_size(model, shot)))
    noise = torch.randn(blank.shape, generator=torch.Generator().manual_seed(context.seed)).to(blank.device)
    return Editing(model, (model.encode_text(instruction), model.encode_text("")), guidance, config, noise)


def _frames(model: DiffusionBackbone, shot: Shot, numbers: Sequence[FrameIndex], *, anchors: bool = True) -> Frames:
    size = _size(model, shot)
    source = _latents(model, torch.cat([fit(shot.frames.get(frame)[None], size) for frame in numbers]))
    cells = source.shape[-2], source.shape[-1]
    mask = soften(torch.stack([pool(torch.from_numpy(shot.region(frame) > 127), cells) for frame in numbers]))
    held = torch.tensor([anchors and frame in shot.anchors for frame in numbers], device=source.device)
    takes = source.clone()
    for at in held.nonzero().flatten().tolist():
        takes[at : at + 1] = _latents(model, fit(shot.take(numbers[at])[None], size))
    return Frames(source, mask[:, None, None].to(source), takes, held[:, None, None, None, None])


def _adapt(model: DiffusionBackbone, shot: Shot, config: Any, context: Context, tick: Callable[[], None]) -> None:
    if model.denoiser is None:
        context.warn(f'"{model.name}" has no weights, so it was not adapted to the approved anchors.')
        return
    size = _size(model, shot)
    pairs = [(fit(shot.frames.get(at)[None], size)[0], fit(shot.take(at)[None], size)[0]) for at in shot.anchors]
    with adapter(model.denoiser, RANK) as parameters:
        adapt(
            model,
            pairs,
            model.encode_text(shot.edit.instruction),
            parameters,
            steps=config.adapt_steps,
            seed=context.seed,
            tick=tick,
        )
        save(parameters, context.store / ADAPTER)


def _shown(model: DiffusionBackbone, shot: Shot, frame: FrameIndex, source: Tensor, z: Tensor) -> np.ndarray:
    before, after = (model.decode(latents, 1)[0] for latents in (source, z))
    return lay(shot.frames.get(frame), before, after)
