"""Zipped projects: unpacked entry by entry, refused by name when they hold what no project has."""

import json
import os
import random
import sqlite3
import stat
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from engine.document import acts
from engine.document.project import to_json
from engine.editor import Editor
from engine.errors import Cancelled, MediaError, ProjectError
from engine.interchange.project_zip import import_project, is_zip, pack_project, unpack_project
from engine.store.journal import Journal
from tests.media_fixtures import Clip, write_drawn_clip
from tests.test_journal import full
from tests.test_project_files import full_disk


@pytest.fixture
def project(tmp_path: Path) -> Path:
    journal = Journal.create(tmp_path / "project", full())
    journal.objects.put(b"picture")
    journal.close()
    return tmp_path / "project"


def zipped(folder: Path, target: Path, top: str = "", extra: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                out.write(path, top + path.relative_to(folder).as_posix())
        for name, blob in (extra or {}).items():
            out.writestr(name, blob)
    return target


@pytest.mark.parametrize("top", ["", "my project/"])
def test_a_zipped_folder_comes_back(project, top, tmp_path):
    archive = zipped(project, tmp_path / "p.zip", top, {f"{top}cache/segments/x/data": b"left out"})
    assert import_project(archive, tmp_path / "back") == "Blank"
    back = Journal(tmp_path / "back")
    assert back.objects.get(back.objects.put(b"picture")) == b"picture"
    assert not (tmp_path / "back" / "cache").exists()


FOREIGN = ["../evil", "/abs", "C:\\evil", "objects/../../evil", "media/../x", "media/a/b/x", "run.py", "objects/ab/short"]
ODD = ["media/aux.mp4", "media/x:y", "media/trailing. ", "media/new\nline", "media/.."]


@pytest.mark.parametrize("name", [*FOREIGN, *ODD])
def test_foreign_entries_are_refused_by_name(project, name, tmp_path):
    archive = zipped(project, tmp_path / "p.zip", extra={name: b"x"})
    with pytest.raises(ProjectError, match="no project has"):
        unpack_project(archive, tmp_path / "back")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "back").exists()


def test_bombs_and_other_files_are_refused(project, tmp_path):
    bomb = zipped(project, tmp_path / "bomb.zip", extra={"media/clip.mp4": b"\0" * 40_000_000})
    with pytest.raises(ProjectError, match="grow"):
        unpack_project(bomb, tmp_path / "a")
    (tmp_path / "text.zip").write_text("not a zip")
    with pytest.raises(ProjectError, match="not a zip"):
        unpack_project(tmp_path / "text.zip", tmp_path / "b")
    empty = zipped(tmp_path / "nothing", tmp_path / "empty.zip", extra={"media/a.mp4": b"x"})
    with pytest.raises(ProjectError, match=r"project\.db"):
        unpack_project(empty, tmp_path / "c")


def test_names_that_differ_by_case_only_and_doubled_names_are_refused(project, tmp_path):
    for number, names in enumerate((("media/a.mp4", "media/A.mp4"), ("media/a.mp4", "media/a.mp4"))):
        archive = zipped(project, tmp_path / f"{number}.zip")
        with zipfile.ZipFile(archive, "a") as out:
            for name in names:
                with pytest.warns(UserWarning) if name in out.namelist() else _nothing():
                    out.writestr(name, b"x")
        with pytest.raises(ProjectError, match="twice"):
            unpack_project(archive, tmp_path / "back")


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *about):
        return None


