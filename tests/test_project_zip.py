"""Zipped projects: unpacked entry by entry, refused by name when they hold what no project has."""

import zipfile
from pathlib import Path

import pytest

from engine.errors import ProjectError
from engine.interchange.project_zip import unpack_project
from engine.journal import Journal
from tests.test_journal import full


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
    back = Journal(unpack_project(archive, tmp_path / "back"))
    assert back.project.name == "Blank" and back.objects.get(Journal(project).objects.put(b"picture")) == b"picture"
    assert not (tmp_path / "back" / "cache").exists()


@pytest.mark.parametrize(
    "name", ["../evil", "/abs", "C:\\evil", "objects/../../evil", "media/../x", "media/sub/x", "run.py", "objects/ab/short"]
)
def test_foreign_entries_are_refused_by_name(project, name, tmp_path):
    archive = zipped(project, tmp_path / "p.zip", extra={name: b"x"})
    with pytest.raises(ProjectError, match="no project has"):
        unpack_project(archive, tmp_path / "back")
    assert not (tmp_path / "evil").exists()


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
