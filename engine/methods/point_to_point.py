"""Point-to-Point: a subject swapped for one of another shape that keeps its motion (arXiv 2511.18277).

A few trajectories that the model itself finds informative, *anchor tokens*, carry the motion. The model learns on the source
what they mean and is told so while it draws the new subject from the text.

    paper                                                     here
    point trajectories from bidirectional flow, 3 keyframes   tracking/trajectories.py
    motion tokens: features less their mean, along them       diffusion/motion_tokens.py, read_features
    anchor tokens: farthest point sampling until τ_d          choose
    anchor-token encoder, tuned for 50–100 steps              diffusion/point_adapter.py, tune
    injection in the first part of the denoising              Editing.predict
    alignment: tokens go to their best match (mid-way)        Editing.align
    blending with the source outside                          sample_windows

Symbols: X source latents (1, C, F, h, w), τ_n trajectory, T_n motion token, d(n, m) = 1 − mean ⟨T_n, T_m⟩ over common frames.

Departures. Values that are not in the text, our choice: features at level 0.26 (VideoSwap's 261 of 1000), keyframes first,
middle and last, alignment after 30 % of the steps, rate 5e-4, gain 1, start at level 0.9. our choice: tokens are kept in the
64 leading directions of the features. our choice: a rectified flow, which cannot be inverted in few steps, starts from the
re-noised source. our choice: blending follows the region of the edit, not a threshold of attention. our choice: approved takes
are the pictures of the new subject that a LoRA learns, on top of the user's own where there is one. our choice: each window of
a long shot has tokens of its own, and all windows one encoder. our choice: a dragged token stays where it was put, alignment
moves the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from engine.diffusion.adapt import kept as kept_adapter
from engine.diffusion.backbone import Condition, DiffusionBackbone, Prediction, Text
from engine.diffusion.lora import Lora, with_lora
from engine.diffusion.masks import causal, pool
from engine.diffusion.memory import in_shorter_windows
from engine.diffusion.motion_tokens import Basis, MotionTokens, basis_of, best_matches
from engine.diffusion.pictures import fit, lay, working_size
from engine.diffusion.point_adapter import PointAdapter
from engine.diffusion.windows import SharedNoise, Window, agree, cross_fade, plan_windows
from engine.document.config_files import name_of
from engine.errors import MethodError
from engine.methods.base import Context, Prepared, Rendered, Segment, Shot
from engine.methods.cards import PointToPointConfig as Config
from engine.methods.point_to_point_subject import RANK, learn_subject
from engine.methods.point_to_point_tokens import (
    ENSEMBLE,
    Anchors,
    Seen,
    Told,
    anchors_of,
    candidates,
    changed,
    choose,
    ensemble,
    new_adapter,
    read_features,
    shown,
    tokens_along,
    told_of,
    tune,
)
from engine.tracking.trajectories import write_found
from engine.types import FrameIndex, FrameRange

GUIDANCE = {"bundled": 3.0, "analytic": 1.0, "animatediff": 7.5}
"""Of text to video; the bundled one's is our choice, on scenes that no figure is taken from."""
THRESHOLD = {"bundled": 0.1}
"""τ_d where the paper's 0.65 is not right: a subject covers a few cells of the small model, whose motions are much alike, and the
number of tokens that is asked for should count (our choice)."""
AREA = {"bundled": 64 * 64, "analytic": 64 * 64}
LARGE_AREA = 512 * 512
Reader = Callable[..., Tensor]
Chooser = Callable[..., list[int]]
SUBJECT = "subject.safetensors"


