"""Bench: Point-to-Point on drawn scenes whose subject becomes one of another shape and size.

Beside the whole method: without tokens, with tokens drawn by lot, with tokens of what is shown and not of how it moves,
without alignment, from one keyframe; by the number of tokens; two subjects at once. How well a few trajectories stand for all
is also measured by itself, without drawing anything: there the bundled model's skill at text to video does not matter.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones.analytic import AnalyticBackbone
from engine.backbones.bundled import load
from engine.device import torch_device
from engine.diffusion.backbone import DiffusionBackbone
from engine.diffusion.motion_tokens import MotionTokens, select
from engine.methods import point_to_point as p2p
from engine.methods.base import Context, Segment, Shot
from engine.methods.cards import PointToPointConfig as Config
from engine.methods.point_to_point_tokens import Candidates, Seen, choose, feature_site, read_features
from engine.motion.steps import Steps
from engine.types import Edit, FrameRange
from engine.world.draw import draw
from engine.world.edits import Edits, edits
from engine.world.scene import Lot, sample
from engine.world.words import SHAPES
from tests.bench.harness import BenchError, Figure, Report, say
from tests.bench.point_to_point_measures import FRAMES, SMALL, Case, Measured, f1, measured, unexplained
from tests.drawn import DrawnPictures

SIDE = 192
ROOM = 0.08
"""How far the region of the edit reaches beyond the source's mask, in frame heights: the new subject may be larger."""
VARIANTS = ("none", "random", "image", "anchor", "unaligned", "one_keyframe")
MEASURES = ("success", "motion", "path", "rotation", "flow", "warp", "background")
PARTS = ("speed", "coverage", "variants", "curve", "pairs")
CURVE = (2, 4, 8, 16)
ALL = 0.01
"""τ_d at which as many tokens are chosen as are asked for."""
COUNT = 8
"""Trajectories that coverage is measured with."""


def _figures() -> Iterator[Figure]:
    yield Figure("success", "anchor tokens: carried out and the rest untouched", "%", better="higher")
    yield Figure("motion_agreement", "anchor tokens: moves as the source", "of 1", better="higher")
    yield Figure("motion_gain_over_random", "the same, more than with tokens drawn by lot", "of 1", better="higher")
    yield Figure("alignment_gain", "success, more than without alignment", "%", better="higher")
    yield Figure("fps_seconds", "choosing among 12,288 candidates, one core", "s", 3.0)
    for name in VARIANTS:
        yield Figure(f"success_{name}", f"{name}: success", "%", better="higher")
        yield Figure(f"motion_{name}", f"{name}: motion agreement", "of 1", better="higher")
        yield Figure(f"path_{name}", f"{name}: path of the centre", "of 1", better="higher")
        yield Figure(f"rotation_{name}", f"{name}: rotation, where the subject turns", "of 1", better="higher")
        yield Figure(f"flow_{name}", f"{name}: flow similarity", "of 1", better="higher")
        yield Figure(f"warp_{name}", f"{name}: warp error by the source's flow", "1e-3")
        yield Figure(f"background_{name}", f"{name}: outside the edit, to the source", "dB", better="higher")
    for count in CURVE:
        yield Figure(f"success_tokens_{count}", f"{count} tokens: success", "%", better="higher")
        yield Figure(f"motion_tokens_{count}", f"{count} tokens: motion agreement", "of 1", better="higher")
    for name in ("anchor", "random", "image"):
        for model in ("bundled", "analytic"):
            label = f"{model}: motion that {COUNT} {name} tokens leave unexplained"
            yield Figure(f"{model}_coverage_{name}", label, "of 1")
    yield Figure("multi_f1", "two subjects at once: F1 by exact masks", "of 1", better="higher")
    yield Figure("selection_share", "choosing tokens, of the run", "%")
    yield Figure("alignment_share", "alignment, of the run", "%")


FIGURES = tuple(_figures())


# --- scenes -----------------------------------------------------------------------------------------------


def cases(count: int, seed: int, folder: Path, *, both: bool = False) -> list[Case]:
    """Scenes of the test split with two subjects, of which one (or both) gets another shape, and 1.25 or 0.8 times its size."""
    made = edits(sample(seed, range(count), "test", Lot(alone=0.0)), "test", ("shape",))
    return [_case(_resized(made, b, both), folder / f"{seed}-{b}-{both}", both) for b in range(count)]


def _resized(made: Edits, b: int, both: bool) -> Edits:
    one, k = made.target[[b]], made.orders[b].subject
    size, shape = one.subjects.size.clone(), one.subjects.shape.clone()
    size[0, k] *= 1.25 if b % 2 else 0.8
    if both:
        shape[0, 1 - k] = (shape[0, 1 - k] + 1 + b % (len(SHAPES) - 1)) % len(SHAPES)
    return Edits(made.source[[b]], replace(one, subjects=replace(one.subjects, size=size, shape=shape)), [made.orders[b]])


