"""The project's SQLite file: how it is opened, copied while it is in use, and brought from an older layout to today's.

meta   name → value: layout, head, first, rev, notes         act    one row per version of the document
part   what versions share, see engine/store/documents.py           job    long work, see engine/jobs.py
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.document.project import from_json
from engine.errors import ProjectError
from engine.store.documents import TABLE as PARTS
from engine.store.documents import DocumentRows, unsqueeze

DATABASE = "project.db"
BEING_MADE = f".{DATABASE}.part-"
"""How the file is called, with the number of its process behind, until a new project is whole."""
BACKUPS = "backups"
LAYOUT = 2
RESTORE = "open a file of its backups folder by its path, or restore a copy of the folder"
_TABLES = f"""
create table meta (name text primary key, value text not null) without rowid;
create table act (id integer primary key autoincrement, label text not null, merge text, at real not null,
    document blob not null, place integer);
create table job (id text primary key, at real not null, body text not null, document blob) without rowid;
{PARTS};
"""
# SQLite's write-ahead log needs memory that all its readers share, which these do not have between hosts.
NETWORK = frozenset(
    ("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb2", "smb3")
).union(("smbfs", "webdav", "fuse.sshfs", "fuse.davfs2", "fuse.rclone", "fuse.glusterfs"))


# --- opening ----------------------------------------------------------------------------------------------


def create_database(path: Path) -> sqlite3.Connection:
    """A new, empty database of today's layout. Raises sqlite3.Error."""
    db = connect(path)
    try:
        db.executescript(_TABLES)
        with db:
            db.execute("insert into meta values ('layout', ?)", (str(LAYOUT),))
    except BaseException:
        db.close()
        raise
    return db


def connect(path: Path) -> sqlite3.Connection:
    """For reading and writing. Raises sqlite3.Error."""
    db = sqlite3.connect(path, check_same_thread=False, timeout=10)
    try:
        wanted = "truncate" if is_network(path.parent) else "wal"
        (mode,) = db.execute(f"pragma journal_mode = {wanted}").fetchone()
        if mode not in ("wal", "truncate"):
            db.execute("pragma journal_mode = truncate")
        # FULL: an acknowledged act survives a power cut; measured at ~3 ms an act, far below a hand's pace.
        db.execute("pragma synchronous = full")
        db.execute("pragma journal_size_limit = 16777216")
        db.execute("pragma trusted_schema = off")  # a project may come from others
    except BaseException:
        db.close()
        raise
    return db