# --- Sampling ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """A window under way: what is seen of it, the mask on latents (1, 1, F, h, w) in {0, 1}, its anchor tokens and what alignment
    compares them with; `held` (A,): tokens that stay where the user put them."""

    seen: Seen
    mask: Tensor
    anchors: Anchors
    told: Told
    held: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class Editing:
    """One edit under way: `texts` = source prompt, target prompt, the empty one."""

    model: DiffusionBackbone
    texts: tuple[Text, Text, Text]
    guidance: float
    config: Any
    noise: SharedNoise
    adapter: PointAdapter
    basis: Basis
    read: Reader = read_features

    def predict(self, part: Part, z: Tensor, level: float, *, told: bool) -> Prediction:
        """Guided; `told`: with the anchor tokens, in both branches."""
        anchors = part.anchors
        hears = told and len(anchors) > 0
        on = self.adapter.on(self.model, anchors.tokens.mean(), anchors.places, anchors.visible, self.config.gain)
        with on if hears else nullcontext():
            asked = self.model.predict(z, level, self.texts[1], part.seen.condition)
            if self.guidance == 1:
                return asked
            plain = self.model.predict(z, level, self.texts[2], part.seen.condition)
        away, scale = (plain.x0, plain.noise), self.guidance
        x0, noise = (u + scale * (c - u) for u, c in zip(away, (asked.x0, asked.noise), strict=True))
        return Prediction(x0, noise)

    def align(self, part: Part, clean: Tensor) -> Part:
        """Each anchor token on the trajectory along which the new subject, as it is drawn so far, moves the most like it."""
        if not len(part.anchors):
            return part
        noises = ensemble(part.seen, 0, 1)
        features = self.read(self.model, clean, part.seen, self.texts[1], level=self.config.feature_level, noises=noises)
        found = part.told.found
        there = tokens_along(features, self.basis, found)
        owner = torch.from_numpy(found.owner)
        own = torch.from_numpy(found.own)
        matches = best_matches(part.anchors.tokens, there, (part.anchors.owner[:, None] == owner) & ~own)
        places, visible = part.anchors.places.clone(), part.anchors.visible.clone()
        for index, match in enumerate(matches):
            if match >= 0 and not part.held[index]:
                places[:, index], visible[:, index] = found.places[:, match], found.visible[:, match]
        return replace(part, anchors=replace(part.anchors, places=places, visible=visible))

    def starts(self, part: Part, levels: Sequence[float], tick: Callable[[], None]) -> list[Tensor]:
        """The source at each level, noise first: re-noised by frame, or inverted by the model under the source prompt."""
        clean = part.seen.source
        if not self.inverts:
            noise = self.noise.draw(0, part.seen.marks, clean)
            return [a * clean + b * noise for a, b in map(self.model.scales, levels)]
        states = [clean]
        for below, level in pairwise(reversed(levels)):
            tick()
            said = self.model.predict(states[-1], below, self.texts[0], part.seen.condition)
            a, b = self.model.scales(level)
            states.append(a * said.x0 + b * said.noise)
        return states[::-1]

    @property
    def inverts(self) -> bool:
        """Whether the start is the inverted source: where the model is no rectified flow, unless noise is asked for."""
        a, b = self.model.scales(0.5)
        return self.config.start == "auto" and abs(a + b - 1) > 1e-6

    def levels(self) -> list[float]:
        """Noise levels from `strength` down; one step at least."""
        levels = self.model.levels(self.config.steps)
        kept = [level for level in levels if level <= self.config.strength]
        return kept if len(kept) > 1 else levels[-2:]


@torch.no_grad()
def sample_windows(
    editing: Editing, parts: Sequence[Part], windows: Sequence[Window], tick: Callable[[], None]
) -> tuple[list[Tensor], list[Part]]:
    """Latents (1, C, F, h, w) of the edit for each window, all side by side, and the parts with their tokens aligned.

    `tick` is called once a window and step.
    """
    levels, stride = editing.levels(), editing.model.stride[0]
    steps = len(levels) - 1
    sources = [editing.starts(part, levels, tick) for part in parts]
    states = [source[0] for source in sources]
    align_at = round(editing.config.align * steps) if editing.config.align > 0 else -1
    parts = list(parts)
    for step, (level, following) in enumerate(pairwise(levels)):
        said = []
        for part, z in zip(parts, states, strict=True):
            tick()
            said.append(editing.predict(part, z, level, told=step < editing.config.inject * steps))
        clean, noise = (agree([getattr(one, side) for one in said], windows, stride) for side in ("x0", "noise"))
        if step == align_at:
            parts = [editing.align(part, x0) for part, x0 in zip(parts, clean, strict=True)]
        a, b = editing.model.scales(following)
        states = [
            torch.where(part.mask > 0, a * x0 + b * n, source[step + 1])
            for part, x0, n, source in zip(parts, clean, noise, sources, strict=True)
        ]
    return states, parts


# --- The method -------------------------------------------------------------------------------------------


class PointToPoint:
    """See the module. `prepare` finds the anchor tokens and tunes the encoder; `render` draws.

    A token that the user takes away or drags changes what is rendered, not what is prepared. `read` and `choose` can be others,
    for comparison: which features tokens are made of, and which candidates become tokens.
    """

    Config: ClassVar[type] = Config

    def __init__(self, read: Reader = read_features, choose: Chooser = choose) -> None:
        self.read, self.choose = read, choose

    def prepare(self, shot: Shot, config: Any, context: Context) -> Prepared:
        """Raises MethodError without prompts."""
        kept, adapted = context.store / "windows.pt", context.store / SUBJECT
        if not kept.exists():
            context.store.mkdir(parents=True, exist_ok=True)
            model = context.backbone(config.backbone)
            texts = _texts(model, shot)

            def work() -> Iterator[dict[str, Any]]:
                yield _prepared(model, texts, shot, config, context, by=self)

            state = next(in_shorter_windows(model, work))
            part = kept.with_suffix(".part")
            torch.save(state, part)
            part.replace(kept)
        digest = hashlib.sha256(kept.read_bytes() + config.lora.encode())
        if adapted.exists():
            digest.update(adapted.read_bytes())
        return Prepared(digest.hexdigest(), config, (kept, adapted))

    def render(self, shot: Shot, segment: Segment, prepared: Prepared, context: Context) -> Rendered:
        """Every frame of the segment and the right anchor's, in order."""
        config, (kept, adapted) = prepared.config, prepared.value
        model = context.backbone(config.backbone)
        span = FrameRange(segment.start, segment.stop + (segment.right is not None))
        state = torch.load(kept, weights_only=True)
        told = [told_of(one) for one in state["windows"]]
        begin = shot.span.start
        told = [t for t in told if begin + t.window.start < span.stop and span.start < begin + t.window.stop]
        editing = replace(_editing(model, shot, config, context, state), read=self.read)
        parts = [_part(model, shot, one, context.warn) for one in told]
        steps = (len(editing.levels()) - 1) * (1 + editing.inverts)
        tick = context.ticks(len(parts) * steps + len(span))
        windows = [one.window for one in told]
        with with_lora(model.denoiser, _lora(config, context), context.warn), kept_adapter(model.denoiser, adapted, RANK):
            states, parts = sample_windows(editing, parts, windows, tick)
        for place, (before, after) in cross_fade(windows, lambda k: _decoded(model, parts[k].seen, states[k])):
            frame = begin + place
            if frame in span:
                tick()
                yield frame, lay(shot.frames.get(frame), before, after)

    def take(self, shot: Shot, frame: FrameIndex, config: Any, context: Context) -> np.ndarray:
        """The new subject on that frame alone, as the text and the re-noised source make it."""
        model, alone = context.backbone(config.backbone), FrameRange(frame, frame + 1)
        one = replace(shot, span=alone, tracks=lambda: None)
        seen = _seen(model, one, alone)
        basis, nothing = Basis(torch.ones(1, 1)), MotionTokens(torch.zeros(0, 1, 1), torch.zeros(0, 1, dtype=torch.bool))
        found = candidates(one, seen, model.stride[0], 1)
        told = Told(Window(0, 1), found, [], anchors_of(found, nothing, []))
        editing = _editing(model, one, config, context, _state(PointAdapter({}, 1), basis))
        steps = (len(editing.levels()) - 1) * (1 + editing.inverts)
        part = _part(model, one, told, context.warn)
        with with_lora(model.denoiser, _lora(config, context), context.warn):
            states, _ = sample_windows(editing, [part], [Window(0, 1)], context.ticks(steps))
        before, after = _decoded(model, seen, states[0])[0]
        return lay(shot.frames.get(frame), before, after)


