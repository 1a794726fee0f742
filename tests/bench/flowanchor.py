"""FlowAnchor part by part on drawn scenes of two subjects: what leaks and fades without it, and what each part does about it.

Variants differ in settings alone, on the same scenes with the same noise:

    flowedit            plain flow editing                    lock        + the source held outside the mask
    step1, step2, sar   + SAR's first step, its second, both  amm         + AMM
    full                + SAR and AMM                         full_lock   + all of them

Measured before anything is composited, against scenes whose exact answer is drawn: success by the exact checker (carried out,
the rest untouched); carried = the part of the asked change, in its direction, that was made in the mask; leakage = mean change on
the other subject, of the change asked for on the edited one; dB to the source outside the edit; temporal error = mean difference
of the changes from frame to frame to the exact answer's.

The bundled model edits colours, materials and shapes. The analytic one knows two things by the same colour apart only by
their names, so what one word asks for goes to both: leakage in its purest form, with everything else exact. Its clips vary as
much as a trained model's latents do (spread 1): with none, the last step alone would decide, and early steps leave no trace.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from engine.backbones.analytic import AnalyticBackbone
from engine.backbones.bundled import load
from engine.device import torch_device
from engine.diffusion.backbone import DiffusionBackbone
from engine.diffusion.masks import latent_frames
from engine.diffusion.windows import SharedNoise, Window, cross_fade, plan_windows
from engine.methods.cards import FlowAnchorConfig as Config
from engine.methods.flowanchor import Editing, Part, amplified, ask, edit_windows, frame_factor, make_part
from engine.types import Edit
from engine.world.checkers import check
from engine.world.draw import draw
from engine.world.edits import Edits, edits
from engine.world.scene import Lot, sample
from engine.world.words import COLOUR_RGB, SHAPES
from tests.bench import flowanchor_wan
from tests.bench.harness import Figure, Report, say

FRAMES, SIZE = 17, (64, 64)
PLAIN = {"beta_text": 0.0, "beta_space_time": 0.0, "gamma": 0.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "flowedit": PLAIN,
    "lock": {**PLAIN, "background_lock": True},
    "step1": {"beta_space_time": 0.0, "gamma": 0.0},
    "step2": {"beta_text": 0.0, "gamma": 0.0},
    "sar": {"gamma": 0.0},
    "amm": {"beta_text": 0.0, "beta_space_time": 0.0},
    "full": {},
    "full_lock": {"background_lock": True},
}
SWEEPS: dict[str, list[dict[str, Any]]] = {
    "β1 = β2": [{"beta_text": beta, "beta_space_time": beta} for beta in (0.1, 0.3, 0.5, 1.0)],
    "γ": [{"gamma": gamma} for gamma in (0.5, 1.0, 1.5)],
    "τ": [{"tau": tau} for tau in (0.4, 0.6, 0.8)],
    "contrast": [{"contrast": "absolute"}],
}
LONG = (33, 65)
CURVE = (1, 5, 9, 17)
MODELS = ("bundled", "analytic")
PREFIX = {"bundled": "", "analytic": "analytic_"}


def _figures() -> Iterator[Figure]:
    for model in MODELS:
        for variant in VARIANTS:
            key = f"{PREFIX[model]}{{}}_{variant}"
            yield Figure(key.format("success"), f"{model}, {variant}: carried out and the rest untouched", "%", better="higher")
            yield Figure(key.format("carried"), f"{model}, {variant}: the asked change that was made", "of 1", better="higher")
            yield Figure(
                key.format("background_psnr"), f"{model}, {variant}: outside the edit, to the source", "dB", better="higher"
            )
            yield Figure(key.format("leak"), f"{model}, {variant}: change on the other subject", "of 1")
            yield Figure(key.format("temporal_error"), f"{model}, {variant}: temporal error", "of 1")
        for frames in CURVE:
            label = f"{model}: mean |ΔV| in the mask, clip of {frames} frames"
            yield Figure(f"{PREFIX[model]}signal_{frames}", label, "latents", better="higher")
        yield Figure(
            f"{PREFIX[model]}signal_{CURVE[-1]}_amm", f"{model}: the same of {CURVE[-1]}, amplified", "latents", better="higher"
        )
    for variant in ("flowedit", "full"):
        for frames in LONG:
            yield Figure(f"success_{variant}_{frames}", f"bundled, {variant}, {frames} frames in windows", "%", better="higher")
            yield Figure(f"join_{variant}_{frames}", "jump of the change at joins, to elsewhere", "times", 1.5)
    yield Figure("time_ratio", "full, to plain flow editing", "times", 1.15)
    yield Figure("memory_ratio", "the same, peak of what a step holds", "times", 1.2)
    yield from flowanchor_wan.figures()


FIGURES = tuple(_figures())


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """One edit of a scene: video (T, 3, H, W) in [0, 1], its exact answer, and who is where: (T, H, W) bool."""

    edits: Edits
    video: Tensor
    exact: Tensor
    mask: Tensor
    other: Tensor


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one answer, or means of several."""

    success: float
    carried: float
    background_psnr: float
    leak: float
    temporal_error: float


