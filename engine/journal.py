"""The project on disk: every act is written before it is acknowledged, and undo survives a restart.

    project.db   SQLite (WAL). `act`: one row per act with the document after it; `meta.head` points at the
                 current row, so undo and redo move a pointer. `job`: long work, see engine/jobs.py.
    objects/     pictures and masks by sha256, written beside and renamed, never changed

our choice: a row holds the whole document, compressed (a few kB), not a difference: reading back needs no replay
and cannot drift.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
import zlib
from pathlib import Path
from typing import Any

from engine.errors import MediaError, ProjectError
from engine.project import Project, from_json, to_json

DATABASE = "project.db"
LAYOUT = 1
PAUSE = 2.0  # seconds without an act after which a drag is over
_TABLES = """
create table if not exists meta (name text primary key, value text not null) without rowid;
create table if not exists act (
    id integer primary key autoincrement, label text not null, merge text, at real not null, document blob not null);
create table if not exists job (id text primary key, at real not null, body text not null) without rowid;
"""


class Objects:
    """Content-addressed store of immutable blobs under a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the object lies. Raises ProjectError for what is not a key."""
        if len(key) != 64 or set(key) - set("0123456789abcdef"):
            raise ProjectError("That is not the key of a stored object.")
        return self.folder / key[:2] / key

    def put(self, blob: bytes) -> str:
        """Stores a blob, on disk when this returns. Returns its key (sha256, hex)."""
        key = hashlib.sha256(blob).hexdigest()
        path = self.path(key)
        if path.exists():
            return key
        temporary = path.with_name(f"{key}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise MediaError(f"Cannot store in the project: {error.strerror}; free some disk space and try again.") from error
        return key

    def get(self, key: str) -> bytes:
        """Raises ProjectError when the object is missing."""
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError as error:
            raise ProjectError(
                "A stored picture is missing from the project's objects folder; restore the folder from a copy."
            ) from error


class Journal:
    """The document's history in a project folder. Safe to call from several threads.

    `rev` grows with every change of the document, undo and redo included: two equal revs mean equal documents.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / DATABASE).exists():
            raise ProjectError(f"{folder.name} is not an Anchorline project: it holds no {DATABASE}.")
        self.folder = folder
        self.objects = Objects(folder / "objects")
        self._lock = threading.RLock()
        try:
            self._db = _connect(folder / DATABASE)
        except sqlite3.Error as error:
            raise ProjectError(
                f"{folder.name} cannot be opened: {error}; free some disk space, or restore the folder from a copy."
            ) from error
        try:
            if int(self._meta("layout") or 0) > LAYOUT:
                raise ProjectError("This project was made by a newer Anchorline; update to open it.")
            self._project = self._load()
        except BaseException:
            self._db.close()
            raise

    @classmethod
    def create(cls, folder: Path, project: Project) -> Journal:
        """Starts a project in a new or empty folder."""
        if (folder / DATABASE).exists():
            raise ProjectError(f"{folder.name} holds a project already; choose another folder.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(_connect(folder / DATABASE)) as db, db:
                first = _insert(db, "Open clip", None, project)
                db.executemany(
                    "insert into meta values (?, ?)",
                    [("layout", str(LAYOUT)), ("head", str(first)), ("first", str(first)), ("rev", "1")],
                )
        except (OSError, sqlite3.Error) as error:
            for name in ("", "-wal", "-shm", "-journal"):
                (folder / f"{DATABASE}{name}").unlink(missing_ok=True)
            raise ProjectError(
                f"Cannot make a project in {folder.name}: {error}; check free disk space and write permission."
            ) from error
        return cls(folder)

    @property
    def project(self) -> Project:
        return self._project

    @property
    def rev(self) -> int:
        with self._lock:
            return int(self._meta("rev"))

    def record(self, project: Project, label: str, merge: str | None = None) -> Project:
        """Writes the document after an act; what was undone before is gone.

        Acts with the same `merge` text, one right after the other without a pause, are one item of undo (a drag).
        """
        with self._lock:
            head = int(self._meta("head"))
            with self._guarded() as db:
                db.execute("delete from act where id > ?", (head,))
                row = db.execute("select merge, at from act where id = ?", (head,)).fetchone()
                if merge and row and row[0] == merge and abs(time.time() - row[1]) < PAUSE:
                    db.execute("update act set document = ?, at = ? where id = ?", (_squeeze(project), time.time(), head))
                else:
                    head = _insert(db, label, merge, project)
                self._advance(db, head)
            self._project = project
            return project

    def undo(self) -> Project:
        return self._move("select max(id) from act where id < ?", "Nothing to undo.")

    def redo(self) -> Project:
        return self._move("select min(id) from act where id > ?", "Nothing to redo.")

    def labels(self) -> tuple[str | None, str | None]:
        """What undo would take back and redo would bring again; None where there is nothing."""
        with self._lock:
            head, first = int(self._meta("head")), int(self._meta("first"))
            back = self._read("select label from act where id = ? and id > ?", head, first)
            forth = self._read("select label from act where id > ? order by id limit 1", head)
        return (back[0][0] if back else None, forth[0][0] if forth else None)

    def note(self, name: str) -> str:
        """A remark kept with the project that is no part of the document; "" where there is none."""
        with self._lock:
            return self._meta(f"note:{name}")

    def set_note(self, name: str, value: str) -> None:
        with self._lock, self._guarded() as db:
            db.execute(
                "insert into meta values (?, ?) on conflict (name) do update set value = excluded.value", (f"note:{name}", value)
            )

    def save_job(self, job: str, body: dict[str, Any]) -> None:
        with self._lock, self._guarded() as db:
            db.execute(
                "insert into job values (?, ?, ?) on conflict (id) do update set body = excluded.body",
                (job, time.time(), json.dumps(body)),
            )

    def jobs(self, limit: int = 20) -> list[dict[str, Any]]:
        """The newest jobs, newest first."""
        with self._lock:
            rows = self._read("select body from job order by at desc limit ?", limit)
        return [json.loads(body) for (body,) in rows]

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _move(self, query: str, nothing: str) -> Project:
        with self._lock:
            rows = self._read(query, int(self._meta("head")))
            if not rows or rows[0][0] is None:
                raise ProjectError(nothing)
            with self._guarded() as db:
                self._advance(db, rows[0][0])
            self._project = self._load()
            return self._project

    def _advance(self, db: sqlite3.Connection, head: int) -> None:
        db.execute("update meta set value = ? where name = 'head'", (str(head),))
        db.execute("update meta set value = cast(value as integer) + 1 where name = 'rev'")

    def _load(self) -> Project:
        try:
            ((document,),) = self._read("select document from act where id = ?", int(self._meta("head")))
            return from_json(json.loads(zlib.decompress(document)))
        except (ValueError, TypeError, KeyError, zlib.error) as error:
            raise ProjectError(
                f"The project in {self.folder.name} is damaged ({DATABASE} cannot be read); restore the folder from a copy."
            ) from error

    def _meta(self, name: str) -> str:
        rows = self._read("select value from meta where name = ?", name)
        return rows[0][0] if rows else ""

    def _read(self, query: str, *values: Any) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise ProjectError(
                f"The project in {self.folder.name} cannot be read: {error}; restore the folder from a copy."
            ) from error

    def _guarded(self) -> _Transaction:
        return _Transaction(self._db)


def project_name(folder: Path) -> str:
    """The name of the project in a folder, without opening it for work. Raises ProjectError."""
    journal = Journal(folder)
    try:
        return journal.project.name
    finally:
        journal.close()


class _Transaction:
    """One transaction; a disk that cannot take it becomes a sentence."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        return self._db.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self._db.__exit__(kind, error, trace)
        except sqlite3.Error as failure:
            raise ProjectError(f"The project cannot be saved: {failure}; free some disk space and try again.") from failure
        if isinstance(error, sqlite3.Error):
            raise ProjectError(f"The project cannot be saved: {error}; free some disk space and try again.") from error


def _connect(path: Path) -> sqlite3.Connection:
    """Raises sqlite3.Error."""
    db = sqlite3.connect(path, check_same_thread=False, timeout=10)
    try:
        db.execute("pragma journal_mode = wal")
        # FULL: an acknowledged act survives a power cut; measured at ~3 ms an act, far below a hand's pace.
        db.execute("pragma synchronous = full")
        db.executescript(_TABLES)
    except BaseException:
        db.close()
        raise
    return db


def _insert(db: sqlite3.Connection, label: str, merge: str | None, project: Project) -> int:
    row = db.execute(
        "insert into act (label, merge, at, document) values (?, ?, ?, ?)", (label, merge, time.time(), _squeeze(project))
    )
    return int(row.lastrowid or 0)


def _squeeze(project: Project) -> bytes:
    return zlib.compress(json.dumps(to_json(project), separators=(",", ":")).encode(), 6)
