"""A small clip and recipes on it, for the tests of the command line, jobs and routes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from engine.commands.cli import main
from tests.conftest import ROOT
from tests.media_fixtures import Clip, write_drawn_clip

FRAMES = 24
BOX = [26, 58, 50, 88]
"""Around the disc on frame 0 of a drawn clip."""


def clip_in(folder: Path, frames: int = FRAMES, **more: Any) -> Path:
    return write_drawn_clip(folder / "in.mp4", Clip(frames=frames, audio=("aac",), **more))


def box_in(size: tuple[int, int]) -> list[int]:
    """A box around the disc on frame 0 of a drawn clip of that size (height, width)."""
    height, width = size
    x, y, reach = int(0.2 * width), int(0.65 * height), height // 8 + 3
    return [x - reach, y - reach, x + reach, y + reach]


def edit_recipe(**changes: Any) -> dict[str, Any]:
    """A disc marked on frame 0, recoloured on frames 0 and 12: two segments."""
    recipe: dict[str, Any] = {
        "clip": "in.mp4",
        "subjects": [{"id": 1, "name": "disc", "keyframes": [{"frame": 0, "box": BOX}], "track_points": [[0, 38, 72]]}],
        "anchors": [{"frame": frame, "effect": {"name": "recolour", "colour": "#2050ff"}} for frame in (0, 12)],
    }
    return {**recipe, **changes}


def write_recipe(folder: Path, recipe: dict[str, Any] | str, name: str = "r.json") -> Path:
    path = folder / name
    path.write_text(recipe if isinstance(recipe, str) else json.dumps(recipe), encoding="utf-8")
    return path


def environment(folder: Path) -> dict[str, str]:
    """So that working files of a child are seen: its temporary folder lies in `folder`."""
    (folder / "tmp").mkdir(exist_ok=True)
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")}


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """The command line in a process of its own, in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "engine.commands.cli", *map(str, arguments)],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def cli(folder: Path, *arguments: object, limit: float = 240) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    child = start(folder, *arguments)
    out, err = child.communicate(timeout=limit)
    return child.returncode, out, err


def failed(folder: Path, *arguments: object) -> str:
    """The one sentence of a run that must fail by name, leaving nothing in its temporary folder. Runs in this process."""
    environment(folder)
    out, err = io.StringIO(), io.StringIO()
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before, tempfile.tempdir = tempfile.tempdir, str(folder / "tmp")
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(argument) for argument in arguments])
    finally:
        tempfile.tempdir = before
        for number, handler in kept.items():
            signal.signal(number, handler)
    said = err.getvalue()
    assert code == 1 and out.getvalue() == "", (code, said)
    assert not list((folder / "tmp").iterdir())
    return [line for line in said.splitlines() if line][-1]


def interrupt(child: subprocess.Popen[str], phase: str, number: int = signal.SIGTERM, after: float = 0.05) -> str:
    """Waits until the child says that it is in a phase, signals it; the rest of its standard error."""
    assert child.stderr
    for line in child.stderr:
        if line.startswith(phase):
            break
    else:
        raise AssertionError(f"the run ended before {phase}")
    time.sleep(after)
    child.send_signal(number)
    return child.stderr.read()
