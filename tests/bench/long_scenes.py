"""Drawn scenes as shots of a method, and what is measured of the answers; for the bench of methods for long clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones.shelf import Backbones
from engine.methods import card, method
from engine.methods.base import Context, Segment, Shot
from engine.motion.steps import Steps
from engine.rendering.anchoring import locked
from engine.rendering.shots import carried
from engine.types import Edit, FrameIndex, FrameRange
from engine.world.checkers import check
from engine.world.draw import draw
from engine.world.edits import Edits, edits
from engine.world.scene import sample
from tests.drawn import DrawnPictures

SIZE = (128, 128)
"""Twice the bundled model's size: motion has something to hold on to, and the change is laid over detail it never saw."""
KINDS = ("colour", "material", "shape", "background", "removal")
AROUND = 2
"""Pixels by which the region reaches beyond the subject before and after the edit."""
MODELS = Backbones()
Fit = Callable[[tuple[np.ndarray, np.ndarray]], float | None]


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """One edit of a scene: source and exact (T, H, W, 3) uint8, where it is asked for: region (T, H, W) bool."""

    edits: Edits
    source: np.ndarray
    exact: np.ndarray
    region: np.ndarray

    def __len__(self) -> int:
        return len(self.source)


def cases(count: int, seed: int, frames: int) -> list[Case]:
    """`count` edits of scenes of the test split, of kinds that the region of is known before."""
    made = edits(sample(seed, range(count), "test"), "test", KINDS)
    return [_case(Edits(made.source[[b]], made.target[[b]], [made.orders[b]]), frames) for b in range(count)]


def _case(one: Edits, frames: int) -> Case:
    source, target, k = draw(one.source, SIZE, frames), draw(one.target, SIZE, frames), one.orders[0].subject
    seen = torch.maximum(source.visible[0, k], target.visible[0, k])
    region = F.max_pool2d((seen > 0.1).float()[:, None], 2 * AROUND + 1, 1, AROUND)[:, 0] > 0
    if k < 0:
        region = torch.ones_like(region)
    before, after = ((drawing.video[0] * 255).round().byte().permute(0, 2, 3, 1).numpy() for drawing in (source, target))
    return Case(one, before, after, region.numpy())


class _Pictures:
    """Frames in memory as a reader gives them."""

    def __init__(self, frames: np.ndarray) -> None:
        self._frames = frames

    def get(self, frame: FrameIndex) -> np.ndarray:
        return self._frames[frame]

    def frames(self, span: FrameRange) -> Iterator[np.ndarray]:
        yield from (self._frames[frame] for frame in span)


def shot_of(case: Case, folder: Path, takes: Mapping[FrameIndex, np.ndarray]) -> Shot:
    """The case as a method sees it; `takes` are approved. The motion in `folder` is read once."""
    steps = Steps(DrawnPictures(case.source), SIZE, folder / "motion")
    span, order = FrameRange(0, len(case)), case.edits.orders[0]
    steps.ensure(steps.missing([span]), lambda done, total: None)
    region = case.region.astype(np.uint8) * 255
    return Shot(
        frames=_Pictures(case.source),
        steps=steps,
        size=SIZE,
        span=span,
        anchors=tuple(sorted(takes)),
        region=lambda frame: region[frame],
        alpha=lambda subject, frame: region[frame],
        take=lambda frame: takes[frame],
        tracks=lambda: None,
        edit=Edit(instruction=order.instruction, target_prompt=order.target_prompt),
        subjects=() if order.subject < 0 else (1,),
    )


def context_of(folder: Path, store: str, seed: int = 0) -> Context:
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    return Context(lambda done, total: None, seed, scratch, folder / store, MODELS, carry=carried)


@dataclass(frozen=True, eq=False, slots=True)
class Answer:
    """(T, H, W, 3) uint8: as the user gets it, and before anything is composited. `joins`: frames at which segments meet."""

    shown: np.ndarray
    raw: np.ndarray
    joins: list[FrameIndex]


def rendered(name: str, shot: Shot, config: Any, context: Context) -> Answer:
    """The whole shot, segment by segment, as a run makes it."""
    chosen = method(name)
    prepared = chosen.prepare(shot, config, context)
    ends = sorted({*shot.anchors, *prepared.parts})
    edges = sorted({0, *ends, len(shot.span)})
    shown: dict[FrameIndex, np.ndarray] = {}
    raw: dict[FrameIndex, np.ndarray] = {}
    for index, (start, stop) in enumerate(pairwise(edges)):
        left, right = (edge if edge in ends else None for edge in (start, stop))
        segment = Segment(index, start, stop, left, right, shot.span)
        made = _noted(chosen.render(shot, segment, prepared, context), raw)
        shown.update(made if card(name).exact else locked(shot, segment, made, context))
    joins = [edge for edge in edges if 0 < edge < len(shot.span) - 1]
    pictures, before = (np.stack([one[frame] for frame in shot.span]) for one in (shown, raw))
    return Answer(pictures, before, joins)


