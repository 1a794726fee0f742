"""What all benches share: their list, figures with targets, the table, the JSON file.

A bench is a module with `FIGURES`, what it measures, and `run(report, options)`, which reaches them. What it cannot
measure here it leaves, and says why with `BenchError`: those figures are null with that reason.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import EngineError

ROOT = Path(__file__).resolve().parent.parent.parent
OPTIONS: dict[str, dict[str, Any]] = {
    "--clips": {"type": Path, "metavar": "DIR", "help": "folders with video.mp4 or frames/, and masks/"},
    "--scenes": {"type": int, "metavar": "N", "help": "how many drawn scenes"},
    "--seed": {"type": int, "metavar": "S", "default": 0, "help": "seed of the first drawn scene (default 0)"},
    "--only": {"metavar": "NAMES", "help": "only these clips, or kinds of drawn clips, separated by commas"},
    "--keep": {"type": Path, "metavar": "DIR", "help": "keep drawn clips in DIR and take them from there"},
    "--ebsynth": {"type": Path, "metavar": "FILE", "help": "EbSynth's program (also: environment variable EBSYNTH)"},
    "--quick": {"action": "store_true", "help": "leave out what takes longest"},
    "--growth": {"metavar": "SIZES", "help": "also long clips: 480p,720p,1080p or some of them"},
    "--frames": {"type": int, "metavar": "N", "help": "frames of a drawn clip"},
    "--lengths": {"metavar": "N,N", "help": "frames of long clips, the shortest first"},
    "--parts": {"metavar": "NAMES", "help": "only these parts, separated by commas"},
    "--minutes": {"type": float, "metavar": "N", "help": "how long the longest part takes"},
    "--mutants": {"type": int, "metavar": "N", "help": "how many damaged files"},
    "--ablation": {"action": "store_true", "help": "also with each part of the method switched off"},
}


class BenchError(Exception):
    """Why something cannot be measured here, as one sentence."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One row of the registry: where it is, what it measures, which of OPTIONS it takes."""

    module: str
    title: str
    takes: tuple[str, ...] = ()