def cases(model: str, count: int, seed: int, frames: int) -> list[Case]:
    """`count` edits of scenes of the test split with two subjects; for the analytic model, of two shapes in one colour."""
    lot = Lot(alone=0.0)
    if model == "bundled":
        made = edits(sample(seed, range(count), "test", lot), "test", ("colour", "material", "shape"))
    else:
        scenes = sample(seed, range(4 * count), "test", lot)
        shapes = scenes.subjects.shape
        scenes = scenes[(shapes[:, 0] != shapes[:, 1]).nonzero()[:count, 0]]
        colour = scenes.subjects.colour[:, :1].expand(-1, 2).clone()
        made = edits(replace(scenes, subjects=replace(scenes.subjects, colour=colour)), "test", ("colour",))
    return [_case(Edits(made.source[[b]], made.target[[b]], [made.orders[b]]), frames) for b in range(count)]


def _case(one: Edits, frames: int) -> Case:
    source, target, k = draw(one.source, SIZE, frames), draw(one.target, SIZE, frames), one.orders[0].subject
    mask = torch.maximum(source.visible[0, k], target.visible[0, k]) > 0.5
    return Case(one, source.video[0], target.video[0], mask, (source.visible[0, 1 - k] > 0.9) & ~_wider(mask))


def _wider(mask: Tensor) -> Tensor:
    return F.max_pool2d(mask.float()[:, None], 3, 1, 1)[:, 0] > 0


def backbone_of(model: str, case: Case) -> DiffusionBackbone:
    """The bundled model, or the analytic one that is told what the scene's subjects look like."""
    if model == "bundled":
        return _bundled()
    subjects = case.edits.source.subjects
    looks = {SHAPES[s]: tuple(COLOUR_RGB[c].tolist()) for s, c in zip(subjects.shape[0], subjects.colour[0], strict=True)}
    return AnalyticBackbone(looks, patch=8, spread=1.0)  # type: ignore[arg-type]


@cache
def _bundled() -> DiffusionBackbone:
    return load(torch_device())


@dataclass(frozen=True, eq=False, slots=True)
class Setup:
    """What an edit of a case needs: the editing with its model, the windows and their parts."""

    editing: Editing
    windows: tuple[Window, ...]
    parts: list[Part]


def set_up(model: DiffusionBackbone, case: Case, config: Config, mask: Tensor | None = None, seed: int = 0) -> Setup:
    order, frames, mask = case.edits.orders[0], len(case.video), case.mask if mask is None else mask
    asked = ask(model, Edit(source_prompt=order.source_prompt, target_prompt=order.target_prompt), config)
    factor = frame_factor(config.gamma, latent_frames(frames, model.stride[0]))
    windows = plan_windows(frames, model.max_frames, model.stride[0])
    parts = [make_part(model, 2 * case.video[w.start : w.stop] - 1, mask[w.start : w.stop], w.start) for w in windows]
    return Setup(Editing(model, asked, config, factor, SharedNoise(seed), bool(asked.target.any())), windows, parts)


def edited(case: Case, made: Setup) -> Tensor:
    """The edited video (T, 3, H, W) in [0, 1]: the source and the change, as the method lays it."""
    model = made.editing.model
    states = edit_windows(made.editing, made.parts, made.windows, lambda: None)

    def change(k: int) -> Tensor:
        before, after = (model.decode(z, len(made.windows[k])).cpu() for z in (made.parts[k].source, states[k]))
        return (after - before) / 2

    with torch.no_grad():
        changes = torch.stack([picture for _, picture in cross_fade(made.windows, change)])
    return (case.video + changes).clamp(0, 1)


