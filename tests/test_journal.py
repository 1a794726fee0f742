"""The project on disk: what is acknowledged is there, undo survives a restart, objects are what their keys say."""

import json
import sqlite3
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine import acts
from engine.errors import ProjectError
from engine.journal import Journal
from engine.project import SCHEMA, Project, from_json, to_json
from engine.types import Edit, FrameRange, Subject, Take, Video


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


class UndoMachine(RuleBasedStateMachine):
    """The journal against a plain list, with restarts at any moment."""

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.folder = Path(tempfile.mkdtemp()) / "p"
        self.journal = Journal.create(self.folder, blank())
        self.history, self.at = [()], 0

    @rule(frame=st.integers(0, 49))
    def add(self, frame):
        before = self.journal.project
        after = acts.add_anchor(before, frame=frame)
        if after is not before:
            self.journal.record(after, "Add")
            self.history = [*self.history[: self.at + 1], self._frames()]
            self.at += 1

    @precondition(lambda self: self.at > 0)
    @rule()
    def undo(self):
        self.journal.undo()
        self.at -= 1

    @precondition(lambda self: self.at < len(self.history) - 1)
    @rule()
    def redo(self):
        self.journal.redo()
        self.at += 1

    @rule()
    def crash_and_reopen(self):
        # No close: what was acknowledged must be there without it.
        self.journal = Journal(self.folder)

    def _frames(self):
        return tuple(anchor.frame for anchor in self.journal.project.edit.anchors)

    @invariant()
    def same_as_model(self):
        assert self._frames() == self.history[self.at]


TestUndo = UndoMachine.TestCase
TestUndo.settings = settings(max_examples=25, stateful_step_count=25, deadline=None, derandomize=True)
