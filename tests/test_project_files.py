"""The files of a project: a disk that is full in any step, files that vanish, what killed processes left."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.document import acts
from engine.editor import Editor
from engine.errors import EngineError
from engine.media.images import encode_png
from engine.media.records import RecordReader, RecordWriter, covered
from engine.media.writer import ExportSettings
from engine.progress import Progress
from engine.rendering.render import carry, dirty_segments, export, prepare_clip, propagate, spans_to_carry
from engine.store.workspace import Workspace
from engine.types import FrameRange
from tests.recipes import BOX, clip_in

FRAMES = 16


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    opened = Editor.create(tmp_path / "project", clip_in(tmp_path, FRAMES))
    yield opened
    opened.close()


@contextlib.contextmanager
def full_disk(most: int = 300) -> Iterator[None]:
    """No file of this process can become longer than `most` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refused(work: Callable[[], object]) -> str:
    """What is said when the disk is full."""
    with full_disk(), pytest.raises(EngineError) as error:
        work()
    said = str(error.value)
    assert "\n" not in said and ("free" in said or "room" in said), said
    return said


def mark(editor: Editor) -> None:
    editor.act(acts.set_box, "Box", frame=0, subject=1, box=BOX)


def take(editor: Editor) -> None:
    editor.approve(0, editor.effect_take(0, "recolour", {"colour": "#2050ff"}).key)


def write(editor: Editor, name: str) -> None:
    export(editor.material, editor.workspace.folder / name, ExportSettings("prores"), Progress())


def test_every_step_names_a_full_disk_and_can_be_done_once_there_is_room(editor: Editor) -> None:
    steps: list[Callable[[], object]] = [
        lambda: mark(editor),
        lambda: prepare_clip(editor.material, Progress()),
        lambda: carry(editor.material, spans_to_carry(editor.material), Progress()),
        lambda: take(editor),
        lambda: propagate(editor.material, Progress()),
        lambda: write(editor, "out.mov"),
    ]
    for step in steps:
        before = editor.rev
        refused(step)
        assert editor.rev == before and list((editor.workspace.cache / "scratch").glob("*")) == []
        assert not list(editor.workspace.folder.glob("*out*")) and not list(editor.workspace.folder.glob("objects/*/*.tmp"))
        step()
    assert dirty_segments(editor.material) == [] and (editor.workspace.folder / "out.mov").exists()
    again = Editor(editor.workspace.folder)
    assert again.rev == editor.rev and again.project.edit.approved
    again.close()


def test_undo_on_a_full_disk_leaves_the_document_as_it_was(editor: Editor) -> None:
    for number in range(40):
        editor.act(acts.rename, "Rename", name=f"{number}" * 50)
    name, rev = editor.project.name, editor.rev
    refused(editor.undo)
    assert (editor.project.name, editor.rev) == (name, rev)
    assert editor.undo().name != name


def test_a_project_that_cannot_be_made_leaves_no_database(tmp_path: Path) -> None:
    clip = clip_in(tmp_path, 4)
    assert "project" in refused(lambda: Editor.create(tmp_path / "project", clip))
    assert list((tmp_path / "project").iterdir()) == []
    Editor.create(tmp_path / "project", clip).close()


def test_a_record_set_whose_disk_was_full_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    with full_disk(1000), pytest.raises(EngineError, match="disk space"), RecordWriter(folder) as writer:
        for frame in range(5):
            writer.append(frame, bytes([frame]) * 300)
    with RecordWriter(folder) as writer:
        assert writer.frames == [0, 1, 2]
        for frame in (3, 4):
            writer.append(frame, bytes([frame]) * 300)
        writer.finish({"fine": True})
    reader = RecordReader(folder)
    assert [reader.get(frame) for frame in range(5)] == [bytes([frame]) * 300 for frame in range(5)]
    assert reader.meta == {"fine": True} and covered(folder) == FrameRange(0, 5)
    reader.close()


def test_covered_of_nothing_is_empty(tmp_path: Path) -> None:
    assert len(covered(tmp_path / "none")) == 0
    with RecordWriter(tmp_path / "records"):
        assert len(covered(tmp_path / "records")) == 0


def test_a_clip_that_goes_away_or_changes_is_named_and_the_project_stays(editor: Editor, tmp_path: Path) -> None:
    mark(editor)
    folder = editor.workspace.folder
    editor.close()
    (tmp_path / "in.mp4").rename(tmp_path / "away.mp4")
    again = Editor(folder)
    with pytest.raises(EngineError, match=r"in\.mp4 is gone"):
        again.picture(0)
    assert again.project.keyframes
    clip_in(tmp_path, FRAMES + 4)
    with pytest.raises(EngineError, match="changed"):
        again.picture(0)
    (folder / "media").mkdir(exist_ok=True)
    (tmp_path / "in.mp4").unlink()
    (tmp_path / "away.mp4").rename(folder / "media" / "in.mp4")
    assert again.picture(0).shape == (112, 192, 3)
    again.close()


def test_objects_that_vanished_are_named(editor: Editor) -> None:
    mark(editor)
    key = editor.project.keyframes[0].mask
    assert key
    editor.journal.objects.path(key).unlink()
    with pytest.raises(EngineError, match="objects folder"):
        editor.material.alpha(1, 0)
    assert editor.undo().keyframes == ()


def test_what_killed_processes_left_is_swept_and_what_lives_stays(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    workspace = Workspace(tmp_path)
    left = [workspace.cache / "scratch" / f"{gone.pid}-abc", workspace.exports / f".clip.part-{gone.pid}"]
    kept = [
        workspace.cache / "scratch" / f"{os.getpid()}-abc",
        workspace.exports / "clip",
        workspace.exports / f".x.part-{os.getpid()}",
    ]
    for folder in left + kept:
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    (workspace.exports / f".film.part-{gone.pid}.mp4").write_text("x")
    workspace.sweep()
    assert sorted(p.name for p in [*workspace.exports.iterdir(), *(workspace.cache / "scratch").iterdir()]) == sorted(
        p.name for p in kept
    )


def test_a_take_of_another_size_is_refused(editor: Editor) -> None:
    with pytest.raises(EngineError, match="192×112"):
        editor.picture_take(0, np.zeros((50, 60, 3), np.uint8), "imported", "small")
    stranger = editor.journal.objects.put(encode_png(np.zeros((112, 192, 3), np.uint8)))
    with pytest.raises(EngineError, match="no such take"):
        editor.paint_take(0, np.full((112, 192, 4), 255, np.uint8), stranger)
