"""An opened project: its document and journal, its files, its clip. Every change goes through `act` or `commit`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from engine.document import acts
from engine.document import project as documents
from engine.document.project import Project
from engine.media.reader import FrameReader, open_video
from engine.rendering.material import Material
from engine.store import clips
from engine.store.journal import Journal
from engine.store.workspace import Workspace
from engine.types import Edit, FrameIndex, FrameRange, Subject, Video

PLAIN_NAMES = ("frames", "video", "clip", "images", "input", "source")


class Opened:
    """One opened project. `rev` counts its versions."""

    def __init__(self, folder: Path, segmenter_name: str = "auto") -> None:
        self.workspace = Workspace(folder)
        self.journal = Journal(folder)
        self.segmenter_name = segmenter_name
        """Who makes masks from clicks; `use_segmenter` changes it."""
        self._lock = threading.RLock()
        self._reader: FrameReader | None = None
        self._reads = ""
        self.changed: Callable[[], None] = lambda: None
        """Called after every act, undo and redo, once it is on disk."""
        self._material: tuple[tuple[int, int], bool, Material] | None = None

    @classmethod
    def create(
        cls,
        folder: Path,
        clip: Path,
        name: str = "",
        *,
        video: Video | None = None,
        deinterlace: bool = False,
        segmenter_name: str = "auto",
    ) -> Self:
        """A new project on a clip (a video file, or a folder of stills); `video` is what was found in it, if it was looked at.

        Raises:
            MediaError: the clip cannot be read.
            ProjectError: the folder cannot be used.
        """
        mark = clips.mark_of(clip)
        if video is None:
            with open_video(clip, deinterlace=deinterlace) as reader:
                video = reader.video
        resolved = Path(video.path)
        if resolved.is_relative_to(folder.resolve()):
            video = replace(video, path=resolved.relative_to(folder.resolve()).as_posix())
        subject = Subject(1, "Subject 1", acts.SUBJECT_COLOURS[0])
        # "frames" or "video" in a folder of their own say less than the folder.
        found = clip.resolve()
        stem = found.parent.name if found.stem.lower() in PLAIN_NAMES and found.parent.name else found.stem
        title = acts.clean_name(name) or acts.clean_name(stem) or "Clip"
        Journal.create(folder, Project(title, video, FrameRange(0, video.frames), (subject,), (), (Edit(),))).close()
        clips.note_clip(Workspace(folder), video, mark=mark)
        return cls(folder, segmenter_name)

    # --- the document -------------------------------------------------------------------------------------

    @property
    def project(self) -> Project:
        return self.journal.project

    @property
    def rev(self) -> int:
        return self.journal.rev

    @property
    def why_read_only(self) -> str:
        """A sentence while the project may not be changed here, else ""."""
        return self.journal.why_read_only

    def act(self, function: Callable[..., Project], label: str, merge: str | None = None, /, **args: Any) -> Project:
        """Applies a pure act, derives what follows from it, writes it down."""
        with self._lock:
            self.journal.check_writable()
            place = args.get("to", args.get("frame"))
            return self.commit(function(self.project, **args), label, merge, place=place)

    def commit(self, project: Project, label: str, merge: str | None = None, *, place: FrameIndex | None = None) -> Project:
        """Writes a document that several acts have made, as one item of undo about the frame `place`."""
        with self._lock:
            if project is self.project:
                return project
            project = self.journal.record(self._derived(project), label, merge, place)
            self.changed()
            return project

    def _derived(self, project: Project) -> Project:
        """The document with what follows from it, before it is written down (engine/editing/marking.py)."""
        return project

    def undo(self) -> Project:
        """`journal.moved` then says what was taken back and on which frame."""
        return self._moved(self.journal.undo)

    def redo(self) -> Project:
        return self._moved(self.journal.redo)

    def _moved(self, move: Callable[[], Project]) -> Project:
        with self._lock:
            before = self.project
            project = self.journal.select(_edit_to_show(before, move()))
            self.changed()
            return project

    def select_edit(self, edit: int) -> Project:
        """Works on another edit of the stack; takes, anchors and methods are then its own. Raises ProjectError."""
        with self._lock:
            project = self.journal.select(edit)
            self.changed()
            return project

    @property
    def material(self) -> Material:
        """The files of the current version."""
        with self._lock:
            version = self.rev, self.project.selected
            if self._material is None or self._material[0] != version or not self._material[1] or self._material[2].outdated:
                material = Material(self.workspace, self.project, lambda: self.reader)
                self._material = (version, bool(material.pack and material.pack.complete), material)
            return self._material[2]

    @property
    def reader(self) -> FrameReader:
        """Raises MediaError while the clip is gone or has changed."""
        with self._lock:
            video = self.project.video
            if self._reader is None or self._reads != video.digest:
                reader = clips.open_clip(self.workspace, video)
                if self._reader is not None:
                    self._reader.close()
                self._reader, self._reads = reader, video.digest
            return self._reader

    def relink(self, place: Path, *, accept: bool = False) -> Project:
        """Says where the clip is now: the file, or a folder to search. `accept` takes another clip with the same frames
        in its stead, as an item of undo.

        Raises:
            clips.AnotherClip: it is another clip, and was not accepted.
            MediaError: it is not there, cannot be read, or has other frames.
        """
        with self._lock:
            self.journal.check_writable()
            try:
                clips.relink(self.workspace, self.project.video, place)
                return self.project
            except clips.AnotherClip:
                if not accept:
                    raise
            mark = clips.mark_of(place)
            video = clips.new_version(self.project.video, place)
            clips.note_clip(self.workspace, video, mark=mark, path=Path(video.path))
            return self.commit(replace(self.project, video=video), "Replace clip")

    def original(self, frame: FrameIndex) -> np.ndarray:
        """(H, W, 3) uint8: the clip's own frame, on which subjects are marked."""
        with self._lock:
            return self.reader.get(frame)

    def picture(self, frame: FrameIndex) -> np.ndarray:
        """(H, W, 3) uint8: the frame that is edited: the clip's, with the lower edits in it.

        Raises MediaError where one of these is not rendered yet.
        """
        with self._lock:
            return self.material.picture(frame)

    def close(self) -> None:
        with self._lock:
            if self._reader is not None:
                self._reader.close()
            self.journal.close()


def _edit_to_show(before: Project, after: Project) -> int:
    """Which edit to work on after undo or redo: the one that was changed by it, so that the change is seen."""
    known = {edit.id: _said(edit) for edit in before.edits}
    changed = [edit.id for edit in after.edits if edit.id in known and _said(edit) != known[edit.id]]
    stays = any(edit.id == before.selected for edit in after.edits)
    if not changed or before.selected in changed:
        return before.selected if stays else after.selected
    return changed[0]


def _said(edit: Edit) -> object:
    return documents.edit_json(edit), [documents.anchor_json(anchor) for anchor in edit.anchors]
