"""Runs that are stopped, killed, or meet a full disk, a vanished clip, a damaged project: named, clean, and resumed."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.media.images import encode_png
from engine.rendering.outputs import digest
from engine.store.database import BEING_MADE
from tests.media_fixtures import Clip, write_drawn_clip
from tests.recipes import box_in, cli, clip_in, edit_recipe, environment, failed, interrupt, start, write_recipe


@pytest.fixture
def place(tmp_path: Path) -> Path:
    clip_in(tmp_path)
    write_recipe(tmp_path, edit_recipe())
    return tmp_path


def scratch_in(folder: Path) -> list[Path]:
    return [path for path in (folder / "project" / "cache" / "scratch").glob("*")]


def processes_in(folder: Path) -> list[int]:
    """Processes that work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if entry.resolve() == folder:
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    ("phase", "number", "executor"),
    [
        ("Opening the clip", signal.SIGTERM, "serial"),
        ("Marking", signal.SIGINT, "serial"),
        ("Preparing the clip", signal.SIGTERM, "serial"),
        ("Carrying masks", signal.SIGINT, "serial"),
        ("Propagating", signal.SIGTERM, "serial"),
        ("Propagating", signal.SIGINT, "pool"),
        ("Writing masks", signal.SIGINT, "serial"),
        ("Writing the clip", signal.SIGTERM, "serial"),
    ],
)
def test_a_signal_stops_every_phase_and_leaves_nothing_half_written(place: Path, phase: str, number: int, executor: str) -> None:
    size = (240, 320)
    clip_in(place, 60, size=size)
    recipe = edit_recipe(subjects=[{"id": 1, "keyframes": [{"frame": 0, "box": box_in(size)}]}])
    if phase.startswith("Writing"):
        del recipe["anchors"]  # gets there sooner
    write_recipe(place, recipe)
    run = ("run", "r.json", "-o", "out.mp4", "--masks", "masks", "--project", "project", "--executor", executor)
    child = start(place, *run)
    said = interrupt(child, phase, number)
    assert child.wait(timeout=40) == 130, said
    assert said.splitlines()[-1].startswith("Cancelled") and "Traceback" not in said
    assert processes_in(place) == []
    assert not (place / "out.mp4").exists()
    assert (place / "masks").exists() == (phase == "Writing the clip")
    assert scratch_in(place) == [] and list((place / "tmp").iterdir()) == []
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []


def test_a_killed_run_goes_on_where_it_was(place: Path) -> None:
    size = (160, 256)
    clip_in(place, 36, size=size)
    marks = [{"id": 1, "keyframes": [{"frame": 0, "box": box_in(size)}]}]
    write_recipe(place, edit_recipe(subjects=marks, anchors=[{"frame": f, "effect": {"name": "blur"}} for f in range(0, 36, 6)]))
    child = start(place, "run", "r.json", "-o", "out", "--project", "project", "--report", "r1.json")
    segments = place / "project" / "cache" / "segments"
    for _ in range(600):
        if len(list(segments.glob("*/done.json"))) >= 2:
            break
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=0.02)
    child.kill()
    child.communicate()
    kept = len(list(segments.glob("*/done.json")))
    assert kept >= 2 and not (place / "out").exists()
    code, _, err = cli(place, "run", "r.json", "-o", "out", "--project", "project", "--report", "r2.json")
    report = json.loads((place / "r2.json").read_text())
    assert code == 0 and report["segments"] == {"rendered": 6 - kept, "reused": kept}, err
    assert "Carrying masks" not in err and scratch_in(place) == []
    assert cli(place, "run", "r.json", "-o", "fresh")[0] == 0
    assert digest(place / "fresh") == digest(place / "out")


