"""Ray: what it costs beside the work, how it comes back after a kill; and a plan for scale, simulated from measured frames."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from engine.commands.cli import main
from engine.editor import Editor
from engine.errors import EngineError
from engine.progress import Progress
from engine.rendering.cluster.executor import RayExecutor
from engine.rendering.render import propagate
from tests.bench.harness import BenchError, Figure, Report, environment, say
from tests.bench.scale_costs import TINY, Costs, computed, growing, measure, measured_methods
from tests.bench.scale_plan import Place, Work, cut, enough, simulate
from tests.ray_cluster import HAS_RAY, NO_RAY, Cluster, cluster, segments_of
from tests.recipes import box_in, clip_in, edit_recipe, write_recipe

FREE = 0.05  # seconds a segment that may be lost whatever its length
SEGMENTS, EACH = 6, 6
RAY_SIZE = (480, 854)
MINUTES, RATE, SHOTS = 10, 24, 60
FRAMES = {"motion": 16}
FEW = 5
GROWS = {"point_to_point": (17, 29)}
"""Methods whose shared step grows with the shot, and two lengths to measure it at: of one and of two windows."""
COUNTS = (1, 8, 64)
ANCHORS = (2, 11)  # that AnchorSync edits together: in the few frames that are measured, in a shot of ten seconds
COLD = """
import time
from engine.rendering.cluster.connect import connected
started = time.monotonic()
with connected():
    print(time.monotonic() - started)
