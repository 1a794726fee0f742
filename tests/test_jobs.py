"""Jobs run in workers of their own: cancelled at once and gone soon, resumed after any death, never "running" for ever."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.commands import batch
from engine.commands.recipe import read_recipe
from engine.document.project import to_json
from engine.editor import Editor
from engine.errors import ProjectError
from engine.jobs import Job, JobManager
from engine.progress import Progress
from engine.store.processes import Owner, started
from tests.conftest import ROOT
from tests.recipes import box_in, clip_in, edit_recipe, write_recipe

SIZE = (240, 320)
GONE = 1.6  # seconds: about one, on a busy machine


def project_in(folder: Path, frames: int = 28, *, anchors: tuple[int, ...] = (0, 14)) -> Path:
    """A project with a marked disc and approved takes on frames that need no carried masks; nothing is computed yet."""
    clip_in(folder, frames, size=SIZE)
    keys = [{"frame": frame, "box": box_at(frame)} for frame in anchors]
    takes = [{"frame": frame, "effect": {"name": "recolour", "colour": "#2050ff"}} for frame in anchors]
    recipe = read_recipe(write_recipe(folder, edit_recipe(subjects=[{"id": 1, "keyframes": keys}], anchors=takes)))
    editor = batch.open_project(folder / "project", recipe, batch.look_at(recipe))
    batch.play(editor, recipe, Progress())
    editor.close()
    return folder / "project"


def box_at(frame: int) -> list[int]:
    shift = int(SIZE[1] * 0.6 * frame / 40)
    x0, y0, x1, y1 = box_in(SIZE)
    return [x0 + shift, y0, x1 + shift, y1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the clip, and the project that every test gets a copy of."""
    return project_in(tmp_path_factory.mktemp("made")).parent


@pytest.fixture
def editor(made: Path, tmp_path: Path) -> Iterator[Editor]:
    opened = Editor(shutil.copytree(made / "project", tmp_path / "project"))
    yield opened
    opened.close()


@pytest.fixture
def jobs() -> Iterator[JobManager]:
    manager = JobManager()
    yield manager
    manager.close()


def wait_for(what: Callable[[], object], seconds: float = 120, pause: float = 0.005) -> float:
    """Seconds until `what` came true; fails when it does not."""
    started = time.monotonic()
    while not what():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(pause)
    return time.monotonic() - started


def ended(job: Job) -> str:
    wait_for(lambda: not job.active)
    return job.state


def forget(editor: Editor, *names: str) -> None:
    """Takes computed files away."""
    for name in names:
        for path in sorted((editor.workspace.cache).glob(name), reverse=True):
            if path.is_file():
                path.unlink()


def scratch(editor: Editor) -> list[Path]:
    return list((editor.workspace.cache / "scratch").glob("*"))


def test_a_job_runs_to_its_end_and_is_written_down(editor: Editor, jobs: JobManager) -> None:
    job = jobs.submit(editor.journal, "propagate")
    assert jobs.submit(editor.journal, "propagate") is job
    assert ended(job) == "done" and "rendered: 2" in job.message and job.result["outside_mask_max_abs"] == 0
    assert job.done == job.total > 0
    wait_for(lambda: editor.journal.jobs()[0]["state"] == "done")
    again = jobs.submit(editor.journal, "propagate")
    assert ended(again) == "done" and "rendered: 0; reused: 2" in again.message
    assert jobs.current(editor.journal) is again and jobs.get("nobody") is None