def _case(one: Edits, folder: Path, both: bool) -> Case:
    drawn = draw(one.source, (SIDE, SIDE), FRAMES)
    pictures = (drawn.video[0].permute(0, 2, 3, 1) * 255).round().byte().numpy()
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(DrawnPictures(pictures), (SIDE, SIDE), folder)
    steps.ensure(steps.missing([FrameRange(0, FRAMES)]), lambda done, total: None)
    k = one.orders[0].subject
    masks = (drawn.visible[0] > 0.5).numpy().astype(np.uint8) * 255
    return Case(one, (k, 1 - k) if both else (k,), pictures, masks, steps)


class _Frames:
    def __init__(self, pictures: np.ndarray) -> None:
        self._pictures = pictures

    def get(self, frame: int) -> np.ndarray:
        return self._pictures[frame]

    def frames(self, span: FrameRange) -> Iterator[np.ndarray]:
        yield from self._pictures[span.start : span.stop]


def shot(case: Case) -> Shot:
    size = 2 * round(ROOM * SIDE) + 1
    wide = np.ones((size, size), np.uint8)
    grown = [cv2.dilate(case.masks[list(case.subjects), t].max(0), wide) for t in range(FRAMES)]
    return Shot(
        frames=_Frames(case.pictures),
        steps=case.steps,
        size=(SIDE, SIDE),
        span=FrameRange(0, FRAMES),
        anchors=(),
        region=lambda frame: grown[frame],
        alpha=lambda subject, frame: case.masks[subject - 1, frame],
        take=lambda frame: case.pictures[frame],
        tracks=lambda: None,
        edit=Edit(source_prompt=case.source_prompt, target_prompt=case.target_prompt),
        subjects=tuple(k + 1 for k in case.subjects),
    )


# --- the method and its rivals ----------------------------------------------------------------------------


def by_lot(found: Candidates, tokens: MotionTokens, stop: float, most: int) -> list[int]:
    """As many of each subject as farthest point sampling takes, drawn by lot."""
    many = len(choose(found, tokens, stop, most))
    dice = torch.Generator().manual_seed(len(found))
    return torch.randperm(len(found), generator=dice)[:many].tolist()


@torch.no_grad()
def shown_features(
    model: DiffusionBackbone, clean: Tensor, seen: Seen, text: Any, *, level: float, noises: Sequence[Tensor]
) -> Tensor:
    """The same states without their mean over the frames taken away: what is shown."""
    a, b = model.scales(level)
    with model.features(feature_site(model)) as got:
        for noise in noises:
            model.predict(a * clean + b * noise, level, text, seen.condition)
    return torch.stack([one[0].float() for one in got]).mean(0)


RIVALS: dict[str, tuple[p2p.Reader, p2p.Chooser, dict[str, Any]]] = {
    "none": (read_features, choose, {"tokens": 0, "tune_steps": 0}),
    "random": (read_features, by_lot, {}),
    "image": (shown_features, choose, {"threshold": ALL}),
    "anchor": (read_features, choose, {}),
    "unaligned": (read_features, choose, {"align": 0.0}),
    "one_keyframe": (read_features, choose, {"keyframes": 1}),
}


@cache
def _bundled() -> DiffusionBackbone:
    return load(torch_device())