def measured(case: Case, video: Tensor) -> Measured:
    verdict = check(case.edits, video[None])[0]
    inside = case.mask[:, None]
    asked, made = inside * (case.exact - case.video), video - case.video
    carried = (asked * made).sum() / asked.square().sum()
    size = asked.abs().sum() / (3 * case.mask.sum())
    leaked = made.abs().mean(1)[case.other].mean() if case.other.any() else torch.zeros(())
    return Measured(float(verdict.success), float(carried), verdict.rest_psnr, float(leaked / size), verdict.temporal_error)


def mean(several: Sequence[Measured]) -> Measured:
    columns = zip(*((m.success, m.carried, m.background_psnr, m.leak, m.temporal_error) for m in several), strict=True)
    return Measured(*(sum(column) / len(several) for column in columns))


def told(label: str, m: Measured) -> str:
    return (
        f"{label:<24} success {100 * m.success:5.1f} %   carried {m.carried:.3f}   background {m.background_psnr:5.2f} dB   "
        f"leak {m.leak:.3f}   temporal {m.temporal_error:.4f}"
    )


def config_of(model: str, variant: dict[str, Any]) -> Config:
    return Config(**{"backbone": model, **variant})


def tried(model: str, several: Sequence[Case], config: Config, masks: Sequence[Tensor] | None = None) -> Measured:
    found = [
        measured(case, edited(case, set_up(backbone_of(model, case), case, config, None if masks is None else masks[i])))
        for i, case in enumerate(several)
    ]
    return mean(found)


