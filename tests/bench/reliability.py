"""What is left after kills, cuts and full disks: projects, jobs, exports; and what the corpus of bad clips does."""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engine.commands import batch
from engine.commands.recipe import read_recipe
from engine.document import acts
from engine.editor import Editor
from engine.progress import Progress
from engine.store.journal import Journal
from tests.bench import kills, media_corpus
from tests.bench.editor import editor_server
from tests.bench.harness import Figure, Report, environment, percentile, say
from tests.media_fixtures import Clip, write_drawn_clip
from tests.recipes import box_in, edit_recipe, write_recipe
from tests.test_journal import blank

JOURNAL_KILLS, SERVER_KILLS, RENDER_KILLS, EXPORT_KILLS = 200, 20, 10, 6
ACTS = 5000
SIZE, FRAMES, ANCHORS = (240, 320), 72, (0, 18, 36, 54)
FIGURES = (
    Figure("journal_kills", "kills of a process that acts on a project", "kills"),
    Figure("journal_unreadable", "… after which the project could not be read", "kills", 0),
    Figure("journal_lost", "… acknowledged acts that were gone", "acts", 0),
    Figure("server_kills", "kills of a whole editor while acts are posted", "kills"),
    Figure("server_unreadable", "… after which the project could not be read", "kills", 0),
    Figure("server_lost", "… acknowledged acts that were gone", "acts", 0),
    Figure("reopen_s", "opening a project of 5,000 acts, worst of 5", "s", 2.0),
    Figure("act_p50_ms", "an act on that project written and acknowledged, p50", "ms"),
    Figure("act_p95_ms", "the same, p95", "ms", 5.0),
    Figure("sync_p95_ms", "meanwhile: 4 kB written to that disk and synced, p95", "ms"),
    Figure("undo_worst_ms", "undo on that project, worst of 50", "ms", 50.0),
    Figure("http_act_p95_ms", "an act posted to the editor until its answer is there, p95", "ms"),
    Figure("render_kills", "kills of a render at random moments (serial and pool in turn)", "kills"),
    Figure("render_other_bytes", "… after which the finished clip had other bytes", "kills", 0),
    Figure("render_redone", "… finished segments that were rendered again", "segments", 0),
    Figure("export_kills", "kills while the clip is written, and full disks", "times"),
    Figure("export_halves", "… that left half a clip under its name, or harmed the one that was there", "times", 0),
    Figure("reattach_s", "an editor that runs a job: address asked → the job's state answered, worst of 10", "s", 2.0),
    *media_corpus.FIGURES,
)


def run(report: Report, options: argparse.Namespace) -> None:
    parts: tuple[tuple[str, Callable[[Report, Path], None]], ...] = (
        ("journal", _journal),
        ("acts", _acts),
        ("servers", _servers),
        ("renders", _renders),
    )
    for name, part in parts:
        say(f"{name} …")
        with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
            part(report, Path(folder))
    say("corpus …")
    for key, value in media_corpus.corpus_figures().items():
        report.reach(key, value)


def _journal(report: Report, folder: Path) -> None:
    tally = kills.kill_journals(folder, JOURNAL_KILLS)
    _reach_tally(report, "journal", tally)
    report.note(f"The killed processes had acknowledged {tally.acts} acts.")


def _servers(report: Report, folder: Path) -> None:
    clip = write_drawn_clip(folder / "in.mp4", Clip(frames=24))
    tally, _ = kills.kill_servers(folder / "home", clip, SERVER_KILLS)
    _reach_tally(report, "server", tally)
    report.note(f"The killed editors had acknowledged {tally.acts} acts.")
    (project,) = (folder / "home" / "projects").glob("?" * 12)
    with editor_server(folder / "home", str(project)) as server:
        server.wait_for("/")
        spent = []
        for number in range(200):
            started = time.perf_counter()
            kills.post_act(server, "rename", {"name": f"Name {number}"})
            spent.append(time.perf_counter() - started)
    report.reach("http_act_p95_ms", percentile(spent, 0.95) * 1000)


