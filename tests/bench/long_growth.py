"""What a long clip costs VIA and AnchorSync: time of a frame and memory against length, run as a user runs a recipe; and what one
step holds at the real sizes of models that are not here, computed from their published shapes.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from engine.world.draw import frames as drawn_frames
from engine.world.edits import edits
from engine.world.scene import sample
from tests.bench.harness import Figure, Report, say
from tests.bench.headless import run_command
from tests.bench.long_scenes import KINDS, SIZE

LENGTHS = "65,257,1800"
"""Frames of the long clips, the first one to compare the others with."""
METHODS = ("via", "anchorsync")
FLAT = 1.1
WITHIN = 600, 10
"""Seconds that a run may take, and more for each frame: a busy machine is ten times as slow as a quiet one."""

GROWTH_FIGURES = (
    *(
        figure
        for method in METHODS
        for figure in (
            Figure(f"{method}_seconds_per_frame", f"{method}: a frame of the longest clip", "s"),
            Figure(f"{method}_time_growth", f"{method}: time per frame, longest clip to shortest", "times"),
            Figure(f"{method}_memory_growth", f"{method}: peak memory, longest clip to shortest", "times", FLAT),
        )
    ),
    Figure("memory_growth", "the worse of both", "times", FLAT),
)
STEP_FIGURES = (
    Figure("sd15_bank_mib", "computed: keys and values of VIA's group of 4, SD 1.5, 512², half precision, 3 branches", "MiB"),
    Figure("vace_states_mib", "computed: states of one pass, VACE 1.3B, 81 frames of 480p, half precision", "MiB"),
)

SD15_SELF = ((320, 64 * 64, 5), (640, 32 * 32, 5), (1280, 16 * 16, 5), (1280, 8 * 8, 1))
"""Width, tokens of a picture of 512² and number of the self-attention layers."""


def reckon(report: Report) -> None:
    """Computed, not measured: no weights of these are here."""
    once = sum(2 * width * tokens * layers for width, tokens, layers in SD15_SELF)
    report.reach("sd15_bank_mib", 4 * 3 * 2 * once / 2**20)
    tokens, width, wide, control_layers = 21 * 30 * 52, 1536, 8960, 15
    # A block's state, its queries, keys and values, what its feed-forward opens to, and the states of all control layers.
    report.reach("vace_states_mib", 2 * tokens * (4 * width + wide + control_layers * width) / 2**20)


def grow(report: Report, lengths: Sequence[int], seed: int, methods: Sequence[str] = METHODS) -> None:
    """Runs the methods on clips of the given lengths; the first length is what the last is compared with."""
    growths = []
    for method in methods if len(lengths) > 1 else ():
        ran = [_ran(method, count, seed) for count in lengths]
        short, long = ran[0], ran[-1]
        growths.append(long.peak / short.peak)
        report.reach(f"{method}_seconds_per_frame", long.seconds)
        report.reach(f"{method}_time_growth", long.seconds / short.seconds)
        report.reach(f"{method}_memory_growth", growths[-1])
        told = ", ".join(f"{count}: {one}" for count, one in zip(lengths, ran, strict=True))
        report.note(f"{method}, whole runs by length: {told}.")
    if len(growths) == len(METHODS):
        report.reach("memory_growth", max(growths))
    for figure in GROWTH_FIGURES:
        report.lack("Long clips were left out.", figure.key)


@dataclass(frozen=True, slots=True)
class Ran:
    """`seconds` per frame of preparing and rendering the edit, `work` = processor seconds of all of it per frame, bytes at the
    peak."""

    seconds: float
    work: float
    peak: int

    def __str__(self) -> str:
        return f"{self.seconds:.3f} s a frame ({self.work:.3f} s of the processor, the whole run), {self.peak / 2**20:.0f} MiB"


def _ran(method: str, count: int, seed: int) -> Ran:
    """A run in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as place:
        folder = Path(place)
        recipe: dict[str, Any] = {
            "clip": "clip.mp4",
            "edit": {"method": method, "subjects": [], "instruction": _write_clip(folder / "clip.mp4", count, seed)},
        }
        if method == "via":  # all of it: adapted to a root edit of the middle frame
            recipe["anchors"] = [{"frame": count // 2, "take": "preview", "seed": seed}]
        (folder / "recipe.json").write_text(json.dumps(recipe), "utf-8")
        options = ["-o", str(folder / "out.mp4"), "--report", str(folder / "report.json")]
        command = [sys.executable, "-P", "-m", "engine.commands.cli", "run", str(folder / "recipe.json"), *options]
        before = _worked()
        run_command(command, place, WITHIN[0] + WITHIN[1] * count)
        work = _worked() - before
        report: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"))
    seconds = sum(report["seconds"].get(phase, 0.0) for phase in ("Preparing the edit", "Propagating"))
    ran = Ran(seconds / count, work / count, report["peak_rss_bytes"])
    say(f"{method}, {count} frames: {ran}")
    return ran


def _worked() -> float:
    """Processor seconds of all processes that this one has waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _write_clip(path: Path, count: int, seed: int) -> str:
    """Writes a drawn scene as H.264; what to do with it."""
    made = edits(sample(seed, [0], "test"), "test", KINDS)
    with av.open("file:" + str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=24, options={"crf": "12"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 24)
        for number, (picture, _) in enumerate(drawn_frames(made.source, SIZE, count)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return made.orders[0].instruction
