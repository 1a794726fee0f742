"""Projects as a whole: what is in a folder, a copy under another name, a backup brought back as a new project."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from engine.document.project import Project
from engine.errors import EngineError, ProjectError
from engine.store.clips import PLACES
from engine.store.database import DATABASE, copy_database, sync_folder
from engine.store.documents import rewrite
from engine.store.entries import CheckedPack
from engine.store.journal import Journal
from engine.store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Summary:
    """What a list of projects says about one. `trouble` is a sentence for a project that cannot be opened."""

    folder: Path
    name: str
    clip: str = ""
    digest: str = ""
    frames: int = 0
    seconds: float = 0.0
    size: tuple[int, int] = (0, 0)
    anchors: int = 0
    approved: int = 0
    changed: float = 0.0
    trouble: str = ""


def last_change(folder: Path) -> float:
    """When a project was changed last, in seconds since the epoch; 0 for what is none."""
    times = []
    for name in (DATABASE, f"{DATABASE}-wal"):
        with contextlib.suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return max(times, default=0.0)


def summary_of(folder: Path, project: Project | None = None) -> Summary:
    """What a list shows, whoever has the project open; `project` is its document where it is at hand.

    Never raises for a project that cannot be opened.
    """
    changed = last_change(folder)
    if project is None:
        try:
            with contextlib.closing(Journal(folder, to_read=True)) as journal:
                project = journal.project
        except EngineError as error:
            return Summary(folder, folder.name, changed=changed, trouble=str(error))
    video, edit = project.video, project.edit
    return Summary(
        folder=folder,
        name=project.name,
        clip=Path(video.path).name,
        digest=video.digest,
        frames=video.frames,
        seconds=float((video.pts[-1] - video.pts[0]) * video.time_base + 1 / video.rate),
        size=video.size,
        anchors=len(edit.anchors),
        approved=len(edit.approved),
        changed=changed,
    )


def poster_of(summary: Summary) -> bytes | None:
    """A small picture of the project's clip as JPEG, where it is prepared; opens nothing but the picture."""
    folder = Workspace(summary.folder).pack(summary.digest)
    try:
        pack = CheckedPack(folder)
    except (EngineError, OSError):
        return None
    try:
        return pack.jpeg(0) if pack.ready else None
    finally:
        pack.close()


def copy_project(source: Path, target: Path, name: str, *, database: Path | None = None) -> None:
    """A copy of a project in the new folder `target`, under another name, with its whole history.

    What the user made and a clip inside the project are copied (objects, which never change, as links where the disk
    can); what was computed comes along as links. `database` is a backup to begin from instead of the present state.
    The copy appears when it is complete.

    Raises:
        ProjectError: `target` is there already, or the disk cannot take it.
    """
    if os.path.lexists(target):
        raise ProjectError(f"{target.name} exists already; give another name.")
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        copy_database(database or source / DATABASE, part / DATABASE)
        _retitle(part, name)
        _link_tree(source / "objects", part / "objects")
        if (source / "media").is_dir():
            shutil.copytree(source / "media", part / "media")
        if (source / PLACES).is_file():
            shutil.copy2(source / PLACES, part / PLACES)
        _link_cache(source, part)
        os.replace(part, target)
        sync_folder(target.parent)
    except (OSError, sqlite3.Error, shutil.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise ProjectError(f"The copy cannot be made: {said}; check free disk space and write permission.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _retitle(folder: Path, name: str) -> None:
    """Gives all versions the new name: undo in the copy must not call it by the old one. Jobs stay with the original."""
    Journal(folder).close()  # brings an older layout forward first
    shutil.rmtree(folder / "backups", ignore_errors=True)
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as db, db:
        rewrite(db, name=name)
        db.execute("delete from job")


def _link_tree(source: Path, target: Path) -> None:
    """The same files under another folder: as links where the file system has them."""
    for folder, _, names in os.walk(source):
        into = target / Path(folder).relative_to(source)
        into.mkdir(parents=True, exist_ok=True)
        for name in names:
            if not name.endswith(".tmp"):
                _link(Path(folder) / name, into / name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _link_cache(source: Path, target: Path) -> None:
    """Finished entries only. They are replaced when they change, never written over, so two projects may share them."""
    for entry in Workspace(source).entries():
        if (entry / "done.json").exists():
            _link_tree(entry, target / entry.relative_to(source))
