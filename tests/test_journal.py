"""The project on disk: what is acknowledged is there, undo survives a restart, objects are what their keys say."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.document import acts
from engine.document.project import SCHEMA, Project, from_json, to_json
from engine.errors import ProjectError
from engine.store.journal import Journal
from engine.types import Edit, FrameRange, Subject, Take, Video
from tests.conftest import ROOT


def blank(frames: int = 50) -> Project:
    video = Video(
        "clip.mp4", "0" * 64, "file", (48, 64), Fraction(25), Fraction(1, 12800), np.arange(frames, dtype=np.int64) * 512
    )
    return Project("Blank", video, FrameRange(0, frames), (Subject(1, "Ball", "#56b4e9"),), (), (Edit(),))


def full() -> Project:
    project = blank()
    project = acts.add_point(project, frame=3, subject=1, x=10.5, y=20, label=-1)
    project = acts.set_box(project, frame=3, subject=1, box=[1, 2, 30, 40])
    project = acts.add_stroke(project, frame=4, subject=1, xy=[[1, 2], [3.25, 4]], radius=6, mode="erase")
    project = acts.add_take(project, frame=9, take=Take("ab" * 32, "effect", "recolour", 3, {"colour": "#112233"}))
    return acts.choose_take(project, frame=9, key="ab" * 32, region="cd" * 32)


def as_after_a_crash(folder: Path) -> Path:
    """A copy of the folder as it lies on the disk this moment, with nothing closed: what a killed process leaves."""
    copy = Path(tempfile.mkdtemp()) / "p"
    copy.mkdir()
    for path in folder.iterdir():
        if path.is_file() and not path.name.endswith("-shm"):  # shared memory is no file that survives
            shutil.copy(path, copy / path.name)
    return copy


def test_document_round_trips_through_json():
    document = to_json(full())
    assert to_json(from_json(json.loads(json.dumps(document)))) == document


def test_variable_frame_times_round_trip_exactly():
    pts = np.cumsum(np.array([7, 500, 500, 33, 33, 1001, 1], np.int64))
    video = blank().video
    uneven = Video(video.path, video.digest, "file", video.size, video.rate, video.time_base, pts)
    project = Project("Uneven", uneven, FrameRange(0, len(pts)))
    assert from_json(to_json(project)).video.pts.tolist() == pts.tolist()


def test_newer_schema_is_refused_with_a_sentence():
    with pytest.raises(ProjectError, match="newer Anchorline"):
        from_json({**to_json(blank()), "schema": SCHEMA + 1})


def test_damaged_document_is_refused():
    document = to_json(blank())
    del document["video"]["pts"]
    with pytest.raises(ProjectError, match="damaged"):
        from_json(document)


def test_undo_survives_a_restart(tmp_path):
    journal = Journal.create(tmp_path / "p", blank())
    journal.record(acts.add_anchor(journal.project, frame=5), "Add anchor")
    journal.record(acts.add_anchor(journal.project, frame=8), "Add anchor")
    journal.close()
    again = Journal(tmp_path / "p")
    assert [a.frame for a in again.project.edit.anchors] == [5, 8]
    again.undo()
    assert again.labels() == ("Add anchor", "Add anchor")
    assert [a.frame for a in again.undo().edit.anchors] == []
    with pytest.raises(ProjectError, match="Nothing to undo"):
        again.undo()
    assert [a.frame for a in again.redo().edit.anchors] == [5]


def test_a_drag_is_one_item_of_undo(tmp_path):
    journal = Journal.create(tmp_path / "p", blank())
    for grow in range(1, 30):
        journal.record(acts.shape_subject(journal.project, subject=1, grow=grow), "Shape", merge="shape:1")
    assert journal.undo().subjects[0].grow == 0


def test_unmarked_folder_and_taken_folder_are_refused(tmp_path):
    with pytest.raises(ProjectError, match="not an Anchorline project"):
        Journal(tmp_path)
    Journal.create(tmp_path / "p", blank()).close()
    with pytest.raises(ProjectError, match="holds a project already"):
        Journal.create(tmp_path / "p", blank())


def test_project_of_a_newer_layout_is_refused(tmp_path):
    Journal.create(tmp_path / "p", blank()).close()
    with sqlite3.connect(tmp_path / "p" / "project.db") as db:
        db.execute("update meta set value = '99' where name = 'layout'")
    with pytest.raises(ProjectError, match="newer Anchorline"):
        Journal(tmp_path / "p")


def test_objects_are_content_addressed(tmp_path):
    journal = Journal.create(tmp_path / "p", blank())
    key = journal.objects.put(b"picture")
    assert journal.objects.put(b"picture") == key
    assert journal.objects.get(key) == b"picture"
    for bad in ("", "../x", "g" * 64, key.upper()):
        with pytest.raises(ProjectError):
            journal.objects.get(bad)
    with pytest.raises(ProjectError, match="missing"):
        journal.objects.get("0" * 64)


@pytest.fixture
def journal(tmp_path):
    opened = Journal.create(tmp_path / "p", blank())
    yield opened
    opened.close()


def parts_in(journal):
    with sqlite3.connect(journal.folder / "project.db") as db:
        return db.execute("select count(*) from part").fetchone()[0]


def test_a_version_shares_what_the_act_left_alone(journal):
    for frame in range(20):
        journal.record(acts.add_stroke(journal.project, frame=frame, subject=1, xy=[[1, frame]] * 50, radius=3), "Stroke")
    before = parts_in(journal)
    journal.record(acts.add_stroke(journal.project, frame=0, subject=1, xy=[[9, 9]], radius=3), "Stroke")
    assert parts_in(journal) == before + 2  # the stroke, and its keyframe
    journal.record(acts.rename(journal.project, name="Other"), "Rename")
    journal.undo()
    assert parts_in(journal) == before + 2
    again = journal.project.keyframes[3]
    journal.redo()
    assert journal.project.keyframes[3] is again  # not read twice


def test_a_drag_leaves_the_parts_of_its_last_version_only(journal):
    before = parts_in(journal)
    for x in range(30):
        journal.record(acts.set_box(journal.project, frame=0, subject=1, box=[x, 0, x + 3, 9]), "Box", merge="box")
    assert parts_in(journal) == before + 1
    assert journal.undo().keyframes == () and journal.redo().keyframes[0].box == (29, 0, 32, 9)


def test_an_act_that_could_not_be_written_leaves_nothing_behind(journal, monkeypatch):
    first = acts.add_stroke(journal.project, frame=0, subject=1, xy=[[1, 1]], radius=3)
    monkeypatch.setattr(Journal, "_advance", lambda self, db, head: db.execute("no such statement"))
    with pytest.raises(ProjectError, match="cannot be saved"):
        journal.record(first, "Stroke")
    monkeypatch.undo()
    assert journal.project.keyframes == () and journal.rev == 1
    journal.record(acts.add_stroke(journal.project, frame=5, subject=1, xy=[[2, 2]], radius=3), "Stroke")
    journal.record(first, "Stroke")
    folder = as_after_a_crash(journal.folder)
    back = Journal(folder)
    assert json.dumps(to_json(back.project)) == json.dumps(to_json(first))
    assert [key.frame for key in back.undo().keyframes] == [5]
    back.close()


def test_undo_says_what_it_took_back_and_where(journal):
    journal.record(acts.add_anchor(journal.project, frame=12), "Add anchor", place=12)
    journal.record(acts.rename(journal.project, name="B"), "Rename")
    journal.undo()
    assert journal.moved == ("Rename", None)
    journal.undo()
    assert journal.moved == ("Add anchor", 12)
    journal.redo()
    assert journal.moved == ("Add anchor", 12)


def test_a_row_that_cannot_be_read_never_becomes_the_head(journal):
    journal.record(acts.add_anchor(journal.project, frame=1), "A")
    journal.record(acts.add_anchor(journal.project, frame=2), "B")
    with sqlite3.connect(journal.folder / "project.db") as db:
        db.execute("update act set document = x'00' where id = 2")
    with pytest.raises(ProjectError, match="damaged"):
        journal.undo()
    assert [a.frame for a in journal.project.edit.anchors] == [1, 2]
    folder = as_after_a_crash(journal.folder)
    again = Journal(folder)
    assert [a.frame for a in again.project.edit.anchors] == [1, 2]
    again.close()


def test_an_object_and_its_name_are_on_the_disk_before_the_journal_can_tell_of_it(journal, monkeypatch):
    """Every write, sync and rename in order: what a power cut takes is what was not synced before it."""
    log = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (log.append(("sync", os.path.realpath(f"/proc/self/fd/{fd}"))), real_sync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (log.append(("rename", str(a), str(b))), real_replace(a, b))[1])
    key = journal.objects.put(b"picture")
    path = journal.objects.path(key)
    renamed = next(i for i, one in enumerate(log) if one[0] == "rename")
    assert log[renamed][2] == str(path) and ("sync", log[renamed][1]) in log[:renamed]
    assert ("sync", str(path.parent)) in log[renamed:] and ("sync", str(journal.objects.folder)) in log[:renamed]


# --- a second opener --------------------------------------------------------------------------------------


def test_a_second_opener_reads_along_and_takes_over_when_it_may(journal):
    second = Journal(journal.folder)
    assert "open in another" in second.why_read_only and "copy" in second.why_read_only and not journal.why_read_only
    journal.record(acts.add_anchor(journal.project, frame=3), "Add anchor")
    assert second.rev == journal.rev and [a.frame for a in second.project.edit.anchors] == [3]
    for work in (
        lambda: second.record(acts.rename(second.project, name="X"), "Rename"),
        second.undo,
        second.redo,
        lambda: second.set_note("a", "b"),
        lambda: second.save_job("1", {}),
    ):
        with pytest.raises(ProjectError, match="open in another"):
            work()
    assert second.labels() == ("Add anchor", None)
    journal.close()
    second.record(acts.rename(second.project, name="Mine now"), "Rename")
    assert not second.why_read_only and Journal(journal.folder).project.name == "Mine now"
    second.close()


def test_taking_over_what_has_changed_meanwhile_asks_to_look_first(journal):
    second = Journal(journal.folder)
    stale = acts.rename(second.project, name="Stale")
    journal.record(acts.add_anchor(journal.project, frame=3), "Add anchor")
    journal.close()
    with pytest.raises(ProjectError, match="repeat your last step"):
        second.record(stale, "Rename")
    assert [a.frame for a in second.project.edit.anchors] == [3]
    second.record(acts.rename(second.project, name="Fresh"), "Rename")
    second.close()


OTHER = """
import sys, time
from pathlib import Path
from engine.document import acts
from engine.store.journal import Journal
journal = Journal(Path(sys.argv[1]))
for frame in range(int(sys.argv[2])):
    stroke = dict(frame=frame % 40, subject=1, xy=[[1, 2]], radius=2)
    journal.record(acts.add_stroke(journal.project, **stroke), "Stroke", merge=sys.argv[3])
    print(journal.rev, flush=True)
