"""FlowAnchor: flow editing without inversion, its signal kept in place and at strength (arXiv 2604.22586).

An edit follows the difference ΔV of two velocities, one for what is asked, one for what is there. With several subjects it
leaks to the wrong one; with many frames it fades. FlowAnchor holds the words' attention in the mask and amplifies ΔV.

    paper                                                     here
    FlowEdit (arXiv 2412.08629): coupled states               coupled_states
    the editing signal ΔV, guided in both branches            Editing.signal
    SAR step 1: text tokens, within the mask's rows           text_token_modulation
    SAR step 2: space and time, within the words' columns     spatio_temporal_modulation
    both on logits in each layer and head, while t ≥ τ        Refinement
    AMM: contrast map C, frame factor γ_F, (1 + γ_F C) ΔV     contrast_maps, frame_factor, amplified
    Algorithm 1                                               edit_windows

Symbols: X source latents and Z edit state (1, C, F, h, w), t noise level, A logits (..., N, J) of N video and J text tokens,
`inside` (N,) the mask M on tokens, `target` (J,) the tokens of the words to edit, F0 = 21 latent frames.

Departures. The paper leaves open: heads are refined one by one; padding has no part in extrema and keeps its logits.
our choice: no gain in the last step (an explicit Euler step that ends at t = 0 would overshoot for good). our choice: at an
approved anchor that begins a segment, Z is held on the straight path from X to the take's latents, so the other frames see
the anchor as it will be. our choice: clips longer than the model go through in windows (diffusion/windows.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from math import log
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from engine.diffusion.attention import AttentionSite, Untouched
from engine.diffusion.backbone import Condition, DiffusionBackbone, Text
from engine.diffusion.flow import blend, guided, velocity_of
from engine.diffusion.masks import causal, latent_frames, pool
from engine.diffusion.memory import in_shorter_windows
from engine.diffusion.pictures import fit, lay, working_size
from engine.diffusion.windows import SharedNoise, Window, agree, cross_fade, plan_windows
from engine.errors import MethodError
from engine.methods.base import Context, Prepared, Rendered, Segment, Shot
from engine.methods.cards import FlowAnchorConfig as Config
from engine.types import Edit, FrameIndex, FrameRange

F0 = 21
"""Latent frames at which the signal is amplified by γ itself: 81 frames of Wan."""
GUIDANCE = {"analytic": (1.0, 1.0), "bundled": (1.0, 1.5)}
"""(source, target) where a model does not go with Wan's. The bundled one is sampled with 1.5; more burns what the mask leaves
out (our choice, on scenes that no figure is taken from)."""
WAN_GUIDANCE = (5.0, 10.0)
UNWANTED = {
    "wan": "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，"
    "最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，"
    "画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，"
    "三条腿，背景人很多，倒着走"
}
"""What guidance leads away from, beside the prompts: Wan's published negative prompt; nothing for models without one."""
SMALL_AREA, WAN_AREA = 64 * 64, 480 * 832
"""Pixels of a frame that those models, and Wan's, are shown."""


# --- FlowEdit ---------------------------------------------------------------------------------------------


