"""What propagation costs, as a multiple of decoding and encoding the same clip, which every export has to do.

The yardstick is the engine's own reader and writer (H.264, CRF 18) without any edit, run before, between and after the
runs that are compared with it, so that both meet the same load of the machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from engine.media.reader import open_video
from engine.media.writer import settings_for, write_clip
from engine.types import FrameRange
from tests.bench.harness import Figure, Report, say
from tests.bench.headless import Task, draw_task, run_recipe

FRAMES = 120
SIZES = {"480p": (480, 854), "720p": (720, 1280)}
PROPAGATING, MASKS = "Propagating", "Carrying masks"


def _figures(key: str) -> tuple[Figure, ...]:
    return (
        Figure(f"{key}_ends", f"{key}: propagation, anchors at both ends, over decode and encode", "×"),
        Figure(f"{key}_serial", f"{key}: the same, anchors at a quarter and three quarters", "×"),
        Figure(f"{key}_pool", f"{key}: the same, executor pool", "×"),
        Figure(f"{key}_masks", f"{key}: carrying the mask from frame 0, over decode and encode", "×"),
        Figure(f"{key}_ends_s", f"{key}: propagation, anchors at both ends", "s per frame"),
        Figure(f"{key}_codec_s", f"{key}: decode and encode alone", "s per frame"),
    )


FIGURES = (*_figures("480p"), *_figures("720p"))


def run(report: Report, options: argparse.Namespace) -> None:
    ends, quarters = [0, FRAMES - 1], [FRAMES // 4, 3 * FRAMES // 4]
    for key, size in SIZES.items():
        with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
            task = draw_task(Path(folder) / "task", size, FRAMES, options.seed)
            codec, told = [codec_seconds(task)], {}
            for name, anchors, executor in (("ends", ends, "serial"), ("serial", quarters, "serial"), ("pool", quarters, "pool")):
                say(f"{key}: {name}")
                told[name] = run_recipe(task, anchors, executor)["seconds"]
                codec.append(codec_seconds(task))
        _reach(report, key, statistics.median(codec), told)
    report.note(f"{FRAMES} frames, two anchors by effect, one subject. Propagation leaves out preparing, masks and export.")


def _reach(report: Report, key: str, codec: float, told: dict[str, dict[str, Any]]) -> None:
    for name, seconds in told.items():
        report.reach(f"{key}_{name}", seconds[PROPAGATING] / codec)
    report.reach(f"{key}_masks", told["ends"][MASKS] / codec)
    report.reach(f"{key}_ends_s", told["ends"][PROPAGATING] / FRAMES)
    report.reach(f"{key}_codec_s", codec / FRAMES)


def codec_seconds(task: Task) -> float:
    """Seconds to decode the clip and write it again as it is."""
    out = task.folder / "codec.mp4"
    with open_video(task.clip) as reader:
        span = FrameRange(0, task.frames)
        started = time.perf_counter()
        write_clip(out, reader.frames(span), reader, span, settings_for(out), force=True)
        return time.perf_counter() - started
