"""Carrying an edit by motion, against exact truth: drawn clips of many kinds, the plain chain of flow, EbSynth, real clips.

Layout a: one anchor at frame 0, read at 5 … 60 frames. Layout b: an anchor at both ends. Layout c: an anchor every 30 frames.
Regions are exact on drawn clips: what is measured is how well the edit is carried, not the masks. "Gain" is PSNR inside the
region over the plain chain's in the same layout. Seconds are CPU seconds, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from tests.bench.harness import BenchError, Figure, Report, say
from tests.bench.propagation_clips import KINDS, SIZE, TrueClip, draw_clip
from tests.bench.propagation_growth import COST_FIGURES, GROWTH_FIGURES, LONG, codec_cpu, cost, grow
from tests.bench.propagation_measures import compare
from tests.bench.propagation_next import next_anchor
from tests.bench.propagation_real import flicker, real_clips
from tests.bench.propagation_rivals import EbSynth, Layout, plain_chain
from tests.bench.propagation_run import Run, parts_of_the_method

READ = (5, 10, 20, 30, 60)
EVERY = 30
LACKS = {
    "ebsynth_": "no EbSynth program was given: --ebsynth PATH, environment variable EBSYNTH, or on the search path",
    "over_ebsynth": "no EbSynth program was given: --ebsynth PATH, environment variable EBSYNTH, or on the search path",
    "without_": "run with --ablation",
    "growth_": "run with --growth 480p,720p,1080p",
    "gain_": "no clip of this kind was drawn",
    "next_": "left out by --quick",
    "warp": "run with --clips DIR",
    "chain_warp": "run with --clips DIR",
    "source_warp": "run with --clips DIR",
    "cost_": "left out where only some clips are run",
}
LAYOUTS = {"a": "one anchor at frame 0", "b": "an anchor at both ends", "c": "an anchor every 30 frames"}


def _layout_figures(key: str, title: str) -> list[Figure]:
    return [
        Figure(f"psnr_{key}", f"{title}: PSNR inside the region", "dB", better="higher"),
        Figure(f"chain_psnr_{key}", "  the plain chain", "dB", better="higher"),
        Figure(f"ssim_{key}", "  SSIM", "of 1", better="higher"),
        Figure(f"chain_ssim_{key}", "  the plain chain", "of 1", better="higher"),
        Figure(f"temporal_{key}", "  temporal error", "levels"),
        Figure(f"chain_temporal_{key}", "  the plain chain", "levels"),
    ]


FIGURES = (
    Figure("gain", "gain over the plain chain, mean over clips and layouts", "dB", 5, "higher"),
    Figure("gain_least", "the same, least over clips", "dB", 2, "higher"),
    *(Figure(f"gain_{name}", f"  {name}", "dB", 2, "higher") for name in KINDS),
    *(figure for key, title in LAYOUTS.items() for figure in _layout_figures(key, title)),
    *(Figure(f"psnr_a_{n}", f"layout a, {n} frames from the anchor: PSNR", "dB", better="higher") for n in READ),
    *(Figure(f"chain_psnr_a_{n}", f"  the plain chain, {n} frames", "dB", better="higher") for n in READ),
    Figure("fall", "fall from 5 to 30 frames, surface-attached paint, layout a", "dB", 3),
    Figure("chain_fall", "  the plain chain", "dB"),
    Figure("outside", "largest difference outside the region", "levels", 0),
    Figure("anchor", "largest difference at an anchor", "levels", 0),
    Figure("seconds", "the method with its motion, layout b", "CPU s per frame"),
    Figure("chain_seconds", "the plain chain, one way", "CPU s per frame"),
    Figure("over_codec", "the method with its motion over decoding and encoding the same clip, layout b", "× CPU", 6),
    Figure("over_codec_worst", "  the worst clip", "× CPU", 6),
    Figure("over_ebsynth", "gain over EbSynth, layout a", "dB", 8, "higher"),
    *(Figure(f"ebsynth_psnr_a_{n}", f"  EbSynth, {n} frames", "dB", better="higher") for n in READ),
    Figure("ebsynth_seconds", "EbSynth", "CPU s per frame"),
    Figure("ebsynth_ratio", "EbSynth's time over the method's, per frame", "×", 100, "higher"),
    Figure("next_suggested", "error that one more anchor takes away, where suggested", "%", better="higher"),
    Figure("next_middle", "  in the middle", "%", better="higher"),
    Figure("next_random", "  on a random frame", "%", better="higher"),
    Figure("next_over_middle", "suggested over the middle", "% points", 0, "higher"),
    Figure("next_over_random", "suggested over random", "% points", 0, "higher"),
    Figure("warp", "real clips: difference from frame to frame along the motion", "levels"),
    Figure("chain_warp", "  the plain chain", "levels"),
    Figure("source_warp", "  the source itself", "levels"),
    *COST_FIGURES,
    *GROWTH_FIGURES,
    *(Figure(f"without_{part}", f"loss without {part.replace('_', ' ')}", "dB") for part in parts_of_the_method()),
)


@dataclass
class Tally:
    """Values by (figure, clip): a figure is the mean over clips."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, key: str, clip: str, value: float) -> None:
        self.values[key][clip].append(value)

    def mean(self, key: str, clip: str | None = None) -> float:
        clips = self.values[key]
        means = [statistics.mean(values) for name, values in clips.items() if clip is None or name == clip]
        return statistics.mean(means)