def coupled_states(source: Tensor, z: Tensor, noise: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """Z_src = (1 − t) X + t n and Z_tar = Z + Z_src − X: the same noise in both."""
    noisy = blend(source, noise, t)
    return noisy, z + noisy - source


# --- Spatial-aware Attention Refinement -------------------------------------------------------------------


def text_token_modulation(a: Tensor, inside: Tensor, target: Tensor, real: Tensor, beta: float) -> Tensor:
    """Step 1: in the mask's rows the target's tokens go toward the row's maximum, the others toward its minimum.

    a (..., N, J); inside (N,), target and real (J,) bool; columns that are not real, padding, are neither counted nor changed.
    """
    high = a.masked_fill(~real, -torch.inf).amax(-1, keepdim=True)
    low = a.masked_fill(~real, torch.inf).amin(-1, keepdim=True)
    moved = a + beta * (torch.where(target, high, low) - a)
    return torch.where(inside[:, None] & real, moved, a)


def spatio_temporal_modulation(a: Tensor, inside: Tensor, target: Tensor, beta: float) -> Tensor:
    """Step 2: in the target's columns the mask's tokens go toward the column's maximum over all frames, the rest toward
    its minimum. a (..., N, J); inside (N,), target (J,) bool."""
    column = a[..., target]
    high, low = column.amax(-2, keepdim=True), column.amin(-2, keepdim=True)
    refined = a.clone()
    refined[..., target] = column + beta * (torch.where(inside[:, None], high, low) - column)
    return refined


@dataclass(frozen=True, eq=False)
class Refinement(Untouched):
    """Both steps as an attention control: every layer of cross-attention, every head by itself."""

    inside: Tensor
    target: Tensor
    real: Tensor
    beta_text: float
    beta_space_time: float

    def wants_scores(self, site: AttentionSite) -> bool:
        return site.kind == "cross"

    def scores(self, site: AttentionSite, logits: Tensor, heads: slice) -> Tensor:
        a = logits[..., site.lead :, :]
        a = text_token_modulation(a, self.inside, self.target, self.real, self.beta_text)
        a = spatio_temporal_modulation(a, self.inside, self.target, self.beta_space_time)
        return a if site.lead == 0 else torch.cat([logits[..., : site.lead, :], a], -2)


# --- Adaptive Magnitude Modulation ------------------------------------------------------------------------


def contrast_maps(signals: Sequence[Tensor], kind: str = "signed") -> list[Tensor]:
    """C (1, 1, F, h, w) in [0, 1] for each ΔV: its mean over the channels, scaled by the extremes over all frames of all windows.

    "signed" is the paper's: where the signal is strongly negative C is 0. "absolute" takes the mean of |ΔV|.
    """
    means = [(signal.abs() if kind == "absolute" else signal).mean(1, keepdim=True) for signal in signals]
    low = torch.stack([mean.min() for mean in means]).min()
    high = torch.stack([mean.max() for mean in means]).max()
    return [(mean - low) / (high - low + 1e-7) for mean in means]


def frame_factor(gamma: float, frames: int) -> float:
    """γ_F = γ · log F / log F0 for a clip of F latent frames: 0 for a picture, γ for F0."""
    return gamma * log(frames) / log(F0)


def amplified(signals: Sequence[Tensor], factor: float, kind: str = "signed") -> list[Tensor]:
    """(1 + γ_F C) ΔV."""
    if factor == 0:
        return list(signals)
    return [(1 + factor * c) * signal for c, signal in zip(contrast_maps(signals, kind), signals, strict=True)]


# --- What is asked ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Asked:
    """Both prompts encoded, and the empty one; `target` (J,) bool: tokens of the words to edit; `real` (J,): not padding.

    `guidance` of the source's and the target's velocity.
    """

    before: Text
    after: Text
    nothing: Text
    target: Tensor
    real: Tensor
    guidance: tuple[float, float]


def words_to_edit(before: Text, after: Text, wanted: Sequence[str] = ()) -> list[int]:
    """Positions of the tokens, all pieces, of the words to edit in the target prompt; empty where none is there.

    Without wanted words these are the ones that the source prompt does not have in their place. Of a wanted word that is
    there several times, the ones that differ count, where there are any.
    """
    was, now = ([_bare(word) for word in text.words] for text in (before, after))
    blocks = SequenceMatcher(None, was, now, autojunk=False).get_opcodes()
    places = [at for tag, _, _, begin, end in blocks if tag != "equal" for at in range(begin, end)]
    if wanted:
        sought = {_bare(word) for words in wanted for word in words.split()}
        named = [at for at, word in enumerate(now) if word in sought]
        differing = set(places)
        places = [at for at in named if at in differing or not any(now[at] == now[other] for other in differing)]
    return sorted(at for place in places for at in after.pieces[place])


def _bare(word: str) -> str:
    return word.casefold().strip(".,;:!?\"'()")


def ask(model: DiffusionBackbone, edit: Edit, config: Any) -> Asked:
    """Raises MethodError for a prompt that is missing, or where both say the same."""
    before, after = edit.source_prompt.strip(), edit.target_prompt.strip()
    if not before or not after:
        which = "source" if not before else "target"
        what = "what the clip shows now" if not before else "what it shall show"
        raise MethodError(f"FlowAnchor has no {which} prompt: write {what}, in the same words but for the edit.")
    if before == after:
        raise MethodError("FlowAnchor's two prompts are the same: change the words of the target prompt that are to be edited.")
    texts = [model.encode_text(prompt) for prompt in (before, after, UNWANTED.get(model.name, ""))]
    embeddings = texts[1].embeddings[0]
    target = torch.zeros(len(embeddings), dtype=torch.bool, device=embeddings.device)
    target[words_to_edit(texts[0], texts[1], edit.target_words)] = True
    own = GUIDANCE.get(model.name, WAN_GUIDANCE)
    guidance = (config.guidance_source or own[0], config.guidance_target or own[1])
    return Asked(texts[0], texts[1], texts[2], target, embeddings.abs().amax(-1) > 0, guidance)


# --- Algorithm 1 ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """One window: X (1, C, F, h, w), the mask on latents (F, h, w) and on tokens (N,), the clip's frame of each latent frame.

    `anchor` (1, C, h, w): the approved take's latents, where it is the first latent frame.
    """

    source: Tensor
    inside: Tensor
    tokens: Tensor
    marks: tuple[FrameIndex, ...]
    anchor: Tensor | None = None
    condition: Condition | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Editing:
    """One edit under way: the model, what is asked, the settings. `factor`: γ_F; `refine`: whether SAR has a mask and a word."""

    model: DiffusionBackbone
    asked: Asked
    config: Any
    factor: float
    noise: SharedNoise
    refine: bool

    def signal(self, part: Part, z: Tensor, step: int, t: float) -> Tensor:
        """ΔV = v(Z_tar, target prompt) − v(Z_src, source prompt), each guided; SAR in the target's conditional pass."""
        noise = self.noise.draw(step, part.marks, z)
        noisy, wanted = coupled_states(part.source, z, noise, t)
        refined = self.refine and t >= self.config.tau
        with self.model.control(self._refinement(part)) if refined else nullcontext():
            after = self._velocity(wanted, t, self.asked.after, part)
        after = self._guided(after, wanted, t, part, self.asked.guidance[1])
        before = self._velocity(noisy, t, self.asked.before, part)
        return after - self._guided(before, noisy, t, part, self.asked.guidance[0])

    def _velocity(self, z: Tensor, t: float, text: Text, part: Part) -> Tensor:
        return velocity_of(self.model.predict(z, t, text, part.condition))

    def _guided(self, conditional: Tensor, z: Tensor, t: float, part: Part, scale: float) -> Tensor:
        return conditional if scale == 1 else guided(self._velocity(z, t, self.asked.nothing, part), conditional, scale)

    def _refinement(self, part: Part) -> Refinement:
        device = part.tokens.device
        target, real = self.asked.target.to(device), self.asked.real.to(device)
        return Refinement(part.tokens, target, real, self.config.beta_text, self.config.beta_space_time)


@torch.no_grad()
def edit_windows(editing: Editing, parts: Sequence[Part], windows: Sequence[Window], tick: Callable[[], None]) -> list[Tensor]:
    """Algorithm 1 on all windows side by side: Z (1, C, F, h, w) of each. `tick` is called once a step and window."""
    model, config = editing.model, editing.config
    levels = model.levels(config.steps)[min(config.skip, config.steps - 1) :]
    states = [part.source.clone() for part in parts]
    for step, (t, following) in enumerate(pairwise(levels)):
        signals = []
        for part, z in zip(parts, states, strict=True):
            tick()
            signals.append(editing.signal(part, z, step, t))
        signals = agree(signals, windows, model.stride[0])
        signals = amplified(signals, editing.factor if following > 0 else 0.0, config.contrast)
        gone = 1 - following / levels[0]
        states = [
            _held(part, z + (following - t) * signal, gone, config.background_lock)
            for part, z, signal in zip(parts, states, signals, strict=True)
        ]
    return states


def _held(part: Part, z: Tensor, gone: float, background_lock: bool) -> Tensor:
    """Z with the anchor on its straight path, `gone` of the way, and where asked the source outside the mask."""
    if background_lock:
        z = torch.where(part.inside, z, part.source)
    if part.anchor is not None:
        z[:, :, 0] = torch.lerp(part.source[:, :, 0], part.anchor, gone)
    return z


# --- The method -------------------------------------------------------------------------------------------


def make_part(model: DiffusionBackbone, frames: Tensor, mask: Tensor, first: FrameIndex, anchor: Tensor | None = None) -> Part:
    """A window's frames (T, 3, H, W) in [−1, 1] and mask (T, H', W') bool, of any size, as the model sees them.

    `first`: which frame of the clip it begins with; `anchor` (3, H, W): the approved take of that one.
    """
    source = model.encode(frames).float()
    stride = model.stride[0]
    touched = causal(pool(mask, (source.shape[-2], source.shape[-1])), stride).to(source.device)
    tokens = pool(touched, (frames.shape[-2] // model.stride[1], frames.shape[-1] // model.stride[2])).flatten()
    marks = tuple(range(first, first + stride * source.shape[2], stride))
    held = None if anchor is None else model.encode(anchor[None]).float()[:, :, 0]
    # A text-to-video model knows the clip from its latents alone; the analytic one, which has no weights, is told.
    condition = Condition(source) if model.name == "analytic" else None
    return Part(source, touched, tokens, marks, held, condition)


class FlowAnchor:
    """See the module. Segments share the clip's frame factor and the noise of each frame, so they meet without a join.

    In memory: the latents of a segment (0.2 MB a frame at 480p), the pictures of a window.
    """

    Config: ClassVar[type] = Config

    def prepare(self, shot: Shot, config: Any, context: Context) -> Prepared:
        """γ_F follows the whole shot, whatever segments it is cut into."""
        return Prepared(digest=f"{len(shot.span)} frames", config=config, value=len(shot.span))

    def render(self, shot: Shot, segment: Segment, prepared: Prepared, context: Context) -> Rendered:
        """Every frame of the segment and the right anchor's, in order. MethodError: prompts or model will not do."""
        span = FrameRange(segment.start, segment.stop + (segment.right is not None))
        model = context.backbone(prepared.config.backbone)
        return in_shorter_windows(model, lambda: _rendered(shot, span, prepared, context))

    def take(self, shot: Shot, frame: FrameIndex, config: Any, context: Context) -> np.ndarray:
        """The edit of that frame alone, a clip of one: γ_F = 0."""
        alone = Prepared(digest="", config=config, value=1)
        return next(picture for _, picture in _rendered(shot, FrameRange(frame, frame + 1), alone, context))


def _rendered(shot: Shot, span: FrameRange, prepared: Prepared, context: Context) -> Rendered:
    config, model = prepared.config, context.backbone(prepared.config.backbone)
    if max(abs(a + b - 1) for a, b in map(model.scales, (0.25, 0.75))) > 1e-6:
        raise MethodError(f'FlowAnchor needs a rectified-flow model, and "{model.name}" is not one: choose another model.')
    asked = ask(model, shot.edit, config)
    refine = _can_refine(shot.edit, asked, context.warn)
    factor = frame_factor(config.gamma, latent_frames(prepared.value, model.stride[0]))
    editing = Editing(model, asked, config, factor, SharedNoise(context.seed), refine)
    windows = plan_windows(len(span), model.max_frames, model.stride[0])
    anchor = span.start if len(span) > 1 and span.start in shot.anchors else None
    parts = [_part(shot, FrameRange(span.start + w.start, span.start + w.stop), model, anchor) for w in windows]
    steps = len(windows) * (config.steps - min(config.skip, config.steps - 1))
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        context.step(done, steps + len(span))

    states = edit_windows(editing, parts, windows, tick)
    for place, (before, after) in cross_fade(windows, lambda k: _decoded(model, parts[k].source, states[k], len(windows[k]))):
        tick()
        yield span.start + place, lay(shot.frames.get(span.start + place), before, after)


def _can_refine(edit: Edit, asked: Asked, warn: Callable[[str], None]) -> bool:
    """Whether SAR has a mask and a word to work with; the user is told where the word is missing."""
    if edit.subjects == ():
        return False
    if asked.target.any():
        return True
    sought = f"the words to edit ({', '.join(edit.target_words)})" if edit.target_words else "a word that the source prompt lacks"
    warn(f"The target prompt does not have {sought}, so attention was not held to the mask: name words to edit that are in it.")
    return False


def _part(shot: Shot, span: FrameRange, model: DiffusionBackbone, anchor: FrameIndex | None) -> Part:
    size = working_size(shot.size, SMALL_AREA if model.name in GUIDANCE else WAN_AREA, model.stride[1:])
    frames = fit(np.stack(list(shot.frames.frames(span))), size)
    mask = torch.stack([pool(torch.from_numpy(shot.region(frame) > 127), size) for frame in span])
    take = fit(shot.take(anchor)[None], size)[0] if anchor == span.start else None
    return make_part(model, frames, mask, span.start, take)


@torch.no_grad()
def _decoded(model: DiffusionBackbone, source: Tensor, z: Tensor, frames: int) -> Tensor:
    """(T, 2, 3, h, w): the source and the edit as the model's autoencoder shows them."""
    return torch.stack([model.decode(latents, frames).cpu() for latents in (source, z)], 1)
