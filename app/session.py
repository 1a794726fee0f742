"""Sessions: opened projects by id. Gradio state and the URL hold the id only.

Everything a user changes goes through `Session.do`, everything long through `Session.submit`.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.actions import OWN_ACTS, check_own_act, checked
from app.reviewing import Reviewing
from app.stack import below_view
from app.view import doubt_view, segments_view, view_of
from engine import (
    METHODS,
    AnotherClip,
    BackupClock,
    Editor,
    EngineError,
    InstantPreview,
    Job,
    JobManager,
    Material,
    Overview,
    PaintingWatch,
    ProjectError,
    Viewer,
    cache_bytes,
    clean_cache,
    find_clip,
    overview,
    points_to_follow,
    shown_first,
    spans_to_carry,
)

LOOK_AGAIN = 5.0  # seconds before something that others change is looked at again
CARRY_AFTER = 1.5  # seconds without a new mark before masks are carried in the background
LOOK_AFTER = 2.0  # seconds after opening before the clip's motion is read in the background


class Session:
    """One opened project with its jobs and the subject being marked."""

    def __init__(self, identity: str, folder: Path, jobs: JobManager) -> None:
        self.id = identity
        self.editor = Editor(folder)
        self.jobs = jobs
        self.shared = False
        """Others work on this machine too: its files are out of reach."""
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
        self.painting = PaintingWatch(self.editor, self.pick_take)
        self._subject = 0
        self._timer: threading.Timer | None = None
        self.instant = InstantPreview(folder)
        self._approved = {anchor.frame: anchor.chosen for anchor in self.editor.project.edit.approved}
        self._doubt: tuple[object, Overview] | None = None
        self.review = Reviewing()
        self._ahead = threading.Timer(LOOK_AFTER, self.look)
        self._ahead.daemon = True
        self._ahead.start()
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
        if self.editor.project.edit.approved or self._approved:
            threading.Thread(target=self._look_again, daemon=True, name="look").start()

    def _look_again(self) -> None:
        """Has the preview follow the document; round the anchor whose take has just changed, if one has."""
        approved = {anchor.frame: anchor.chosen for anchor in self.editor.project.edit.approved}
        fresh = [frame for frame, key in approved.items() if self._approved.get(frame) != key]
        self._approved = approved
        self.look(fresh[-1] if fresh else None)

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
        elif name == "select_edit":
            self.editor.select_edit(args["edit"])
        elif name == "set_segment_method":
            self.editor.set_segment_method(**self._with_files(args))
        elif name == "use_method":
            self.editor.use_method(**self._with_files(args))
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
        more = {**self.progress(), "job": job.view() if job else None}
        return {**view, **more, "read_only": self.editor.why_read_only}

    def progress(self) -> dict[str, Any]:
        """What grows by itself while the document stays: segments, previews of them, how far frames can be believed."""
        material = self.material
        segments = segments_view(material, self.job)
        ready = material.pack is not None and material.pack.complete and not self.editor.why_read_only
        for one in segments:
            shown = ready and one["state"] != "done" and self.instant.key_of(material, one["start"])
            one["instant"] = {"proper": self.instant.proper(one["key"])} if shown else None
        waiting = [job.view() for job in self.jobs.queued(self.editor.journal)]
        more = {"review": self.review.key(material, self.instant), "queue": waiting}
        return {"segments": segments, "below": below_view(material), "doubt": doubt_view(self.doubt), **more}

    @property
    def doubt(self) -> Overview:
        """How far frames can be believed, rendered or previewed."""
        material = self.material
        keys = [material.key_of(segment) for segment in material.segments]
        known = [
            (key, material.is_done(one), len(self.instant.measures(key)))
            for key, one in zip(keys, material.segments, strict=True)
        ]
        name = (self.editor.rev, known)
        if self._doubt is None or self._doubt[0] != name:
            self._doubt = (name, overview(material, self.instant.measures))
        return self._doubt[1]

    def look(self, frame: int | None = None) -> None:
        """Has previews made, around a frame that was just edited if there is one, and the clip's motion read."""
        with suppress(EngineError):  # closed meanwhile; whoever needs the project is told by what they do
            if not self.editor.why_read_only:
                self.instant.look(self.material, frame)

    def work_ended(self) -> None:
        """A job has ended: what it left makes better previews."""
        if not self._ahead.is_alive():
            self.look()

    def pick_take(self, frame: int, key: str) -> None:
        """Shows this take on the canvas; approval is another step."""
        self._picked[frame] = key

    def picked_take(self, frame: int) -> str | None:
        """The take that is shown on an anchor: the picked one, else the approved, else the newest, or of several by a model the
        one that fits best; None without takes."""
        anchor = self.editor.project.edit.anchor_at(frame)
        first = shown_first(anchor) if anchor else None
        if anchor is None or first is None:
            return None
        picked = self._picked.get(frame)
        return picked if any(take.key == picked for take in anchor.takes) else first.key

    def with_files(self, method: str, config: dict[str, Any]) -> dict[str, Any]:
        """The settings of a method with the files that they name taken into the project."""
        return self.editor.with_files(method, config, reach=not self.shared)

    def _with_files(self, args: dict[str, Any]) -> dict[str, Any]:
        known = isinstance(args.get("config"), dict) and args.get("method") in METHODS
        return {**args, "config": self.with_files(args["method"], args["config"])} if known else args

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
        if self.shared:
            raise ProjectError("Files of the server cannot be named here; upload the clip as a new project.")
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
        wanted = set(self._to_carry())
        for job in self.jobs.of(self.editor.journal):
            if job.active and job.kind == "carry" and not wanted <= set(job.args.get("spans", ())):
                self.jobs.cancel(job)
        if wanted:
            self._timer = threading.Timer(CARRY_AFTER, self.carry)
            self._timer.daemon = True
            self._timer.start()

    def _to_carry(self) -> list[str]:
        """Keys of what follows from marks and is not computed yet: stretches of masks and of tracked points."""
        return sorted([*(span.key for span in spans_to_carry(self.material)), *points_to_follow(self.material)])

    def carry(self) -> Job | None:
        """Carries what is not carried yet, unless that is being done. None when there is nothing to do."""
        material = self.material
        if material.pack is None or not material.pack.complete or self.editor.why_read_only:
            return None
        wanted = self._to_carry()
        if not wanted or any(job.active and job.kind != "prepare" for job in self.jobs.of(self.editor.journal)):
            return None
        return self.submit("carry", {"spans": wanted})

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        self._stop_timer()
        self._ahead.cancel()
        self.painting.close()
        self.instant.close()
        self._backups.close()
        if self._viewer is not None:
            self._viewer[1].close()
        self.editor.close()
