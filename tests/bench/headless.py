"""Recipes on drawn clips, run as a user runs them: `engine.commands.cli run`, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from tests.barcode import Scene, write_scene
from tests.bench.editor import end
from tests.bench.harness import BenchError, environment

RUN_WITHIN = 1800.0


@dataclass(frozen=True)
class Task:
    """A drawn clip in a folder of its own, with the mask of its subject on frame 0."""

    clip: Path
    frames: int

    @property
    def folder(self) -> Path:
        return self.clip.parent


def draw_task(folder: Path, size: tuple[int, int], frames: int, seed: int) -> Task:
    """A textured disc over a textured moving ground, `size` (height, width)."""
    folder.mkdir(parents=True)
    scene = Scene(size, seed)
    done, blob = cv2.imencode(".png", scene.mask(0))
    if not done:
        raise BenchError("The mask of the drawn clip cannot be encoded.")
    (folder / "mask.png").write_bytes(blob.tobytes())
    return Task(write_scene(folder / "clip.mp4", scene, frames), frames)


def run_recipe(task: Task, anchors: list[int], executor: str = "serial") -> dict[str, Any]:
    """Recolours the subject on the anchors, propagates, exports; the run's own report.

    Raises:
        BenchError: the run failed; its last words.
    """
    effect = {"name": "recolour", "colour": "#2050ff", "strength": 1.0, "subject": 1}
    recipe = {
        "clip": task.clip.name,
        "subjects": [{"id": 1, "name": "disc", "keyframes": [{"frame": 0, "mask": "mask.png"}]}],
        "anchors": [{"frame": frame, "effect": effect} for frame in anchors],
        "edit": {"method": "motion"},
    }
    with tempfile.TemporaryDirectory(prefix="run-", dir=task.folder) as place:
        path, report, out = task.folder / "recipe.json", Path(place) / "report.json", Path(place) / "out.mp4"
        path.write_text(json.dumps(recipe), encoding="utf-8")
        options = ["-o", str(out), "--report", str(report), "--executor", executor]
        # Scratch files go where the clip is, so that nothing stays behind even when the run is killed.
        run_command([sys.executable, "-P", "-m", "engine.commands.cli", "run", str(path), *options], place)
        return json.loads(report.read_text("utf-8"))


def run_command(command: list[str], scratch: str, within: float = RUN_WITHIN) -> None:
    """Raises BenchError where it fails or does not end within so many seconds; scratch files go to `scratch`."""
    process = subprocess.Popen(
        command,
        env=environment(TMPDIR=scratch),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=within)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"A run did not end within {within:.0f} s.") from error
    finally:
        end(process)
    if process.returncode != 0:
        last = (said.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
        raise BenchError(f"A run ended with code {process.returncode}: {last}")