PHASES = {
    "Preparing the clip": ("prepare", ["pack-*/*"]),
    "Reading the motion": ("carry", ["masks/*/*", "motion-*/*"]),
    "Carrying masks": ("carry", ["masks/*/*"]),
    "Propagating": ("propagate", ["segments/*/*"]),
    "Writing the clip": ("export", []),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancelled_job_is_over_at_once_and_its_worker_soon(editor: Editor, jobs: JobManager, phase: str) -> None:
    kind, missing = PHASES[phase]
    args = {"out": str(editor.workspace.folder / "out.mov"), "codec": "prores"} if kind == "export" else {}
    forget(editor, *missing)
    job = jobs.submit(editor.journal, kind, args)
    wait_for(lambda: job.phase == phase or not job.active)
    assert job.active, f"over before it was in {phase}"
    process = job.process
    started = time.monotonic()
    jobs.cancel(job)
    assert time.monotonic() - started < 2 and job.state == "cancelled" and process is not None
    assert wait_for(lambda: process.poll() is not None) < GONE
    wait_for(lambda: scratch(editor) == [])
    assert not list(editor.workspace.folder.glob("*out*"))
    again = jobs.submit(editor.journal, kind, args)
    assert ended(again) == "done", again.message
    assert job.state == "cancelled"


def test_a_worker_deep_in_one_call_is_gone_as_soon(editor: Editor, jobs: JobManager) -> None:
    """A worker that cannot look up (here: stopped) is killed."""
    job = jobs.submit(editor.journal, "propagate")
    wait_for(lambda: job.phase)
    process = job.process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    jobs.cancel(job)
    assert wait_for(lambda: process.poll() is not None) < 5
    wait_for(lambda: scratch(editor) == [])


def test_a_job_cancelled_before_it_has_a_process_never_runs(editor: Editor, jobs: JobManager) -> None:
    for _ in range(3):
        job = jobs.submit(editor.journal, "propagate")
        jobs.cancel(job)
        assert job.state == "cancelled"
    last = jobs.submit(editor.journal, "carry")
    assert ended(last) == "done"
    assert [one.state for one in jobs.of(editor.journal)] == ["cancelled"] * 3 + ["done"]


def test_a_killed_worker_is_replaced_and_only_unfinished_segments_are_done_again(editor: Editor, jobs: JobManager) -> None:
    job = jobs.submit(editor.journal, "propagate")
    segments = editor.workspace.segment("x").parent
    wait_for(lambda: list(segments.glob("*/done.json")) or not job.active)
    assert job.active and job.process
    job.process.kill()
    wait_for(lambda: "attempt 2 of 3" in job.message)
    assert ended(job) == "done" and "rendered: 1; reused: 1" in job.message
    wait_for(lambda: scratch(editor) == [] and editor.journal.jobs()[0]["state"] == "done")


def test_a_worker_that_is_killed_three_times_is_a_failed_job_with_a_sentence(editor: Editor, jobs: JobManager) -> None:
    job = jobs.submit(editor.journal, "propagate")
    killed: set[int] = set()
    while job.active:
        process = job.process
        if process is not None and process.pid not in killed and process.poll() is None:
            killed.add(process.pid)
            process.kill()
        time.sleep(0.005)
    assert job.state == "failed" and len(killed) == 3 and "3 times" in job.message and "run it again" in job.message
    wait_for(lambda: scratch(editor) == [] and editor.journal.jobs()[0]["state"] == "failed")
    again = jobs.submit(editor.journal, "propagate")
    assert ended(again) == "done"


def test_a_named_failure_is_told_and_a_bug_says_so(editor: Editor, jobs: JobManager, made: Path) -> None:
    (made / "in.mp4").rename(made / "away.mp4")
    job = jobs.submit(editor.journal, "export", {"out": str(made / "x.mp4"), "codec": "h264"})
    assert ended(job) == "failed" and "in.mp4 is gone" in job.message
    job = jobs.submit(editor.journal, "export", {})
    (made / "away.mp4").rename(made / "in.mp4")
    assert ended(job) == "failed" and "Traceback" not in job.message


def test_closing_stops_the_workers(editor: Editor) -> None:
    manager = JobManager()
    job = manager.submit(editor.journal, "propagate")
    wait_for(lambda: job.phase)
    manager.close()
    assert job.process is not None and job.process.poll() is not None


SERVER = """
import sys, time
from pathlib import Path
from engine.editor import Editor
from engine.jobs import JobManager
editor, jobs = Editor(Path(sys.argv[1])), JobManager()
job = jobs.submit(editor.journal, "propagate")
while job.active and not job.phase.startswith("Propagating"):
    time.sleep(0.01)
print(job.process.pid, flush=True)
time.sleep(60)
"""


def killed_while_propagating(folder: Path) -> int:
    """Starts an editor on the project in a process of its own and kills it in the middle; the number of its worker."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    worker = int(server.stdout.readline())
    server.kill()
    server.wait()
    return worker


def test_the_job_of_a_killed_server_goes_on_when_the_project_is_opened_next(tmp_path: Path, jobs: JobManager) -> None:
    folder = project_in(tmp_path, 60, anchors=(0,))
    worker = killed_while_propagating(folder)
    opened = Editor(folder)  # at once: the old worker may be living its last second
    try:
        assert opened.journal.jobs()[0]["state"] == "running" and not opened.why_read_only
        jobs.adopt(opened.journal)
        opened.workspace.sweep()
        job = jobs.current(opened.journal)
        assert job is not None and job.active and "Going on" in job.message and job.kind == "propagate"
        json.dumps(job.view())
        assert ended(job) == "done" and "rendered: 1" in job.message
        wait_for(lambda: not running(worker), GONE + 1)
        wait_for(lambda: scratch(opened) == [] and opened.journal.jobs()[0]["state"] == "done")
    finally:
        opened.close()


def test_a_job_that_kills_its_server_again_and_again_is_given_up(tmp_path: Path, jobs: JobManager, editor: Editor) -> None:
    job = jobs.submit(editor.journal, "carry")
    assert ended(job) == "done"
    document = to_json(editor.project)
    body = {**job.view(), "state": "running", "active": True, "args": {}, "owner": Owner(1, "gone", Owner.here().host).as_json()}
    for number, attempts in enumerate((0, 2)):
        editor.journal.save_job(f"lost{number}", {**body, "id": f"lost{number}", "attempts": attempts}, document)
    jobs.adopt(editor.journal)
    first, second = jobs.get("lost0"), jobs.get("lost1")
    assert first and second and second.state == "interrupted" and "run it again" in second.message
    assert ended(first) == "done"


def test_the_running_job_of_another_editor_is_left_to_it(editor: Editor, jobs: JobManager) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = Owner(other.pid, started(other.pid), Owner.here().host)
    body = {"id": "theirs", "kind": "carry", "state": "running", "active": True, "args": {}, "done": 3, "total": 9}
    editor.journal.save_job("theirs", {**body, "owner": owner.as_json()}, to_json(editor.project))
    try:
        jobs.adopt(editor.journal)
        assert jobs.get("theirs") is None and editor.journal.job("theirs")["state"] == "running"  # type: ignore[index]
        second = Editor(editor.workspace.folder)
        jobs.adopt(second.journal)
        shown = jobs.current(second.journal)
        assert second.why_read_only and shown is not None and (shown.id, shown.done) == ("theirs", 3)
        with pytest.raises(ProjectError, match="open in another"):
            jobs.submit(second.journal, "carry")
        second.close()
    finally:
        other.kill()
        other.wait()
    jobs.adopt(editor.journal)
    job = jobs.get("theirs")
    assert job is not None and ended(job) == "done"


def test_what_a_closing_editor_left_in_the_queue_goes_on_in_order(editor: Editor, jobs: JobManager) -> None:
    closing = JobManager()
    first, second = closing.submit(editor.journal, "propagate"), closing.submit(editor.journal, "carry")
    wait_for(lambda: first.phase)
    closing.close()
    assert [body["state"] for body in editor.journal.jobs()] == ["queued", "queued"]
    jobs.adopt(editor.journal)
    resumed = [jobs.get(one.id) for one in (first, second)]
    assert [one and one.attempts for one in resumed] == [0, 0]
    assert [one and ended(one) for one in resumed] == ["done", "done"]


def test_an_export_that_was_finished_when_the_editor_died_is_not_written_again(editor: Editor, jobs: JobManager) -> None:
    out = editor.workspace.folder / "out.mov"
    job = jobs.submit(editor.journal, "export", {"out": str(out), "codec": "prores"})
    assert ended(job) == "done"
    written = out.stat().st_mtime_ns
    wait_for(lambda: editor.journal.jobs()[0]["state"] == "done")
    lost = {**job.view(), "id": "lost", "state": "running", "active": True, "args": job.args, "owner": None}
    editor.journal.save_job("lost", lost, to_json(editor.project))
    jobs.adopt(editor.journal)
    again = jobs.get("lost")
    assert again is not None and ended(again) == "done", again
    assert out.stat().st_mtime_ns == written and again.result["file"] == "out.mov"


def test_a_job_waits_while_another_run_works_on_the_project_and_can_be_cancelled(editor: Editor, jobs: JobManager) -> None:
    with editor.workspace.working(lambda: None):
        job = jobs.submit(editor.journal, "carry")
        wait_for(lambda: job.phase.startswith("Waiting"))
        jobs.cancel(job)
        wait_for(lambda: job.process is not None and job.process.poll() is not None, GONE)
        waits = jobs.submit(editor.journal, "carry")
        wait_for(lambda: waits.phase.startswith("Waiting"))
    assert ended(waits) == "done"


def running(process: int) -> bool:
    """Whether a process that is no child of ours works still (one that ended may wait to be buried)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_journal_that_cannot_be_written_does_not_hang_a_job(
    editor: Editor, jobs: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise ProjectError("The project cannot be saved: disk full; free some disk space and try again.")

    monkeypatch.setattr(editor.journal, "save_job", full)
    assert ended(jobs.submit(editor.journal, "propagate")) == "done"


def test_two_jobs_of_one_project_follow_each_other(editor: Editor, jobs: JobManager) -> None:
    together = []
    first, second = jobs.submit(editor.journal, "propagate"), jobs.submit(editor.journal, "carry")

    def look() -> None:
        while first.active or second.active:
            together.append(first.state == second.state == "running")
            time.sleep(0.005)

    watcher = threading.Thread(target=look)
    watcher.start()
    watcher.join(60)
    assert first.state == second.state == "done" and not any(together)
