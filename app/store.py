"""All projects under one home folder: opened when they are first asked for, made, copied, brought back from backups."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.session import Session
from app.shelf import Shelf
from engine import (
    Editor,
    EngineError,
    Job,
    JobManager,
    ModelDesk,
    ProjectError,
    Summary,
    acts,
    backups_of,
    check_file,
    choose_device,
    choose_executor,
    chosen_device,
    chosen_executor,
    copy_project,
    devices,
    draw_sample,
    draw_world_sample,
    import_job,
    import_project,
    is_job,
    is_zip,
    last_change,
    limit_cache,
    summary_of,
    sweep_parts,
)

IDENTITY = re.compile(r"[0-9a-f]{12}")
LOOK_AGAIN = 5.0  # seconds before something that others change is looked at again


class UnknownProject(ProjectError):
    """There is no project of that id."""


class SessionStore:
    """All projects under one home folder, opened when they are first asked for."""

    def __init__(
        self,
        home: Path,
        jobs: JobManager | None = None,
        *,
        desk: ModelDesk | None = None,
        shared: bool = False,
        room: Callable[[], None] = lambda: None,
    ) -> None:
        """`shared`: others work on this machine too, so its files and settings are out of reach. `room` raises EngineError
        where the user may not keep more."""
        self.home, self.shared, self._room = home, shared, room
        self.shelf = Shelf(home)
        self.jobs = jobs or JobManager(ended=self.job_ended, finish=self.take_in)
        self._lock = threading.RLock()
        self._open: dict[str, Session] = {}
        sweep_parts(home)
        self._summaries: dict[Path, tuple[float, Summary]] = {}
        self.desk = desk or ModelDesk()
        self.devices: list[dict[str, Any]] = []
        if shared:
            return
        with suppress(EngineError):  # what an older version kept is no name any more: the best there is
            choose_device(self.shelf.device or chosen_device())  # what the environment says counts until somebody chooses
        with suppress(EngineError):
            choose_executor(*(self.shelf.executor or chosen_executor()))

    def get(self, identity: str) -> Session:
        """Raises ProjectError for an id that is none, or that no project has."""
        if not IDENTITY.fullmatch(identity or ""):
            raise UnknownProject("That is not the id of a project; open one from the list.")
        with self._lock:
            if identity not in self._open:
                folder = self.shelf.outside.get(identity, self.home / identity)
                if not folder.is_dir():
                    raise UnknownProject("This project is not on this machine any more; open another one.")
                self._open[identity] = Session(identity, folder, self.jobs)
                self._open[identity].shared = self.shared
                self._open[identity].editor.use_segmenter(self.shelf.segmenter)
            return self._open[identity]

    def create(self, clip: Path, *, keep: bool = False, name: str = "", deinterlace: bool = False) -> Session:
        """A new project on a clip. `keep` copies the clip into the project (an upload, which would vanish)."""
        if keep:
            check_file(clip)  # a device would be copied for ever

        def make(folder: Path) -> None:
            here = clip
            if keep:
                (folder / "media").mkdir(parents=True)
                here = Path(shutil.copy2(clip, folder / "media" / clip.name))
            Editor.create(folder, here, name, deinterlace=deinterlace).close()

        return self._made(uuid.uuid4().hex[:12], make)

    def _made(self, identity: str, make: Callable[[Path], object]) -> Session:
        """A new project, made beside and renamed: half of one is never seen, whatever happens. Raises EngineError."""
        part = self.home / f".{identity}.part-{os.getpid()}"
        self._room()
        try:
            make(part)
            os.replace(part, self.home / identity)
        except OSError as error:
            if not (self.home / identity / "project.db").exists():  # else another editor was sooner
                raise ProjectError(f"The project cannot be made: {error.strerror}; free some disk space.") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return self.get(identity)

    def open(self, path: Path, *, deinterlace: bool = False) -> Session:
        """A project folder, a zip of one, a backup of one, or a clip, anywhere on this machine."""
        self.alone("Opening files of the server")
        if os.path.exists(path / "project.db"):  # unlike Path.exists, False for what cannot be a path
            with self._lock:
                resolved = path.resolve()
                if resolved.parent == self.home.resolve() and IDENTITY.fullmatch(resolved.name):
                    return self.get(resolved.name)
                known = next((one for one, folder in self.shelf.outside.items() if folder == resolved), None)
                identity = known or uuid.uuid4().hex[:12]
                self.shelf.put_outside(identity, resolved)
                return self.get(identity)
        if is_zip(path):
            return self.import_zip(path)
        if is_job(path):
            return self.open_job(path)
        if path.suffix == ".db" and os.path.exists(path.parent.parent / "project.db"):
            return self.restore(path.parent.parent, path)
        return self.create(path, deinterlace=deinterlace)

    # --- whole projects -----------------------------------------------------------------------------------

    def import_zip(self, archive: Path) -> Session:
        """A zipped project as a new one here. Raises ProjectError."""
        return self._made(uuid.uuid4().hex[:12], lambda folder: import_project(archive, folder))

    def open_job(self, path: Path) -> Session:
        """The job of another program (EbSynth's, or a timeline) as a new project. Raises EngineError."""
        self.alone("Opening files of the server")
        return self._made(uuid.uuid4().hex[:12], lambda folder: import_job(path, folder))

    def save_copy(self, session: Session, name: str) -> Session:
        """A copy of the project under another name, which is opened. Raises EngineError."""
        self._room()
        name = acts.clean_name(name) or acts.clean_name(f"{session.editor.project.name} copy")
        identity = uuid.uuid4().hex[:12]
        copy_project(session.editor.workspace.folder, self.home / identity, name)
        return self.get(identity)

    def restore(self, folder: Path, backup: Path) -> Session:
        """An earlier state of a project as a new one; the project stays as it is. Raises EngineError."""
        known = {one.path.resolve(): one for one in backups_of(folder)}
        self._room()
        identity, made = uuid.uuid4().hex[:12], known.get(backup.resolve())
        stamp = time.strftime("%d %b %H:%M", time.localtime(made.at)) if made else backup.stem
        title = summary_of(folder)
        name = f"{'Project' if title.trouble else title.name} (backup of {stamp})"
        copy_project(folder, self.home / identity, name, database=backup)
        return self.get(identity)

    def alone(self, what: str) -> None:
        """Raises ProjectError where this machine is shared: `what` (a sentence's subject) would reach beyond the user's own."""
        if self.shared:
            raise ProjectError(f"{what} is left to whoever runs this server.")

    def take_in(self, job: Job) -> None:
        """Puts the takes that a worker has made on their anchor, in the project as it is by now."""
        session = self.session_of(job)
        if job.kind == "take" and session is not None:
            session.editor.method_takes(job.args["frame"], job.result["takes"], job.document.get("selected"))

    def job_ended(self, job: Job) -> None:
        session = self.session_of(job)
        if session is not None:
            session.work_ended()
        self.tidy()

    def session_of(self, job: Job) -> Session | None:
        return next((one for one in list(self._open.values()) if one.editor.journal is job.journal), None)

    def tidy(self) -> None:
        """Takes the cache back to its limit, in the background. What is open and shown stays."""
        threading.Thread(target=self._tidy, daemon=True, name="tidy").start()

    def _tidy(self) -> None:
        with self._lock:
            sessions = list(self._open.values())
        for session in sessions:
            with suppress(EngineError):  # closed meanwhile, or open elsewhere in a way that cannot be read
                session.material.keep()
        limit_cache([one.folder for _, one in self.summaries()], int(self.shelf.cache_gb * 1e9))

    def folder_of(self, identity: str) -> Path | None:
        """Where a project lies, without opening it; None for an id that no project has."""
        folder = self.shelf.outside.get(identity, self.home / identity)
        return folder if IDENTITY.fullmatch(identity) and (folder / "project.db").exists() else None

    def sample(self) -> Session:
        """The sample project, drawn when it is first asked for."""
        identity = "5a3b1e000001"
        if (self.home / identity / "project.db").exists():
            return self.get(identity)
        return self._made(identity, draw_sample)

    def world_sample(self) -> Session:
        """The sample that the bundled model can edit by text, drawn when it is first asked for."""
        identity = "5a3b1e000002"
        if (self.home / identity / "project.db").exists():
            return self.get(identity)
        return self._made(identity, draw_world_sample)

    def first(self) -> Session:
        """What to show where nothing was asked for: the project changed last, or the sample."""
        for identity, one in self.summaries():
            if not one.trouble:
                with suppress(EngineError):  # its summary could be read, the project cannot
                    return self.get(identity)
        return self.sample()

    def projects(self) -> list[tuple[str, str]]:
        """(name, id) of the projects here, newest first."""
        return [
            (f"(cannot be opened: {one.trouble})" if one.trouble else one.name, identity) for identity, one in self.summaries()
        ]

    def summaries(self) -> list[tuple[str, Summary]]:
        """The projects known here by id, those changed last first. One that has not changed is not looked at again."""
        places = {path.name: path for path in self.home.glob("*") if IDENTITY.fullmatch(path.name)} | self.shelf.outside
        found = {one: self._summary(one, folder) for one, folder in places.items() if (folder / "project.db").exists()}
        return sorted(found.items(), key=lambda item: item[1].changed, reverse=True)

    def _summary(self, identity: str, folder: Path) -> Summary:
        """Of an open project from its document; of another one read anew when it has changed, but not all the time."""
        session = self._open.get(identity)
        if session is not None:
            return summary_of(folder, session.editor.project)
        looked, known = self._summaries.get(folder, (0.0, None))
        if known is None or (known.changed != last_change(folder) and time.monotonic() - looked > LOOK_AGAIN):
            known = summary_of(folder)
            self._summaries[folder] = time.monotonic(), known
        return known

    @property
    def device(self) -> str:
        """The chosen device; "" = the best there is."""
        return chosen_device()

    @property
    def free_memory(self) -> int | None:
        """Bytes that were free on the device in use when it was looked at; None where nobody has looked yet."""
        best = next((one for one in self.devices if one["name"] == self.device), None)
        best = best or (self.devices[min(1, len(self.devices) - 1)] if self.devices else None)
        return int(best["free"]) if best else None

    def look_for_devices(self) -> None:
        """Asks what devices there are and how much memory is free; takes a few seconds."""
        self.devices = devices()

    def close(self) -> None:
        self.desk.stop()
        self.jobs.close()
        self.close_sessions()

    def close_sessions(self) -> None:
        with self._lock:
            for session in self._open.values():
                session.close()
            self._open.clear()
