"""Killing what works on a project, at random moments, and looking at what is left.

`python -m tests.bench.kills FOLDER ACKS SEED` is one of those that are killed: it acts on the project in FOLDER for ever
and writes the number of every acknowledged act to the file ACKS.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.editor import EditorServer, editor_server
from tests.bench.harness import BenchError, environment

PNG = b"\x89PNG not really, but stored as one: "
LOST_WITHIN = 120.0


@dataclass
class Tally:
    """What many kills did."""

    kills: int = 0
    acts: int = 0
    unreadable: int = 0
    lost: int = 0
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        self.unreadable += 1
        self.faults.append(text)


# --- the journal ------------------------------------------------------------------------------------------


def act_for_ever(folder: Path, acks: Path, seed: int) -> None:
    """Strokes, clicks, drags, undo and redo, pictures; the name of the document counts the acts."""
    from engine.document import acts
    from engine.store.journal import Journal

    random.seed(seed)
    journal = Journal(folder)
    out = os.open(acks, os.O_CREAT | os.O_WRONLY)
    number = int(journal.project.name.rpartition(" ")[2])
    while True:
        number += 1
        project = acts.rename(journal.project, name=f"act {number}")
        frame = random.randrange(40)
        kind = random.random()
        if kind < 0.4:
            xy = [[random.random() * 60, random.random() * 40] for _ in range(200)]
            project = acts.add_stroke(project, frame=frame, subject=1, xy=xy, radius=3)
        elif kind < 0.6:
            key = journal.objects.put(PNG + os.urandom(20_000))
            project = acts.import_mask(project, frame=frame, subject=1, key=key)
        elif kind < 0.9:
            project = acts.shape_subject(project, subject=1, grow=random.randrange(-99, 99))
        journal.record(project, "Act", "drag" if 0.6 <= kind < 0.8 else None)
        os.pwrite(out, f"{number:12}".encode(), 0)
        if kind >= 0.9:  # moving the head back and forth must be as safe
            os.pwrite(out, f"{number - 1:12}".encode(), 0)  # what an undo takes back is not lost
            journal.undo()
            journal.redo()
            os.pwrite(out, f"{number:12}".encode(), 0)


def kill_journals(folder: Path, rounds: int, seed: int = 0) -> Tally:
    """Kills acting processes one after the other on one project; what they acknowledged must be there each time."""
    from engine.store.journal import Journal
    from tests.test_journal import blank

    tally, chance, acks = Tally(), random.Random(seed), folder / "acks"
    project = blank()
    Journal.create(folder / "p", type(project)("act 0", project.video, project.range, project.subjects)).close()
    for turn in range(rounds):
        acks.write_bytes(b"")
        command = [sys.executable, "-m", "tests.bench.kills", str(folder / "p"), str(acks), str(seed + turn)]
        child = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE)
        started = time.monotonic()
        while not acks.read_bytes():
            if child.poll() is not None or time.monotonic() - started > LOST_WITHIN:
                assert child.stderr
                raise BenchError(f"The acting process ended by itself: {child.stderr.read().decode()[-300:]}")
            time.sleep(0.002)
        time.sleep(chance.random() * 0.12)
        child.kill()
        child.wait()
        if child.stderr:
            child.stderr.close()
        tally.kills += 1
        _look_at_journal(folder / "p", int(acks.read_bytes() or 0), tally)
    return tally


def _look_at_journal(folder: Path, acknowledged: int, tally: Tally) -> None:
    from engine.errors import EngineError
    from engine.store.journal import Journal

    try:
        journal = Journal(folder)
    except EngineError as error:
        tally.fault(str(error))
        return
    try:
        found = int(journal.project.name.rpartition(" ")[2])
        tally.lost += max(0, acknowledged - found)
        tally.acts = found
        for key in journal.project.keyframes:
            if key.imported:
                journal.objects.get(key.imported)
        if journal.why_read_only:
            tally.fault(f"the lock of a killed process holds: {journal.why_read_only}")
    except (EngineError, ValueError) as error:
        tally.fault(str(error))
    finally:
        journal.close()
    db = sqlite3.connect(folder / "project.db")
    ((state,),) = db.execute("pragma integrity_check(1)").fetchall()
    db.close()
    if state != "ok":
        tally.fault(state)


# --- a whole editor ---------------------------------------------------------------------------------------


def kill_servers(home: Path, clip: Path, rounds: int, seed: int = 0) -> tuple[Tally, list[float]]:
    """Kills whole editors while acts are posted to them; the seconds from opening a project to its document, each time."""
    from engine.editor import Editor
    from engine.errors import EngineError

    tally, chance, reopened = Tally(), random.Random(seed), []
    what: str | Path = clip
    for _ in range(rounds):
        with editor_server(home, str(what)) as server:
            server.wait_for("/api/static/editor.js")
            folder = home / "projects" / server.project
            deadline = time.monotonic() + 0.3 + chance.random() * 1.2
            acknowledged = _post_acts(server, deadline)
        what = folder
        tally.kills += 1
        started = time.monotonic()
        try:
            editor = Editor(folder)
            reopened.append(time.monotonic() - started)
            name = editor.project.name
            tally.acts = int(name.rpartition(" ")[2]) if name.startswith("act ") else 0
            tally.lost += max(0, acknowledged - tally.acts)
            editor.close()
        except EngineError as error:
            tally.fault(str(error))
    return tally, reopened


def _post_acts(server: EditorServer, deadline: float) -> int:
    """Posts acts until the deadline and kills the editor in the middle of one; the number of the last acknowledged."""
    view = json.loads(server.get(f"/api/projects/{server.project}/view"))
    number = int(view["name"].rpartition(" ")[2]) if view["name"].startswith("act ") else 0
    acknowledged = number
    killer = subprocess.Popen(
        [sys.executable, "-c", f"import os, time; time.sleep({deadline - time.monotonic()}); os.killpg({server.process.pid}, 9)"]
    )
    try:
        while True:
            number += 1
            # A renaming and a mark are an act each; the renaming is the one that counts.
            post_act(server, "add_stroke", {"frame": number % 20, "subject": 1, "xy": [[50, 60], [60, 70]], "radius": 6})
            post_act(server, "rename", {"name": f"act {number}"})
            acknowledged = number
    except (OSError, http.client.HTTPException):  # refused, reset, or an answer that was cut off: not acknowledged
        return acknowledged
    finally:
        killer.wait()
        server.process.wait()


def post_act(server: EditorServer, name: str, args: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{server.base}/api/projects/{server.project}/acts",
        data=json.dumps({"name": name, "args": args}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


# --- renders ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rendered:
    """One run of `render` to its end: bytes of the output, segments rendered and reused, seconds."""

    digest: str
    rendered: int
    reused: int
    seconds: float


def finished_segments(project: Path) -> int:
    return len(list((project / "cache" / "segments").glob("*/done.json")))


def render_command(project: Path, out: Path, executor: str, *more: str) -> list[str]:
    command = [sys.executable, "-P", "-m", "engine.commands.cli", "render", str(project), "-o", str(out), "--executor", executor]
    return [*command, "--report", str(out.with_suffix(".json")), *more]


def render(project: Path, out: Path, executor: str) -> Rendered:
    """Raises BenchError when the run fails."""
    started = time.monotonic()
    done = subprocess.run(render_command(project, out, executor, "--force"), env=environment(), capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"A render ended with code {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    told = json.loads(out.with_suffix(".json").read_text("utf-8"))["segments"]
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    return Rendered(digest, told["rendered"], told["reused"], time.monotonic() - started)


def kill_render(project: Path, out: Path, executor: str, after: float) -> int:
    """Kills a render and all its processes `after` seconds; how many segments it had finished. −1: it was done before."""
    command = render_command(project, out, executor)
    child = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        child.wait(after)
        return -1
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return finished_segments(project)


def fresh_copy(pristine: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    return shutil.copytree(pristine, target)


if __name__ == "__main__":
    act_for_ever(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
