"""A project as one zip file: its database, its objects and its clip, without what can be computed again.

Written without a path of this machine in it. Read with every entry checked, never `extractall`: a zip comes from others.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from engine.document.foreign import check_document
from engine.errors import MediaError, ProjectError, RecipeError
from engine.store.database import DATABASE, copy_database
from engine.store.documents import rewrite
from engine.store.journal import Journal

# What belongs to a project (engine/store/workspace.py); a zip made by hand may hold the cache and exports too: left out.
WANTED = re.compile(r"^(project\.db(-wal|-shm)?|objects/[0-9a-f]{2}/[0-9a-f]{64}|media/[^/\\]{1,255}(/[^/\\]{1,255})?)$")
LEFT_OUT = re.compile(r"^(cache|exports|backups|painting)/|/$|^(project\.lock|clips\.json|\.DS_Store)$|^__MACOSX/")
OBJECT = re.compile(r"^objects/[0-9a-f]{2}/([0-9a-f]{64})$")
# Names that some system takes for something else than a file of that name.
ODD = re.compile(r'[\x00-\x1f<>:"|?*]|(^|/)(\.\.?|.*[. ]|(con|prn|aux|nul|com\d|lpt\d)(\..*)?)(/|$)', re.IGNORECASE)
MAX_FILES = 200_000
MAX_BYTES = 64 * 2**30
MAX_RATIO = 100  # a PNG or a clip hardly shrinks; a file that shrinks more is a bomb
SMALL = 2**20  # bytes below which the ratio says nothing
AT_ONCE = 2**20
Step = Callable[[int, int], None]


# --- writing ----------------------------------------------------------------------------------------------


def pack_project(folder: Path, archive: Path, clip: Path | None, progress: Step | None = None) -> None:
    """Writes the project, as it is this moment, into `archive`, beside it first and renamed when it is whole.

    `clip` (a file or a folder of stills) comes along as media/NAME; with None the clip stays where it is, and whoever
    opens the zip has to find it again. `progress(done, total)` in bytes; an exception from it stops the work.

    Raises:
        ProjectError: the archive exists already.
        MediaError: the disk is full, or something cannot be read.
    """
    if archive.exists():
        raise ProjectError(f"{archive.name} exists already; choose another name.")
    part = archive.with_name(f".{archive.stem}.part-{os.getpid()}{archive.suffix}")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{archive.stem}.part-{os.getpid()}.", dir=archive.parent) as scratch:
            database = Path(scratch) / DATABASE
            copy_database(folder / DATABASE, database)
            name = _portable(clip.name) if clip else ""
            _without_paths(database, name)
            files = [(database, DATABASE), *_objects(folder), *(_media(clip, name) if clip else [])]
            _write(part, files, progress or (lambda done, total: None))
        os.replace(part, archive)
    except (OSError, sqlite3.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise MediaError(f"{archive.name} cannot be written ({said}); free some disk space and try again.") from error
    finally:
        part.unlink(missing_ok=True)


def _without_paths(database: Path, clip: str) -> None:
    """The clip's place on this machine is nobody else's business: all versions name it by its own name."""
    with contextlib.closing(Journal(database.parent)) as journal:
        said = clip or Path(journal.project.video.path).name
    with contextlib.closing(sqlite3.connect(database)) as db:
        with db:
            rewrite(db, clip=f"media/{said}")
            db.execute("delete from job")
            db.execute("delete from meta where name like 'note:%'")
        db.execute("pragma journal_mode = delete")
        db.execute("vacuum")  # or what was deleted could still be read


def _portable(name: str) -> str:
    """A file name that every system takes."""
    return ODD.sub("_", name)[:200] or "clip"


def _objects(folder: Path) -> list[tuple[Path, str]]:
    found = [(path, f"objects/{path.parent.name}/{path.name}") for path in sorted((folder / "objects").glob("??/*"))]
    return [(path, name) for path, name in found if OBJECT.match(name)]


def _media(clip: Path, name: str) -> list[tuple[Path, str]]:
    if not clip.is_dir():
        return [(clip, f"media/{name}")]
    return [(one, f"media/{name}/{_portable(one.name)}") for one in sorted(clip.iterdir()) if one.is_file()]


def _write(part: Path, files: list[tuple[Path, str]], progress: Step) -> None:
    total, done = sum(path.stat().st_size for path, _ in files), 0
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as out:  # pictures and clips do not shrink
        for path, name in files:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            if name == DATABASE:
                entry.compress_type = zipfile.ZIP_DEFLATED
            with open(path, "rb") as file, out.open(entry, "w", force_zip64=True) as packed:
                while piece := file.read(AT_ONCE):
                    packed.write(piece)
                    done += len(piece)
                    progress(done, total)
    with open(part, "rb+") as file:
        os.fsync(file.fileno())


# --- reading ----------------------------------------------------------------------------------------------


def unpack_project(archive: Path, folder: Path) -> Path:
    """Unpacks a zipped project into a new `folder`; returns the project's folder.

    Raises:
        ProjectError: not a zip, not a project, entries that a project does not have, or no room for it. Nothing stays.
    """
    if folder.exists():
        raise ProjectError(f"{folder.name} exists already; choose another folder.")
    try:
        with zipfile.ZipFile(archive) as source:
            entries = _checked(source, archive.name)
            _check_room(folder, sum(entry.file_size for entry in entries.values()), archive.name)
            for name, entry in entries.items():
                _unpack(source, entry, folder / name, name)
        return folder
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ProjectError(f"{archive.name} is damaged or not a zip of a project; make the zip again.") from error
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ProjectError(f"{archive.name} cannot be unpacked ({error.strerror}); check free disk space.") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def import_project(archive: Path, folder: Path) -> str:
    """Unpacks a zipped project and makes sure that it can be opened; returns its name.

    Raises:
        ProjectError: see `unpack_project`; also a project that is damaged or of a newer version. Nothing stays.
    """
    unpack_project(archive, folder)
    try:
        with contextlib.closing(Journal(folder)) as journal:
            check_document(journal.project)
            return journal.project.name
    except (RecipeError, TypeError, ValueError, OverflowError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ProjectError(
            f"{archive.name} holds a project that Anchorline did not make ({str(error)[:200]}); ask for another copy."
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def is_zip(path: Path) -> bool:
    """Whether a path is a zip file, by its content."""
    try:
        return path.is_file() and zipfile.is_zipfile(path)
    except (OSError, ValueError):
        return False


def _unpack(source: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, name: str) -> None:
    """One entry, never longer than it says. An object must be what its name says."""
    target.parent.mkdir(parents=True, exist_ok=True)
    total, left = hashlib.sha256(), entry.file_size
    with source.open(entry) as packed, open(target, "xb") as file:
        while piece := packed.read(min(AT_ONCE, left + 1)):
            left -= len(piece)
            if left < 0:
                raise zipfile.BadZipFile(name)
            total.update(piece)
            file.write(piece)
    said = OBJECT.match(name)
    if left or (said and said[1] != total.hexdigest()):
        raise zipfile.BadZipFile(name)


def _check_room(folder: Path, needed: int, name: str) -> None:
    place = folder.parent
    place.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ProjectError(f"{name} needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; free some disk space.")


def _checked(source: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """The entries to unpack, by path in the project. A single top folder (as file managers make) is taken off."""
    entries = source.infolist()
    if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise ProjectError(f"{name} holds more than a project can; it is not unpacked.")
    tops = {entry.filename.split("/", 1)[0] for entry in entries}
    top = next((f"{one}/" for one in tops if f"{one}/project.db" in source.namelist()), "") if len(tops) == 1 else ""
    wanted: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for entry in entries:
        path = entry.filename.removeprefix(top)
        if not path or LEFT_OUT.search(path):
            continue
        link = (entry.external_attr >> 28) == 0o12
        if not WANTED.match(path) or ODD.search(path) or link or entry.flag_bits & 1:
            raise ProjectError(f"{name} holds “{_shown(path)}”, which no project has; it is not unpacked.")
        if path.casefold() in seen:
            raise ProjectError(f"{name} holds “{_shown(path)}” twice; it is not unpacked.")
        if entry.file_size > max(SMALL, MAX_RATIO * entry.compress_size):
            raise ProjectError(
                f"{name} holds “{_shown(path)}”, which would grow more than {MAX_RATIO} times; it is not unpacked."
            )
        wanted[path] = entry
        seen.add(path.casefold())
    if DATABASE not in wanted:
        raise ProjectError(f"{name} holds no {DATABASE}; zip a project's folder.")
    return wanted


def _shown(path: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in path)[:60]
