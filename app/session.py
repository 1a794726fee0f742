"""Sessions: opened projects by id. Gradio state and the URL hold the id only.

Everything a user changes goes through `Session.do`, everything long through `Session.submit`.
"""

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

from app.actions import OWN_ACTS, check_own_act, checked
from app.shelf import Shelf
from app.view import segments_view, view_of
from engine import (
    AnotherClip,
    BackupClock,
    Editor,
    EngineError,
    Job,
    JobManager,
    Material,
    ProjectError,
    Summary,
    Viewer,
    acts,
    backups_of,
    cache_bytes,
    check_file,
    clean_cache,
    copy_project,
    draw_sample,
    find_clip,
    import_project,
    is_zip,
    last_change,
    limit_cache,
    spans_to_carry,
    summary_of,
    sweep_parts,
)

IDENTITY = re.compile(r"[0-9a-f]{12}")
LOOK_AGAIN = 5.0  # seconds before something that others change is looked at again
CARRY_AFTER = 1.5  # seconds without a new mark before masks are carried in the background


class UnknownProject(ProjectError):
    """There is no project of that id."""


class Session:
    """One opened project with its jobs and the subject being marked."""

    def __init__(self, identity: str, folder: Path, jobs: JobManager) -> None:
        self.id = identity
        self.editor = Editor(folder)
        self.jobs = jobs
        self.other_clip: Path | None = None
        """Another clip that was offered in place of a missing one, until the user says what to do."""
        self._viewer: tuple[str, Viewer] | None = None
        self._backups = BackupClock(folder, lambda: self.editor.rev)
        self.editor.changed = self._changed
        self._works = False
        self._cache_size = (0.0, -1)
        self.question: tuple[int, str, str] | None = None
        """Open question about a take that reaches outside the mask: frame, key, sentence."""
        self._picked: dict[int, str] = {}
        self._subject = 0
        self._timer: threading.Timer | None = None
        threading.Thread(target=self.editor.warm_up, daemon=True).start()
        self._begin_work()

    @property
    def viewer(self) -> Viewer:
        """Of the clip as it is now: another version may have taken its place."""
        video = self.editor.project.video
        if self._viewer is None or self._viewer[0] != video.digest:
            if self._viewer is not None:
                self._viewer[1].close()
            self._viewer = (video.digest, Viewer(self.editor.workspace, video))
        return self._viewer[1]

    def _begin_work(self) -> None:
        """Once the project is ours to change: goes on with what an editor that is gone left, and prepares the clip."""
        if self._works or self.editor.why_read_only:
            return
        self._works = True
        self.jobs.adopt(self.editor.journal)
        self.editor.workspace.sweep()
        self.prepare()

    def _changed(self) -> None:
        self._backups.changed()
        self._begin_work()

    @property
    def material(self) -> Material:
        return self.editor.material

    @property
    def subject(self) -> int:
        """The subject being marked: the chosen one while it exists, else the first; 0 = none."""
        numbers = [subject.id for subject in self.editor.project.subjects]
        return self._subject if self._subject in numbers else (numbers[0] if numbers else 0)

    @property
    def job(self) -> Job | None:
        return self.jobs.current(self.editor.journal)

    def do(self, name: str, args: dict[str, Any], gesture: str = "") -> dict[str, Any]:
        """Carries out one act by name and returns the new view. Raises EngineError.

        Acts with the same `gesture`, one right after the other, are one item of undo. After undo and redo the view says
        under `went` what was taken back or brought again, and on which frame (None = no certain one).
        """
        if name in OWN_ACTS:
            check_own_act(name, args)
        if name in ("undo", "redo"):
            return self._travel(name)
        if name == "select_subject":
            self._subject = self.editor.project.subject(args["subject"]).id
        elif name == "choose_take":
            self.editor.approve(args["frame"], args["key"])
        else:
            self._act(name, args, gesture)
        self.carry_soon()
        return self.view()

    def _travel(self, name: str) -> dict[str, Any]:
        (self.editor.undo if name == "undo" else self.editor.redo)()
        self.carry_soon()
        label, frame = self.editor.journal.moved
        return {**self.view(), "went": {"label": label, "frame": frame}}

    def _act(self, name: str, args: dict[str, Any], gesture: str) -> None:
        action, args = checked(name, args)
        merge = None
        if gesture:
            merge = f"{name}:{gesture[:80]}"
        elif action.merge:  # the same value of the same thing, not another one a moment later
            changes = sorted(set(args) - set(action.merge))
            merge = ":".join([name, *(str(args.get(part)) for part in action.merge), *changes])
        project = self.editor.act(action.function, action.label, merge, **args)
        if name == "add_subject":
            self._subject = project.subjects[-1].id

    def view(self) -> dict[str, Any]:
        material = self.material
        view = view_of(self.id, self.editor.rev, material, self.editor.journal.labels(), self.subject)
        for anchor in view["anchors"]:
            anchor["shown"] = self.picked_take(anchor["frame"])
        job = self.job
        more = {"segments": segments_view(material, job), "job": job.view() if job else None}
        return {**view, **more, "read_only": self.editor.why_read_only}

    def pick_take(self, frame: int, key: str) -> None:
        """Shows this take on the canvas; approval is another step."""
        self._picked[frame] = key

    def picked_take(self, frame: int) -> str | None:
        """The take that is shown on an anchor: the picked one, else the approved, else the newest; None without takes."""
        anchor = self.editor.project.edit.anchor_at(frame)
        if anchor is None or not anchor.takes:
            return None
        picked = self._picked.get(frame)
        keys = [take.key for take in anchor.takes]
        return picked if picked in keys else anchor.chosen or keys[-1]

    # --- long work ----------------------------------------------------------------------------------------

    def prepare(self) -> Job | None:
        """Starts building the frame pack where it is not complete and the clip is there."""
        pack = self.material.pack
        done = pack is not None and pack.complete
        return None if done or self.missing_clip() or self.editor.why_read_only else self.submit("prepare")

    def cache_size(self) -> int:
        """Bytes of the project's cache, as of a few seconds ago."""
        looked, known = self._cache_size
        if known < 0 or time.monotonic() - looked > LOOK_AGAIN:
            looked, known = self._cache_size = time.monotonic(), cache_bytes(self.editor.workspace.folder)
        return known

    def clean_cache(self) -> None:
        """Takes away what was computed and begins to prepare the clip again."""
        clean_cache(self.editor.workspace.folder)
        self._cache_size = (0.0, -1)
        self.prepare()

    def missing_clip(self) -> str:
        """A sentence when the clip is gone from where it was, else ""."""
        try:
            find_clip(self.editor.workspace, self.editor.project.video)
        except EngineError as error:
            return str(error)
        return ""

    def relink(self, place: Path, *, accept: bool = False) -> None:
        """Says where the clip is now. Another clip is kept in `other_clip` until it is accepted. Raises EngineError."""
        try:
            self.editor.relink(place, accept=accept)
            self.other_clip = None
        except AnotherClip:
            self.other_clip = place
            raise
        self.prepare()

    def submit(self, kind: str, args: dict[str, Any] | None = None) -> Job:
        return self.jobs.submit(self.editor.journal, kind, args)

    def carry_soon(self) -> None:
        """Carries new marks through the shot once the hand rests; work on marks that have changed since is dropped."""
        self._stop_timer()
        if self.editor.why_read_only:
            return
        wanted = {span.key for span in spans_to_carry(self.material)}
        for job in self.jobs.of(self.editor.journal):
            if job.active and job.kind == "carry" and not wanted <= set(job.args.get("spans", ())):
                self.jobs.cancel(job)
        if wanted:
            self._timer = threading.Timer(CARRY_AFTER, self.carry)
            self._timer.daemon = True
            self._timer.start()

    def carry(self) -> Job | None:
        """Carries what is not carried yet, unless that is being done. None when there is nothing to do."""
        material = self.material
        if material.pack is None or not material.pack.complete or self.editor.why_read_only:
            return None
        wanted = sorted(span.key for span in spans_to_carry(material))
        if not wanted or any(job.active and job.kind != "prepare" for job in self.jobs.of(self.editor.journal)):
            return None
        return self.submit("carry", {"spans": wanted})

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        self._stop_timer()
        self._backups.close()
        if self._viewer is not None:
            self._viewer[1].close()
        self.editor.close()


