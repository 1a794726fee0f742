"""What bench point_to_point measures of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from engine.world.words import COLOURS, SHAPES

SMALL, FRAMES = 64, 17


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


@dataclass(frozen=True, slots=True)
class Measured:
    success: float
    path: float
    flow: float
    warp: float
    background: float

    @property
    def motion(self) -> float:
        return (self.path + self.flow) / 2


def measured(case: Case, video: Tensor) -> Measured:
    verdict = check(case.edits, video[None])[0]
    target = draw(case.edits.target, (SMALL, SMALL), FRAMES)
    found = [_found(case, video, case.subjects[0], t) for t in range(FRAMES)]
    return Measured(
        float(verdict.success), _path(case, target, found), _flow(case, target, video), _warp(case, video), verdict.rest_psnr
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


def _flow(case: Case, target: Drawing, video: Tensor) -> float:
    """Mean cosine between the exact flow of the asked subject and the video's, where the first is more than half a px."""
    gray = (video.mean(1) * 255).byte().numpy()
    dis, likeness = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM), []
    for t in range(FRAMES - 1):
        true = flow(case.edits.target, (SMALL, SMALL), t, t + 1)[0]
        where = (target.visible[0, case.subjects[0], t] > 0.5) & (true.norm(dim=-1) > 0.5)
        if where.any():
            seen = torch.from_numpy(dis.calc(gray[t], gray[t + 1], np.zeros((SMALL, SMALL, 2), np.float32)))
            likeness.append(float(F.cosine_similarity(true[where], seen[where], dim=-1).mean()))
    return sum(likeness) / len(likeness) if likeness else 0.0


def _warp(case: Case, video: Tensor) -> float:
    """The paper's: the source's flow warps the edited frames; mean squared difference, in thousandths."""
    errors = []
    base = torch.stack(torch.meshgrid(torch.arange(SMALL), torch.arange(SMALL), indexing="xy"), -1)
    for t in range(FRAMES - 1):
        move, seen = flow(case.edits.source, (SMALL, SMALL), t, t + 1)
        places = (2 * (base + move) + 1) / SMALL - 1
        after = F.grid_sample(video[t + 1 : t + 2], places[None], align_corners=False)[0]
        errors.append(float((after - video[t]).square().mean(0)[seen].mean()))
    return 1e3 * sum(errors) / len(errors)


def f1(case: Case, video: Tensor) -> float:
    """Of subjects asked for and found, those whose mask meets the exact one by more than half."""
    target = draw(case.edits.target, (SMALL, SMALL), FRAMES)
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
