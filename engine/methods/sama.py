"""SAMA: instruction edits of clips, with the edit's meaning planned in sparse anchor frames (arXiv 2603.19228).

    paper                                                             here
    §3.2 source and target tokens in one sequence, type embeddings    the backbone (backbones/sama_sequence.py)
    §3.3 Semantic Anchoring: tokens of anchor frames, noised with     States, denoise
         the same t and denoised along with the latents
    §3.4 Motion Alignment, stages 0 and 1                             training (engine/training)
    inference: guidance between the instruction and the prefix        guided_change
         alone; both branches keep source and semantic tokens

Symbols: zs source latents and zt target latents (1, C, F, h, w); sem semantic tokens (1, S, features); σ noise level.

Departures. our choice: an approved anchor that the segment touches is what the semantic tokens must say: while
σ ≥ anchor_until, sem = (1 − σ) s* + σ ε, with s* the tokens of the take (replacement guidance). our choice: clips longer than the
model go through in windows (diffusion/windows.py), each with semantic tokens of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from engine.diffusion.backbone import Text
from engine.diffusion.flow import blend, guided, velocity_of
from engine.diffusion.memory import in_shorter_windows
from engine.diffusion.pictures import fit, lay
from engine.diffusion.semantic import SemanticBackbone
from engine.diffusion.windows import SharedNoise, Window, agree, cross_fade, plan_windows
from engine.errors import MethodError
from engine.methods.base import Context, Prepared, Rendered, Segment, Shot
from engine.methods.cards import SamaConfig as Config
from engine.types import FrameIndex, FrameRange

SEMANTIC_NOISE = 1 << 20
"""The step under which the semantic tokens' noise is drawn, apart from the latents'."""


# --- Semantic Anchoring, sampled --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class States:
    """A window under way: zs, zt, sem, the noise that sem began with, and the tokens s* that it is held at, or None."""

    source: Tensor
    target: Tensor
    semantic: Tensor | None
    noise: Tensor | None
    anchor: Tensor | None


@dataclass(frozen=True, eq=False, slots=True)
class Editing:
    """One edit under way: the model, the instruction and the prefix alone, both encoded, and the settings."""

    model: SemanticBackbone
    asked: Text
    nothing: Text
    guidance: float
    anchor_until: float


def anchored(states: States, sigma: float, until: float) -> Tensor | None:
    """sem for this level: held on the path from s* to the noise that it began with, while σ ≥ `until`."""
    if states.anchor is None or states.noise is None or sigma < until:
        return states.semantic
    return blend(states.anchor, states.noise, sigma)


def guided_change(editing: Editing, states: States, semantic: Tensor | None, sigma: float) -> tuple[Tensor, Tensor | None]:
    """v = v_null + s (v_asked − v_null), for the latents and for the semantic tokens alike."""
    zt, zs = states.target, states.source
    sides = []
    for text in (editing.nothing, editing.asked):
        if text is editing.nothing and editing.guidance == 1:
            continue
        predicted, clean = editing.model.predict_semantic(zt, semantic, sigma, text, zs)
        drift = None if clean is None or semantic is None else (semantic - clean) / sigma
        sides.append((velocity_of(predicted), drift))
    change = guided(sides[0][0], sides[-1][0], editing.guidance)
    before, after = sides[0][1], sides[-1][1]
    return change, None if before is None or after is None else guided(before, after, editing.guidance)


@torch.no_grad()
def denoise(
    editing: Editing, windows: Sequence[Window], begin: Sequence[States], steps: int, tick: Callable[[], None]
) -> list[Tensor]:
    """All windows from noise to zt (1, C, F, h, w), side by side; `tick` is called once a step and window."""
    states = list(begin)
    for sigma, following in pairwise(editing.model.levels(steps)):
        changes = []
        for index, one in enumerate(states):
            tick()
            semantic = anchored(one, sigma, editing.anchor_until)
            change, drift = guided_change(editing, one, semantic, sigma)
            moved = semantic if semantic is None or drift is None else semantic + (following - sigma) * drift
            states[index] = States(one.source, one.target, moved, one.noise, one.anchor)
            changes.append(change)
        changes = agree(changes, windows, editing.model.stride[0])
        states = [
            States(one.source, one.target + (following - sigma) * change, one.semantic, one.noise, one.anchor)
            for one, change in zip(states, changes, strict=True)
        ]
    return [one.target for one in states]


# --- The method -------------------------------------------------------------------------------------------


class Sama:
    """Edits a shot as the instruction says; approved anchors say what it means."""

    Config: ClassVar[type] = Config

    def prepare(self, shot: Shot, config: Any, context: Context) -> Prepared:
        """Segments share nothing."""
        return Prepared(digest="", config=config)

    def render(self, shot: Shot, segment: Segment, prepared: Prepared, context: Context) -> Rendered:
        """Every frame of the segment and the right anchor's, in order. MethodError: instruction or model will not do."""
        span = FrameRange(segment.start, segment.stop + (segment.right is not None))
        model = _model(prepared.config, context)
        anchors = tuple(anchor for anchor in (segment.left, segment.right) if anchor is not None)
        return in_shorter_windows(model, lambda: _rendered(shot, span, anchors, prepared.config, context))

    def take(self, shot: Shot, frame: FrameIndex, config: Any, context: Context) -> np.ndarray:
        """The edit of that frame alone, a clip of one."""
        return next(picture for _, picture in _rendered(shot, FrameRange(frame, frame + 1), (), config, context))