def _reach_tally(report: Report, key: str, tally: kills.Tally) -> None:
    report.reach(f"{key}_kills", tally.kills)
    report.reach(f"{key}_unreadable", tally.unreadable)
    report.reach(f"{key}_lost", tally.lost)
    for fault in tally.faults[:5]:
        report.note(f"{key}: {fault}")


# --- acts -------------------------------------------------------------------------------------------------


def _acts(report: Report, folder: Path) -> None:
    journal, chance = Journal.create(folder / "p", blank()), random.Random(1)
    spent, syncs = [], []
    for number in range(ACTS):
        project = next_version(journal, number, chance)
        started = time.perf_counter()
        journal.record(project, "Act", place=number % 50)
        spent.append(time.perf_counter() - started)
        if number % 20 == 0:
            syncs.append(_sync_seconds(folder / "disk"))
    journal.close()
    opening = []
    for _ in range(5):
        started = time.perf_counter()
        journal = Journal(folder / "p")
        opening.append(time.perf_counter() - started)
        journal.close()
    journal, undoing = Journal(folder / "p"), []
    for _ in range(50):
        started = time.perf_counter()
        journal.undo()
        undoing.append(time.perf_counter() - started)
    journal.close()
    report.reach("reopen_s", max(opening))
    report.reach("act_p50_ms", statistics.median(spent) * 1000)
    report.reach("act_p95_ms", percentile(spent, 0.95) * 1000)
    report.reach("sync_p95_ms", percentile(syncs, 0.95) * 1000)
    report.reach("undo_worst_ms", max(undoing) * 1000)
    size = (folder / "p" / "project.db").stat().st_size / 1e6
    report.note(f"{ACTS} acts with {sum(len(key.strokes) for key in journal.project.keyframes)} strokes take {size:.0f} MB.")


def _sync_seconds(path: Path) -> float:
    """What the disk itself takes for a small write, as a measure for the acts' times."""
    with open(path, "ab") as file:
        file.write(bytes(4096))
        file.flush()
        started = time.perf_counter()
        os.fsync(file.fileno())
        return time.perf_counter() - started


def next_version(journal: Journal, number: int, chance: random.Random) -> acts.Project:
    """Every second act a brush stroke of 200 points, the others clicks, anchors and values."""
    at = {"frame": number % 50, "subject": 1}
    x, y = chance.random() * 60, chance.random() * 40
    if number % 2 == 0:
        line = [[x + i / 100, y + i / 100] for i in range(200)]
        return acts.add_stroke(journal.project, **at, xy=line, radius=3)
    if number % 4 == 1:
        return acts.add_point(journal.project, **at, x=x, y=y)
    if number % 8 == 3:
        return acts.shape_subject(journal.project, subject=1, grow=number % 90)
    return acts.rename(journal.project, name=f"Version {number}")


# --- renders and exports ----------------------------------------------------------------------------------


def make_project(folder: Path, frames: int = FRAMES, anchors: tuple[int, ...] = ANCHORS) -> Path:
    """A project with a marked disc and approved takes, nothing rendered."""
    write_drawn_clip(folder / "in.mp4", Clip(frames=frames, size=SIZE, audio=("aac",)))
    keys = [{"frame": 0, "box": box_in(SIZE)}]
    takes = [{"frame": frame, "effect": {"name": "recolour", "colour": "#2050ff"}} for frame in anchors]
    recipe = read_recipe(write_recipe(folder, edit_recipe(subjects=[{"id": 1, "keyframes": keys}], anchors=takes)))
    editor: Editor = batch.open_project(folder / "pristine", recipe, batch.look_at(recipe))
    batch.play(editor, recipe, Progress())
    editor.close()
    return folder / "pristine"