def _noted(
    made: Iterator[tuple[FrameIndex, np.ndarray]], raw: dict[FrameIndex, np.ndarray]
) -> Iterator[tuple[FrameIndex, np.ndarray]]:
    for frame, picture in made:
        raw.setdefault(frame, picture)
        yield frame, picture


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one answer, or means of several. Levels are of 1.

    `drift`: how far the error of the region's mean colour moves from the first third of the clip to the last; `wobble`: its
    standard deviation over time; `temporal_error`: mean difference of the changes from frame to frame to the exact answer's, in
    the region; `at_joins`, `inside`: the same from frame to frame at joins, and elsewhere (nan without joins).
    """

    success: float
    background_psnr: float
    drift: float
    wobble: float
    temporal_error: float
    at_joins: float
    inside: float

    @property
    def join_ratio(self) -> float:
        return self.at_joins / self.inside


def measured(case: Case, answer: Answer) -> Measured:
    shown, raw = (torch.from_numpy(one).permute(0, 3, 1, 2).float() / 255 for one in (answer.shown, answer.raw))
    exact, source = (torch.from_numpy(one).permute(0, 3, 1, 2).float() / 255 for one in (case.exact, case.source))
    region = torch.from_numpy(case.region)[:, None].float()
    error = shown - exact
    colour = (error * region).sum((2, 3)) / region.sum((2, 3)).clamp_min(1)
    third = max(1, len(colour) // 3)
    both = torch.maximum(region[1:], region[:-1])
    steps = (error.diff(dim=0).abs() * both).sum((1, 2, 3)) / (3 * both.sum((1, 2, 3))).clamp_min(1)
    near = torch.zeros(len(steps), dtype=torch.bool)
    near[[at for join in answer.joins for at in (join - 1, join)]] = True
    outside = 1 - region
    far = float((raw - source).square().mean(1)[outside[:, 0] > 0].mean()) if outside.any() else 0.0
    return Measured(
        success=float(check(case.edits, shown[None])[0].success),
        background_psnr=min(80.0, -10 * float(np.log10(max(far, 1e-8)))) if outside.any() else float("nan"),
        drift=float((colour[-third:].mean(0) - colour[:third].mean(0)).abs().mean()),
        wobble=float(colour.std(0).mean()),
        temporal_error=float(steps.mean()),
        at_joins=_mean(steps[near]),
        inside=_mean(steps[~near]),
    )


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else float("nan")


def mean(several: Sequence[Measured]) -> Measured:
    """Means over those in which a measure is known."""
    columns = {name: [getattr(one, name) for one in several] for name in Measured.__dataclass_fields__}
    return Measured(
        **{name: float(np.nanmean(values)) if not np.isnan(values).all() else float("nan") for name, values in columns.items()}
    )


@dataclass(frozen=True, eq=False, slots=True)
class Roots:
    """Takes of a frame by seed (N, H, W, 3) uint8 and how far each is from the exact answer; `fits`: what the model's own dual
    encoder says of them, None where it cannot tell."""

    takes: np.ndarray
    errors: list[float]
    fits: list[float | None]

    @property
    def picked(self) -> np.ndarray:
        """The one that a user who knows the exact answer picks."""
        taken: np.ndarray = self.takes[int(np.argmin(self.errors))]
        return taken

    @property
    def ranked(self) -> float | None:
        """The error of the take that is shown first, to the mean of all; None where they cannot be ranked."""
        told = [one for one in self.fits if one is not None]
        return self.errors[self.fits.index(max(told))] / float(np.mean(self.errors)) if told else None

    @property
    def best(self) -> float:
        """The smallest error, to the mean of all."""
        return min(self.errors) / float(np.mean(self.errors))


def roots(case: Case, frame: FrameIndex, take: Callable[[int], np.ndarray], fit: Fit, seeds: int) -> Roots:
    made = [take(seed) for seed in range(seeds)]
    source, exact = case.source[frame], case.exact[frame].astype(np.float32)
    inside = [np.where(case.region[frame][..., None], one, source) for one in made]
    return Roots(
        np.stack(made), [max(1e-3, float(np.abs(one - exact).mean())) for one in inside], [fit((source, one)) for one in inside]
    )
