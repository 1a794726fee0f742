"""What bench point_to_point measures of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.methods.point_to_point_tokens import Candidates
from engine.motion.steps import Steps
from engine.world.checkers import check
from engine.world.draw import Drawing, draw
from engine.world.edits import Edits
from engine.world.language import captions
from engine.world.recognise import find_subject
from engine.world.truth import flow
from engine.world.words import COLOURS, MATERIALS, SHAPES

SMALL, FRAMES = 64, 17
TURNS = 0.1
"""Radians about its mean angle that a subject turns at least for its rotation to count."""


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """One edit of a scene: the source as (T, H, W, 3) uint8 at SIDE, what was asked of which subjects."""

    edits: Edits
    subjects: tuple[int, ...]
    pictures: np.ndarray
    masks: np.ndarray
    steps: Steps

    @property
    def source_prompt(self) -> str:
        return captions(self.edits.source)[0]

    @property
    def target_prompt(self) -> str:
        return captions(self.edits.target)[0]


@dataclass(frozen=True, eq=False, slots=True)
class Truth:
    """What is exactly known of a case: its answer, the motion (T − 1, SMALL, SMALL, 2) px of the answer's and of the source's
    pixels, and where the latter are seen a frame later."""

    target: Drawing
    flows: Tensor
    source_flows: Tensor
    source_seen: Tensor


@cache
def truth(case: Case) -> Truth:
    """Worked out once for all variants."""
    small = SMALL, SMALL
    there = [flow(case.edits.target, small, t, t + 1)[0] for t in range(FRAMES - 1)]
    moved, seen = zip(*(flow(case.edits.source, small, t, t + 1) for t in range(FRAMES - 1)), strict=True)
    return Truth(draw(case.edits.target, small, FRAMES), torch.stack(there), torch.stack(moved), torch.stack(seen))


@dataclass(frozen=True, slots=True)
class Measured:
    """`rotation` is None where the asked subject hardly turns, or does so unseen."""

    success: float
    path: float
    rotation: float | None
    flow: float
    warp: float
    background: float

    @property
    def motion(self) -> float:
        parts = [one for one in (self.path, self.rotation, self.flow) if one is not None]
        return sum(parts) / len(parts)


def measured(case: Case, video: Tensor) -> Measured:
    """video (T, 3, SMALL, SMALL) in [0, 1]."""
    verdict = check(case.edits, video[None])[0]
    found = [_found(case, video, case.subjects[0], t) for t in range(FRAMES)]
    seen = _seen_flows(video)
    return Measured(
        float(verdict.success),
        _path(case, truth(case).target, found),
        _rotation(case, seen),
        _flow(case, seen),
        _warp(case, video),
        verdict.rest_psnr,
    )


def _found(case: Case, video: Tensor, k: int, t: int) -> Tensor | None:
    subjects = case.edits.target.subjects
    colour, shape = COLOURS[int(subjects.colour[0, k])], SHAPES[int(subjects.shape[0, k])]
    found = find_subject(video[t], None, colour, shape)
    return None if found is None else found.mask


def _centre(mask: Tensor) -> Tensor:
    rows, columns = mask.nonzero(as_tuple=True)
    return torch.stack([columns.float().mean(), rows.float().mean()])


def _path(case: Case, target: Drawing, found: Sequence[Tensor | None]) -> float:
    """1 − error of the centre's path, about its mean, over its own length about its mean; 0 where the subject is not there."""
    cover = target.visible[0, case.subjects[0]] > 0.5
    both = [(t, mask) for t, mask in enumerate(found) if mask is not None and cover[t].any()]
    if len(both) < FRAMES // 2:
        return 0.0
    here, there = (torch.stack([_centre(m) for m in masks]) for masks in ([m for _, m in both], [cover[t] for t, _ in both]))
    here, there = here - here.mean(0), there - there.mean(0)
    return max(0.0, 1 - float((here - there).norm(dim=1).mean() / there.norm(dim=1).mean().clamp_min(0.5)))


def _seen_flows(video: Tensor) -> Tensor:
    """(T − 1, SMALL, SMALL, 2) px: the motion that is seen in a video."""
    gray = (video.mean(1) * 255).byte().numpy()
    dis, still = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM), np.zeros((SMALL, SMALL, 2), np.float32)
    return torch.stack([torch.from_numpy(dis.calc(gray[t], gray[t + 1], still.copy())) for t in range(FRAMES - 1)])