class Clock:
    """Processor seconds of what it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            begun = time.process_time()
            try:
                return work(*given, **named)
            finally:
                self.seconds += time.process_time() - begun

        return timed


def edited(case: Case, method: p2p.PointToPoint, config: Config, store: Path | None = None) -> Tensor:
    """(T, 3, SMALL, SMALL) in [0, 1]. What was prepared in `store` is not prepared again."""
    given, span = shot(case), FrameRange(0, FRAMES)
    with tempfile.TemporaryDirectory() as folder:
        context = Context(lambda done, total: None, 0, Path(folder), store or Path(folder), lambda _: _bundled())
        prepared = method.prepare(given, config, context)
        images = [image for _, image in method.render(given, Segment(0, 0, FRAMES, None, None, span), prepared, context)]
    video = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return F.interpolate(video, (SMALL, SMALL), mode="area")


# --- the run ----------------------------------------------------------------------------------------------


def run(report: Report, options: argparse.Namespace) -> None:
    """On one thread, whatever the machine has: the figures are of one core."""
    parts, count = _parts(options), options.scenes or 30
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _run(report, parts, Path(folder), options, count)
    finally:
        torch.set_num_threads(threads)
    report.lack("This part was left out.")
    report.note(
        f"{count} scenes of {FRAMES} frames, {max(1, count // 3)} for the curve and with two subjects; seed {options.seed}; "
        "all pictures by the bundled model, whose text to video decides most of what success can be."
    )


def _parts(options: argparse.Namespace) -> list[str]:
    """Which of PARTS to do. Raises BenchError for others, and for variants that there are not."""
    asked = options.parts.split(",") if options.parts else list(PARTS)
    for name, given, known in (("--parts", asked, PARTS), ("--only", options.only.split(",") if options.only else [], VARIANTS)):
        if unknown := [one for one in given if one not in known]:
            raise BenchError(f"{name} takes {', '.join(known)}, separated by commas; not {', '.join(unknown)}.")
    return asked


def _run(report: Report, parts: Sequence[str], folder: Path, options: argparse.Namespace, count: int) -> None:
    several = cases(count, options.seed, folder) if {"coverage", "variants", "curve"} & set(parts) else []
    few = max(1, count // 3)
    if "speed" in parts:
        _speed(report)
    if "coverage" in parts:
        _coverage(report, several)
    if "variants" in parts:
        _variants(report, several, folder, options.only.split(",") if options.only else VARIANTS)
    for tokens in CURVE if "curve" in parts else ():
        got = [measured(case, edited(case, p2p.PointToPoint(), Config(tokens=tokens, threshold=ALL))) for case in several[:few]]
        report.reach(f"success_tokens_{tokens}", 100 * _mean([m.success for m in got]))
        report.reach(f"motion_tokens_{tokens}", _mean([m.motion for m in got]))
        say(f"{tokens} tokens: success {got[-1].success:.3f}, motion {_mean([m.motion for m in got]):.3f}")
    if "pairs" in parts:
        pairs = cases(few, options.seed + 1000, folder, both=True)
        report.reach("multi_f1", _mean([f1(case, edited(case, p2p.PointToPoint(), Config())) for case in pairs]))


def _variants(report: Report, several: Sequence[Case], folder: Path, names: Sequence[str]) -> None:
    means: dict[str, dict[str, float]] = {}
    for name in names:
        begun, got = time.process_time(), list(_tried(report, name, several, folder))
        known = {one: [v for m in got if (v := getattr(m, one)) is not None] for one in MEASURES}
        means[name] = {one: _mean(values) for one, values in known.items() if values}
        for one, value in means[name].items():
            report.reach(f"{one}_{name}", 100 * value if one == "success" else value)
        seconds = (time.process_time() - begun) / len(several)
        say(f"{name}: " + ", ".join(f"{one} {value:.3f}" for one, value in means[name].items()) + f"; {seconds:.1f} s a scene")
    if "anchor" in means:
        report.reach("success", 100 * means["anchor"]["success"])
        report.reach("motion_agreement", means["anchor"]["motion"])
    if {"anchor", "random"} <= means.keys():
        report.reach("motion_gain_over_random", means["anchor"]["motion"] - means["random"]["motion"])
    if {"anchor", "unaligned"} <= means.keys():
        report.reach("alignment_gain", 100 * (means["anchor"]["success"] - means["unaligned"]["success"]))


def _tried(report: Report, name: str, several: Sequence[Case], folder: Path) -> Iterator[Measured]:
    """Alignment changes nothing before drawing, so without it what the whole method prepared is drawn with."""
    read, chooser, values = RIVALS[name]
    choosing, aligning, spent, before = Clock(), Clock(), 0.0, p2p.Editing.align
    method = p2p.PointToPoint(read, choosing(chooser))
    p2p.Editing.align = aligning(before)  # type: ignore[method-assign]
    try:
        for number, case in enumerate(several):
            store = folder / f"{'anchor' if name == 'unaligned' else name}-{number}"
            begun = time.process_time()
            video = edited(case, method, Config(**values), store)
            spent += time.process_time() - begun
            yield measured(case, video)
    finally:
        p2p.Editing.align = before  # type: ignore[method-assign]
    if name == "anchor":
        report.reach("selection_share", 100 * choosing.seconds / spent)
        report.reach("alignment_share", 100 * aligning.seconds / spent)


def _coverage(report: Report, several: Sequence[Case]) -> None:
    """The same number of tokens chosen in each way: how much motion they leave unexplained."""
    for model in (_bundled(), AnalyticBackbone()):
        left: dict[str, list[float]] = {"anchor": [], "random": [], "image": []}
        for case in several:
            for name, values in left.items():
                values.append(_covered(model, case, name))
        for name, values in left.items():
            report.reach(f"{model.name}_coverage_{name}", _mean(values))
        say(f"{model.name}: coverage done")


def _covered(model: DiffusionBackbone, case: Case, name: str) -> float:
    taken: list[float] = []

    def watched(found: Candidates, tokens: MotionTokens, stop: float, most: int) -> list[int]:
        chosen = by_lot(found, tokens, 0.0, COUNT) if name == "random" else choose(found, tokens, 0.0, COUNT)
        taken.append(unexplained(found, chosen))
        return chosen

    method = p2p.PointToPoint(shown_features if name == "image" else read_features, watched)
    with tempfile.TemporaryDirectory() as folder:
        context = Context(lambda done, total: None, 0, Path(folder), Path(folder), lambda _: model)
        method.prepare(shot(case), Config(tune_steps=0), context)
    return _mean(taken)


def _speed(report: Report) -> None:
    """Farthest point sampling among 12,288 candidates of 16 frames on one core, until 128 are chosen."""
    dice = torch.Generator().manual_seed(0)
    values = F.normalize(torch.randn(12_288, 16, 64, generator=dice), dim=-1)
    tokens = MotionTokens(values, torch.ones(12_288, 16, dtype=torch.bool))
    begun = time.process_time()
    chosen = select(tokens, 0, 0.65, 128)
    report.reach("fps_seconds", time.process_time() - begun)
    report.note(f"{len(chosen)} of 12,288 candidates were chosen, from {values.nbytes / 2**20:.0f} MB of tokens.")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
