"""Exact checkers: was the order carried out, is the rest untouched, does it move as the source moved.

Every checker is given the answer, a video (T, 3, H, W) in [0, 1], and knows the scene: it draws what it needs to compare with.
Measures that a reader could see are used (which colour, which pattern, which outline), not distance to one picture, where
the order leaves something open: the phase of new stripes, the far side of a background.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.world.draw import Drawing, draw
from engine.world.edits import Edits
from engine.world.recognise import background_shares, colour_shares, find_subject, material_of
from engine.world.scene import Scenes
from engine.world.words import COLOURS, MATERIALS, SHAPES

HIT = 0.6
"""Share of a subject's or a background's pixels that must have the asked look."""
REST_PSNR = 22.0
"""dB to the source outside the edit, under which the rest counts as touched."""
AGREEMENT = 0.4
"""Least `motion_agreement` of an edit that moves as its source."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`done`: the order is carried out; `rest`: nothing else changed; `moves`: as the source (None where nothing moves).

    `rest_psnr`: dB to the source outside the edit; `exact_psnr`: dB to the exact answer; `temporal_error`: mean absolute
    difference between the answer's and the exact answer's changes from frame to frame; `motion_agreement`: 1 = as the exact
    answer, 0 = no better than standing still.
    """

    kind: str
    done: bool
    rest: bool
    moves: bool | None
    rest_psnr: float
    exact_psnr: float
    temporal_error: float
    motion_agreement: float | None

    @property
    def success(self) -> bool:
        """Carried out, and nothing else touched."""
        return self.done and self.rest


def check(edits: Edits, answers: Tensor) -> list[Verdict]:
    """Verdicts on answers (B, T, 3, H, W) in [0, 1] to B edits, drawn from time 0."""
    answers = answers.clamp(0, 1)
    size, frames = (answers.shape[-2], answers.shape[-1]), answers.shape[1]
    source, target = draw(edits.source, size, frames), draw(edits.target, size, frames)
    return [_verdict(edits, b, answers[b], (_one(source, b), _one(target, b))) for b in range(len(answers))]


def _verdict(edits: Edits, b: int, answer: Tensor, truth: tuple[Drawing, Drawing]) -> Verdict:
    (source, target), order = truth, edits.orders[b]
    rest = _rest(order.subject, source, target)
    rest_psnr = psnr(answer, source.video[0], rest)
    agreement = motion_agreement(answer, target.video[0])
    done = _CHECKS[order.kind](edits, b, answer, truth)
    steps, true_steps = answer.diff(dim=0), target.video[0].diff(dim=0)
    return Verdict(
        kind=order.kind,
        done=done,
        rest=rest_psnr >= REST_PSNR,
        moves=None if agreement is None else agreement >= AGREEMENT,
        rest_psnr=rest_psnr,
        exact_psnr=psnr(answer, target.video[0]),
        temporal_error=float((steps - true_steps).abs().mean()) if len(steps) else 0.0,
        motion_agreement=agreement,
    )


def psnr(a: Tensor, b: Tensor, mask: Tensor | None = None) -> float:
    """dB between videos (T, 3, H, W) in [0, 1], over the pixels of mask (T, H, W) where it is given; at most 80."""
    error = (a - b).square().mean(1)
    mean = error.mean() if mask is None else (error * mask).sum() / mask.sum().clamp_min(1)
    return float(-10 * torch.log10(mean.clamp_min(1e-8)))


def motion_agreement(answer: Tensor, exact: Tensor) -> float | None:
    """1 − error / error of the answer's best standing picture, over the pixels that move; None where hardly any do.

    The standing picture is the answer's own mean over time: a clip that does not move scores 0, the exact answer 1.
    """
    moving = ((exact - exact.mean(0)).abs().amax(1) > 0.15).float()
    if len(exact) < 2 or moving.sum(dim=(1, 2)).mean() < 0.004 * moving[0].numel():
        return None
    error = ((answer - exact).square().mean(1) * moving).sum()
    still = ((exact.mean(0) - exact).square().mean(1) * moving).sum()
    return float(1 - error / still)


def _rest(subject: int, source: Drawing, target: Drawing) -> Tensor:
    """(T, H, W) 1 where nothing may change: away from the subject before and after, or on the subjects for a background."""
    if subject < 0:
        return (source.visible[0].sum(0) > 0.98).float()
    edited = torch.maximum(source.whole[0, subject], target.whole[0, subject])
    return 1 - F.max_pool2d((edited > 0.02).float()[:, None], 3, 1, 1)[:, 0]


def _one(drawing: Drawing, b: int) -> Drawing:
    return Drawing(drawing.video[b : b + 1], drawing.whole[b : b + 1], drawing.visible[b : b + 1])


def _inside(mask: Tensor) -> Tensor:
    """(T, H, W) 1 in the mask's inner part: pixels whose neighbours are inside too (all of it where nothing is left)."""
    full = (mask > 0.9).float()
    inner = -F.max_pool2d(-full[:, None], 3, 1, 1)[:, 0]
    return inner if inner.sum() >= 8 * len(mask) else full


def _colour_done(edits: Edits, b: int, answer: Tensor, truth: tuple[Drawing, Drawing]) -> bool:
    order = edits.orders[b]
    mask = _inside(truth[1].visible[0, order.subject])
    return float(colour_shares(answer, mask)[order.wanted]) >= HIT