def run(report: Report, options: argparse.Namespace) -> None:
    count = options.scenes or 32
    few = max(1, count // 4)
    for model in MODELS:
        several = cases(model, count, options.seed, FRAMES)
        _variants(report, model, several)
        _curve(report, model, several[:few])
        _sweeps(report, model, several[:few])
    _long(report, cases("bundled", few, options.seed, max(LONG)))
    _cost(report, cases("bundled", 1, options.seed, FRAMES)[0])
    flowanchor_wan.run(report)
    report.note(f"{count} scenes of {FRAMES} frames, {few} for curves, sweeps and long clips; seed {options.seed}; {Config()}.")


def _variants(report: Report, model: str, several: Sequence[Case]) -> None:
    for variant, values in VARIANTS.items():
        got = tried(model, several, config_of(model, values))
        say(told(f"{model} {variant}", got))
        report.reach(f"{PREFIX[model]}success_{variant}", 100 * got.success)
        for name in ("carried", "background_psnr", "leak", "temporal_error"):
            report.reach(f"{PREFIX[model]}{name}_{variant}", getattr(got, name))


def _sweeps(report: Report, model: str, several: Sequence[Case]) -> None:
    """Settings one by one around the defaults, and masks that are drawn in less care."""
    for name, row in SWEEPS.items():
        for values in row:
            report.note(told(f"{model} {name} {next(iter(values.values()))}", tried(model, several, config_of(model, values))))
    for name, make in MASKS.items():
        masks = [make(case.mask) for case in several]
        report.note(told(f"{model} mask {name}", tried(model, several, config_of(model, {}), masks)))
    say(f"{model}: sweeps done")


def box(mask: Tensor) -> Tensor:
    """(T, H, W) bool: each frame's bounding box."""
    rows, columns = mask.any(2), mask.any(1)
    return (_between_ends(rows)[:, :, None]) & (_between_ends(columns)[:, None])


def _between_ends(seen: Tensor) -> Tensor:
    """(T, n) bool: all from the first True to the last."""
    return (seen.cumsum(1) > 0) & (seen.flip(1).cumsum(1).flip(1) > 0)


def scribble(mask: Tensor) -> Tensor:
    """(T, H, W) bool: a vertical stroke, 3 px wide, through the middle of each frame's mask."""
    columns = torch.arange(mask.shape[2])
    middle = (mask * columns).sum((1, 2)) / mask.sum((1, 2)).clamp_min(1)
    return mask & ((columns - middle[:, None]).abs() <= 1.5)[:, None]


MASKS: dict[str, Callable[[Tensor], Tensor]] = {"tight": lambda mask: mask, "scribble": scribble, "box": box}


@dataclass(frozen=True, eq=False)
class Listening(Editing):
    """Notes how strong the signal is inside the mask: mean |ΔV| of each step."""

    heard: list[float]

    def signal(self, part: Part, z: Tensor, step: int, t: float) -> Tensor:
        made = super().signal(part, z, step, t)
        louder = amplified([made], self.factor, self.config.contrast)[0]
        self.heard.append(float(louder.abs().mean(1)[0][part.inside].mean()))
        return made


def _curve(report: Report, model: str, several: Sequence[Case]) -> None:
    """The signal's mean strength by the clip's length: of plain flow editing, and amplified."""
    for frames in CURVE:
        for variant in ("flowedit", "amm") if frames == CURVE[-1] else ("flowedit",):
            heard: list[float] = []
            for case in several:
                short = replace(case, video=case.video[:frames], mask=case.mask[:frames])
                if short.mask[0].any():
                    made = set_up(backbone_of(model, case), short, config_of(model, VARIANTS[variant]))
                    e = made.editing
                    listening = Listening(e.model, e.asked, e.config, e.factor, e.noise, e.refine, heard)
                    edit_windows(listening, made.parts, made.windows, lambda: None)
            key = f"{PREFIX[model]}signal_{frames}" + ("_amm" if variant == "amm" else "")
            report.reach(key, sum(heard) / len(heard))


def _long(report: Report, several: Sequence[Case]) -> None:
    for frames in LONG:
        for variant in ("flowedit", "full"):
            verdicts, jumps = [], []
            for case in several:
                model, short = backbone_of("bundled", case), _case(case.edits, frames)
                made = set_up(model, short, config_of("bundled", VARIANTS[variant]))
                video = edited(short, made)
                verdicts.append(measured(short, video).success)
                jumps.append(_jump(video - short.video, made.windows, model.stride[0]))
            report.reach(f"success_{variant}_{frames}", 100 * sum(verdicts) / len(verdicts))
            report.reach(f"join_{variant}_{frames}", sum(jumps) / len(jumps))
    say("long clips done")


def _jump(change: Tensor, windows: Sequence[Window], stride: int) -> float:
    """How much the change (T, 3, H, W) moves from frame to frame where a window begins or ends, as a multiple of other places
    at the same distance from a latent frame's end: those jump more than frames within one, with windows or without."""
    steps = change.diff(dim=0).abs().mean((1, 2, 3))
    at = torch.zeros_like(steps, dtype=torch.bool)
    at[[edge - 1 for window in windows for edge in (window.start, window.stop) if 0 < edge < len(change)]] = True
    phase = torch.arange(len(steps)) % stride
    elsewhere = ~at & torch.isin(phase, phase[at])
    return float(steps[at].mean() / steps[elsewhere].mean())


def _cost(report: Report, case: Case) -> None:
    """Time and memory of the full method against plain flow editing, in turns on the same backbone."""
    model = backbone_of("bundled", case)
    made = {variant: set_up(model, case, config_of("bundled", VARIANTS[variant])) for variant in ("flowedit", "full")}
    seconds: dict[str, list[float]] = {variant: [] for variant in made}
    for _ in range(4):
        for variant, one in made.items():
            begun = time.process_time()  # of this process alone, whatever else the machine does
            edit_windows(one.editing, one.parts, one.windows, lambda: None)
            seconds[variant].append(time.process_time() - begun)
    best = {variant: min(values) for variant, values in seconds.items()}
    report.reach("time_ratio", best["full"] / best["flowedit"])
    report.note(
        f"One edit of {FRAMES} frames takes {best['full']:.2f} s of processor time, without SAR and AMM {best['flowedit']:.2f} s."
    )
    peak = {variant: _peak_of_a_step(one) for variant, one in made.items()}
    report.reach("memory_ratio", peak["full"] / peak["flowedit"])


@torch.no_grad()
def _peak_of_a_step(made: Setup) -> float:
    """Most bytes of tensors that the first step holds beside the model and the latents, its attention refined."""
    part = made.parts[0]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        signal = made.editing.signal(part, part.source, 0, 1.0)
        amplified([signal], made.editing.factor)
    events = profiled.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return float(torch.tensor([change for _, change in changes]).cumsum(0).max())