def connect_to_read(path: Path) -> sqlite3.Connection:
    """For reading, whoever else writes. A database of an older layout is read from a copy in memory.

    Raises:
        sqlite3.Error: not a database, or it cannot be read.
        ProjectError: of a newer layout.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=10)
    try:
        db.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        if os.access(path.parent, os.W_OK):
            raise
        # In a folder that may not be written, the log's shared memory cannot be made; nobody can be writing there.
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    try:
        layout = layout_of(db)
        if layout == LAYOUT:
            return db
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        db.backup(copy)
        db.close()
        db = copy
        _bring_forward(db, layout)
        return db
    except BaseException:
        db.close()
        raise


def open_database(path: Path) -> sqlite3.Connection:
    """For reading and writing, in today's layout. The caller holds the project's lock.

    An older layout is brought forward in a copy, which then takes the file's place; the file as it was stays in the
    backups folder.

    Raises:
        sqlite3.Error, ProjectError: not a database, damaged, no room, or of a newer layout.
    """
    db = connect(path)
    try:
        layout = layout_of(db)
    except BaseException:
        db.close()
        raise
    if layout == LAYOUT:
        return db
    db.close()
    _migrate(path, layout)
    return connect(path)


def layout_of(db: sqlite3.Connection) -> int:
    """Raises ProjectError for a newer layout than this Anchorline knows, and for a database that is none of ours."""
    try:
        found = db.execute("select value from meta where name = 'layout'").fetchone()
    except sqlite3.OperationalError as error:
        raise ProjectError(f"This is not the database of an Anchorline project ({error}); {RESTORE}.") from error
    layout = int(found[0]) if found and str(found[0]).isdecimal() else 0
    if layout > LAYOUT:
        raise ProjectError(
            f"This project was made by a newer Anchorline (layout {layout}, this one reads {LAYOUT}); update to open it."
        )
    if layout < 1:
        raise ProjectError("This is not the database of an Anchorline project: it has no layout number.")
    return layout


def is_network(folder: Path) -> bool:
    """Whether a folder lies on another machine, as far as the system tells."""
    if sys.platform == "win32":
        import ctypes

        drive = folder.absolute().drive
        return drive.startswith("\\\\") or ctypes.windll.kernel32.GetDriveTypeW(f"{drive}\\") == 4
    try:
        if sys.platform == "linux":
            mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
        else:  # "/dev/disk1s1 on /Volumes/Some Name (smbfs, …)"
            said = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False).stdout
            mounts = [line.partition(" on ")[2].replace(" (", ",").split(",")[:2] for line in said.splitlines()]
    except OSError:
        return False
    return file_system(os.path.realpath(folder), mounts) in NETWORK


def file_system(folder: str, mounts: list[list[str]]) -> str:
    """The type of the file system that holds a folder; `mounts` are [point, type], a later one over an earlier."""
    best, kind = "", ""
    for point, type_ in (mount for mount in mounts if len(mount) == 2):
        point = point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, type_
    return kind


# --- copies -----------------------------------------------------------------------------------------------


def copy_database(source: Path, target: Path) -> None:
    """A copy of a database as it is at this moment, whoever is writing to it; one file, written beside and renamed.

    Raises:
        sqlite3.Error, OSError: it cannot be read, or there is no room.
    """
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        part.unlink(missing_ok=True)
        with contextlib.closing(_source(source)) as db, contextlib.closing(sqlite3.connect(part)) as copy:
            db.backup(copy)
            copy.execute("pragma journal_mode = delete")
        sync_file(part)
        os.replace(part, target)
        sync_folder(target.parent)
    finally:
        for name in (part.name, f"{part.name}-journal", f"{part.name}-wal", f"{part.name}-shm"):
            part.with_name(name).unlink(missing_ok=True)


def _source(path: Path) -> sqlite3.Connection:
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10)
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut, where the system has a way to ask for it."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- older layouts ----------------------------------------------------------------------------------------


def _migrate(path: Path, layout: int) -> None:
    backups, copy = path.parent / BACKUPS, path.with_name(f"{path.name}.migrating")
    try:
        backups.mkdir(exist_ok=True)
        copy_database(path, backups / f"layout-{layout}-{time.strftime('%Y%m%d-%H%M%S')}.db")
        copy_database(path, copy)
        with contextlib.closing(sqlite3.connect(copy)) as db:
            _bring_forward(db, layout)
            db.execute("pragma journal_mode = delete")
        sync_file(copy)
        for name in ("-wal", "-shm"):  # empty after the last connection's end; they must not meet another file
            path.with_name(path.name + name).unlink(missing_ok=True)
        os.replace(copy, path)
        sync_folder(path.parent)
    finally:
        for name in ("", "-journal", "-wal", "-shm"):
            copy.with_name(copy.name + name).unlink(missing_ok=True)


def _bring_forward(db: sqlite3.Connection, layout: int) -> None:
    try:
        for older in range(layout, LAYOUT):
            with db:
                _STEPS[older](db)
                db.execute("update meta set value = ? where name = 'layout'", (str(older + 1),))
        ((found,),) = db.execute("pragma quick_check(1)").fetchall()
        if found != "ok":
            raise ValueError(found)
    except (ValueError, TypeError, KeyError) as error:
        raise ProjectError(f"This project is of an older version and damaged ({error}); {RESTORE}.") from error


def _parts_of_their_own(db: sqlite3.Connection) -> None:
    """1 → 2: documents were written whole in every row; acts did not say where; jobs did not keep their document."""
    db.execute(PARTS)
    db.execute("alter table act add column place integer")
    db.execute("alter table job add column document blob")
    rows = DocumentRows()
    for (number,) in db.execute("select id from act order by id").fetchall():
        ((document,),) = db.execute("select document from act where id = ?", (number,)).fetchall()
        db.execute("update act set document = ? where id = ?", (rows.write(db, from_json(unsqueeze(document))), number))
        rows.settle()


_STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _parts_of_their_own}


class Transaction:
    """One transaction; a disk that cannot take it becomes a sentence."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        return self._db.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self._db.__exit__(kind, error, trace)
        except sqlite3.Error as failure:
            with contextlib.suppress(sqlite3.Error):
                self._db.rollback()
            raise ProjectError(f"The project cannot be saved: {failure}; free some disk space and try again.") from failure
        if isinstance(error, sqlite3.Error):
            raise ProjectError(f"The project cannot be saved: {error}; free some disk space and try again.") from error
