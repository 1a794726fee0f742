"""AnchorSync: sparse anchors edited together, then guided interpolation (Liu et al., "Global Consistency Optimization for Long
Video Editing"). Only the abstract is public, so every choice below it is ours.

    abstract                                                       here
    sparse anchor frames                                           anchors_of (engine/motion/spacing.py)
    (A) anchors edited jointly by a progressive denoising          edit_anchors, pairs (diffusion/pairs.py), Structure
    (B) the frames between them interpolated under multimodal      Interpolation, control_video
        guidance

Symbols: K anchors, z (K, C, 1, h, w) their latents, X their sources', i of T steps.

our choice: anchors at even distances, closer where the flow between them cannot be believed; those that the user has put on
the timeline count instead, where there are any that no take was approved on. our choice: pair attention is both pictures'
keys and values side by side; first far pairs, then neighbours; a picture in several pairs takes their mean. our choice:
structure is the state of one block in the middle, taken from the source at the same noise, for the first steps. our choice:
approved anchors are held at their takes on every level, so the others follow them. our choice: a segment is interpolated by
a model with inputs for both ends, in ever smaller steps while it is longer than the model, or by motion propagation without
any weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from engine.composite import inside
from engine.diffusion.backbone import Condition, DiffusionBackbone, Prediction, Text
from engine.diffusion.instruct import Scales, area_of, branches, scales_of, weighed
from engine.diffusion.memory import in_shorter_windows
from engine.diffusion.pairs import PairAttention, averaged, pairs
from engine.diffusion.pictures import fit, lay, working_size
from engine.errors import MethodError
from engine.methods.anchorsync_guides import control_video, edges_of, flow_back
from engine.methods.base import Context, Prepared, Rendered, Segment, Shot
from engine.methods.cards import AnchorSyncConfig as Config
from engine.motion.spacing import spread
from engine.types import Edit, FrameIndex, FrameRange

VIDEO_AREA = 832 * 480
VIDEO_GUIDANCE = {"bundled": 1.5}
CAPTIONS = {"bundled": "[between]"}
"""What a model wants before a caption to fill a gap, where it also does other things; it reads captions then, no instructions."""
TOGETHER = 8
"""Pictures in one pass."""


# --- Anchors ----------------------------------------------------------------------------------------------


def anchors_of(shot: Shot, config: Any) -> list[FrameIndex]:
    """The frames to edit together, the first and last of the shot among them: approved ones and those put by hand, where there
    are any, else approved ones and what engine/motion/spacing.py chooses."""
    by_hand = {anchor.frame for anchor in shot.edit.anchors if not anchor.chosen and anchor.frame in shot.span}
    if by_hand:
        return sorted({shot.span.start, shot.span.stop - 1} | set(shot.anchors) | by_hand)
    return spread(shot.steps, shot.span, shot.anchors, config.interval, config.most_anchors)


# --- (A) Joint editing ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Anchors:
    """What is edited together: X, takes' latents where `is_approved` (K, 1, 1, 1, 1); all (K, C, 1, h, w)."""

    source: Tensor
    takes: Tensor
    is_approved: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class Editing:
    """One joint edit: the model, the instruction and the empty prompt, (text, image) guidance, noise for all alike."""

    model: DiffusionBackbone
    texts: tuple[Text, Text]
    guidance: Scales
    config: Any
    noise: Tensor

    def predict(self, z: Tensor, level: float, source: Tensor, members: list[int], structure: Structure | None) -> Prediction:
        """The pairs' rows of z through the model, guided, and the mean for each picture."""
        rows = Prediction(*(self._guided(z[members], level, source[members], structure, part) for part in ("x0", "noise")))
        return Prediction(averaged(rows.x0, members, len(z)), averaged(rows.noise, members, len(z)))

    def _guided(self, z: Tensor, level: float, source: Tensor, structure: Structure | None, part: str) -> Tensor:
        return torch.cat(
            [
                self._branches(some, level, shown, structure, part)
                for some, shown in zip(z.split(TOGETHER), source.split(TOGETHER), strict=True)
            ]
        )

    def _branches(self, z: Tensor, level: float, source: Tensor, structure: Structure | None, part: str) -> Tensor:
        said = []
        for text, condition in branches(self.texts, source, self.guidance):
            with ExitStack() as stack:
                if structure is not None:
                    structure.taken(z, level, source, condition)
                    stack.enter_context(self.model.inject(structure.site, structure.put))
                if len(z) > 1:
                    stack.enter_context(self.model.control(PairAttention()))
                said.append(getattr(self.model.predict(z, level, text, condition), part))
        return weighed(said, self.guidance)


