"""VIA and AnchorSync part by part on drawn scenes, and what a long clip costs.

Variants differ in settings alone, on the same scenes with the same noise:

    per_frame        the editor on each frame by itself; no anchor, no gather, no swap, no local latents
    via              all of VIA: several root edits of the middle frame, the best one approved (who picks knows the exact
                     answer), the model adapted to it, gather and swap, local latents
    via_no_gather, via_no_swap, via_no_adaptation, via_no_local        without that part
    anchorsync       anchors edited together, far pairs first; motion between them
    anchorsync_independent, anchorsync_neighbours                      each anchor alone; neighbours only
    between          as anchorsync, by the in-betweening model, with the source's edges and flow
    between_no_flow, between_no_edges                                  without that guide

Success is the exact checkers': carried out, and the rest untouched. Measures: see `Measured` in long_scenes.py. Pictures are as
the user gets them; background PSNR is before anything is composited (AnchorSync composites itself).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from engine.errors import MethodError
from engine.methods import card, method
from engine.methods.base import TakeMaker
from engine.methods.cards import AnchorSyncConfig, ViaConfig
from engine.methods.via import ADAPTER
from engine.rendering.fits import fit_of
from tests.bench.harness import BenchError, Figure, Report, say
from tests.bench.long_growth import GROWTH_FIGURES, LENGTHS, METHODS, STEP_FIGURES, grow, reckon
from tests.bench.long_reuse import REUSE_FIGURES, reuse
from tests.bench.long_scenes import Answer, Case, Measured, Roots, cases, context_of, mean, measured, rendered, roots, shot_of

SCENES, FRAMES, ROOTS = 12, 33, 4
CLOSE, APART = 8, 16
"""Frames between anchors: of variants of the anchors, of the in-betweening (a clip of 17 is the bundled model's longest)."""


@dataclass(frozen=True, slots=True)
class Variant:
    """`root`: a take is picked and approved first."""

    method: str
    config: Any
    root: bool = False


def _via(**changes: Any) -> Variant:
    return Variant("via", ViaConfig(**changes), root=True)


def _anchorsync(interval: int = CLOSE, **changes: Any) -> Variant:
    return Variant("anchorsync", AnchorSyncConfig(interval=interval, **changes))


VARIANTS = {
    "per_frame": Variant("via", ViaConfig(swap=False, local=False, adapt_steps=0)),
    "via": _via(),
    "via_no_gather": _via(gather=False),
    "via_no_swap": _via(swap=False),
    "via_no_adaptation": _via(adapt_steps=0),
    "via_no_local": _via(local=False),
    "anchorsync": _anchorsync(),
    "anchorsync_independent": _anchorsync(joint=False),
    "anchorsync_neighbours": _anchorsync(far_share=0.0),
    "between": _anchorsync(APART, interpolation="bundled"),
    "between_no_flow": _anchorsync(APART, interpolation="bundled", flow=False),
    "between_no_edges": _anchorsync(APART, interpolation="bundled", edges=False),
}
SHORT = {"per_frame": "per-frame editing", "via": "VIA", "anchorsync": "AnchorSync"}
PARTS = ("variants", "reuse", "step", *(f"growth-{method}" for method in METHODS))
JOIN = 1.1
"""The most that a join may stand out."""


def label(variant: str) -> str:
    return SHORT.get(variant) or variant.replace("_", " ").replace("via", "VIA").replace("anchorsync", "AnchorSync,")


def _figures() -> Iterator[Figure]:
    for variant in VARIANTS:
        name = label(variant)
        yield Figure(f"{variant}_success", f"{name}: carried out and the rest untouched", "%", better="higher")
        yield Figure(f"{variant}_background_psnr", f"{name}: outside the edit, to the source", "dB", better="higher")
        yield Figure(f"{variant}_drift", f"{name}: drift of the colour over time", "of 1")
        yield Figure(f"{variant}_wobble", f"{name}: the colour's deviation over time", "of 1")
        yield Figure(f"{variant}_temporal_error", f"{name}: temporal error", "of 1")
        if variant != "per_frame":
            yield Figure(f"{variant}_join_ratio", f"{name}: temporal error at joins, to inside", "times")
        yield Figure(f"{variant}_seconds", f"{name}: processor time", "s per frame")
    yield Figure("root_ranked", f"VIA's root edits, {ROOTS} a scene: error of the one ranked first, to their mean", "times", 1.0)
    yield Figure("root_best", "the same of the best one", "times")
    yield Figure("via_consistency_gain", "per-frame editing's deviation of the colour, to VIA's", "times", 1.0, "higher")
    yield Figure("via_temporal_gain", "per-frame editing's temporal error, to VIA's", "times", 1.0, "higher")
    yield Figure("join_ratio", "the worse of VIA's and AnchorSync's", "times", JOIN)
    yield from (*REUSE_FIGURES, *GROWTH_FIGURES, *STEP_FIGURES)


FIGURES = tuple(_figures())


def tried(case: Case, variant: Variant, folder: Path, name: str, found: dict[Path, Roots]) -> Answer:
    """Raises MethodError where the model has no input for what the variant needs. `found`: root edits that are there already, the
    same for all variants."""
    context = context_of(folder, name)
    if not variant.root:
        return rendered(variant.method, shot_of(case, folder, {}), variant.config, context)
    middle, learnt = len(case) // 2, folder / "via" / ADAPTER
    if learnt.exists() and variant.config.adapt_steps:  # from the same take: as it would be learnt again
        context.store.mkdir(parents=True, exist_ok=True)
        shutil.copy(learnt, context.store / ADAPTER)
    if folder not in found:
        found[folder] = _roots(case, folder, middle)
    return rendered(variant.method, shot_of(case, folder, {middle: found[folder].picked}), variant.config, context)


def _roots(case: Case, folder: Path, frame: int) -> Roots:
    bare, maker, config = shot_of(case, folder, {}), cast(TakeMaker, method("via")), ViaConfig()
    context = context_of(folder, "none")
    return roots(
        case,
        frame,
        lambda seed: maker.take(bare, frame, config, replace(context, seed=seed)),
        lambda pictures: fit_of(card("via"), bare.edit, context, pictures),
        ROOTS,
    )


def run(report: Report, options: argparse.Namespace) -> None:
    """Here on one thread: two on a busy machine are slower than one, and waiting for each other counts as processor time."""
    parts, threads = _parts(options), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _run(report, options, parts)
    finally:
        torch.set_num_threads(threads)
    report.lack("This part was left out.")


def _run(report: Report, options: argparse.Namespace, parts: Sequence[str]) -> None:
    if "variants" in parts:
        count, frames = options.scenes or SCENES, options.frames or FRAMES
        several = cases(count, options.seed, frames)
        kinds = ", ".join(case.edits.orders[0].kind for case in several)
        report.note(f"{count} scenes of {frames} frames, seed {options.seed}: {kinds}.")
        _variants(report, several, options.only.split(",") if options.only else list(VARIANTS))
    if "reuse" in parts:
        reuse(report)
    if "step" in parts:
        reckon(report)
    lengths = [int(one) for one in (options.lengths or LENGTHS).split(",")]
    if methods := [method for method in METHODS if f"growth-{method}" in parts]:
        grow(report, lengths, options.seed, methods)


def _parts(options: argparse.Namespace) -> list[str]:
    """Which of PARTS to do. Raises BenchError for others, and for variants that there are not."""
    asked = options.parts.split(",") if options.parts else [one for one in PARTS if not (options.quick and "growth" in one)]
    for name, given, known in (("--parts", asked, PARTS), ("--only", options.only.split(",") if options.only else [], VARIANTS)):
        if unknown := [one for one in given if one not in known]:
            raise BenchError(f"{name} takes {', '.join(known)}, separated by commas; not {', '.join(unknown)}.")
    return asked


def _variants(report: Report, several: Sequence[Case], names: Sequence[str]) -> None:
    found: dict[str, Measured] = {}
    made: dict[Path, Roots] = {}
    with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as place:
        for name, variant in ((name, VARIANTS[name]) for name in names):
            begun, got = time.process_time(), []
            try:
                for number, case in enumerate(several):
                    got.append(measured(case, tried(case, variant, Path(place) / str(number), name, made)))
            except MethodError as error:
                report.lack(str(error), f"{name}_")
                continue
            found[name] = one = mean(got)
            seconds = (time.process_time() - begun) / sum(map(len, several))
            _reached(report, name, one, seconds)
    if ranked := [(one.ranked, one.best) for one in made.values() if one.ranked is not None]:
        report.reach("root_ranked", sum(first for first, _ in ranked) / len(ranked))
        report.reach("root_best", sum(best for _, best in ranked) / len(ranked))
    if "per_frame" in found and "via" in found:
        plain, via = found["per_frame"], found["via"]
        report.reach("via_consistency_gain", plain.wobble / max(via.wobble, 1e-6))
        report.reach("via_temporal_gain", plain.temporal_error / max(via.temporal_error, 1e-6))
    if "via" in found and "anchorsync" in found:
        report.reach("join_ratio", max(found[name].join_ratio for name in ("via", "anchorsync")))


def _reached(report: Report, name: str, one: Measured, seconds: float) -> None:
    say(
        f"{name:<24} success {100 * one.success:5.1f} %   background {one.background_psnr:5.2f} dB   drift {one.drift:.4f}   "
        f"wobble {one.wobble:.4f}   temporal {one.temporal_error:.4f}   joins {one.join_ratio:.2f}   {seconds:.2f} s a frame"
    )
    report.reach(f"{name}_success", 100 * one.success)
    for measure in ("background_psnr", "drift", "wobble", "temporal_error", "join_ratio"):
        if f"{name}_{measure}" in report.figures and getattr(one, measure) == getattr(one, measure):
            report.reach(f"{name}_{measure}", getattr(one, measure))
    report.reach(f"{name}_seconds", seconds)
