"""The project's file: older layouts come forward on a copy, newer ones are refused, copies are whole, shares are seen."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from engine.document import acts, project
from engine.document.project import from_json, to_json
from engine.errors import ProjectError
from engine.store import database, documents
from engine.store.database import copy_database, file_system
from engine.store.journal import Journal
from tests.conftest import ROOT
from tests.test_journal import blank, full

FIRST_LAYOUT = """
create table meta (name text primary key, value text not null) without rowid;
create table act (
    id integer primary key autoincrement, label text not null, merge text, at real not null, document blob not null);
create table job (id text primary key, at real not null, body text not null) without rowid;
"""


def first_layout(folder: Path, versions: list[project.Project], head: int) -> Path:
    """A project as the first layout kept it: the whole document in every row."""
    folder.mkdir()
    db = sqlite3.connect(folder / "project.db")
    db.execute("pragma journal_mode = wal")
    db.executescript(FIRST_LAYOUT)
    with db:
        for number, version in enumerate(versions):
            blob = zlib.compress(json.dumps(to_json(version), separators=(",", ":")).encode(), 6)
            db.execute(
                "insert into act (label, merge, at, document) values (?, null, ?, ?)", (f"Act {number}", time.time(), blob)
            )
        meta = {"layout": "1", "head": str(head), "first": "1", "rev": "9", "note:recipe": "kept"}
        db.executemany("insert into meta values (?, ?)", meta.items())
        db.execute("insert into job values ('j', 1.0, ?)", (json.dumps({"id": "j", "kind": "carry", "state": "running"}),))
    # Left as a killed process leaves it: what was written is in the log, not in the file.
    shutil.copytree(folder, folder.with_name("as left"))
    db.close()
    shutil.rmtree(folder)
    return folder.with_name("as left").rename(folder)


def history() -> list[project.Project]:
    versions = [full()]
    for frame in (20, 30, 31):
        versions.append(acts.add_stroke(versions[-1], frame=frame, subject=1, xy=[[1, 2], [3, 4]], radius=3))
    return versions


def test_the_first_layout_comes_forward_with_its_history_and_stays_as_it_was(tmp_path):
    versions = history()
    folder = first_layout(tmp_path / "p", versions, head=3)
    journal = Journal(folder)
    assert json.dumps(to_json(journal.project)) == json.dumps(to_json(versions[2]))
    assert journal.rev == 9 and journal.labels() == ("Act 2", "Act 3") and journal.note("recipe") == "kept"
    assert json.dumps(to_json(journal.redo())) == json.dumps(to_json(versions[3]))
    journal.undo(), journal.undo()
    assert json.dumps(to_json(journal.undo())) == json.dumps(to_json(versions[0]))
    assert journal.jobs()[0]["id"] == "j" and journal.job_document("j") is None
    journal.record(acts.rename(journal.project, name="Goes on"), "Rename")
    journal.close()
    (kept,) = (folder / "backups").glob("layout-1-*.db")
    with sqlite3.connect(kept) as db:
        assert db.execute("select value from meta where name = 'layout'").fetchone() == ("1",)
        assert db.execute("select count(*) from act").fetchone() == (4,)
    assert Journal(folder).project.name == "Goes on"
    assert not list(folder.glob("*migrating*"))


def test_a_migration_that_fails_leaves_the_project_as_it_was(tmp_path, monkeypatch):
    folder = first_layout(tmp_path / "p", history(), head=4)

    def full_disk(db):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setitem(database._STEPS, 1, full_disk)
    with pytest.raises(ProjectError, match="disk"):
        Journal(folder)
    assert not list(folder.glob("*migrating*"))
    monkeypatch.undo()
    assert len(Journal(folder).project.keyframes) == 5


def test_an_older_project_that_may_not_be_changed_is_read_from_a_copy_in_memory(tmp_path):
    folder = first_layout(tmp_path / "p", history(), head=4)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shown = Journal(folder, to_read=True)
    assert len(shown.project.keyframes) == 5 and shown.why_read_only
    shown.close()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")} == {
        name: blob for name, blob in before.items() if not name.endswith("-shm")
    }


@pytest.mark.parametrize("to_read", [False, True])
def test_newer_and_foreign_databases_are_refused_with_a_sentence(tmp_path, to_read):
    Journal.create(tmp_path / "new", blank()).close()
    with sqlite3.connect(tmp_path / "new" / "project.db") as db:
        db.execute("update meta set value = '99' where name = 'layout'")
    with pytest.raises(ProjectError, match=r"newer Anchorline \(layout 99"):
        Journal(tmp_path / "new", to_read=to_read)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "project.db").write_text("hello, this is no database at all" * 100)
    with pytest.raises(ProjectError, match="not a database"):
        Journal(tmp_path / "text", to_read=to_read)
    (tmp_path / "other").mkdir()
    with sqlite3.connect(tmp_path / "other" / "project.db") as db:
        db.execute("create table x (y)")
    with pytest.raises(ProjectError, match="not the database of an Anchorline project"):
        Journal(tmp_path / "other", to_read=to_read)
    for name in ("new", "text", "other"):  # and nothing holds them
        shutil.rmtree(tmp_path / name)


def test_documents_of_an_older_schema_migrate_when_they_are_read(tmp_path, monkeypatch):
    """A fabricated next schema, in which subjects are called otherwise."""
    journal = Journal.create(tmp_path / "p", full())
    journal.record(acts.add_stroke(journal.project, frame=20, subject=1, xy=[[1, 2]], radius=3), "Stroke")
    journal.close()

    def forward(document):
        renamed = [{**one, "name": f"{one['name']} (older)"} for one in document["subjects"]]
        return {**document, "subjects": renamed}

    now = project.SCHEMA
    for module in (documents, project):
        monkeypatch.setattr(module, "SCHEMA", project.SCHEMA + 1)
    monkeypatch.setitem(project.MIGRATIONS, now, forward)
    again = Journal(tmp_path / "p")
    assert again.project.subjects[0].name == "Ball (older)" and len(again.project.keyframes) == 3
    assert again.undo().subjects[0].name == "Ball (older)"
    again.close()
    with pytest.raises(ProjectError, match="damaged"):
        monkeypatch.setitem(project.MIGRATIONS, now, lambda document: {"schema": document["no such key"]})
        from_json(to_json(full()) | {"schema": now})


def test_a_copy_is_whole_and_one_file_while_somebody_writes(tmp_path):
    journal = Journal.create(tmp_path / "p", blank())
    for frame in range(30):
        journal.record(acts.add_anchor(journal.project, frame=frame), "Add anchor")
    copy_database(tmp_path / "p" / "project.db", tmp_path / "copy.db")
    journal.record(acts.rename(journal.project, name="After"), "Rename")
    (tmp_path / "q").mkdir()
    shutil.copy(tmp_path / "copy.db", tmp_path / "q" / "project.db")
    back = Journal(tmp_path / "q")
    assert len(back.project.edit.anchors) == 30 and back.project.name == "Blank"
    back.close(), journal.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "p", "q"]


def test_network_shares_are_told_by_the_mount_that_holds_the_folder():
    mounts = [["/", "ext4"], ["/srv", "nfs4"], ["/srv/local", "xfs"], ["/mnt/my\\040share", "cifs"], ["/data", "ext4"]]
    assert file_system("/srv/projects/a", mounts) == "nfs4" and file_system("/srvx", mounts) == "ext4"
    assert file_system("/srv/local/a", mounts) == "xfs" and file_system("/mnt/my share/p", mounts) == "cifs"
    assert file_system("/data", [*mounts, ["/data", "fuse.sshfs"]]) == "fuse.sshfs"


def test_on_a_network_share_the_journal_works_without_a_write_ahead_log(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "is_network", lambda folder: True)
    journal = Journal.create(tmp_path / "p", blank())
    journal.record(acts.add_anchor(journal.project, frame=3), "Add anchor")
    second = Journal(tmp_path / "p")
    assert second.why_read_only and len(second.project.edit.anchors) == 1
    assert not (tmp_path / "p" / "project.db-wal").exists()
    second.close(), journal.close()
    monkeypatch.undo()
    assert Journal(tmp_path / "p").undo().edit.anchors == ()
    assert os.path.exists(tmp_path / "p" / "project.db")


def test_a_project_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A process killed at any moment while it makes a project leaves none, and the next one makes it."""
    maker = """
import os, sqlite3, sys
from pathlib import Path
from engine.store import journal
from tests.test_journal import blank
left = int(sys.argv[2])
def kill(*_):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), 9)
sys.setprofile(kill)
journal.Journal.create(Path(sys.argv[1]), blank()).close()
"""
    for number, calls in enumerate((400, 660, 900, 1310, 1340)):
        folder = tmp_path / str(number)
        killed = subprocess.run([sys.executable, "-c", maker, str(folder), str(calls)], cwd=ROOT, check=False).returncode
        if not (folder / "project.db").exists():
            assert killed
            Journal.create(folder, blank()).close()
        Journal(folder).close()
