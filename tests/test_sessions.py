"""Sessions over whole projects: what is remembered over a restart, merged in undo, left to another editor, brought back."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app import routes
from app.session import Session
from app.store import SessionStore
from engine import EngineError, ProjectError, RecipeError, backups_of
from engine.interchange.project_zip import pack_project
from engine.store.backups import make_backup
from tests.media_fixtures import Clip, write_drawn_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_drawn_clip(tmp_path / "clips" / "in.mp4", Clip(frames=8))


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "home").mkdir()


class Stores:
    """Editors on one home, closed at the end."""

    def __init__(self, home: Path) -> None:
        self.home, self.open = home, list[SessionStore]()

    def new(self) -> SessionStore:
        self.open.append(SessionStore(self.home))
        return self.open[-1]

    def close(self) -> None:
        for store in self.open:
            store.close()
        self.open.clear()


@pytest.fixture
def stores(tmp_path: Path) -> Any:
    made = Stores(tmp_path / "home")
    yield made
    made.close()


def rested(session: Session) -> Session:
    deadline = time.monotonic() + 30
    while session.job and session.job.active and time.monotonic() < deadline:
        time.sleep(0.02)
    return session


def undo(session: Session) -> dict[str, Any]:
    return session.do("undo", {})


def test_undo_takes_back_gestures_one_by_one_and_says_where(stores, clip):
    session = rested(stores.new().create(clip))
    for x in (30, 31, 33):
        session.do("set_box", {"frame": 2, "subject": 1, "box": [x, 20, 60, 60]}, "drag 1")
    for x in (40, 44):
        session.do("set_box", {"frame": 2, "subject": 1, "box": [x, 20, 60, 60]}, "drag 2")
    for change in ({"grow": 1}, {"grow": 2}, {"feather": 5}):  # one slider after the other, at once
        session.do("shape_subject", {"subject": 1, **change})
    assert session.do("select_subject", {"subject": 1})["rev"] == session.editor.rev
    view = undo(session)
    assert (view["subjects"][0]["feather"], view["subjects"][0]["grow"]) == (2, 2) and view["went"]["frame"] is None
    assert undo(session)["subjects"][0]["grow"] == 0
    view = undo(session)
    assert view["subjects"][0]["keyframes"][0]["box"][0] == 33 and view["went"] == {"label": "Box", "frame": 2}
    assert undo(session)["subjects"][0]["keyframes"] == []
    with pytest.raises(ProjectError, match="Nothing to undo"):
        undo(session)
    assert session.do("redo", {})["went"] == {"label": "Box", "frame": 2}


def test_a_second_editor_shows_takes_nothing_and_takes_over_when_the_first_is_gone(stores, clip):
    first = stores.new()
    mine = rested(first.create(clip))
    second = stores.new()
    theirs = second.get(mine.id)
    assert "open in another" in theirs.view()["read_only"] and mine.view()["read_only"] == ""
    mine.do("add_anchor", {"frame": 3})
    assert [a["frame"] for a in theirs.view()["anchors"]] == [3]
    for work in (lambda: theirs.do("add_anchor", {"frame": 4}), lambda: theirs.submit("propagate"), lambda: undo(theirs)):
        with pytest.raises(ProjectError, match="open in another"):
            work()
    assert theirs.carry() is None and theirs.prepare() is None
    copy = second.save_copy(theirs, "Mine")
    assert copy.view()["read_only"] == "" and copy.editor.project.name == "Mine"
    first.close()
    stores.open.remove(first)
    view = theirs.do("add_anchor", {"frame": 5})
    assert view["read_only"] == "" and [a["frame"] for a in view["anchors"]] == [3, 5]


def test_projects_elsewhere_and_the_limit_are_remembered(stores, clip, tmp_path):
    store = stores.new()
    rested(store.create(clip, name="Here"))
    shutil.copytree(next(stores.home.glob("?" * 12)), tmp_path / "elsewhere")
    outside = store.open(tmp_path / "elsewhere")
    store.shelf.set_cache_gb(3.5)
    for wrong in (-1, "3", None, True, 1e9, float("nan")):
        with pytest.raises(RecipeError, match="cache limit"):
            store.shelf.set_cache_gb(wrong)
    stores.close()
    again = stores.new()
    assert again.get(outside.id).editor.workspace.folder == tmp_path / "elsewhere" and again.shelf.cache_gb == 3.5
    assert [one.name for _, one in again.summaries()] == ["Here", "Here"]
    (stores.home / "shelf.json").write_text("{")
    assert again.shelf.cache_gb == 20 and len(again.summaries()) == 1


def test_a_zip_and_a_backup_open_by_path_as_new_projects(stores, clip, tmp_path):
    store = stores.new()
    session = rested(store.create(clip, name="First"))
    folder = session.editor.workspace.folder
    backup = make_backup(folder, session.editor.rev)
    session.do("add_anchor", {"frame": 1})
    pack_project(folder, tmp_path / "p.zip", clip)
    zipped = store.open(tmp_path / "p.zip")
    assert zipped.id != session.id and [a.frame for a in zipped.editor.project.edit.anchors] == [1]
    restored = store.open(backup)
    assert restored.editor.project.edit.anchors == () and restored.editor.project.name.startswith("First (backup of ")
    assert [a.frame for a in session.editor.project.edit.anchors] == [1]
    assert [one.path for one in backups_of(folder)] == [backup]  # ten minutes have not passed
    with pytest.raises(EngineError):
        store.restore(folder, tmp_path / "nothing.db")
    # Also of a project that cannot be opened any more.
    stores.close()
    (folder / "project.db").write_bytes(b"damaged" * 1000)
    again = stores.new()
    with pytest.raises(ProjectError, match="backups folder"):
        again.get(session.id)
    assert again.open(backup).editor.project.edit.anchors == ()
    broken = dict(again.summaries())[session.id]
    assert broken.trouble and any("cannot be opened" in name for name, _ in again.projects())


def test_a_backup_is_made_by_working(stores, clip):
    session = rested(stores.new().create(clip))
    session.do("add_anchor", {"frame": 1})
    session._backups.close()
    assert len(backups_of(session.editor.workspace.folder)) == 1
    session.do("add_anchor", {"frame": 2})
    session._backups.close()
    assert len(backups_of(session.editor.workspace.folder)) == 1


def test_jobs_of_an_earlier_editor_are_told_as_they_ended_and_pictures_open_nothing(stores, clip):
    store = stores.new()
    session = rested(store.create(clip))
    job = session.job
    assert job is not None and job.state == "done"
    deadline = time.monotonic() + 10
    while session.editor.journal.job(job.id)["state"] != "done" and time.monotonic() < deadline:
        time.sleep(0.01)
    stores.close()
    again = stores.new()
    page = TestClient(routes.build_api(again))
    assert page.get(f"/posters/{session.id}.jpg").content.startswith(b"\xff\xd8") and again._open == {}
    assert page.get("/posters/0123456789ab.jpg").status_code == 404 and page.get("/posters/..%2f.jpg").status_code == 404
    assert page.get(f"/projects/{session.id}/jobs/{job.id}").json()["state"] == "done"
    assert page.get(f"/projects/{session.id}/jobs/nobody").json()["state"] == "unknown"


def test_a_project_whose_clip_is_gone_opens_and_another_clip_is_asked_about(stores, clip, tmp_path):
    session = rested(stores.new().create(clip))
    stores.close()
    clip.unlink()
    other = write_drawn_clip(tmp_path / "clips" / "other.mp4", Clip(frames=8, options={"crf": "30"}))
    again = stores.new().get(session.id)
    assert "gone" in again.missing_clip() and again.view()["clip"]["frames"] == 8
    with pytest.raises(EngineError, match="accept it"):
        again.relink(other)
    assert again.other_clip == other
    again.relink(other, accept=True)
    assert again.other_clip is None and not again.missing_clip()
    rested(again)
    assert again.viewer.source_jpeg(again.material, 5).startswith(b"\xff\xd8")
    undo(again)
    assert "gone" in again.missing_clip()


def test_half_of_a_project_is_never_seen_and_what_a_killed_editor_left_is_swept(stores, clip, tmp_path, monkeypatch):
    store = stores.new()

    def full(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.store.shutil.copy2", full)
    with pytest.raises(ProjectError, match="free some disk space"):
        store.create(clip, keep=True)
    monkeypatch.undo()
    with pytest.raises(ProjectError):
        store.import_zip(clip)
    assert [path.name for path in stores.home.iterdir()] == []
    (stores.home / f".0123456789ab.part-{2**22 + 1}" / "media").mkdir(parents=True)
    again = stores.new()
    assert list(stores.home.iterdir()) == [] and again.summaries() == []
    assert rested(again.sample()).editor.project.name == rested(again.sample()).editor.project.name == "Sample: balloon"


def test_listing_projects_reads_no_document_of_an_open_one(stores, clip, monkeypatch):
    store = stores.new()
    session = rested(store.create(clip, name="Before"))

    def never(*args, **more):
        raise AssertionError("a document was read from the disk")

    monkeypatch.setattr("engine.store.projects.Journal", never)
    session.do("rename", {"name": "After"})
    assert [one.name for _, one in store.summaries()] == ["After"]