def run(report: Report, options: argparse.Namespace) -> None:
    chosen, longer = _chosen(options), _longer(options)
    ebsynth = _ebsynth(options)
    threads, torch_threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    tally = Tally()
    try:
        for name, seed in chosen:
            _clip(name, seed, tally, options, ebsynth)
        if options.clips:
            _real(options.clips, tally)
    finally:
        cv2.setNumThreads(threads)
        torch.set_num_threads(torch_threads)
    _reach(report, tally)
    if not (options.only or options.scenes or options.quick):
        cost(report, options.seed)
    grow(report, longer, options.seed)
    for prefix, why in LACKS.items():
        report.lack(why, prefix)
    report.note(f"{len(chosen)} clips at {SIZE[1]} × {SIZE[0]}; seeds from {options.seed}.")


def _clip(name: str, seed: int, tally: Tally, options: argparse.Namespace, ebsynth: EbSynth | None) -> None:
    begun = time.monotonic()
    clip = draw_clip(name, seed, options.keep)
    drawn = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
        ran = Run(clip, Path(folder))
        _measure(clip, ran, tally, ebsynth, options.ablation)
        if not options.quick:
            _next(clip, ran, tally)
    say(f"{_line(tally, clip)}; drawn in {drawn - begun:.0f} s, measured in {time.monotonic() - drawn:.0f} s")


def _next(clip: TrueClip, ran: Run, tally: Tally) -> None:
    gains, key = next_anchor(clip, ran), f"{clip.name}-{clip.seed}"
    for name in ("suggested", "middle", "random"):
        tally.add(f"next_{name}", key, getattr(gains, name))
    say(f"{key}: suggested {gains.frame}: {gains.suggested:.0f} %, middle {gains.middle:.0f} %, random {gains.random:.0f} %")


def _real(folder: Path, tally: Tally) -> None:
    for clip in real_clips(folder):
        with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as place:
            seen = flicker(clip, Path(place))
        say(f"{clip.name}: {seen.ours:.2f} levels, plain chain {seen.chain:.2f}, source {seen.source:.2f}")
        for key, value in (("warp", seen.ours), ("chain_warp", seen.chain), ("source_warp", seen.source)):
            tally.add(key, clip.name, value)


def _longer(options: argparse.Namespace) -> list[str]:
    """Sizes of the runs that show how time and memory grow."""
    names = options.growth.split(",") if options.growth else []
    unknown = sorted(set(names) - set(LONG))
    if unknown:
        raise BenchError(f"There is no run of growth at {unknown[0]}; there are {', '.join(LONG)}.")
    return names