"""
HUB_FIGURES = ("flowanchor", "via", "anchorsync", "point_to_point")

FIGURES = (
    Figure("overhead", "warm: time beside rendering, less 50 ms, as a share of a segment (worst quarter)", "×", 0.15),
    Figure("overhead_ms", "the same: median", "ms per segment"),
    Figure("segment_s", "the same: median time of rendering a segment", "s"),
    Figure("differing", "segments that differ from serial work, also after a kill", "segments", 0),
    Figure("start_s", "cold start of Ray on this machine", "s"),
    Figure("recovery_s", "a killed worker: until another one renders in its place", "s"),
    *(
        Figure(f"{name}_{count}", f"{MINUTES} min of 1080p by {name}, {count} workers, simulated from one core", "min")
        for name in measured_methods()
        for count in COUNTS
    ),
    *(
        Figure(f"hub_{name}_{count}", f"the same by {name}, hub model, {count} GPUs, computed and not measured", "min")
        for name in HUB_FIGURES
        for count in COUNTS
    ),
)


def run(report: Report, options: argparse.Namespace) -> None:
    start, overhead = 10.0, FREE
    try:
        start, overhead = _on_ray(report, options)
    except (BenchError, EngineError) as error:
        for key in ("overhead", "segment", "differing", "start", "recovery"):
            report.lack(str(error), key)
        report.note(f"Simulated with a cold start of {start:g} s and {overhead:g} s a segment.")
    base: Costs | None = None
    for name in measured_methods():
        if options.only and name not in options.only.split(","):
            continue
        say(f"frames of 1080p: {name}")
        costs = _costs(report, name)
        base = costs if name == "motion" else base
        _plan(report, name, costs if base is None else costs.on(base), (start, overhead))
    if base is not None:
        _plan_of_hub(report, base, (start, overhead))
    report.lack("It was left out by --only.")


def _costs(report: Report, name: str) -> Costs:
    """Measured on as few frames as tell it, once everything is loaded."""
    with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
        measure(Path(folder), name, 3, TINY)
    runs = []
    for frames in GROWS.get(name, (FRAMES.get(name, FEW),)):
        with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
            runs.append(measure(Path(folder), name, frames))
        parts = ", ".join(f"{phase.lower()} {seconds / frames:.3f}" for phase, seconds in runs[-1].cpu.items() if phase)
        report.note(f"{name}: CPU seconds a frame over {frames} frames: {parts}.")
    return runs[0].costs() if len(runs) == 1 else growing(*runs)


def _plan_of_hub(report: Report, base: Costs, ray: tuple[float, float]) -> None:
    """Methods on hub models: the clip's part as measured, the model's computed."""
    for name, (assumed, frame, shared) in computed().items():
        _plan(report, f"hub_{name}", Costs(base.clip, shared, frame, base.out, base.sent), ray)
        report.note(f"hub_{name} (computed, 150 TFLOP/s kept up, 480p or 512², weights there): {assumed}.")


# --- on Ray -----------------------------------------------------------------------------------------------


def _on_ray(report: Report, options: argparse.Namespace) -> tuple[float, float]:
    """Cold start and overhead, seconds. Raises BenchError where they cannot be measured."""
    if not HAS_RAY or options.quick:
        raise BenchError("Left out by --quick." if options.quick else NO_RAY)
    say("cold start")
    before = dict(os.environ)
    # In a process of its own: Ray keeps the token that it saw first.
    said = subprocess.run([sys.executable, "-c", COLD], env=environment(), capture_output=True, text=True)
    if said.returncode != 0:
        raise BenchError(f"Ray did not start: {said.stderr.strip().splitlines()[-1]}")
    start = float(said.stdout)
    report.reach("start_s", start)
    with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder, cluster() as here:
        os.environ.update({name: here.environment[name] for name in ("RAY_AUTH_TOKEN", "OMP_NUM_THREADS")})
        try:
            overhead = _overhead(report, Path(folder), here)
        finally:
            os.environ.clear()
            os.environ.update(before)
    return start, overhead


def _overhead(report: Report, folder: Path, here: Cluster) -> float:
    say("the same segments serially, on Ray, and on Ray with a kill")
    project = _project(folder)
    shutil.copytree(project, folder / "serial")
    serial = _rendered(folder / "serial", None)
    turns = []
    executor = RayExecutor(here.address)
    shutil.copytree(project, folder / "ray")
    by_ray = _rendered(folder / "ray", executor)
    turns = executor.turns
    lost = [turn - seconds for turn, seconds in turns]
    shares = sorted(max(0.0, turn - seconds - FREE) / seconds for turn, seconds in turns)
    report.reach("overhead", statistics.mean(shares[-max(1, len(shares) // 4) :]))
    report.reach("overhead_ms", 1000 * statistics.median(lost))
    report.reach("segment_s", statistics.median(seconds for _, seconds in turns))
    shutil.copytree(project, folder / "killed")
    seen = _Killer(here)
    seen.start()
    after_kill = _rendered(folder / "killed", RayExecutor(here.address))
    seen.join()
    if seen.recovered is None:
        report.lack("The run was over before a worker could be killed.", "recovery")
    else:
        report.reach("recovery_s", seen.recovered)
    report.reach("differing", sum(by_ray.get(key) != one or after_kill.get(key) != one for key, one in serial.items()))
    return statistics.median(lost)


def _project(folder: Path) -> Path:
    clip_in(folder, SEGMENTS * EACH, size=RAY_SIZE)
    keys = [{"frame": frame, "box": box_at(frame)} for frame in range(0, SEGMENTS * EACH, EACH)]
    takes = [{"frame": key["frame"], "effect": {"name": "blur"}} for key in keys]
    write_recipe(folder, edit_recipe(subjects=[{"id": 1, "keyframes": keys}], anchors=takes))
    if main(["run", str(folder / "r.json"), "--project", str(folder / "project")]) != 0:
        raise BenchError("The project for the bench could not be made.")
    shutil.rmtree(folder / "project" / "cache" / "segments")
    return folder / "project"


def box_at(frame: int) -> list[int]:
    x0, y0, x1, y1 = box_in(RAY_SIZE)
    shift = int(RAY_SIZE[1] * 0.6 * frame / (SEGMENTS * EACH))
    return [x0 + shift, y0, x1 + shift, y1]


def _rendered(project: Path, executor: RayExecutor | None) -> dict[str, str]:
    editor = Editor(project)
    try:
        propagate(editor.material, Progress(), executor)
    finally:
        editor.close()
    return segments_of(project)


class _Killer(threading.Thread):
    """Kills one worker that renders; measures until a new one does."""

    def __init__(self, here: Cluster) -> None:
        super().__init__(daemon=True)
        self._here = here
        self.recovered: float | None = None

    def _at_work(self) -> set[int]:
        return {one for one in self._here.workers() if b"render" in Path(f"/proc/{one}/cmdline").read_bytes()}

    def run(self) -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            before = self._at_work()
            if before:
                os.kill(min(before), signal.SIGKILL)
                killed = time.monotonic()
                while time.monotonic() < until:
                    if self._at_work() - before:
                        self.recovered = time.monotonic() - killed
                        return
                    time.sleep(0.02)
            time.sleep(0.02)


# --- the plan ---------------------------------------------------------------------------------------------


def work_of(name: str, costs: Costs) -> Work:
    """A ten-minute clip of sixty shots. Motion has an anchor at both ends of a shot, VIA works in pieces of 96 frames, AnchorSync
    from anchor to anchor, the others by the shot."""
    frames = MINUTES * 60 * RATE
    shot = frames // SHOTS
    pieces = {"via": [96, shot - 96], "anchorsync": [24] * (shot // 24)}.get(name.removeprefix("hub_"), [shot])
    segments = tuple(count * costs.frame for count in cut(frames, SHOTS, pieces))
    shared = SHOTS * (costs.shared + costs.growing * shot) * (ANCHORS[1] / ANCHORS[0] if name == "anchorsync" else 1)
    return Work(name, frames * costs.clip, shared, segments, frames * costs.out)


def _plan(report: Report, name: str, costs: Costs, ray: tuple[float, float]) -> None:
    work, sent = work_of(name, costs), MINUTES * 60 * RATE * costs.sent
    limits = []
    for count in COUNTS:
        outcome = simulate(work, Place(max(1, count // 8), min(count, 8), *ray, sent=sent))
        report.reach(f"{name}_{count}", outcome.total / 60)
        limits.append(outcome.limit)
    alone = (work.before + work.shared + work.after) / 60
    report.note(
        f"{name}: most time goes into {', '.join(limits)}; {alone:.1f} min are one machine's whatever the cluster "
        f"(shared step {work.shared / 60:.1f}); longest segment {max(work.segments):.0f} s; beyond "
        f"{enough(work, Place(1, 1, *ray))} workers twice as many gain less than a tenth; {sent / 1e9:.1f} GB to each other node."
    )
