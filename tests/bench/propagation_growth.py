"""Does propagation grow as it should: the time of a frame and the memory stay as they are when the clip becomes longer."""

from __future__ import annotations

import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from engine.media.reader import open_video
from engine.media.writer import settings_for, write_clip
from engine.types import FrameRange
from tests.bench.harness import Figure, Report, say
from tests.bench.headless import draw_task, run_recipe
from tests.bench.motion import PROPAGATING, codec_seconds

LONG = {"480p": ((480, 854), 3600), "720p": ((720, 1280), 600), "1080p": ((1080, 1920), 240)}
EVERY = 120
"""Frames between anchors."""
COST = {"480p": ((480, 854), 6.0), "720p": ((720, 1280), 8.0)}
COST_FRAMES = 60
MOTION = "Reading the motion"

GROWTH_FIGURES = tuple(
    figure
    for key, (_, frames) in LONG.items()
    for figure in (
        Figure(f"growth_{key}_time", f"{key}: time per frame, {frames} frames over {frames // 4}", "×", 1.15),
        Figure(f"growth_{key}_memory", f"{key}: peak memory, {frames} frames over {frames // 4}", "×", 1.1),
        Figure(f"growth_{key}_s", f"{key}: propagation, {frames} frames", "s per frame"),
    )
)
COST_FIGURES = tuple(
    Figure(f"cost_{key}", f"{key}: motion and propagation over decode and encode, anchors at both ends", "×", target)
    for key, (_, target) in COST.items()
)


def grow(report: Report, names: list[str], seed: int) -> None:
    """Runs the named sizes, each at a quarter of its length and whole."""
    for key in names:
        size, frames = LONG[key]
        told = []
        for count in (frames // 4, frames):
            say(f"growth: {key}, {count} frames")
            with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
                task = draw_task(Path(folder) / "task", size, count, seed)
                ran = run_recipe(task, list(range(0, count, min(EVERY, count - 1))))
            told.append((_seconds(ran) / count, ran["peak_rss_bytes"]))
        (short_s, short_bytes), (long_s, long_bytes) = told
        report.reach(f"growth_{key}_time", long_s / short_s)
        report.reach(f"growth_{key}_memory", long_bytes / short_bytes)
        report.reach(f"growth_{key}_s", long_s)


def codec_cpu(pictures: np.ndarray, folder: Path) -> float:
    """CPU s per frame to decode a clip (T, H, W, 3) uint8 that was stored as a camera stores it, and to export it as it is."""
    stored, out = folder / "stored.mp4", folder / "out.mp4"
    with av.open(str(stored), "w") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(30), options={"crf": "20", "preset": "veryfast"})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with open_video(stored) as reader:
        span = FrameRange(0, len(pictures))
        begun = time.process_time()
        write_clip(out, reader.frames(span), reader, span, settings_for(out), force=True)
        return (time.process_time() - begun) / len(pictures)


def cost(report: Report, seed: int) -> None:
    """What propagation costs beside decoding and encoding, which every export has to do."""
    for key, (size, _) in COST.items():
        say(f"cost: {key}")
        with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
            task = draw_task(Path(folder) / "task", size, COST_FRAMES, seed)
            before = codec_seconds(task)
            ran = run_recipe(task, [0, COST_FRAMES - 1])
            report.reach(f"cost_{key}", _seconds(ran) / ((before + codec_seconds(task)) / 2))


def _seconds(ran: dict) -> float:  # type: ignore[type-arg]
    return ran["seconds"][PROPAGATING] + ran["seconds"].get(MOTION, 0.0)
