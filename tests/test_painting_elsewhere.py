"""Anchors painted in another program: layers out, whole files back as takes, shifts and sizes asked about, nothing lost."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from engine.document import acts
from engine.editor import Editor
from engine.handover.watching import PaintingWatch
from engine.interchange.openraster import Layer, read_openraster, write_openraster
from engine.media.images import decode_png
from engine.store.projects import copy_project
from tests.media_fixtures import Clip, draw_frame, write_drawn_clip

FRAME = 6
SIZE = (112, 192)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_drawn_clip(tmp_path_factory.mktemp("clip") / "in.mp4", Clip(frames=12))


@pytest.fixture
def editor(clip: Path, tmp_path: Path) -> Iterator[Editor]:
    one = Editor.create(tmp_path / "project", clip)
    one.import_mask(FRAME, 1, cv2.circle(np.zeros(SIZE, np.uint8), (96, 60), 20, 255, -1))
    yield one
    one.close()


@pytest.fixture
def watch(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> Iterator[PaintingWatch]:
    monkeypatch.setattr("engine.handover.watching.POLL", 3600)  # the tests look themselves
    one = PaintingWatch(editor)
    yield one
    one.close()


def painted(editor: Editor) -> np.ndarray:
    picture = editor.picture(FRAME).copy()
    cv2.circle(picture, (96, 60), 12, (20, 40, 220), -1)
    return picture


def save(path: Path, picture: np.ndarray) -> None:
    """As editors save; the clock of the disk may be coarse."""
    if path.suffix == ".ora":
        write_openraster(path, [Layer("Edit", picture)], picture[..., :3])
    else:
        Image.fromarray(picture).save(path)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**7))


def look(watch: PaintingWatch, times: int = 2) -> None:
    for _ in range(times):
        watch.look()


def takes(editor: Editor) -> list[str]:
    anchor = editor.project.edit.anchor_at(FRAME)
    return [take.label for take in anchor.takes] if anchor else []


def last(editor: Editor) -> np.ndarray:
    anchor = editor.project.edit.anchor_at(FRAME)
    assert anchor
    return decode_png(editor.journal.objects.get(anchor.takes[-1].key))


def test_an_anchor_is_sent_as_layers_and_as_pictures(editor: Editor, watch: PaintingWatch) -> None:
    for frame in (2, 9):
        editor.picture_take(frame, draw_frame(40 + frame), "imported", f"near {frame}")
    take = editor.picture_take(FRAME, painted(editor), "imported", "mine")
    watch.send(FRAME, take.key)
    assert sorted(path.name for path in watch.folder.iterdir()) == [
        "anchor-0006-mask.png",
        "anchor-0006-source.png",
        "anchor-0006.ora",
        "anchor-0006.png",
    ]
    with zipfile.ZipFile(watch.folder / "anchor-0006.ora") as source:
        xml = source.read("stack.xml").decode()
    order = [
        xml.index(name)
        for name in ("Mask", "Anchor before: frame 2", "Anchor after: frame 9", "Paint here", "Edit", "Source: frame 6")
    ]
    assert order == sorted(order) and xml.count('visibility="hidden"') == 3
    found = read_openraster(watch.folder / "anchor-0006.ora")
    assert (found.picture == painted(editor)).all() and found.shown == ("Paint here", "Edit", "Source: frame 6")
    assert (np.array(Image.open(watch.folder / "anchor-0006-source.png")) == editor.picture(FRAME)).all()


@pytest.mark.parametrize("suffix", [".ora", ".png"])
def test_what_is_saved_comes_back_as_a_take_to_the_bit(editor: Editor, watch: PaintingWatch, suffix: str) -> None:
    came: list[int] = []
    watch._arrived = lambda frame, key: came.append(frame)
    one = watch.send(FRAME, None)
    look(watch, 4)
    assert takes(editor) == [], "what was sent is no painting"
    save(watch.folder / f"{one.stem}{suffix}", painted(editor))
    look(watch)
    assert takes(editor) == [f"anchor-0006{suffix}"] and came == [FRAME]
    assert (last(editor) == painted(editor)).all() and not watch.watched[0].asked
    save(watch.folder / f"{one.stem}{suffix}", painted(editor))
    look(watch, 4)
    assert len(takes(editor)) == 1, "saved again without a change"
    other = ".png" if suffix == ".ora" else ".ora"
    save(watch.folder / f"{one.stem}{other}", painted(editor))
    look(watch)
    assert takes(editor) == [f"anchor-0006{suffix}"] and "just what the take" in watch.watched[0].said
    again = painted(editor)
    again[50:55, 90:95] = 255
    save(watch.folder / f"{one.stem}{suffix}", again)
    look(watch)
    assert takes(editor) == [f"anchor-0006{suffix}", f"anchor-0006{suffix}, 3"]


def test_a_half_written_file_is_waited_for(editor: Editor, watch: PaintingWatch) -> None:
    one = watch.send(FRAME, None)
    path = watch.folder / f"{one.stem}.png"
    save(path, painted(editor))
    whole = path.read_bytes()
    for share in (0, 10, len(whole) // 2):
        path.write_bytes(whole[:share])
        watch.look()
        assert takes(editor) == []
    look(watch, 3)
    assert takes(editor) == [] and "damaged or cut off" in watch.watched[0].said
    path.unlink()
    look(watch)
    path.write_bytes(whole)
    look(watch)
    assert takes(editor) == ["anchor-0006.png"] and (last(editor) == painted(editor)).all()


def test_a_growing_file_is_read_only_once_it_rests(editor: Editor, watch: PaintingWatch) -> None:
    one = watch.send(FRAME, None)
    path = watch.folder / f"{one.stem}.png"
    save(path, painted(editor))
    watch.look()
    save(path, painted(editor)[::-1].copy())
    watch.look()
    assert takes(editor) == []
    watch.look()
    assert (last(editor) == painted(editor)[::-1]).all()


def test_another_size_is_asked_about_and_fitted(editor: Editor, watch: PaintingWatch) -> None:
    one = watch.send(FRAME, None)
    save(watch.folder / f"{one.stem}.png", cv2.resize(painted(editor), (384, 224), interpolation=cv2.INTER_NEAREST))
    look(watch)
    now = watch.watched[0]
    assert takes(editor) == [] and now.asked == "fit" and "384×224 px and the clip has 192×112" in now.said
    watch.fit(one.stem)
    assert (last(editor) == painted(editor)).all() and not watch.watched[0].asked


def test_a_shift_is_said_and_undone_in_a_take_of_its_own(editor: Editor, watch: PaintingWatch) -> None:
    one = watch.send(FRAME, None)
    shifted = np.roll(painted(editor), (3, -5), (0, 1))
    save(watch.folder / f"{one.stem}.ora", shifted)
    look(watch)
    now = watch.watched[0]
    assert now.asked == "shift" and "shifted by 5 px to the left and 3 px down" in now.said and (last(editor) == shifted).all()
    watch.undo_shift(one.stem)
    assert takes(editor) == ["anchor-0006.ora", "anchor-0006.ora, moved back"]
    assert (last(editor) == painted(editor)).all() and not watch.watched[0].asked


def test_colours_that_changed_outside_are_said(editor: Editor, watch: PaintingWatch) -> None:
    one = watch.send(FRAME, None)
    save(watch.folder / f"{one.stem}.png", np.clip(painted(editor).astype(int) + 4, 0, 255).astype(np.uint8))
    look(watch)
    assert "red +4, green +4, blue +4" in watch.watched[0].said


def test_where_a_picture_is_transparent_the_source_shows(editor: Editor, watch: PaintingWatch) -> None:
    one = watch.send(FRAME, None)
    layer = np.zeros((*SIZE, 4), np.uint8)
    cv2.circle(layer, (96, 60), 12, (20, 40, 220, 255), -1)
    save(watch.folder / f"{one.stem}.png", layer)
    look(watch)
    assert (last(editor) == painted(editor)).all()


def test_nothing_is_overwritten_and_several_are_watched(editor: Editor, watch: PaintingWatch) -> None:
    first = watch.send(FRAME, None)
    save(watch.folder / f"{first.stem}.ora", painted(editor))
    before = (watch.folder / f"{first.stem}.ora").read_bytes()
    second, other = watch.send(FRAME, None), watch.send(3, None)
    assert [one.stem for one in watch.watched] == ["anchor-0006", "anchor-0006-2", "anchor-0003"]
    assert (watch.folder / f"{first.stem}.ora").read_bytes() == before
    save(watch.folder / f"{second.stem}.png", painted(editor)[::-1].copy())
    save(watch.folder / f"{other.stem}.png", painted(editor))
    look(watch)
    assert set(takes(editor)) == {"anchor-0006.ora", "anchor-0006-2.png"}
    watch.stop(second.stem)
    assert [one.stem for one in watch.watched] == ["anchor-0006", "anchor-0003"]
    assert (watch.folder / "anchor-0006-2.png").exists(), "the painter's files stay"


def test_a_watch_outlives_the_editor(editor: Editor, watch: PaintingWatch) -> None:
    one = watch.send(FRAME, None)
    watch.close()
    save(watch.folder / f"{one.stem}.ora", painted(editor))
    later = PaintingWatch(editor)
    look(later)
    later.close()
    assert takes(editor) == ["anchor-0006.ora"]


def test_a_copy_of_the_project_waits_for_nothing(editor: Editor, watch: PaintingWatch, tmp_path: Path) -> None:
    watch.send(FRAME, None)
    copy_project(editor.workspace.folder, tmp_path / "copy", "copy")
    copy = Editor(tmp_path / "copy")
    later = PaintingWatch(copy)
    assert later.watched == [] and later._thread is None
    later.close()
    copy.close()


def test_after_closing_nothing_is_taken(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.handover.watching.POLL", 0.01)
    watch = PaintingWatch(editor)
    one = watch.send(FRAME, None)
    watch.close()
    assert watch._thread is not None and not watch._thread.is_alive()
    save(watch.folder / f"{one.stem}.png", painted(editor))
    assert takes(editor) == []


def test_the_thread_looks_by_itself_and_ends(editor: Editor, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]) -> None:
    monkeypatch.setattr("engine.handover.watching.POLL", 0.02)
    watch = PaintingWatch(editor)
    one = watch.send(FRAME, None)
    save(watch.folder / f"{one.stem}.png", painted(editor))
    until(lambda: takes(editor) == ["anchor-0006.png"])
    watch.stop(one.stem)
    until(lambda: watch._thread is None)
    watch.close()


@pytest.fixture
def until() -> Callable[..., None]:
    import time

    def wait(condition: Callable[[], bool]) -> None:
        for _ in range(6000):
            if condition():
                return
            time.sleep(0.02)
        raise AssertionError("it never came")

    return wait


def test_a_deleted_anchor_comes_back_with_its_painting(editor: Editor, watch: PaintingWatch) -> None:
    one = watch.send(FRAME, None)
    editor.act(acts.delete_anchor, "Delete anchor", frame=FRAME)
    save(watch.folder / f"{one.stem}.ora", painted(editor))
    look(watch)
    assert takes(editor) == ["anchor-0006.ora"]


def test_what_came_back_is_told_once_however_soon(editor: Editor, watch: PaintingWatch) -> None:
    one = watch.send(FRAME, None)
    save(watch.folder / f"{one.stem}.png", painted(editor))
    look(watch)
    assert [told.stem for told in watch.news()] == [one.stem] and watch.news() == []
    later = PaintingWatch(editor)
    assert later.watched[0].said and later.news() == [], "what was told before the editor was opened again"
    later.close()
