"""Projects as a whole: copies under another name, backups brought back, what a list shows."""

from __future__ import annotations

import os

import pytest

from engine.document import acts
from engine.editor import Editor
from engine.errors import ProjectError
from engine.progress import Progress
from engine.rendering.render import dirty_segments, prepare_clip, propagate
from engine.store.backups import make_backup
from engine.store.projects import copy_project, summary_of
from tests.media_fixtures import Clip, write_drawn_clip
from tests.recipes import BOX
from tests.test_project_files import full_disk

FRAMES = 6


@pytest.fixture
def editor(tmp_path):
    (tmp_path / "project" / "media").mkdir(parents=True)
    clip = write_drawn_clip(tmp_path / "project" / "media" / "in.mp4", Clip(frames=FRAMES))
    opened = Editor.create(tmp_path / "project", clip, "First")
    opened.act(acts.set_box, "Box", frame=0, subject=1, box=BOX)
    prepare_clip(opened.material, Progress())
    opened.approve(0, opened.effect_take(0, "recolour", {"colour": "#2050ff"}).key)
    propagate(opened.material, Progress())
    yield opened
    opened.close()


def test_a_copy_has_everything_under_another_name_and_a_life_of_its_own(editor, tmp_path):
    copy_project(tmp_path / "project", tmp_path / "copy", "Second")  # while the project is open
    copy = Editor(tmp_path / "copy")
    assert copy.project.name == "Second" and not copy.why_read_only and editor.project.name == "First"
    assert dirty_segments(copy.material) == [] and (copy.material.edited(3) == editor.material.edited(3)).all()
    for _ in range(3):
        assert copy.undo().name == "Second"  # the whole history, and none of it by the old name
    with pytest.raises(ProjectError, match="Nothing to undo"):
        copy.undo()
    copy.act(acts.clear_keyframe, "Clear", frame=0, subject=1) if copy.project.keyframes else None
    copy.act(acts.set_box, "Box", frame=1, subject=1, box=BOX)
    assert len(editor.project.keyframes) == 1 and editor.project.keyframes[0].frame == 0
    (tmp_path / "copy" / "media" / "in.mp4").write_bytes(b"gone")
    assert (tmp_path / "project" / "media" / "in.mp4").stat().st_size > 1000
    copy.close()


def test_a_backup_comes_back_as_a_project_of_its_own(editor, tmp_path):
    backup = make_backup(tmp_path / "project", editor.rev)
    editor.act(acts.remove_subject, "Remove", subject=1)
    copy_project(tmp_path / "project", tmp_path / "restored", "First, earlier", database=backup)
    restored = Editor(tmp_path / "restored")
    assert len(restored.project.keyframes) == 1 and restored.project.edit.approved and not editor.project.keyframes
    assert (restored.material.edited(2) == restored.material.edited(2)).all() and dirty_segments(restored.material) == []
    restored.close()


def test_nothing_is_written_over_and_a_full_disk_leaves_nothing(editor, tmp_path):
    with pytest.raises(ProjectError, match="exists already"):
        copy_project(tmp_path / "project", tmp_path / "project", "Again")
    before = sorted(os.listdir(tmp_path))
    with full_disk(3000), pytest.raises(ProjectError, match="free disk space"):
        copy_project(tmp_path / "project", tmp_path / "copy", "Second")
    assert sorted(os.listdir(tmp_path)) == before


def test_what_a_list_shows(editor, tmp_path):
    shown = summary_of(tmp_path / "project")
    assert (shown.name, shown.clip, shown.frames, shown.anchors, shown.approved) == ("First", "in.mp4", FRAMES, 1, 1)
    assert shown.changed > 1e9 and not shown.trouble and shown.size == editor.project.video.size
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "project.db").write_text("no database" * 99)
    assert "cannot be opened" in summary_of(tmp_path / "broken").trouble