def _lora(config: Any, context: Context) -> Lora | None:
    """The user's own. Raises MethodError where its file is not there."""
    return Lora(context.file(config.lora), name_of(config.lora), config.lora_strength) if config.lora else None


def _texts(model: DiffusionBackbone, shot: Shot) -> tuple[Text, Text, Text]:
    before, after = shot.edit.source_prompt.strip(), shot.edit.target_prompt.strip()
    if not before or not after:
        which, what = ("source", "what the clip shows now") if not before else ("target", "what it shall show")
        raise MethodError(f"Point-to-Point has no {which} prompt: write {what}, naming the subject.")
    return model.encode_text(before), model.encode_text(after), model.encode_text("")


def _editing(model: DiffusionBackbone, shot: Shot, config: Any, context: Context, state: dict[str, Any]) -> Editing:
    """With the encoder that was prepared."""
    adapter = PointAdapter(state["widths"], state["basis"].shape[1])
    adapter.load_state_dict(state["adapter"])
    guidance, device = config.guidance or GUIDANCE.get(model.name, 7.5), model.encode_text("").embeddings.device
    adapter.requires_grad_(False).to(device)
    return Editing(model, _texts(model, shot), guidance, config, SharedNoise(context.seed), adapter, Basis(state["basis"]))


def _state(adapter: PointAdapter, basis: Basis) -> dict[str, Any]:
    weights = {name: value.detach().cpu() for name, value in adapter.state_dict().items()}
    return {"basis": basis.rows, "adapter": weights, "widths": dict(zip(adapter.sites, adapter.widths, strict=True))}