time.sleep(60)
"""


def test_another_process_is_followed_while_it_drags_and_taken_over_when_it_is_killed(tmp_path):
    folder = tmp_path / "p"
    Journal.create(folder, blank()).close()
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(folder), "150", "drag"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout and other.stdout.readline()
    mine = Journal(folder)
    assert f"process {other.pid}" in mine.why_read_only
    seen = 0
    while mine.rev < 151:
        assert mine.rev >= seen
        seen = mine.rev
        assert all(key.strokes for key in mine.project.keyframes)
    other.kill()
    other.wait()
    mine.record(acts.rename(mine.project, name="Taken over"), "Rename")
    assert not mine.why_read_only and sum(len(key.strokes) for key in mine.project.keyframes) == 150
    mine.close()


def test_a_folder_that_may_not_be_written_is_shown(journal):
    journal.record(acts.add_anchor(journal.project, frame=3), "Add anchor")
    journal.close()
    journal.folder.chmod(0o500)
    try:
        if os.access(journal.folder, os.W_OK):
            pytest.skip("this user may write everywhere")
        shown = Journal(journal.folder)
        assert "may not be written" in shown.why_read_only and len(shown.project.edit.anchors) == 1
        shown.close()
    finally:
        journal.folder.chmod(0o700)


def test_jobs_are_written_with_their_document_until_they_end(journal):
    for number in range(205):
        journal.save_job(f"j{number}", {"id": f"j{number}", "active": False})
    assert journal.job("j0") is None and journal.job("j204") and len(journal.jobs(500)) == 200
    journal.save_job("x", {"id": "x", "active": True}, {"schema": 1})
    journal.save_job("x", {"id": "x", "active": True, "done": 3})
    assert journal.job_document("x") == {"schema": 1} and journal.job("x")["done"] == 3
    journal.save_job("x", {"id": "x", "active": False})
    assert journal.job_document("x") is None and journal.job("nobody") is None


class UndoMachine(RuleBasedStateMachine):
    """The journal against a plain list, with drags, undo, redo, restarts and crashes at any moment."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp()) / "p"
        self.journal = Journal.create(self.folder, blank())
        self.history, self.at, self.dragging = [to_json(self.journal.project)], 0, False

    def _acted(self, project, merge=None):
        self.journal.record(project, "Act", merge, place=7)
        new = to_json(project)
        if merge and self.dragging and self.at > 0:
            self.history = [*self.history[: self.at], new]
        else:
            self.history = [*self.history[: self.at + 1], new]
            self.at += 1
        self.dragging = bool(merge)

    @rule(frame=st.integers(0, 49))
    def anchor(self, frame):
        before = self.journal.project
        after = acts.add_anchor(before, frame=frame)
        if after is not before:
            self._acted(after)

    @rule(frame=st.integers(0, 3), x=st.floats(0, 63, allow_nan=False), size=st.integers(1, 5))
    def stroke(self, frame, x, size):
        line = [[x, y] for y in range(size)]
        self._acted(acts.add_stroke(self.journal.project, frame=frame, subject=1, xy=line, radius=2))

    @rule(frame=st.integers(0, 3))
    def clear(self, frame):
        self._acted(acts.clear_keyframe(self.journal.project, frame=frame, subject=1))

    @rule(grow=st.integers(-100, 100))
    def drag_value(self, grow):
        self._acted(acts.shape_subject(self.journal.project, subject=1, grow=grow), "drag")

    @rule(x=st.floats(0, 63, allow_nan=False))
    def drag_box(self, x):
        self._acted(acts.set_box(self.journal.project, frame=1, subject=1, box=[x, 0, x + 2, 9]), "drag")

    @precondition(lambda self: self.at > 0)
    @rule()
    def undo(self):
        self.journal.undo()
        self.at, self.dragging = self.at - 1, False
        assert self.journal.moved == ("Act", 7)

    @precondition(lambda self: self.at < len(self.history) - 1)
    @rule()
    def redo(self):
        self.journal.redo()
        self.at, self.dragging = self.at + 1, False

    @rule()
    def restart(self):
        self.journal.close()
        self.journal, self.dragging = Journal(self.folder), False

    @rule()
    def crash_and_reopen(self):
        copy = as_after_a_crash(self.folder)
        self.journal.close()
        self.folder = copy
        self.journal, self.dragging = Journal(self.folder), False

    @invariant()
    def same_as_model(self):
        # Through text: a document read from the disk has lists where one in memory has tuples.
        assert json.dumps(to_json(self.journal.project)) == json.dumps(self.history[self.at])

    def teardown(self):
        self.journal.close()


TestUndo = UndoMachine.TestCase
TestUndo.settings = settings(max_examples=25, stateful_step_count=25, deadline=None, derandomize=True)