def _renders(report: Report, folder: Path) -> None:
    pristine, chance = make_project(folder), random.Random(2)
    (folder / "out").mkdir()
    wanted = kills.render(kills.fresh_copy(pristine, folder / "whole"), folder / "out" / "whole.mp4", "serial")
    other = redone = killed = turn = 0
    had = []
    while killed < RENDER_KILLS and turn < 4 * RENDER_KILLS:  # on a machine with other work some are over first
        executor = ("serial", "pool")[turn % 2]
        project = kills.fresh_copy(pristine, folder / "project")
        out = folder / "out" / f"{turn}.mp4"
        # From the first work to the last moments, wherever that is on this machine.
        finished = kills.kill_render(project, out, executor, wanted.seconds * (0.25 + 0.55 * chance.random()))
        killed += finished >= 0
        turn += 1
        if finished < 0:
            continue
        again = kills.render(project, out, executor)
        other += again.digest != wanted.digest
        redone += max(0, finished - again.reused)
        had.append(finished)
    report.reach("render_kills", killed)
    report.reach("render_other_bytes", other)
    report.reach("render_redone", redone)
    report.note(f"Of {wanted.rendered} segments the killed renders had finished {had}.")
    _exports(report, folder, folder / "whole", wanted)
    _reattach(report, folder, pristine)


def _exports(report: Report, folder: Path, project: Path, wanted: kills.Rendered) -> None:
    """`project` is rendered already, so a run is nearly all writing."""
    chance, halves, times = random.Random(3), 0, 0
    out = folder / "out" / "export.mp4"
    whole = kills.render(project, out, "serial")
    size, before = out.stat().st_size, out.read_bytes()
    for turn in range(EXPORT_KILLS):
        old = turn % 2 == 1  # over an older clip, or where none is
        out.unlink(missing_ok=True)
        if old:
            out.write_bytes(before)
        command = kills.render_command(project, out, "serial", "--force")
        child = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, start_new_session=True, text=True)
        assert child.stderr
        for line in child.stderr:
            if line.startswith("Writing the clip"):
                break
        time.sleep(chance.random() * 0.2)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stderr.close()
        halves += out.exists() and out.read_bytes() != before
        halves += old and not out.exists()
        times += 1
    for share in (0.05, 0.5, 0.98):
        out.write_bytes(before)
        halves += not _refuses_on_a_full_disk(project, out, int(size * share)) or out.read_bytes() != before
        times += 1
    halves += whole.digest != wanted.digest
    report.reach("export_kills", times)
    report.reach("export_halves", int(halves))


def _refuses_on_a_full_disk(project: Path, out: Path, most: int) -> bool:
    """Whether an export on a disk that takes `most` bytes of a file ends with one sentence about room."""
    limits = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most})); "
    command = [*kills.render_command(project, out, "serial", "--force")[4:]]
    code = f"{limits}from engine.commands.cli import main; sys.exit(main(sys.argv[1:]))"
    ran = subprocess.run([sys.executable, "-c", code, *command], env=environment(), capture_output=True, text=True)
    said = ran.stderr.strip().splitlines()[-1:] or [""]
    return ran.returncode == 1 and ("free" in said[0] or "room" in said[0])


def _reattach(report: Report, folder: Path, pristine: Path) -> None:
    project = kills.fresh_copy(pristine, folder / "project")
    with editor_server(folder / "home", str(project)) as server:
        server.wait_for("/")
        kills.post_act(server, "add_point", {"frame": 40, "subject": 1, "x": 100, "y": 150})  # masks are carried after it
        spent = []
        while not (job := server.status()["job"]) or job["kind"] != "carry":
            time.sleep(0.05)
        for _ in range(10):
            started = time.perf_counter()
            server.get("/")
            assert server.status()["job"]["id"] == job["id"]
            spent.append(time.perf_counter() - started)
    report.reach("reattach_s", max(spent))
