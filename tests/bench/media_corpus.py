"""The corpus of odd and hostile clips, each opened and read to its end in a process of its own: what breaks, and how soon a
verdict is there.

`FIGURES` and `corpus_figures` are for the bench of reliability.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.harness import ROOT, Figure
from tests.corpus import CASES, Opens

HANG_SECONDS = 60.0
FIGURES = (
    Figure("corpus_cases", "odd and hostile clips opened and read to their end", "clips"),
    Figure("corpus_crashes", "… after which the process was gone or an unnamed error was raised", "clips", 0),
    Figure("corpus_hangs", f"… not done after {HANG_SECONDS:.0f} s", "clips", 0),
    Figure("corpus_wrong", "… opened or refused against what is right", "clips", 0),
    Figure("corpus_verdict_s", "open or refused, median", "s", 1.0),
    Figure("corpus_verdict_worst_s", "the same, worst", "s", 15.0),
)


def corpus_figures() -> dict[str, float]:
    """The value of each of `FIGURES`, by key."""
    crashes = hangs = wrong = 0
    seconds = []
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
            path = case.make(Path(folder))
            command = [sys.executable, "-m", "tests.bench.media_corpus", str(path)]
            try:
                done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=HANG_SECONDS)
            except subprocess.TimeoutExpired:
                hangs += 1
                continue
            if done.returncode != 0:
                crashes += 1
                continue
            answer = json.loads(done.stdout)
            wrong += answer["opened"] != isinstance(case.comes, Opens)
            seconds.append(answer["seconds"])
    return {
        "corpus_cases": len(CASES),
        "corpus_crashes": crashes,
        "corpus_hangs": hangs,
        "corpus_wrong": wrong,
        "corpus_verdict_s": statistics.median(seconds),
        "corpus_verdict_worst_s": max(seconds),
    }


def main(path: str) -> None:
    """Opens one clip and reads it; prints how long the verdict took. Whatever is no MediaError ends the process."""
    from engine.errors import MediaError
    from engine.media.reader import open_video

    started = time.monotonic()
    try:
        reader = open_video(path)
    except MediaError:
        print(json.dumps({"opened": False, "seconds": time.monotonic() - started}))
        return
    seconds = time.monotonic() - started
    with reader:
        assert sum(1 for _ in reader.frames(reader.video.span)) == reader.video.frames
    print(json.dumps({"opened": True, "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1])
