"""A clip that was moved is found, another one is not taken for it, and an unchanged one is not read again to be sure."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction

import pytest

from engine.document import acts
from engine.editor import Editor
from engine.errors import MediaError
from engine.media import reader as media_reader
from engine.store.clips import AnotherClip, find_clip, mark_of
from tests.media_fixtures import Clip, write_drawn_clip

FRAMES = 6


@pytest.fixture
def clip(tmp_path):
    return write_drawn_clip(tmp_path / "shot.mp4", Clip(frames=FRAMES))


@pytest.fixture
def editor(tmp_path, clip):
    opened = Editor.create(tmp_path / "project", clip)
    opened.act(acts.add_anchor, "Add anchor", frame=2)
    yield opened
    opened.close()


def reopened(editor):
    editor.close()
    return Editor(editor.workspace.folder)


def test_an_unchanged_clip_is_not_read_again_and_a_changed_one_is(editor, clip, tmp_path, monkeypatch):
    read = []
    whole = media_reader._digest
    monkeypatch.setattr(media_reader, "_digest", lambda path: (read.append(path.name), whole(path))[1])
    again = reopened(editor)
    again.picture(0)
    assert read == []
    os.utime(clip, (1, 1))  # looks changed: read, found the same, remembered
    again = reopened(again)
    again.picture(0)
    assert read == ["shot.mp4"]
    again = reopened(again)
    again.picture(0)
    assert read == ["shot.mp4"]
    again.close()
    write_drawn_clip(clip, Clip(frames=FRAMES + 1))
    again = Editor(tmp_path / "project")
    with pytest.raises(MediaError, match="changed"):
        again.picture(0)
    again.close()


def test_a_project_without_its_clip_opens_and_finds_it_again(editor, clip, tmp_path):
    before = editor.picture(3).copy()
    deep = tmp_path / "archive" / "2024" / "march"
    deep.mkdir(parents=True)
    (tmp_path / "archive" / "shot.mp4").write_bytes(b"same name, no clip")
    write_drawn_clip(tmp_path / "archive" / "2024" / "shot.mp4", Clip(frames=FRAMES, rate=Fraction(30)))
    shutil.move(clip, deep / "renamed.mov")  # found by its size
    again = reopened(editor)
    assert [a.frame for a in again.project.edit.anchors] == [2] and again.material.segments == []
    with pytest.raises(MediaError, match="where it is now"):
        again.picture(0)
    rev = again.rev
    again.relink(tmp_path / "archive")
    assert (again.picture(3) == before).all() and again.rev == rev  # no act: undo must not lose the clip again
    again.undo()
    assert (again.picture(3) == before).all()
    again = reopened(again)
    assert find_clip(again.workspace, again.project.video) == deep / "renamed.mov"
    again.close()


def test_a_folder_without_the_clip_says_what_was_looked_at(editor, clip, tmp_path):
    clip.unlink()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    with pytest.raises(MediaError, match="1 files in “other”: none has its name or size"):
        editor.relink(tmp_path / "other")
    (tmp_path / "other" / "SHOT.mp4").write_bytes(b"x")
    with pytest.raises(MediaError, match="1 of its name or size are others"):
        editor.relink(tmp_path / "other")
    with pytest.raises(MediaError, match="cannot be opened"):
        editor.relink(tmp_path / "nowhere.mp4")


def test_another_clip_is_refused_or_accepted_in_so_many_words(editor, clip, tmp_path):
    other = write_drawn_clip(tmp_path / "graded.mp4", Clip(frames=FRAMES, options={"crf": "30"}))
    shorter = write_drawn_clip(tmp_path / "shorter.mp4", Clip(frames=FRAMES - 1))
    digest = editor.project.video.digest
    with pytest.raises(AnotherClip, match="5 frames of 192×112 where the project's has 6"):
        editor.relink(shorter)
    with pytest.raises(MediaError, match="would not fit"):
        editor.relink(shorter, accept=True)
    with pytest.raises(AnotherClip, match="accept it"):
        editor.relink(other)
    assert editor.project.video.digest == digest
    editor.relink(other, accept=True)
    assert editor.project.video.digest != digest and [a.frame for a in editor.project.edit.anchors] == [2]
    graded = editor.picture(3).copy()
    assert editor.journal.labels()[0] == "Replace clip"
    editor.undo()
    assert editor.project.video.digest == digest and not (editor.picture(3) == graded).all()
    editor.redo()
    assert (editor.picture(3) == graded).all()


def test_the_mark_of_stills_changes_with_any_of_them(tmp_path):
    folder = tmp_path / "stills"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number:03}.png").write_bytes(b"x")
    before = mark_of(folder)
    assert before and mark_of(folder) == before and mark_of(tmp_path / "nothing") == ""
    (folder / "001.png").write_bytes(b"xy")
    assert mark_of(folder) != before
