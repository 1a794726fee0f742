"""A project as one zip file: the project's folder without its cache. Read with every entry checked, never `extractall`."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

from engine.errors import ProjectError

# What belongs to a project (engine/workspace.py); a zip made by hand may hold the cache and exports too: left out.
WANTED = re.compile(r"^(project\.db(-wal|-shm)?|objects/[0-9a-f]{2}/[0-9a-f]{64}|media/[^/\\]{1,255})$")
LEFT_OUT = re.compile(r"^(cache|exports)/|/$|^(project\.lock|\.DS_Store)$")
MAX_FILES = 200_000
MAX_BYTES = 64 * 2**30
MAX_RATIO = 100  # a PNG or a clip hardly shrinks; a file that shrinks more is a bomb
SMALL = 2**20  # bytes below which the ratio says nothing


def unpack_project(archive: Path, folder: Path) -> Path:
    """Unpacks a zipped project into a new `folder`; returns the project's folder.

    Raises:
        ProjectError: not a zip, not a project, or entries that a project does not have.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            entries = _checked(source, archive.name)
            for name, entry in entries.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with source.open(entry) as packed, open(target, "xb") as file:
                    shutil.copyfileobj(packed, file, 2**20)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ProjectError(f"{archive.name} is damaged or not a zip of a project; make the zip again.") from error
    except OSError as error:
        raise ProjectError(f"{archive.name} cannot be unpacked ({error.strerror}); check free disk space.") from error
    return folder


def _checked(source: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """The entries to unpack, by path in the project. A single top folder (as file managers make) is taken off."""
    entries = source.infolist()
    if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise ProjectError(f"{name} holds more than a project can; it is not unpacked.")
    tops = {entry.filename.split("/", 1)[0] for entry in entries}
    top = next((f"{one}/" for one in tops if f"{one}/project.db" in source.namelist()), "") if len(tops) == 1 else ""
    wanted: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        path = entry.filename.removeprefix(top)
        if not path or LEFT_OUT.search(path):
            continue
        if not WANTED.match(path) or path in wanted or "/.." in f"/{path}":
            raise ProjectError(f"{name} holds “{path[:60]}”, which no project has; it is not unpacked.")
        if entry.file_size > max(SMALL, MAX_RATIO * entry.compress_size):
            raise ProjectError(f"{name} holds “{path[:60]}”, which would grow more than {MAX_RATIO} times; it is not unpacked.")
        wanted[path] = entry
    if "project.db" not in wanted:
        raise ProjectError(f"{name} holds no project.db; zip a project's folder.")
    return wanted