def _size(model: DiffusionBackbone, shot: Shot) -> tuple[int, int]:
    return working_size(shot.size, AREA.get(model.name, LARGE_AREA), model.stride[1:])


def _seen(model: DiffusionBackbone, shot: Shot, span: FrameRange) -> Seen:
    source = model.encode(fit(np.stack(list(shot.frames.frames(span))), _size(model, shot))).float()
    marks = tuple(range(span.start, span.start + model.stride[0] * source.shape[2], model.stride[0]))
    # A text-to-video model knows the clip from its latents alone; the analytic one, which has no weights, is told.
    return Seen(source, span, marks, Condition(source) if model.name == "analytic" else None)


def _prepared(
    model: DiffusionBackbone, texts: Sequence[Text], shot: Shot, config: Any, context: Context, *, by: PointToPoint
) -> dict[str, Any]:
    """Anchor tokens of every window and the tuned encoder, as tensors, numbers and lists; the page's file is written."""
    windows = plan_windows(len(shot.span), model.max_frames, model.stride[0])
    learns = config.adapt_steps if shot.anchors and model.denoiser is not None else 0
    tick = context.ticks(len(windows) + config.tune_steps + learns)
    basis: Basis | None = None
    clips: list[tuple[Seen, Anchors]] = []
    told: list[Told] = []
    for window in windows:
        tick()
        seen = _seen(model, shot, FrameRange(shot.span.start + window.start, shot.span.start + window.stop))
        found = candidates(shot, seen, model.stride[0], config.keyframes)
        noises = ensemble(seen, context.seed, ENSEMBLE)
        features = by.read(model, seen.source, seen, texts[0], level=config.feature_level, noises=noises)
        basis = basis or basis_of(features.cpu())
        tokens = tokens_along(features, basis, found)
        chosen = by.choose(found, tokens, config.threshold or THRESHOLD.get(model.name, 0.65), config.tokens)
        told.append(Told(window, found, chosen, anchors_of(found, tokens[chosen], chosen)))
        clips.append((seen, told[-1].anchors))
    assert basis is not None
    if not any(one.chosen for one in told):
        context.warn("No motion was found to carry: mark the subject where it moves, or put tracked points (R) on it.")
    adapter = new_adapter(model, clips[0][0], texts[0], basis.rows.shape[1])
    tune(model, adapter, clips, texts[0], steps=config.tune_steps, seed=context.seed, tick=tick)
    if learns:
        size = _size(model, shot)
        pictures = [model.encode(fit(shot.take(frame)[None], size)).float() for frame in shot.anchors]
        with with_lora(model.denoiser, _lora(config, context)):
            learn_subject(model, texts[1], pictures, context.store / SUBJECT, steps=learns, seed=context.seed, tick=tick)
    write_found(context.store, shown(shot, told))
    return {"windows": [one.state() for one in told], **_state(adapter, basis)}


def _part(model: DiffusionBackbone, shot: Shot, told: Told, warn: Callable[[str], None]) -> Part:
    span = FrameRange(shot.span.start + told.window.start, shot.span.start + told.window.stop)
    seen = _seen(model, shot, span)
    size = (seen.source.shape[-2], seen.source.shape[-1])
    masks = torch.stack([pool(torch.from_numpy(shot.region(frame) > 127), size) for frame in span])
    mask = causal(masks, model.stride[0])[None, None].float().to(seen.source)
    anchors, held = changed(shot, told, model.stride[0])
    return Part(seen, mask, anchors, told, held)


@torch.no_grad()
def _decoded(model: DiffusionBackbone, seen: Seen, z: Tensor) -> Tensor:
    """(T, 2, 3, h, w): the source and the edit as the model's autoencoder shows them."""
    return torch.stack([model.decode(latents, len(seen.span)).cpu() for latents in (seen.source, z)], 1)
