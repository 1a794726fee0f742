"""The cache is checked on reading: a damaged entry is done again with the same bytes, and never shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.document import acts
from engine.editor import Editor
from engine.errors import ProjectError
from engine.jobs import JobManager
from engine.media.records import RecordWriter
from engine.progress import Progress
from engine.rendering.material import Material
from engine.rendering.render import carry, dirty_segments, prepare_clip, propagate, spans_to_carry
from engine.store.entries import CheckedPack, Damaged, Entry, discard, is_whole, seal, unseal
from tests.recipes import BOX, clip_in

FRAMES = 8


def flip(path: Path, at: float = 0.5) -> None:
    """One bit of a file, as a failing disk does it."""
    raw = bytearray(path.read_bytes())
    raw[int(len(raw) * at)] ^= 4
    path.write_bytes(raw)


@pytest.fixture
def editor(tmp_path):
    """A marked clip with one approved anchor, propagated."""
    opened = Editor.create(tmp_path / "project", clip_in(tmp_path, FRAMES))
    opened.act(acts.set_box, "Box", frame=0, subject=1, box=BOX)
    prepare_clip(opened.material, Progress())
    opened.approve(0, opened.effect_take(0, "recolour", {"colour": "#2050ff"}).key)
    propagate(opened.material, Progress())
    yield opened
    opened.close()


def fresh(editor: Editor) -> Material:
    return Material(editor.workspace, editor.project)


@given(blob=st.binary(max_size=50), frame=st.integers(0, 10**6), bit=st.integers(0, 8 * 54 - 1))
@settings(deadline=None)
def test_a_record_comes_back_or_is_known_to_be_damaged(blob, frame, bit):
    record = seal(frame, blob)
    assert unseal(frame, record) == blob
    assert unseal(frame + 1, record) is None
    damaged = bytearray(record)
    damaged[bit // 8 % len(record)] ^= 1 << bit % 8
    assert unseal(frame, bytes(damaged)) is None
    assert unseal(frame, record[: len(record) - 1]) is None


@pytest.mark.parametrize("name", ["data", "index"])
def test_a_damaged_segment_is_not_shown_and_rendered_again_with_the_same_bytes(editor, name):
    (segment,) = editor.material.segments
    folder = editor.workspace.segment(editor.material.key_of(segment))
    before = (folder / "data").read_bytes()
    wanted = [editor.material.edited(frame) for frame in range(FRAMES)]
    flip(folder / name)
    shown = fresh(editor)
    seen = [shown.edited(frame) for frame in range(FRAMES)]
    assert all(a is None or np.array_equal(a, b) for a, b in zip(seen, wanted, strict=True))
    again = fresh(editor)
    again.drop_damaged(again.segments)
    assert [one.index for one in dirty_segments(again)] == [0]
    assert propagate(again, Progress()).rendered == 1
    assert (folder / "data").read_bytes() == before
    assert np.array_equal(fresh(editor).edited(5), wanted[5])


def test_a_reader_that_had_it_open_finds_the_new_one(editor):
    (segment,) = editor.material.segments
    folder = editor.workspace.segment(editor.material.key_of(segment))
    reading = fresh(editor)
    wanted = reading.edited(5)
    again = fresh(editor)
    discard(folder)
    propagate(again, Progress())
    assert np.array_equal(reading.edited(5), wanted)
    assert is_whole(folder)


def test_damaged_masks_are_carried_again_before_they_are_used(editor):
    (span,) = editor.material.spans(1)
    folder = editor.workspace.masks(span.key)
    before = (folder / "data").read_bytes()
    flip(folder / "data")
    (segment,) = editor.material.segments
    discard(editor.workspace.segment(editor.material.key_of(segment)))
    material = fresh(editor)
    assert material.carried(span)
    propagate(material, Progress())
    assert (folder / "data").read_bytes() == before
    flip(folder / "data", 0.9)
    assert fresh(editor).alpha(1, FRAMES - 1) is None and spans_to_carry(fresh(editor)) == [span]


def test_damaged_motion_is_computed_again(editor):
    folder = editor.workspace.motion(editor.project.video.digest)
    wanted = fresh(editor).steps.flow(3, 4)
    flip(folder / "data", 0.5)
    assert len(fresh(editor).steps.missing([editor.project.range])) == 1
    (span,) = editor.material.spans(1)
    discard(editor.workspace.masks(span.key))
    carry(fresh(editor), [span], Progress())
    assert np.array_equal(fresh(editor).steps.flow(3, 4), wanted) and fresh(editor).steps.missing([editor.project.range]) == []


def test_a_damaged_frame_pack_is_made_again_by_the_job_that_meets_it(editor):
    folder = editor.workspace.pack(editor.project.video.digest)
    before = (folder / "data").read_bytes()
    flip(folder / "data")
    discard(editor.workspace.motion(editor.project.video.digest))
    (span,) = editor.material.spans(1)
    discard(editor.workspace.masks(span.key))
    jobs = JobManager()
    job = jobs.submit(editor.journal, "carry")
    while job.active:
        pass
    jobs.close()
    assert job.state == "done", job.message
    assert (folder / "data").read_bytes() == before
    flip(folder / "data")
    pack = CheckedPack(folder)
    with pytest.raises(Damaged, match="made again"):
        for frame in range(FRAMES):
            pack.jpeg(frame)
    assert not folder.exists()


def test_a_growing_entry_is_read_as_far_as_it_is_and_never_thrown_away(tmp_path):
    folder = tmp_path / "entry"
    with RecordWriter(folder, resume=False) as writer:
        writer.append(0, seal(0, b"first run, longer than the second"))
        reader = Entry(folder)
        assert reader.get(0) == b"first run, longer than the second" and reader.get(1) is None
    with RecordWriter(folder, resume=False) as writer:  # begun anew: what the reader knows is out of date
        assert reader.get(0) is None and folder.exists()
        writer.append(0, seal(0, b"second"))
        reader.refresh()
        assert reader.get(0) == b"second"
        writer.finish()
    assert is_whole(folder)
    (folder / "done.json").write_text("{")
    assert not is_whole(folder) and not folder.exists()
    reader.close()


def test_a_damaged_object_of_the_user_is_named_and_not_used(editor):
    key = editor.project.edit.anchors[0].chosen
    path = editor.journal.objects.path(key)
    good = path.read_bytes()
    flip(path)
    with pytest.raises(ProjectError, match="damaged"):
        editor.journal.objects.get(key)
    assert editor.journal.objects.put(good) == key and editor.journal.objects.get(key) == good