def test_links_and_objects_that_lie_about_their_content_are_refused(project, tmp_path):
    archive = zipped(project, tmp_path / "link.zip")
    with zipfile.ZipFile(archive, "a") as out:
        link = zipfile.ZipInfo("media/clip.mp4")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(link, "/etc/passwd")
    with pytest.raises(ProjectError, match="no project has"):
        unpack_project(archive, tmp_path / "back")
    archive = zipped(project, tmp_path / "lie.zip", extra={f"objects/ab/ab{'0' * 62}": b"something else"})
    with pytest.raises(ProjectError, match="damaged"):
        unpack_project(archive, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_an_entry_that_is_longer_than_it_says_is_refused(project, tmp_path):
    archive = zipped(project, tmp_path / "p.zip", extra={"media/clip.mp4": b"x" * 5000})
    raw = bytearray(archive.read_bytes())
    at = raw.rindex(b"PK\x01\x02", 0, raw.rindex(b"media/clip.mp4"))
    raw[at + 24 : at + 28] = struct.pack("<I", 10)
    archive.write_bytes(raw)
    with pytest.raises(ProjectError, match="damaged"):
        unpack_project(archive, tmp_path / "back")


@pytest.mark.parametrize("share", [0.1, 0.4, 0.6, 0.9, 0.99])
def test_every_cut_and_flipped_zip_is_refused_or_whole(project, tmp_path, share):
    archive = zipped(project, tmp_path / "p.zip")
    raw = archive.read_bytes()
    (tmp_path / "cut.zip").write_bytes(raw[: int(len(raw) * share)])
    flipped = bytearray(raw)
    flipped[int(len(raw) * share)] ^= 16
    (tmp_path / "flip.zip").write_bytes(flipped)
    for name in ("cut.zip", "flip.zip"):
        try:
            import_project(tmp_path / name, tmp_path / "back")
        except ProjectError:
            assert not (tmp_path / "back").exists()
        else:
            assert json.dumps(to_json(Journal(tmp_path / "back").project)) == json.dumps(to_json(Journal(project).project))
            os.rename(tmp_path / "back", tmp_path / f"whole {name}")


@pytest.fixture
def editor(tmp_path):
    (tmp_path / "secret place").mkdir()
    clip = write_drawn_clip(tmp_path / "secret place" / "the clip: 1?.mp4", Clip(frames=6))
    opened = Editor.create(tmp_path / "home" / "project", clip)
    opened.act(acts.add_stroke, "Stroke", frame=0, subject=1, xy=[[30, 40], [50, 60]], radius=8)
    opened.act(acts.add_anchor, "Add anchor", frame=3)
    yield opened
    opened.close()


def test_a_zip_holds_all_that_is_needed_elsewhere_and_no_path_of_this_machine(editor, tmp_path):
    folder = editor.workspace.folder
    editor.journal.save_job("j", {"id": "j", "active": True, "args": {"out": str(folder)}}, to_json(editor.project))
    steps = []
    pack_project(folder, tmp_path / "p.zip", Path(editor.reader.video.path), lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1] > 0 and is_zip(tmp_path / "p.zip") and not is_zip(tmp_path)
    with zipfile.ZipFile(tmp_path / "p.zip") as zipped_project:
        for name in zipped_project.namelist():
            assert b"secret place" not in zipped_project.read(name), name
    assert import_project(tmp_path / "p.zip", tmp_path / "elsewhere") == editor.project.name
    back = Editor(tmp_path / "elsewhere")
    assert (back.picture(5) == editor.picture(5)).all()
    assert back.project.keyframes[0].mask == editor.project.keyframes[0].mask and back.journal.jobs() == []
    assert back.material.alpha(1, 0).any()
    assert back.undo().edit.anchors == () and back.undo().keyframes == ()
    assert back.project.video.path == "media/the clip_ 1_.mp4"
    back.close()
    with sqlite3.connect(folder / "project.db") as db:  # the original is as it was
        assert db.execute("select count(*) from job").fetchone() == (1,)
    assert "secret place" in editor.project.video.path


def test_a_zip_without_the_clip_says_so_when_it_is_opened(editor, tmp_path):
    pack_project(editor.workspace.folder, tmp_path / "p.zip", None)
    import_project(tmp_path / "p.zip", tmp_path / "elsewhere")
    back = Editor(tmp_path / "elsewhere")
    assert len(back.project.edit.anchors) == 1
    with pytest.raises(MediaError, match="gone"):
        back.picture(0)
    back.relink(Path(editor.project.video.path).parent)
    assert (back.picture(5) == editor.picture(5)).all()
    back.close()


def test_a_full_disk_and_a_cancel_leave_no_zip(editor, tmp_path):
    def stop(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        pack_project(editor.workspace.folder, tmp_path / "p.zip", None, stop)
    with full_disk(4000), pytest.raises(MediaError, match="free some disk space"):
        pack_project(editor.workspace.folder, tmp_path / "p.zip", None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "secret place"]
    pack_project(editor.workspace.folder, tmp_path / "p.zip", None)
    with pytest.raises(ProjectError, match="exists"):
        pack_project(editor.workspace.folder, tmp_path / "p.zip", None)


def test_a_project_that_anchorline_did_not_make_and_rows_that_unpack_for_ever_are_refused(project, tmp_path):
    hostile = full()
    hostile = replace(hostile, keyframes=(replace(hostile.keyframes[0], mask="../../etc/passwd"),))
    Journal.create(tmp_path / "hostile", hostile).close()
    with pytest.raises(ProjectError, match="key of a stored object"):
        import_project(zipped(tmp_path / "hostile", tmp_path / "h.zip"), tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with sqlite3.connect(project / "project.db") as db:
        db.execute("update act set document = ?", (zlib.compress(b"[" + b" " * 300 * 2**20 + b"]", 9),))
    with pytest.raises(ProjectError, match="damaged"):
        import_project(zipped(project, tmp_path / "bomb.zip"), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_flipped_bits_anywhere_are_refused_or_change_nothing(project, tmp_path):
    raw = zipped(project, tmp_path / "p.zip").read_bytes()
    wanted = json.dumps(to_json(Journal(project, to_read=True).project))
    chance = random.Random(5)
    for turn in range(60):
        flipped = bytearray(raw)
        for _ in range(chance.choice((1, 1, 5))):
            flipped[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        (tmp_path / "flip.zip").write_bytes(flipped)
        back = tmp_path / f"back{turn}"
        try:
            import_project(tmp_path / "flip.zip", back)
        except ProjectError as error:
            assert not back.exists() and "\n" not in str(error)
        else:
            assert json.dumps(to_json(Journal(back, to_read=True).project)) == wanted