BENCHES = {
    "scrub": Bench("tests.bench.scrub", "seeking in the real page in a real browser: 480p, 720p, three minutes of 1080p"),
    "stream": Bench("tests.bench.stream", "peak memory of 1,200 frames of 720p against 300", ("--seed",)),
    "journey": Bench(
        "tests.bench.journey", "a new user's way to an exported clip: acts, seconds, masks", ("--clips", "--only", "--seed")
    ),
    "startup": Bench("tests.bench.startup", "process start to a page that answers"),
    "reliability": Bench("tests.bench.reliability", "kills, cuts, full disks and bad clips: what is left afterwards"),
    "world": Bench("tests.bench.world", "the bundled model's answers by the exact checkers", ("--scenes", "--seed")),
    "world_speed": Bench("tests.bench.world_speed", "drawing, training, the autoencoder: per second", ("--scenes", "--seed")),
    "propagation": Bench(
        "tests.bench.propagation",
        "carrying an edit, against exact truth, a plain chain of flow and EbSynth",
        ("--scenes", "--seed", "--only", "--keep", "--clips", "--ebsynth", "--quick", "--ablation", "--growth"),
    ),
    "backbones": Bench("tests.bench.backbones", "what attention control and offload cost, against the stock models"),
    "flowanchor": Bench("tests.bench.flowanchor", "FlowAnchor part by part on two subjects", ("--scenes", "--seed")),
    "long": Bench(
        "tests.bench.long",
        "VIA and AnchorSync part by part, and on long clips",
        ("--scenes", "--seed", "--frames", "--lengths", "--parts", "--only", "--quick"),
    ),
    "marks": Bench(
        "tests.bench.marks",
        "masks from clicks, masks carried, points tracked: drawn clips, real ones",
        ("--scenes", "--seed", "--clips"),
    ),
    "point_to_point": Bench(
        "tests.bench.point_to_point",
        "Point-to-Point: another shape, the same motion",
        ("--scenes", "--seed", "--parts", "--only"),
    ),
    "load": Bench("tests.bench.load", "ten editors and a job on one server, idle ones, a long queue", ("--minutes", "--quick")),
    "fuzz": Bench("tests.bench.fuzz", "damaged files through every import, odd requests to every route", ("--mutants", "--seed")),
    "scale": Bench(
        "tests.bench.scale", "Ray beside the work; ten minutes of 1080p on more machines, simulated", ("--only", "--quick")
    ),
    "motion": Bench("tests.bench.motion", "propagation as a multiple of decoding and encoding alone", ("--seed",)),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """What is measured; `target` None = there is none; `better` is "lower" or "higher"."""

    key: str
    label: str
    unit: str
    target: float | None = None
    better: str = "lower"

    def met(self, value: float | None) -> bool | None:
        """Whether the target is reached; None without a target or a value."""
        if value is None or self.target is None:
            return None
        return value <= self.target if self.better == "lower" else value >= self.target


class Report:
    """Collects what a run reaches."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self.figures = {figure.key: figure for figure in figures}
        if len(self.figures) != len(figures):
            raise ValueError("two figures have the same key")
        self.values: dict[str, float] = {}
        self.reasons: dict[str, str] = {}
        self.notes: list[str] = []

    def reach(self, key: str, value: float) -> None:
        """Notes a value; 4 significant digits are kept, whole numbers as they are."""
        if key not in self.figures:
            raise KeyError(key)
        self.values[key] = value if isinstance(value, int) else float(f"{value:.4g}")

    def lack(self, reason: str, prefix: str = "") -> None:
        """Says why the figures whose key starts with `prefix` have no value, where they have none yet."""
        for key in self.figures:
            if key.startswith(prefix) and key not in self.values:
                self.reasons.setdefault(key, reason)

    def note(self, text: str) -> None:
        """A remark under the table: how something was measured, or where the time goes."""
        self.notes.append(text)

    @property
    def missed(self) -> list[str]:
        return [key for key, figure in self.figures.items() if figure.met(self.values.get(key)) is False]

    def table(self) -> str:
        rows = [("figure", "target", "reached", "unit")]
        for key, figure in self.figures.items():
            sign = "≤" if figure.better == "lower" else "≥"
            target = "–" if figure.target is None else f"{sign} {figure.target:g}"
            reached = f"{self.values[key]:g}" if key in self.values else "–"
            rows.append((figure.label, target, reached + (" missed" if key in self.missed else ""), figure.unit))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        without = {reason: [key for key, one in self.reasons.items() if one == reason] for reason in self.reasons.values()}
        return "\n".join([*lines, *(f"Not measured ({', '.join(keys)}): {why}" for why, keys in without.items()), *self.notes])

    def as_json(self) -> dict[str, dict[str, Any]]:
        return {
            key: {
                "value": self.values.get(key),
                "target": figure.target,
                "unit": figure.unit,
                "better": figure.better,
                "ok": figure.met(self.values.get(key)),
                "reason": None if key in self.values else self.reasons.get(key, "It was not measured."),
            }
            for key, figure in self.figures.items()
        }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least `share` (0–1] of them do not exceed. Raises BenchError without values."""
    if not values:
        raise BenchError("No sample was taken.")
    return sorted(values)[math.ceil(share * len(values)) - 1]


def machine() -> str:
    """The machine in one line; other work on it shows in the load."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return f"{platform.system()} {platform.machine()}, {_processor()}, {cores} cores, Python {platform.python_version()}{load}"


def _processor() -> str:
    """The processor's name where the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def environment(**more: str) -> dict[str, str]:
    """The environment for processes of the project, which they find wherever the bench is called from."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, **more}


def parser(benches: dict[str, Bench]) -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="launch.py bench", description="Runs one benchmark; without a name lists them.")
    names = top.add_subparsers(dest="name", metavar="NAME")
    for name, bench in benches.items():
        one = names.add_parser(name, help=bench.title, description=f"Measures {bench.title}.")
        one.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
        one.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
        for option in bench.takes:
            one.add_argument(option, **OPTIONS[option])
    return top


def main(arguments: Sequence[str], benches: dict[str, Bench] | None = None) -> int:
    """Exit code: 0 also when a target is missed (with --strict 1), 1 when --json cannot be written, 2 wrong usage."""
    benches = BENCHES if benches is None else benches
    options = parser(benches).parse_args(arguments)
    if options.name is None:
        width = max(map(len, benches))
        print("\n".join(f"{name:<{width}}  {bench.title}" for name, bench in benches.items()))
        return 0
    if options.json and not options.json.absolute().parent.is_dir():
        print(f"The folder for {options.json.name} does not exist: {options.json.parent}.", file=sys.stderr)
        return 1
    report, seconds = measure(benches[options.name], options)
    ran_on = machine()
    print(f"{report.table()}\n{ran_on}; {seconds:.0f} s")
    if options.json:
        command = shlex.join(["python", "launch.py", "bench", *arguments])
        told = {"command": command, "machine": ran_on, "seconds": round(seconds, 1)}
        body = {"name": options.name, "figures": report.as_json(), **told}
        try:
            options.json.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            print(f"Cannot write {options.json}: {error.strerror}; give another file.", file=sys.stderr)
            return 1
    return 1 if options.strict and report.missed else 0


def measure(bench: Bench, options: argparse.Namespace) -> tuple[Report, float]:
    """Runs a bench: what it reached, and how many seconds it took."""
    started = time.monotonic()
    module = importlib.import_module(bench.module)
    report = Report(module.FIGURES)
    try:
        module.run(report, options)
    except (BenchError, EngineError) as error:
        report.lack(str(error))
    return report, time.monotonic() - started


def say(text: str) -> None:
    """Progress of a bench goes to standard error."""
    print(text, file=sys.stderr, flush=True)