def _rotation(case: Case, seen: Tensor) -> float | None:
    """1 − error of the asked subject's angle over time, about its mean, over how far that itself turns."""
    subjects, k = case.edits.target.subjects, case.subjects[0]
    round_ = SHAPES[int(subjects.shape[0, k])] in ("ball", "ring") and MATERIALS[int(subjects.material[0, k])] == "plain"
    cover = truth(case).target.visible[0, k] > 0.5
    turns = [[_turn(flows[t], cover[t]) for t in range(FRAMES - 1)] for flows in (truth(case).flows, seen)]
    exact, found = (torch.tensor(one).cumsum(0) for one in turns)
    exact, found = exact - exact.mean(), found - found.mean()
    if round_ or float(exact.abs().max()) < TURNS:
        return None
    return max(0.0, 1 - float((exact - found).abs().mean() / exact.abs().mean()))


def _turn(flow: Tensor, cover: Tensor) -> float:
    """Radians by which what is covered turns about its centre; 0 where nothing is."""
    rows, columns = cover.nonzero(as_tuple=True)
    if len(rows) < 8:
        return 0.0
    place, move = torch.stack([columns, rows], -1).float(), flow[rows, columns]
    arm, move = place - place.mean(0), move - move.mean(0)
    return float((arm[:, 0] * move[:, 1] - arm[:, 1] * move[:, 0]).sum() / arm.square().sum())


def _flow(case: Case, seen: Tensor) -> float:
    """Mean cosine between the exact flow of the asked subject and the video's, where the first is more than half a px."""
    likeness, known = [], truth(case)
    for t in range(FRAMES - 1):
        true = known.flows[t]
        where = (known.target.visible[0, case.subjects[0], t] > 0.5) & (true.norm(dim=-1) > 0.5)
        if where.any():
            likeness.append(float(F.cosine_similarity(true[where], seen[t][where], dim=-1).mean()))
    return sum(likeness) / len(likeness) if likeness else 0.0


def _warp(case: Case, video: Tensor) -> float:
    """The paper's: the source's flow warps the edited frames; mean squared difference, in thousandths."""
    errors, known = [], truth(case)
    base = torch.stack(torch.meshgrid(torch.arange(SMALL), torch.arange(SMALL), indexing="xy"), -1)
    for t in range(FRAMES - 1):
        places = (2 * (base + known.source_flows[t]) + 1) / SMALL - 1
        after = F.grid_sample(video[t + 1 : t + 2], places[None], align_corners=False)[0]
        errors.append(float((after - video[t]).square().mean(0)[known.source_seen[t]].mean()))
    return 1e3 * sum(errors) / len(errors)


def f1(case: Case, video: Tensor) -> float:
    """Of subjects asked for and found, those whose mask meets the exact one by more than half."""
    target = truth(case).target
    hits, shown, asked = 0, 0, 0
    for k in case.subjects:
        for t in range(0, FRAMES, 4):
            found, exact = _found(case, video, k, t), target.visible[0, k, t] > 0.5
            asked, shown = asked + 1, shown + (found is not None)
            if found is not None:
                hits += int((found & exact).sum() > 0.5 * (found | exact).sum())
    return 2 * hits / max(1, asked + shown)


def unexplained(found: Candidates, chosen: Sequence[int]) -> float:
    """How far from the nearest chosen motion the candidates' displacements are, to what a single mean motion leaves."""
    xy, seen = torch.from_numpy(found.paths.xy), torch.from_numpy(found.paths.visible)
    moves = (xy - xy[torch.from_numpy(found.paths.origin).long(), torch.arange(len(found))]) * seen[..., None]
    steps = (xy.diff(dim=0) * (seen[1:] & seen[:-1])[..., None]).permute(1, 0, 2).flatten(1)
    left = torch.cdist(steps, steps[list(chosen)]).amin(1).mean()
    whole = (steps - steps.mean(0)).norm(dim=1).mean()
    return float(left / whole) if float(moves.abs().max()) > 0 else 0.0