def test_a_run_that_was_killed_while_it_made_its_project_makes_it_anew(place: Path) -> None:
    (place / "project").mkdir()
    for left in (f"{BEING_MADE}4711", f"{BEING_MADE}4711-wal"):
        (place / "project" / left).write_bytes(b"half a database")
    assert cli(place, "run", "r.json", "-o", "out", "--project", "project")[0] == 0
    assert len(list((place / "out").iterdir())) == 24
    (place / "other").mkdir()
    (place / "other" / "notes.txt").write_text("the user's own")
    assert "not an Anchorline project" in failed(place, "run", "r.json", "-o", "more", "--project", "other")


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_frames(place: Path) -> None:
    run = ("run", "r.json", "-o", "out", "--project", "project")
    for number in range(12):
        child = start(place, *run)
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = child.wait(timeout=0.4 + 0.12 * number)
            # The kill before may have come between the last rename and the end of the process.
            assert code == 0 or (place / "out").exists(), child.communicate()
            break
        child.kill()
        child.communicate()
    code, _, err = cli(place, *run, "--force")
    assert code == 0, err
    assert cli(place, "run", "r.json", "-o", "fresh")[0] == 0
    assert digest(place / "fresh") == digest(place / "out")


def full_disk(folder: Path, limit: int, *arguments: object) -> tuple[int, str]:
    """The command line where no file may become longer than `limit` bytes."""
    child = subprocess.run(
        [sys.executable, "-m", "engine.commands.cli", *map(str, arguments)],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
    )
    return child.returncode, child.stderr


@pytest.mark.skipif(os.name != "posix", reason="limits of processes")
@pytest.mark.parametrize("limit", [0, 70_000, 160_000])
def test_a_full_disk_is_one_sentence_and_nothing_is_lost(place: Path, limit: int) -> None:
    """Here the journal and the cache; what else can fill a disk: test_project_files.py."""
    run = ("run", "r.json", "-o", "out.mov", "--masks", "masks", "--project", "project")
    code, err = full_disk(place, limit, *run)
    if code == 0:
        pytest.skip("this limit is above every file")
    last = err.splitlines()[-1]
    assert code == 1 and "Traceback" not in err, err
    assert "disk space" in last or "free space" in last or "room" in last or "free some" in last, last
    assert not (place / "out.mov").exists() and scratch_in(place) == []
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []
    shutil.rmtree(place / "masks", ignore_errors=True)
    assert cli(place, *run)[0] == 0


def test_a_clip_that_vanished_or_changed_is_named(place: Path) -> None:
    assert cli(place, "run", "r.json", "--project", "project")[0] == 0
    (place / "in.mp4").rename(place / "away.mp4")
    assert "in.mp4 is gone" in failed(place, "render", "project", "-o", "x.mp4")
    assert "in.mp4" in failed(place, "run", "r.json", "--project", "project", "-o", "x.mp4")
    clip_in(place, 30)
    assert "changed" in failed(place, "render", "project", "-o", "x.mp4")
    assert "another clip" in failed(place, "run", "r.json", "--project", "project", "-o", "x.mp4")
    (place / "away.mp4").replace(place / "in.mp4")
    assert cli(place, "render", "project", "-o", "x.mp4")[0] == 0


def test_what_is_damaged_in_a_project_is_one_sentence(place: Path) -> None:
    assert cli(place, "run", "r.json", "--project", "project")[0] == 0
    shutil.copytree(place / "project", place / "copy")
    database = place / "copy" / "project.db"
    whole = database.read_bytes()
    for damage in (b"", b"no database at all" * 100, whole[: len(whole) // 2], whole[:4096] + bytes(len(whole) - 4096)):
        for beside in ("project.db-wal", "project.db-shm"):
            (place / "copy" / beside).unlink(missing_ok=True)
        database.write_bytes(damage)
        assert "copy" in failed(place, "render", "copy", "-o", "x.mp4")
    shutil.rmtree(place / "project" / "objects")
    shutil.rmtree(place / "project" / "cache" / "segments")
    assert "objects folder" in failed(place, "run", "r.json", "--project", "project", "-o", "x.mp4")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    peaks = {}
    for frames in (120, 480):
        write_drawn_clip(tmp_path / f"{frames}.mp4", Clip(frames=frames, size=(360, 640)))
        (tmp_path / "picture.png").write_bytes(encode_png(np.full((360, 640, 3), 90, np.uint8)))
        write_recipe(tmp_path, edit_recipe(clip=f"{frames}.mp4", edit={"subjects": [1]}))
        assert cli(tmp_path, "run", "r.json", "-o", f"{frames}.out.mp4", "--report", "report.json", limit=500)[0] == 0
        peaks[frames] = json.loads((tmp_path / "report.json").read_text())["peak_rss_bytes"]
    assert peaks[480] < 1.1 * peaks[120]