def _chosen(options: argparse.Namespace) -> list[tuple[str, int]]:
    """Kinds in their order, as often as asked for, with their seeds: a clip is the same however few are asked for."""
    kinds = options.only.split(",") if options.only else list(KINDS)
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise BenchError(f"There is no kind of clip named {unknown[0]}; there are {', '.join(KINDS)}.")
    places = list(KINDS)
    clips = [(kinds[number % len(kinds)], number // len(kinds)) for number in range(options.scenes or len(kinds))]
    return [(name, options.seed + places.index(name) + len(places) * round_) for name, round_ in clips]


def _ebsynth(options: argparse.Namespace) -> EbSynth | None:
    path = options.ebsynth or os.environ.get("EBSYNTH") or shutil.which("ebsynth")
    return EbSynth(Path(path)) if path else None


def layouts(frames: int) -> list[Layout]:
    """a, b and c for a clip of so many frames."""
    spread = tuple(sorted({round(frames * share) for share in (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)}))
    every = tuple(range(0, frames, EVERY))
    off = tuple(anchor + more for anchor in every for more in (5, 10, 15, 20, 25) if anchor + more < frames - 1)
    reach = min(frames, READ[-1] + 2)
    return [
        Layout("a", (0,), reach, tuple(n for n in READ if n < reach)),
        Layout("b", (0, frames - 1), frames, spread),
        Layout("c", every, frames, off),
    ]


def _measure(clip: TrueClip, ran: Run, tally: Tally, ebsynth: EbSynth | None, ablation: bool) -> None:
    key = f"{clip.name}-{clip.seed}"
    laid = layouts(clip.frames)
    chained = plain_chain(clip, laid)
    tally.add("chain_seconds", key, chained.seconds)
    for layout in laid:
        result = ran.render(layout)
        tally.add("outside", key, result.outside)
        tally.add("anchor", key, result.anchor)
        if layout.name == "b":
            tally.add("seconds", key, result.seconds + ran.motion_seconds)
            tally.add("over_codec", key, (result.seconds + ran.motion_seconds) / codec_cpu(clip.source[:60], ran.folder))
        for who, pictures in (("", result.pictures), ("chain_", chained.pictures[layout.name])):
            _tally(clip, layout, pictures, tally, who)
        if ablation:
            for part in parts_of_the_method():
                _tally(clip, layout, ran.render(layout, without=part).pictures, tally, f"without_{part}_")
    if ebsynth:
        for frame in laid[0].reads:
            picture, seconds = ebsynth.picture(clip, frame, chained.positions[frame])
            psnr = compare(clip, frame, picture).psnr
            tally.add("ebsynth_seconds", key, seconds)
            tally.add("ebsynth_psnr_a", key, psnr)
            tally.add(f"ebsynth_psnr_a_{frame}", key, psnr)


def _tally(clip: TrueClip, layout: Layout, pictures: dict[int, np.ndarray], tally: Tally, who: str) -> None:
    key = f"{clip.name}-{clip.seed}"
    for frame in layout.reads:
        if np.count_nonzero(clip.region[frame] == 255) < 400:
            continue  # hidden or out of the frame: nothing to look at
        seen = compare(clip, frame, pictures[frame], pictures.get(frame + 1))
        tally.add(f"{who}psnr_{layout.name}", key, seen.psnr)
        tally.add(f"{who}ssim_{layout.name}", key, seen.ssim)
        if seen.temporal is not None:
            tally.add(f"{who}temporal_{layout.name}", key, seen.temporal)
        if layout.name == "a":
            tally.add(f"{who}psnr_a_{frame}", key, seen.psnr)


def _gain(tally: Tally, clip: str, over: str = "chain_") -> float:
    """dB over another's PSNR, mean over the layouts."""
    return statistics.mean(tally.mean(f"psnr_{one}", clip) - tally.mean(f"{over}psnr_{one}", clip) for one in LAYOUTS)


def _line(tally: Tally, clip: TrueClip) -> str:
    """What a clip gave, in a line."""
    key = f"{clip.name}-{clip.seed}"
    told = [f"{one} {tally.mean(f'psnr_{one}', key):.1f} ({tally.mean(f'chain_psnr_{one}', key):.1f})" for one in LAYOUTS]
    by_distance = "/".join(f"{tally.mean(f'psnr_a_{n}', key):.1f}" for n in READ if key in tally.values[f"psnr_a_{n}"])
    told.append(f"a by distance {by_distance}, SSIM c {tally.mean('ssim_c', key):.3f}")
    told.append(f"{tally.mean('over_codec', key):.1f} × decode and encode")
    if key in tally.values["ebsynth_psnr_a"]:
        told.append(f"EbSynth {tally.mean('ebsynth_psnr_a', key):.1f}, {tally.mean('ebsynth_seconds', key):.0f} s a frame")
    return f"{key}, {clip.frames} frames: gain {_gain(tally, key):+.1f} dB; PSNR (plain chain) {', '.join(told)}"


def _reach(report: Report, tally: Tally) -> None:
    clips = list(tally.values["psnr_a"])
    gains = {clip: _gain(tally, clip) for clip in clips}
    report.reach("gain", statistics.mean(gains.values()))
    report.reach("gain_least", min(gains.values()))
    for name in {clip.partition("-")[0] for clip in clips}:
        report.reach(f"gain_{name}", statistics.mean(gain for clip, gain in gains.items() if clip.partition("-")[0] == name))
    for key in report.figures:
        if tally.values.get(key):
            report.reach(key, tally.mean(key))
    report.reach("over_codec_worst", max(tally.mean("over_codec", clip) for clip in clips))
    for key in ("outside", "anchor"):
        report.reach(key, max(value for values in tally.values[key].values() for value in values))
    attached = [clip for clip in clips if KINDS[clip.partition("-")[0]].attached and clip in tally.values["psnr_a_30"]]
    for who in ("", "chain_"):
        falls = [tally.mean(f"{who}psnr_a_5", clip) - tally.mean(f"{who}psnr_a_30", clip) for clip in attached]
        if falls:
            report.reach(f"{who}fall", statistics.mean(falls))
    if tally.values.get("ebsynth_psnr_a"):
        report.reach("over_ebsynth", tally.mean("psnr_a") - tally.mean("ebsynth_psnr_a"))
        report.reach("ebsynth_ratio", tally.mean("ebsynth_seconds") / tally.mean("seconds"))
    if tally.values.get("next_suggested"):
        for other in ("middle", "random"):
            report.reach(f"next_over_{other}", tally.mean("next_suggested") - tally.mean(f"next_{other}"))
    for part in parts_of_the_method():
        if tally.values.get(f"without_{part}_psnr_a"):
            losses = [_gain(tally, clip, f"without_{part}_") for clip in clips]
            report.reach(f"without_{part}", statistics.mean(losses))
