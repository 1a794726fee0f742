"""The cache: its size, what goes first when it is too much, and that nothing the user made ever does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from engine.document import acts
from engine.editor import Editor
from engine.progress import Progress
from engine.rendering.render import dirty_segments, prepare_clip, propagate
from engine.store.cache import cache_bytes, cache_entries, clean_cache, limit_cache
from engine.store.workspace import Workspace
from tests.recipes import BOX, clip_in

FRAMES = 6


def everything_else(folder: Path) -> dict[str, bytes]:
    """What the user made: all files but the cache, locks and the database's own helpers."""
    left = (path for path in folder.rglob("*") if path.is_file() and "cache" not in path.relative_to(folder).parts)
    return {str(path): path.read_bytes() for path in left if not path.name.endswith(("-shm", "-wal", ".lock"))}


@pytest.fixture
def editor(tmp_path):
    opened = Editor.create(tmp_path / "project", clip_in(tmp_path, FRAMES))
    opened.act(acts.set_box, "Box", frame=0, subject=1, box=BOX)
    prepare_clip(opened.material, Progress())
    opened.approve(0, opened.effect_take(0, "recolour", {"colour": "#2050ff"}).key)
    propagate(opened.material, Progress())
    yield opened
    opened.close()


def test_cleaning_takes_what_was_computed_and_all_of_it_can_be_computed_again(editor):
    folder = editor.workspace.folder
    before, taken = everything_else(folder), cache_bytes(folder)
    (segment,) = editor.material.segments
    data = editor.workspace.segment(editor.material.key_of(segment)) / "data"
    rendered = data.read_bytes()
    assert taken > 10_000 and clean_cache(folder) == taken
    assert cache_bytes(folder) == 0 and everything_else(folder) == before
    again = Editor(folder, "auto")
    assert again.why_read_only  # the fixture has it; reading is enough here
    again.close()
    prepare_clip(editor.material, Progress())
    editor.act(acts.rename, "Rename", name="Other")  # another version, another look at the files
    assert len(dirty_segments(editor.material)) == 1
    propagate(editor.material, Progress())
    assert data.read_bytes() == rendered


def fill(folder: Path, name: str, size: int, age: float) -> Path:
    entry = Workspace(folder).cache / "segments" / name
    entry.mkdir(parents=True)
    (entry / "data").write_bytes(bytes(size))
    (entry / "done.json").write_text("{}")
    os.utime(entry, (time.time() - age, time.time() - age))
    return entry


def test_what_was_used_longest_ago_goes_first_over_all_projects(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    old, older, new = fill(a, "1", 1000, 5000), fill(b, "2", 1000, 9000), fill(b, "3", 1000, 10)
    assert limit_cache([a, b], 10**6) == 0
    assert limit_cache([a, b], 2200) > 0 and not older.exists() and old.exists() and new.exists()
    assert limit_cache([a, b], 0) > 0 and not old.exists() and new.exists()  # in use just now


def test_nothing_is_taken_from_under_a_run(tmp_path):
    entry = fill(tmp_path / "a", "1", 1000, 5000)
    with Workspace(tmp_path / "a").working(lambda: None):
        assert limit_cache([tmp_path / "a"], 0) == 0 and clean_cache(tmp_path / "a") == 0
    assert entry.exists()
    assert clean_cache(tmp_path / "a") == 1002 and cache_entries(tmp_path / "a") == []


def test_using_an_entry_keeps_it(editor):
    (segment,) = editor.material.segments
    folder = editor.workspace.segment(editor.material.key_of(segment))
    os.utime(folder, (1, 1))
    editor.act(acts.rename, "Rename", name="Other")
    editor.material.edited(3)
    assert time.time() - folder.stat().st_mtime < 60


def test_what_the_open_version_needs_is_kept_and_what_a_killed_cleaner_left_is_swept(editor):
    for entry in cache_entries(editor.workspace.folder):
        os.utime(entry.path, (1, 1))
    left = fill(editor.workspace.folder, f".gone-{2**22 + 1}-abc", 10, 0)
    editor.material.keep()
    assert limit_cache([editor.workspace.folder], 0) == 0 and dirty_segments(editor.material) == []
    editor.workspace.sweep()
    assert not left.exists()
