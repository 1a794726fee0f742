"""Damaged files through every import, each in the way the editor takes it; odd requests to every route.

The imports run in a process of their own that stands for the editor's: when it ends, that is a crash; when it does not
answer in time, a hang.
"""

from __future__ import annotations

import argparse
import json
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.harness import ROOT, BenchError, Figure, Report, environment, percentile, say
from tests.bench.route_fuzz import fuzz_routes
from tests.mutants import KINDS, Mutant, Originals, mutants

MUTANTS = 500
HARD = 15.0  # seconds for each
KILLED_AFTER = 30.0  # of silence: a busy machine may take longer over what is within its limits
READY_WITHIN = 120.0
WARM = 0.2  # of the mutants; what the process holds then is what it may hold
FIGURES = (
    Figure("mutants", "damaged files imported", "files"),
    *(Figure(f"of_{kind}", f"… {kind}: refused with a sentence", "files") for kind in KINDS),
    Figure("crashes", "… after which the process was gone, or an error without a sentence", "files", 0),
    Figure("hangs", f"… not done within {HARD:.0f} s", "files", 0),
    Figure("bad_words", "… refusals that are no sentence, or hold a path or a traceback", "files", 0),
    Figure("median_s", "an import, median", "s"),
    Figure("worst_s", "an import, worst", "s", HARD),
    Figure("growth_mb", "memory of the process, end less after a fifth", "MB", 20),
    Figure("requests", "odd requests to the editor's own routes", "requests"),
    Figure("requests_failed", "… answered with a fault of ours, no sentence, a path or a traceback", "requests", 0),
)


@dataclass
class Tally:
    """What came of the mutants."""

    taken: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    bad_words: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    held: list[int] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        return [*self.crashes, *self.hangs, *self.bad_words]

    def growth(self) -> float:
        """MB that the process holds at the end more than after its first fifth."""
        warm = self.held[int(WARM * len(self.held))]
        return (statistics.median(self.held[-5:]) - warm) / 1e6


class Importer:
    """The process that imports. A new one takes its place when it is gone."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.fuzz_child"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr or ()), daemon=True).start()
        if self._lines.get(timeout=READY_WITHIN) != "> ready\n":
            raise BenchError(f"The process that imports cannot be started: {''.join(self.errors[-1:]).strip()}")

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(line)
        self._lines.put("")

    def take(self, one: Mutant) -> dict[str, Any] | str:
        """The answer; "crash" or "hang" where there is none."""
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps({"kind": one.kind, "path": str(one.path)}) + "\n")
            self.process.stdin.flush()
            while True:
                line = self._lines.get(timeout=KILLED_AFTER)
                if not line:
                    return "crash"
                if line.startswith("> "):
                    return json.loads(line[2:])
        except OSError:
            return "crash"
        except queue.Empty:
            return "hang"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def fuzz_imports(folder: Path, count: int, seed: int) -> Tally:
    """Imports `count` mutants; what came of them."""
    tally, importer = Tally(), Importer()
    try:
        for one in mutants(Originals(folder / "good"), folder / "bad", count, seed):
            answer = importer.take(one)
            named = f"{one.kind} ({one.how}, {one.path.parent.name})"
            if isinstance(answer, str):
                last = "".join(importer.errors[-3:]).strip()
                (tally.crashes if answer == "crash" else tally.hangs).append(f"{named}: {last[-300:]}")
                importer.end()
                importer = Importer()
            else:
                _note(tally, one, named, answer)
            shutil.rmtree(one.path.parent, ignore_errors=True)
    finally:
        importer.end()
    return tally


def _note(tally: Tally, one: Mutant, named: str, answer: dict[str, Any]) -> None:
    said = answer["said"]
    tally.seconds.append(answer["seconds"])
    tally.held.append(answer["bytes"])
    if answer["seconds"] > HARD:
        tally.hangs.append(f"{named}: {answer['seconds']:.1f} s")
    if not said:
        tally.taken += 1
        return
    tally.refused[one.kind.split()[0]] += 1
    if why := no_sentence(said, one.path.parent):
        tally.bad_words.append(f"{named}: {why}: {said[:200]}")


def no_sentence(said: str, folder: Path) -> str:
    """What is wrong with the words of a refusal; "" when nothing is."""
    if str(folder) in said or str(ROOT) in said:
        return "a path"
    if "Traceback" in said or '.py"' in said:
        return "a traceback"
    if not said.isprintable():
        return "what cannot be printed"
    return "" if 15 < len(said) < 500 and said[-1] in ".?!)" else "no sentence"


def run(report: Report, options: argparse.Namespace) -> None:
    count = options.mutants or MUTANTS
    with tempfile.TemporaryDirectory(prefix="anchorline-fuzz-") as folder:
        say(f"{count} damaged files …")
        tally = fuzz_imports(Path(folder), count, options.seed)
    report.reach("mutants", len(tally.seconds) + len(tally.crashes))
    for kind in KINDS:
        report.reach(f"of_{kind}", tally.refused[kind])
    for name in ("crashes", "hangs", "bad_words"):
        report.reach(name, len(getattr(tally, name)))
    report.reach("median_s", statistics.median(tally.seconds))
    report.reach("worst_s", percentile(tally.seconds, 1))
    report.reach("growth_mb", tally.growth())
    for fault in tally.faults[:20]:
        report.note(fault)
    say("Odd requests …")
    with tempfile.TemporaryDirectory(prefix="anchorline-fuzz-") as folder:
        asked = fuzz_routes(Path(folder), options.seed, each=60)
    report.reach("requests", asked.requests)
    report.reach("requests_failed", len(asked.faults))
    for fault in asked.faults[:20]:
        report.note(fault)