class Structure:
    """The state of one block, taken from the source at the same noise, put into the edit's pass (Plug-and-Play, arXiv
    2211.12572, §4). `share`: how much of it."""

    def __init__(self, editing: Editing, share: float) -> None:
        self._editing, self._share = editing, share
        self.site = editing.model.sites[len(editing.model.sites) // 2]
        self._state: Tensor | None = None

    def taken(self, z: Tensor, level: float, source: Tensor, condition: Condition | None) -> None:
        a, b = self._editing.model.scales(level)
        with self._editing.model.features(self.site) as states:
            self._editing.model.predict(a * source + b * self._editing.noise, level, self._editing.texts[1], condition)
        self._state = states[0]

    def put(self, state: Tensor) -> Tensor:
        return state if self._state is None else torch.lerp(state, self._state, self._share)


@torch.no_grad()
def edit_anchors(editing: Editing, anchors: Anchors, tick: Callable[[], None]) -> Tensor:
    """z (K, C, 1, h, w): all anchors denoised together from the same noise, far pairs first, then neighbours."""
    config, model = editing.config, editing.model
    levels, count = model.levels(config.steps), len(anchors.source)
    z = _held(editing, anchors, editing.noise.expand_as(anchors.source), levels[0])
    for step in range(config.steps):
        tick()
        structure = Structure(editing, config.structure) if step < config.structure_steps else None
        together = pairs(count, step / config.steps, config.far_share) if config.joint else []
        if together:
            said = editing.predict(z, levels[step], anchors.source, [one for pair in together for one in pair], structure)
        else:
            alone = [editing.predict(z[k : k + 1], levels[step], anchors.source[k : k + 1], [0], structure) for k in range(count)]
            said = Prediction(torch.cat([one.x0 for one in alone]), torch.cat([one.noise for one in alone]))
        a, b = model.scales(levels[step + 1])
        z = _held(editing, anchors, a * said.x0 + b * said.noise, levels[step + 1])
    return z


def _held(editing: Editing, anchors: Anchors, z: Tensor, level: float) -> Tensor:
    """Approved anchors at their takes: hard constraints that the others follow."""
    a, b = editing.model.scales(level)
    return torch.where(anchors.is_approved, a * anchors.takes + b * editing.noise, z)


# --- (B) Interpolation ------------------------------------------------------------------------------------


def check_ends(model: DiffusionBackbone) -> None:
    """Raises MethodError for a model that has no inputs for both ends of a gap."""
    if "video" not in model.takes and not {"first", "last"} <= set(model.takes):
        raise MethodError(f'"{model.name}" cannot be given a first and a last picture: choose another interpolation.')


@dataclass(frozen=True, eq=False, slots=True)
class Interpolation:
    """Frames between two edited pictures by a diffusion model: it takes both ends, and what it has inputs for."""

    model: DiffusionBackbone
    texts: tuple[Text, Text]
    config: Any
    seed: int

    @torch.no_grad()
    def between(self, sources: Tensor, ends: tuple[Tensor, Tensor], tick: Callable[[], None]) -> Tensor:
        """(T, 2, 3, H, W) in [−1, 1]: each source as the model's autoencoder shows it, and the frame made of it.

        sources (T, 3, H, W); `ends` such pairs (2, 3, H, W) of the first and the last frame, which come out exactly. Where T is
        longer than the model takes, frames at even distances are made first, then what lies between neighbours.
        """
        count, longest = len(sources), self.model.max_frames
        if count > longest:
            coarse = _coarse(count, longest)
            known = self.between(sources[coarse], ends, tick)
            parts = []
            for k, (a, b) in enumerate(pairwise(coarse)):
                part = self.between(sources[a : b + 1], (known[k], known[k + 1]), tick)
                parts.append(part if b == count - 1 else part[:-1])
            return torch.cat(parts)
        return self._sampled(sources, ends, tick)

    def _sampled(self, sources: Tensor, ends: tuple[Tensor, Tensor], tick: Callable[[], None]) -> Tensor:
        if len(sources) < 3:
            return torch.stack(ends)[: len(sources)]
        condition = self._condition(sources, (ends[0][1], ends[1][1]))
        clean = self.model.encode(sources)
        dice = torch.Generator().manual_seed(self.seed)
        z = torch.randn(clean.shape, generator=dice).to(clean)
        scale = self.config.video_guidance or VIDEO_GUIDANCE.get(self.model.name, 5.0)
        levels = self.model.levels(self.config.video_steps)
        for level, following in pairwise(levels):
            tick()
            said, free = (self.model.predict(z, level, text, condition) for text in self.texts)
            a, b = self.model.scales(following)
            x0, noise = free.x0 + scale * (said.x0 - free.x0), free.noise + scale * (said.noise - free.noise)
            z = a * x0 + b * noise
        made = torch.stack([self.model.decode(latents, len(sources)).cpu() for latents in (clean, z)], 1)
        made[0], made[-1] = ends
        return made

    def _condition(self, sources: Tensor, ends: tuple[Tensor, Tensor]) -> Condition:
        if "video" in self.model.takes:
            video, mask = control_video(sources, ends, edges=self.config.edges, flow=self.config.flow)
            return Condition(video=video, mask=mask)
        check_ends(self.model)
        stride, wanted = self.model.stride[0], set(self.model.takes)
        filled = torch.cat([sources, sources[-1:].expand((1 - len(sources)) % stride, -1, -1, -1)])
        edges = edges_of(filled) if self.config.edges and "edges" in wanted else None
        flow = flow_back(filled, stride) if self.config.flow and "flow" in wanted else None
        return Condition(first=ends[0], last=ends[1], edges=edges, flow=flow)


# --- The method -------------------------------------------------------------------------------------------


class AnchorSync:
    """See the module. `prepare` edits the anchors that no take was approved on; they cut the shot as approved ones do."""

    Config: ClassVar[type] = Config

    def prepare(self, shot: Shot, config: Any, context: Context) -> Prepared:
        """Raises MethodError without an instruction, unless every anchor is approved."""
        listed = context.store / "anchors.txt"
        if not listed.exists():
            context.store.mkdir(parents=True, exist_ok=True)
            frames = anchors_of(shot, config)
            wanted = [frame for frame in frames if frame not in shot.anchors]
            if wanted:
                _edit_all(shot, frames, config, context)
            part = listed.with_suffix(".part")
            part.write_text("\n".join(map(str, wanted)), "utf-8")
            part.replace(listed)
        made = {int(line): _file(context, int(line)) for line in listed.read_text("utf-8").split()}
        parts = {frame: hashlib.sha256(path.read_bytes()).hexdigest() for frame, path in made.items()}
        return Prepared("", config, made, parts)

    def render(self, shot: Shot, segment: Segment, prepared: Prepared, context: Context) -> Rendered:
        """Every frame of the segment in order, ends as they are, the source outside the region."""
        known = replace(shot, take=lambda frame: _picture(shot, frame, prepared.value))
        by_motion = prepared.config.interpolation == "motion" or segment.left is None or segment.right is None
        return context.carry(known, segment, context) if by_motion else _interpolated(known, segment, prepared.config, context)

    def take(self, shot: Shot, frame: FrameIndex, config: Any, context: Context) -> np.ndarray:
        """The frame edited together with the approved anchors, so that it matches them."""
        frames = sorted({frame, *shot.anchors} if frame not in shot.anchors else {frame})
        fresh = replace(shot, anchors=tuple(one for one in shot.anchors if one != frame))
        return _edited(fresh, frames, config, context)[frame]


def _file(context: Context, frame: FrameIndex) -> Path:
    return context.store / f"{frame:06d}.npy"


def _picture(shot: Shot, frame: FrameIndex, made: dict[FrameIndex, Path]) -> np.ndarray:
    return np.load(made[frame]) if frame in made else shot.take(frame)


def _edit_all(shot: Shot, frames: Sequence[FrameIndex], config: Any, context: Context) -> None:
    for frame, picture in _edited(shot, frames, config, context).items():
        if frame not in shot.anchors:
            part = _file(context, frame).with_suffix(".part.npy")
            np.save(part, picture)
            part.replace(_file(context, frame))


def _edited(shot: Shot, frames: Sequence[FrameIndex], config: Any, context: Context) -> dict[FrameIndex, np.ndarray]:
    """(H, W, 3) uint8 of each frame, edited together, the source outside the region."""
    instruction = shot.edit.instruction.strip()
    if not instruction:
        raise MethodError('AnchorSync has no instruction: write what to change, such as "make the ball blue".')
    model = context.backbone(config.backbone)
    size = working_size(shot.size, area_of(model), model.stride[1:])
    guidance = scales_of(model, config.guidance_text, config.guidance_image)
    source = torch.cat([model.encode(fit(shot.frames.get(frame)[None], size)) for frame in frames]).float()
    noise = torch.randn(source[:1].shape, generator=torch.Generator().manual_seed(context.seed)).to(source)
    approved = torch.tensor([frame in shot.anchors for frame in frames], device=source.device)
    takes = source.clone()
    for at in approved.nonzero().flatten().tolist():
        takes[at : at + 1] = model.encode(fit(shot.take(frames[at])[None], size))
    editing = Editing(model, (model.encode_text(instruction), model.encode_text("")), guidance, config, noise)
    z = edit_anchors(editing, Anchors(source, takes, approved[:, None, None, None, None]), context.ticks(config.steps))
    pictures = {}
    for at, frame in enumerate(frames):
        before, after = (model.decode(latents[at : at + 1], 1)[0] for latents in (source, z))
        pictures[frame] = inside(shot.frames.get(frame), lay(shot.frames.get(frame), before, after), shot.region(frame))
    return pictures


def _interpolated(shot: Shot, segment: Segment, config: Any, context: Context) -> Rendered:
    model = context.backbone(config.interpolation)
    check_ends(model)
    assert segment.left is not None and segment.right is not None
    span = FrameRange(segment.left, segment.right + 1)

    def work() -> Iterator[tuple[Tensor, Callable[[], None]]]:
        tick = context.ticks(_calls(len(span), model.max_frames) * config.video_steps + len(span))
        yield _between(model, shot, span, config, context, tick=tick), tick

    made, tick = next(in_shorter_windows(model, work))
    numbers = FrameRange(segment.start, segment.stop)
    for frame, source, (before, after) in zip(numbers, shot.frames.frames(numbers), made, strict=False):
        tick()
        # Only the change that the model made is laid over the source, which keeps its detail.
        picture = shot.take(frame) if frame == segment.left else lay(source, before, after)
        yield frame, picture if frame == segment.left else inside(source, picture, shot.region(frame))


def _between(
    model: DiffusionBackbone, shot: Shot, span: FrameRange, config: Any, context: Context, *, tick: Callable[[], None]
) -> Tensor:
    """`Interpolation.between` for a span that begins and ends at anchors."""
    size = working_size(shot.size, area_of(model) if model.name in VIDEO_GUIDANCE else VIDEO_AREA, model.stride[1:])
    sources = torch.cat([fit(frame[None], size) for frame in shot.frames.frames(span)])
    first, last = (
        torch.stack([sources[at - span.start], fit(shot.take(at)[None], size)[0]]) for at in (span.start, span.stop - 1)
    )
    work = Interpolation(model, _between_texts(model, shot.edit), config, context.seed)
    return work.between(sources, (first, last), tick)


def _between_texts(model: DiffusionBackbone, edit: Edit) -> tuple[Text, Text]:
    prefix, caption = CAPTIONS.get(model.name, ""), edit.target_prompt.strip()
    prompt = f"{prefix} {caption}".strip() if prefix else caption or edit.instruction.strip()
    return model.encode_text(prompt), model.encode_text(prefix)


def _coarse(count: int, longest: int) -> list[int]:
    """The frames of `count` that are made first where a model takes `longest` of them: even, the first and the last among
    them."""
    return sorted({*range(0, count, -(-(count - 1) // (longest - 1))), count - 1})


def _calls(count: int, longest: int) -> int:
    """How many times `Interpolation.between` samples."""
    if count <= longest:
        return int(count > 2)
    coarse = _coarse(count, longest)
    return _calls(len(coarse), longest) + sum(_calls(b - a + 1, longest) for a, b in pairwise(coarse))