def _model(config: Any, context: Context) -> SemanticBackbone:
    model = context.backbone(config.backbone)
    if not isinstance(model, SemanticBackbone):
        raise MethodError(f'SAMA needs an instruction model, and "{model.name}" is not one: choose another model.')
    return model


def _rendered(shot: Shot, span: FrameRange, anchors: Sequence[FrameIndex], config: Any, context: Context) -> Rendered:
    model = _model(config, context)
    instruction = shot.edit.instruction.strip()
    if not instruction:
        raise MethodError('SAMA has no instruction: write what shall be done, such as "make the ball green".')
    asked, nothing = (model.encode_text(model.instructed(text)) for text in (instruction, ""))
    editing = Editing(model, asked, nothing, config.guidance or model.guidance, config.anchor_until)
    windows = plan_windows(len(span), model.max_frames, model.stride[0])
    tick = context.ticks(len(windows) * config.steps + len(span))
    noise, begin = SharedNoise(context.seed), []
    for window in windows:
        frames = _frames(shot, model, FrameRange(span.start + window.start, span.start + window.stop))
        if window is windows[0] and (sentence := model.purpose(frames)):
            context.warn(sentence)
        anchor = _nearest(anchors, span.start + window.start) if config.anchor_guide else None
        begin.append(_begin(model, frames, noise, window, None if anchor is None else _tokens(shot, model, anchor)))
    states = denoise(editing, windows, begin, config.steps, tick)
    for place, (before, after) in cross_fade(windows, lambda k: _decoded(model, begin[k].source, states[k], len(windows[k]))):
        tick()
        yield span.start + place, lay(shot.frames.get(span.start + place), before, after)


def _begin(model: SemanticBackbone, frames: Tensor, noise: SharedNoise, window: Window, anchor: Tensor | None) -> States:
    """Pure noise for zt and sem, by the window's place in the clip."""
    source = model.encode(frames)
    target = noise.draw(0, window.marks(model.stride[0]), source)
    if model.semantic_shape is None:
        return States(source, target, None, None, None)
    empty = source.new_zeros(1, model.semantic_shape[1], 1, model.semantic_shape[0], 1)
    start = noise.draw(SEMANTIC_NOISE, (window.start,), empty)[:, :, 0, :, 0].transpose(1, 2)
    return States(source, target, start, start, anchor)


def _frames(shot: Shot, model: SemanticBackbone, span: FrameRange) -> Tensor:
    """(T, 3, h, w) in [−1, 1], at the model's size."""
    return fit(np.stack(list(shot.frames.frames(span))), model.working_size(shot.size))


def _tokens(shot: Shot, model: SemanticBackbone, anchor: FrameIndex) -> Tensor | None:
    """s*: what the model's image encoder makes of the approved take; None where it has none."""
    if model.semantic_shape is None:
        return None
    return model.semantic_tokens(fit(shot.take(anchor)[None], model.working_size(shot.size))[0])


def _nearest(anchors: Sequence[FrameIndex], frame: FrameIndex) -> FrameIndex | None:
    return min(anchors, key=lambda anchor: abs(anchor - frame), default=None)


@torch.no_grad()
def _decoded(model: SemanticBackbone, source: Tensor, target: Tensor, frames: int) -> Tensor:
    """(T, 2, 3, h, w): what the latents make of the source, and the edit."""
    return torch.stack([model.decode(latents, frames).cpu() for latents in (source, target)], 1)
