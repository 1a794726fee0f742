"""Memory does not grow with the clip: the peak of a whole run on 1,200 frames of 720p against one on 300."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.bench.harness import BenchError, Figure, Report, say
from tests.bench.headless import draw_task, run_recipe

SIZE = (720, 1280)
SHORT, LONG = 300, 1200
FIGURES = (
    Figure("peak_ratio", "peak memory for 1,200 frames over that for 300", "×", 1.10),
    Figure("peak_short_mb", "peak memory for 300 frames of 720p", "MB"),
    Figure("peak_long_mb", "peak memory for 1,200 frames of 720p", "MB"),
    Figure("seconds_per_frame", "whole run on 1,200 frames, per frame", "s"),
)


def run(report: Report, options: argparse.Namespace) -> None:
    """Masks, propagation between anchors at both ends, and export."""
    peaks: dict[int, int] = {}
    for frames in (SHORT, LONG):
        with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
            say(f"{frames} frames of 720p: drawing")
            task = draw_task(Path(folder) / "task", SIZE, frames, options.seed)
            say(f"{frames} frames of 720p: running")
            told = run_recipe(task, [0, frames - 1])
        if told["frames"] != frames:
            raise BenchError(f"The run rendered {told['frames']} frames instead of {frames}.")
        peaks[frames] = told["peak_rss_bytes"]
        seconds = told["seconds"]
        report.note(f"{frames} frames, seconds: " + ", ".join(f"{phase} {spent:.1f}" for phase, spent in seconds.items()))
    if not all(peaks.values()):
        raise BenchError("This system does not tell the peak memory of a process.")
    report.reach("peak_short_mb", peaks[SHORT] / 1e6)
    report.reach("peak_long_mb", peaks[LONG] / 1e6)
    report.reach("peak_ratio", peaks[LONG] / peaks[SHORT])
    report.reach("seconds_per_frame", sum(seconds.values()) / LONG)