def _material_done(edits: Edits, b: int, answer: Tensor, truth: tuple[Drawing, Drawing]) -> bool:
    """The pattern is there, and the colour is still what it was."""
    order = edits.orders[b]
    mask = _inside(truth[1].visible[0, order.subject])
    colour = int(edits.target.subjects.colour[b, order.subject])
    kept = float(colour_shares(answer, mask)[colour]) >= HIT
    return kept and material_of(answer, mask) == MATERIALS[order.wanted]


def _shape_done(edits: Edits, b: int, answer: Tensor, truth: tuple[Drawing, Drawing]) -> bool:
    """Of the same scene drawn with each shape, the asked one is clearly nearest, where the shapes differ."""
    order = edits.orders[b]
    scene, size = edits.target[[b]], (answer.shape[-2], answer.shape[-1])
    drawn = [draw(_with_shape(scene, order.subject, shape), size, len(answer)) for shape in range(len(SHAPES))]
    covers = torch.stack([one.whole[0, order.subject] for one in drawn])
    differ = ((covers.amax(0) - covers.amin(0)) > 0.5).float()
    errors = torch.stack([((answer - one.video[0]).square().mean(1) * differ).sum() for one in drawn])
    others = torch.cat([errors[: order.wanted], errors[order.wanted + 1 :]])
    return bool(errors[order.wanted] < 0.8 * others.min())


def _with_shape(scene: Scenes, k: int, shape: int) -> Scenes:
    shapes = scene.subjects.shape.clone()
    shapes[:, k] = shape
    return replace(scene, subjects=replace(scene.subjects, shape=shapes))


def _background_done(edits: Edits, b: int, answer: Tensor, truth: tuple[Drawing, Drawing]) -> bool:
    order = edits.orders[b]
    free = (truth[1].visible[0].sum(0) < 0.02).float()
    return float(background_shares(answer, free)[order.wanted]) >= HIT


def _removal_done(edits: Edits, b: int, answer: Tensor, truth: tuple[Drawing, Drawing]) -> bool:
    """Where the subject was seen, the answer is far nearer to the scene without it than the source is."""
    order, (source, target) = edits.orders[b], truth
    mask = (source.visible[0, order.subject] > 0.9).float()
    error = ((answer - target.video[0]).square().mean(1) * mask).sum()
    undone = ((source.video[0] - target.video[0]).square().mean(1) * mask).sum()
    return bool(error < 0.2 * undone)


def _addition_done(edits: Edits, b: int, answer: Tensor, truth: tuple[Drawing, Drawing]) -> bool:
    """Something new of the asked colour, material and shape is on the asked side, where there was none, most of the time."""
    order, target = edits.orders[b], edits.target.subjects
    new = ((answer - truth[0].video[0]).abs().amax(1) > 0.12).float()
    half = torch.zeros_like(new)
    middle = answer.shape[-1] // 2
    half[..., middle:] = order.wanted
    half[..., :middle] = 1 - order.wanted
    asked = COLOURS[int(target.colour[b, order.subject])], SHAPES[int(target.shape[b, order.subject])]
    times = range(0, len(answer), max(1, len(answer) // 5))
    found = [find_subject(answer[t], new[t], asked[0]) for t in times]
    right = [
        f is not None and f.shape == asked[1] and float(half[t][f.mask].float().mean()) > 0.6
        for t, f in zip(times, found, strict=True)
    ]
    if sum(right) < 0.6 * len(right):
        return False
    masks = torch.stack([torch.zeros_like(new[0]) if f is None else f.mask.float() for f in found])
    return material_of(answer[list(times)], _inside(masks)) == MATERIALS[int(target.material[b, order.subject])]


_CHECKS = {
    "colour": _colour_done,
    "material": _material_done,
    "shape": _shape_done,
    "background": _background_done,
    "removal": _removal_done,
    "addition": _addition_done,
}


def attributes_present(scenes: Scenes, videos: Tensor) -> dict[str, float]:
    """Share of what captions ask for that videos (B, T, 3, H, W) show: subjects' colours and shapes, backgrounds, and their mean.

    A subject counts as shown where its colour makes a blob of at least half a per cent of the frame in most frames looked at;
    its shape where that blob has it.
    """
    hits: dict[str, list[bool]] = {"colour": [], "shape": [], "background": []}
    subjects = scenes.subjects
    for b, video in enumerate(videos.clamp(0, 1)):
        times = range(0, len(video), max(1, len(video) // 3))
        shares = background_shares(video, torch.ones_like(video[:, 0]))
        hits["background"].append(int(shares.argmax()) == int(scenes.background[b]))
        for k in subjects.present[b].nonzero()[:, 0].tolist():
            colour, shape = COLOURS[int(subjects.colour[b, k])], SHAPES[int(subjects.shape[b, k])]
            found = [find_subject(video[t], None, colour, shape) for t in times]
            hits["colour"].append(sum(f is not None for f in found) > len(found) / 2)
            hits["shape"].append(sum(f is not None and f.shape == shape for f in found) > len(found) / 2)
    means = {f"t2v_{name}": sum(values) / len(values) for name, values in hits.items()}
    everything = [hit for values in hits.values() for hit in values]
    return {**means, "t2v_attributes": sum(everything) / len(everything)}