class SessionStore:
    """All projects under one home folder, opened when they are first asked for."""

    def __init__(self, home: Path, jobs: JobManager | None = None) -> None:
        self.home = home
        self.shelf = Shelf(home)
        self.jobs = jobs or JobManager(ended=lambda job: self.tidy())
        self._lock = threading.RLock()
        self._open: dict[str, Session] = {}
        sweep_parts(home)
        self._summaries: dict[Path, tuple[float, Summary]] = {}

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
        if path.suffix == ".db" and os.path.exists(path.parent.parent / "project.db"):
            return self.restore(path.parent.parent, path)
        return self.create(path, deinterlace=deinterlace)

    # --- whole projects -----------------------------------------------------------------------------------

    def import_zip(self, archive: Path) -> Session:
        """A zipped project as a new one here. Raises ProjectError."""
        return self._made(uuid.uuid4().hex[:12], lambda folder: import_project(archive, folder))

    def save_copy(self, session: Session, name: str) -> Session:
        """A copy of the project under another name, which is opened. Raises EngineError."""
        name = acts.clean_name(name) or acts.clean_name(f"{session.editor.project.name} copy")
        identity = uuid.uuid4().hex[:12]
        copy_project(session.editor.workspace.folder, self.home / identity, name)
        return self.get(identity)

    def restore(self, folder: Path, backup: Path) -> Session:
        """An earlier state of a project as a new one; the project stays as it is. Raises EngineError."""
        known = {one.path.resolve(): one for one in backups_of(folder)}
        identity, made = uuid.uuid4().hex[:12], known.get(backup.resolve())
        stamp = time.strftime("%d %b %H:%M", time.localtime(made.at)) if made else backup.stem
        title = summary_of(folder)
        name = f"{'Project' if title.trouble else title.name} (backup of {stamp})"
        copy_project(folder, self.home / identity, name, database=backup)
        return self.get(identity)

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

    def close(self) -> None:
        self.jobs.close()
        with self._lock:
            for session in self._open.values():
                session.close()
            self._open.clear()
