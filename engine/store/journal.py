"""The project on disk: every act is written before it is acknowledged, and undo survives a restart.

    project.db     SQLite. `act`: one row per act with the document after it; `meta.head` points at the current row, so
                   undo and redo move a pointer. `job`: long work, see engine/jobs.py.
    project.lock   who has the project open to change it; everybody else reads along
    objects/       pictures and masks by sha256, written beside and renamed, never changed

our choice: a row stands for the whole document (engine/store/documents.py), not for a difference: reading back needs no
replay and cannot drift.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import threading
import time
import zlib
from pathlib import Path
from typing import Any

from engine.document.project import Project
from engine.errors import MediaError, ProjectError
from engine.store.database import (
    BEING_MADE,
    DATABASE,
    RESTORE,
    Transaction,
    connect_to_read,
    create_database,
    open_database,
    sync_file,
    sync_folder,
)
from engine.store.documents import DocumentRows
from engine.store.lock import FileLock
from engine.store.processes import Owner

LOCK = "project.lock"
PAUSE = 2.0  # seconds without an act after which a drag is over
JOBS_KEPT = 200
CHANGED = (
    "This project was changed elsewhere meanwhile and can be changed here again now: look at it, then repeat your last step."
)


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
        if path.exists() and path.read_bytes() == blob:
            return key
        temporary = path.with_name(f"{key}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            if not path.parent.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                sync_folder(self.folder)
            with open(temporary, "wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)  # or the journal could name an object that a power cut took
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise MediaError(f"Cannot store in the project: {error.strerror}; free some disk space and try again.") from error
        return key

    def get(self, key: str) -> bytes:
        """Raises ProjectError when the object is missing, or is not what was stored."""
        try:
            blob = self.path(key).read_bytes()
        except OSError as error:
            raise ProjectError(
                "A stored picture is missing from the project's objects folder; restore the folder from a copy."
            ) from error
        if hashlib.sha256(blob).hexdigest() != key:
            raise ProjectError(
                f"A stored picture is damaged (objects/{key[:2]}/{key[:12]}…); restore the objects folder from a copy."
            )
        return blob


class Journal:
    """The document's history in a project folder. Safe to call from several threads.

    One journal at a time may change a project, in any process; another one on the same folder reads along:
    `why_read_only` then is a sentence, "" otherwise. The first act after the other one has gone takes over.

    `rev` grows with every change of the document, undo and redo included: two equal revs mean equal documents.
    """

    def __init__(self, folder: Path, *, to_read: bool = False) -> None:
        if not (folder / DATABASE).exists():
            raise ProjectError(f"{folder.name} is not an Anchorline project: it holds no {DATABASE}.")
        self.folder = folder
        self.objects = Objects(folder / "objects")
        self.why_read_only = "It was opened to be read." if to_read else ""
        self.moved: tuple[str, int | None] = ("", None)
        """Label and frame of what the last undo took back or the last redo brought again."""
        self._to_read = to_read
        self._lock = threading.RLock()
        self._holds = FileLock(folder / LOCK)
        self._rows = DocumentRows()
        self._merge: str | None = None  # of the act before, unless undo or redo came between
        self._acted = 0.0
        self._drag: list[int] = []  # parts that the row at the head alone uses, should it be written over
        self._db: sqlite3.Connection
        self._open()

    def _open(self) -> None:
        """Opens the database to change it if it is free, else to read it, and loads the document."""
        if not self._to_read:
            self.why_read_only = self._take()
        try:
            self._db = connect_to_read(self.folder / DATABASE) if self.why_read_only else open_database(self.folder / DATABASE)
        except sqlite3.Error as error:
            self._holds.free()
            raise ProjectError(f"{self.folder.name} cannot be opened: {error}; free some disk space, or {RESTORE}.") from error
        except (ProjectError, OSError) as error:
            self._holds.free()
            if isinstance(error, ProjectError):
                raise
            raise ProjectError(f"{self.folder.name} cannot be opened: {error.strerror}; free some disk space.") from error
        try:
            self._rev, self._project = self._current()
        except BaseException:
            self.close()
            raise

    def _take(self) -> str:
        """Takes the project's lock; "" when it is ours, else a sentence."""
        if not (os.access(self.folder, os.W_OK) and os.access(self.folder / DATABASE, os.W_OK)):
            return (
                "This project's folder may not be written, so it is shown read-only; "
                "save a copy of it under another name to work on it, or change the folder's permissions."
            )
        try:
            owner = self._holds.take()
        except OSError as error:
            raise ProjectError(f"{self.folder.name} cannot be opened: {error.strerror}; free some disk space.") from error
        if owner is None:
            return ""
        where = f"process {owner.pid}" if owner.is_local else f"process {owner.pid} on the computer {owner.host}"
        if owner == Owner.here():
            where = "in another window of this editor"
        return (
            f"This project is open in another Anchorline ({where}), so it is shown read-only; "
            "close it there, or save a copy of it under another name to work on it."
        )

    @classmethod
    def create(cls, folder: Path, project: Project) -> Journal:
        """Starts a project in a new or empty folder."""
        if (folder / DATABASE).exists():
            raise ProjectError(f"{folder.name} holds a project already; choose another folder.")
        part = folder / f"{BEING_MADE}{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(create_database(part)) as db, db:
                first = _insert(db, "Open clip", None, DocumentRows().write(db, project), None)
                db.executemany("insert into meta values (?, ?)", [("head", str(first)), ("first", str(first)), ("rev", "1")])
            # Written beside and renamed: a kill in between must not leave a project that is none.
            sync_file(part)
            os.replace(part, folder / DATABASE)
            sync_folder(folder)
        except (OSError, sqlite3.Error) as error:
            raise ProjectError(
                f"Cannot make a project in {folder.name}: {error}; check free disk space and write permission."
            ) from error
        finally:
            for name in ("", "-wal", "-shm", "-journal"):
                part.with_name(part.name + name).unlink(missing_ok=True)
        return cls(folder)

    # --- the document -------------------------------------------------------------------------------------

    @property
    def project(self) -> Project:
        with self._lock:
            self._follow()
            return self._project

    @property
    def rev(self) -> int:
        with self._lock:
            self._follow()
            return self._rev

    def _follow(self) -> None:
        """Reading along: takes in what the other one has written."""
        if self.why_read_only and self._count("rev") != self._rev:
            self._rev, self._project = self._current()

    def check_writable(self) -> None:
        """Raises ProjectError while the project is open elsewhere, or when it was changed there until just now."""
        with self._lock:
            if self._to_read:
                raise ProjectError(self.why_read_only)
            if not self.why_read_only:
                self._holds.beat()
                return
            self.why_read_only = self._take()
            if self.why_read_only:
                raise ProjectError(self.why_read_only)
            seen = self._rev
            self._db.close()
            self._rows = DocumentRows()
            self._open()
            if self._rev != seen:
                raise ProjectError(CHANGED)

    def record(self, project: Project, label: str, merge: str | None = None, place: int | None = None) -> Project:
        """Writes the document after an act; what was undone before is gone. `place` is the frame it was about.

        Acts with the same `merge` text, one right after the other without a pause, are one item of undo (a drag).
        """
        with self._lock:
            self.check_writable()
            head, drag = self._count("head"), list(self._drag)
            try:
                with Transaction(self._db) as db:
                    db.execute("delete from act where id > ?", (head,))
                    document = self._rows.write(db, project)
                    if merge and merge == self._merge and time.monotonic() - self._acted < PAUSE:
                        db.execute("update act set document = ?, at = ? where id = ?", (document, time.time(), head))
                        self._rows.release(db, drag, project)
                    else:
                        head = _insert(db, label, merge, document, place)
                    self._advance(db, head)
            except BaseException:
                self._rows.drop()
                raise
            self._drag, self._merge, self._acted = self._rows.settle(), merge, time.monotonic()
            self._rev, self._project = self._rev + 1, project
            return project

    def select(self, edit: int) -> Project:
        """Works on another edit from now on: no act, but written down with the next one. Raises ProjectError."""
        with self._lock:
            self._project = self.project.on_edit(edit)
            return self._project

    def undo(self) -> Project:
        """Raises ProjectError when there is nothing to undo; `moved` says what it was and where."""
        return self._move("select max(id) from act where id < ?", "Nothing to undo.", back=True)

    def redo(self) -> Project:
        return self._move("select min(id) from act where id > ?", "Nothing to redo.", back=False)

    def labels(self) -> tuple[str | None, str | None]:
        """What undo would take back and redo would bring again; None where there is nothing."""
        with self._lock:
            head, first = self._count("head"), self._count("first")
            back = self._read("select label from act where id = ? and id > ?", head, first)
            forth = self._read("select label from act where id > ? order by id limit 1", head)
        return (back[0][0] if back else None, forth[0][0] if forth else None)

    # --- beside the document ------------------------------------------------------------------------------

    def note(self, name: str) -> str:
        """A remark kept with the project that is no part of the document; "" where there is none."""
        with self._lock:
            return self._meta(f"note:{name}")

    def set_note(self, name: str, value: str) -> None:
        with self._lock:
            self.check_writable()
            with Transaction(self._db) as db:
                db.execute(
                    "insert into meta values (?, ?) on conflict (name) do update set value = excluded.value",
                    (f"note:{name}", value),
                )

    def save_job(self, job: str, body: dict[str, Any], document: dict[str, Any] | None = None) -> None:
        """Writes a job's state; its `document` once, when it is taken on. The oldest jobs beyond 200 go."""
        packed = None if document is None else zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 6)
        with self._lock:
            self.check_writable()
            with Transaction(self._db) as db:
                db.execute(
                    "insert into job values (?, ?, ?, ?) on conflict (id) do update set body = excluded.body, "
                    "document = case when json_extract(excluded.body, '$.active') then document end",
                    (job, time.time(), json.dumps(body), packed),
                )
                db.execute("delete from job where id in (select id from job order by at desc limit -1 offset ?)", (JOBS_KEPT,))

    def jobs(self, limit: int = 20) -> list[dict[str, Any]]:
        """The newest jobs, newest first."""
        with self._lock:
            rows = self._read("select body from job order by at desc limit ?", limit)
        return [json.loads(body) for (body,) in rows]

    def job(self, job: str) -> dict[str, Any] | None:
        """What was written of a job; None for one that nobody knows."""
        with self._lock:
            rows = self._read("select body from job where id = ?", job)
        return json.loads(rows[0][0]) if rows else None

    def job_document(self, job: str) -> dict[str, Any] | None:
        """The document that an unfinished job works on; None for jobs that have ended."""
        with self._lock:
            rows = self._read("select document from job where id = ?", job)
        return json.loads(zlib.decompress(rows[0][0])) if rows and rows[0][0] else None

    def close(self) -> None:
        with self._lock:
            self._db.close()
            self._holds.free()

    # --- reading and writing ------------------------------------------------------------------------------

    def _move(self, query: str, nothing: str, *, back: bool) -> Project:
        with self._lock:
            self.check_writable()
            head = self._count("head")
            rows = self._read(query, head)
            if not rows or rows[0][0] is None:
                raise ProjectError(nothing)
            target = rows[0][0]
            project = self._load(target)  # before the pointer moves: a row that cannot be read must not become the head
            ((label, place),) = self._read("select label, place from act where id = ?", head if back else target)
            with Transaction(self._db) as db:
                self._advance(db, target)
            self._drag, self._merge, self.moved = [], None, (label, place)
            self._rev, self._project = self._rev + 1, project
            return project

    def _advance(self, db: sqlite3.Connection, head: int) -> None:
        db.execute("update meta set value = ? where name = 'head'", (str(head),))
        db.execute("update meta set value = cast(value as integer) + 1 where name = 'rev'")

    def _current(self) -> tuple[int, Project]:
        """Revision and document as one: another process may be writing."""
        self._read("begin")
        try:
            rows = dict(self._read("select name, value from meta where name in ('head', 'rev')"))
            return self._whole(rows.get("rev")), self._load(self._whole(rows.get("head")))
        finally:
            self._read("rollback")

    def _load(self, act: int) -> Project:
        try:
            ((document,),) = self._read("select document from act where id = ?", act)
            return self._rows.read(self._db, document)
        except (ValueError, TypeError, KeyError, IndexError, zlib.error) as error:
            raise ProjectError(f"The project in {self.folder.name} is damaged ({DATABASE} cannot be read); {RESTORE}.") from error
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _meta(self, name: str) -> str:
        rows = self._read("select value from meta where name = ?", name)
        return rows[0][0] if rows else ""

    def _count(self, name: str) -> int:
        return self._whole(self._meta(name))

    def _whole(self, text: Any) -> int:
        """A number of the table of facts, which another hand may have written."""
        if not re.fullmatch(r"[0-9]{1,18}", str(text or 0)):
            raise ProjectError(f"The project in {self.folder.name} is damaged ({DATABASE} cannot be read); {RESTORE}.")
        return int(text or 0)

    def _read(self, query: str, *values: Any) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> ProjectError:
        return ProjectError(f"The project in {self.folder.name} cannot be read: {error}; {RESTORE}.")


def _insert(db: sqlite3.Connection, label: str, merge: str | None, document: bytes, place: int | None) -> int:
    values = (label, merge, time.time(), document, place)
    return int(db.execute("insert into act (label, merge, at, document, place) values (?, ?, ?, ?, ?)", values).lastrowid or 0)
