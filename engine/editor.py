"""An opened project and the verbs on it: open, act, segment, preview a take, approve. Long verbs: engine/rendering/render.py.

Every change goes through `Editor.act`: a pure function of engine/document/acts.py, then whatever must be derived from it
(a keyframe's mask), then one row in the journal, then the answer. Safe to call from several threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from engine.composite import clip_to_region, outside_difference, region_of_difference
from engine.document import acts
from engine.document.project import Project
from engine.effects import apply_effect
from engine.errors import MediaError, MethodError, ProjectError
from engine.media.images import decode_png, encode_png, fit_image
from engine.media.reader import FrameReader, open_video
from engine.rendering.material import Material
from engine.segmentation import BY_MODELS, Segmenter, keyframe_mask, segmenter, segmenter_names
from engine.store import clips
from engine.store.journal import Journal
from engine.store.workspace import Workspace
from engine.types import Edit, FrameIndex, FrameRange, Keyframe, Point, Subject, Take, Video

PLAIN_NAMES = ("frames", "video", "clip", "images", "input", "source")
CODEC_NOISE = 2  # levels; smaller differences outside the region are no edit


class OutsideRegion(ProjectError):
    """A take changes pixels outside the edit region: the user must choose to grow the region or to clip the take."""


class Editor:
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
        self._material: tuple[int, bool, Material] | None = None
        self._bases: OrderedDict[tuple[object, ...], np.ndarray] = OrderedDict()

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
    ) -> Editor:
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

    def undo(self) -> Project:
        """`journal.moved` then says what was taken back and on which frame."""
        return self._moved(self.journal.undo)

    def redo(self) -> Project:
        return self._moved(self.journal.redo)

    def _moved(self, move: Callable[[], Project]) -> Project:
        with self._lock:
            project = move()
            self.changed()
            return project

    @property
    def material(self) -> Material:
        """The files of the current version."""
        with self._lock:
            rev = self.rev
            if self._material is None or self._material[0] != rev or not self._material[1] or self._material[2].outdated:
                material = Material(self.workspace, self.project, lambda: self.reader)
                self._material = (rev, bool(material.pack and material.pack.complete), material)
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

    def picture(self, frame: FrameIndex) -> np.ndarray:
        """(H, W, 3) uint8 source frame."""
        with self._lock:
            return self.reader.get(frame)

    def close(self) -> None:
        with self._lock:
            if self._reader is not None:
                self._reader.close()
            self.journal.close()

    # --- segment ------------------------------------------------------------------------------------------

    def _derived(self, project: Project) -> Project:
        """The document with the mask of every keyframe whose marks changed."""
        open_keys = [key for key in project.keyframes if key.mask is None]
        derived = {(key.frame, key.subject): self._segment(key) for key in open_keys}
        if not derived:
            return project
        keyframes = tuple(derived.get((key.frame, key.subject), key) for key in project.keyframes)
        return replace(project, keyframes=keyframes)

    def _segment(self, key: Keyframe) -> Keyframe:
        """The keyframe with its mask made from everything that was said on it.

        A correction on a frame whose mask was carried there starts from that mask, kept with the keyframe: it would
        be gone from the carried ones with the next act.
        """
        before = self.project.keyframe(key.frame, key.subject)
        if key.imported is None and before is None and any(s.id == key.subject for s in self.project.subjects):
            carried = self.material.alpha(key.subject, key.frame)
            if carried is not None and carried.any():
                key = replace(key, imported=self.journal.objects.put(encode_png(carried)))
        prior = decode_png(self.journal.objects.get(key.imported)) if key.imported else None
        base = self._base(key, prior)
        strokes_only = replace(key, points=(), box=None)
        mask = keyframe_mask(self.picture(key.frame), strokes_only, imported=base, prior=None, segmenter=self._segmenter)
        return replace(key, mask=self.journal.objects.put(encode_png(mask)))

    def _base(self, key: Keyframe, prior: np.ndarray | None) -> np.ndarray | None:
        """What clicks and box say, before strokes; kept for the next stroke on the same frame."""
        if not key.points and key.box is None:
            return prior
        said = (key.frame, key.points, key.box, key.imported)
        if said not in self._bases:
            without = replace(key, strokes=())
            self._bases[said] = keyframe_mask(
                self.picture(key.frame), without, imported=None, prior=prior, segmenter=self._segmenter
            )
            if len(self._bases) > 8:
                self._bases.popitem(last=False)
        return self._bases[said]

    def preview_click(self, frame: FrameIndex, subject: int, at: tuple[float, float], label: int) -> np.ndarray:
        """(H, W) uint8: the mask that one more click (x, y; 1 inside, -1 outside) would give. Nothing is kept of it.

        There need not be such a subject yet.
        """
        with self._lock:
            image, key = self.picture(frame), self.project.keyframe(frame, subject)
            prior = None
            if key is not None and key.imported:
                prior = decode_png(self.journal.objects.get(key.imported))
            elif key is None and any(one.id == subject for one in self.project.subjects):
                prior = self.material.alpha(subject, frame)
        key = key or Keyframe(frame, subject)
        return keyframe_mask(image, replace(key, points=(*key.points, Point(*at, label))), None, prior, self._segmenter)

    def warm_up(self) -> None:
        """Loads what the first click needs (half a second), so that it does not wait for it. Not a model, which takes memory."""
        if self.segmenter_name not in BY_MODELS:
            _ = self._segmenter

    @cached_property
    def _segmenter(self) -> Segmenter:
        return segmenter(self.segmenter_name)

    def use_segmenter(self, name: str) -> None:
        """From the next click on. Masks that are there stay. Raises MethodError for an unknown name."""
        if name not in segmenter_names():
            raise MethodError(f'There is no segmenter "{name[:40]}"; there are: {", ".join(segmenter_names())}.')
        with self._lock:
            if name != self.segmenter_name:
                self.segmenter_name = name
                self.__dict__.pop("_segmenter", None)
                self._bases.clear()

    def import_mask(self, frame: FrameIndex, subject: int, alpha: np.ndarray) -> Project:
        """Takes a mask (H, W) uint8 that the user brought."""
        key = self.journal.objects.put(encode_png(alpha))
        return self.act(acts.import_mask, "Import mask", frame=frame, subject=subject, key=key)

    # --- takes --------------------------------------------------------------------------------------------

    def effect_take(
        self,
        frame: FrameIndex,
        name: str,
        config: dict[str, Any],
        subject: int | None = None,
        *,
        over: str | None = None,
        seed: int = 0,
    ) -> Take:
        """A take made by a built-in effect inside the edit region, or inside one subject's part of it: on the source, or on
        the take with key `over`. The take is put on the anchor.

        Raises:
            ProjectError: there is no mask on the frame.
            RecipeError: a wrong effect or value.
        """
        with self._lock:
            region = self.material.subjects_region(frame, subject)
            if not region.any():
                raise ProjectError(self._no_mask(frame, subject))
            below = decode_png(self._take_picture(over)) if over else self.picture(frame)
            image = apply_effect(name, below, region, config)
            return self._add_take(frame, image, Take("", "effect", name, seed, {"effect": name, **config}))

    def _no_mask(self, frame: FrameIndex, only: int | None) -> str:
        subjects = self.project.edited_subjects() if only is None else (self.project.subject(only),)
        if any(self.material.alpha(subject.id, frame) is not None for subject in subjects):
            return f"The mask is empty on frame {frame}: the subject is not seen there; take another frame, or mark it there."
        if frame not in self.project.range:
            return f"Frame {frame} is outside the in–out range, where no masks are carried: move the range, or mark it here."
        if any(self.project.marked(subject.id) for subject in subjects):
            return f"The mask has not been carried to frame {frame} yet: press T to carry it, or mark the subject on this frame."
        return f"There is no mask on frame {frame} yet: click on the subject, or draw it with the brush, then try again."

    def picture_take(
        self, frame: FrameIndex, image: np.ndarray, source: str, label: str, *, fit: bool = False, seed: int = 0
    ) -> Take:
        """A take from the user's own picture (H, W, 3) uint8: "painted" or "imported".

        Raises:
            MediaError: another size than the clip's, and `fit` was not asked for.
        """
        size = self.project.video.size
        if image.shape[:2] != size:
            if not fit:
                raise MediaError(
                    f"The picture is {image.shape[1]}×{image.shape[0]} and the clip {size[1]}×{size[0]}: "
                    "give a picture of the clip's size, or let it be fitted."
                )
            image = fit_image(image, size)
        with self._lock:
            return self._add_take(frame, image, Take("", source, label, seed))

    def paint_take(self, frame: FrameIndex, layer: np.ndarray, over: str | None) -> Take:
        """A take from paint: `layer` (H, W, 4) uint8 RGBA over the take with key `over`, or over the source."""
        if layer.shape[:2] != self.project.video.size or layer.shape[2:] != (4,):
            raise MediaError("The painted layer does not have the clip's size; reload the page and paint again.")
        with self._lock:
            acts.add_anchor(self.project, frame=frame)  # refuses a frame that is not there
            below = decode_png(self._take_picture(over)) if over else self.picture(frame)
            alpha = layer[..., 3:].astype(np.float32) / 255
            image = np.rint(below + alpha * (layer[..., :3].astype(np.float32) - below)).astype(np.uint8)
            if not layer[..., 3].any():
                raise ProjectError("Nothing is painted yet: paint on the frame, then keep it as a take.")
            return self._add_take(frame, image, Take("", "painted", "Painted"))

    def method_takes(self, frame: FrameIndex, made: list[dict[str, Any]]) -> Project:
        """Takes that a method made in another process: their pictures are stored; `made` says key, label, seed and config."""
        with self._lock:
            project = self.project
            for one in made:
                take = Take(one["key"], "method", one["label"], one["seed"], one["config"])
                project = acts.add_take(project, frame=frame, take=take)
            return self.commit(project, f"Takes on frame {frame}", place=frame)

    def _take_picture(self, key: str) -> bytes:
        """The stored picture of a take of this project. Other objects (masks) are none."""
        if all(take.key != key for anchor in self.project.edit.anchors for take in anchor.takes):
            raise ProjectError("There is no such take in this project; it was deleted, or the page is old: reload it.")
        return self.journal.objects.get(key)

    def _add_take(self, frame: FrameIndex, image: np.ndarray, take: Take) -> Take:
        take = replace(take, key=self.journal.objects.put(encode_png(image)))
        self.act(acts.add_take, f"Take on frame {frame}", frame=frame, take=take)
        return take

    def approve(self, frame: FrameIndex, key: str | None, outside: str = "ask") -> Project:
        """Approves a take, or with None takes the approval back.

        `outside` says what happens to changes outside the edit region: "ask" raises OutsideRegion when there are
        any; "grow" makes them part of the region, carried along; "clip" puts the source back there, as a new take.
        Where the frame has no mask at all, the region is what the take changes, without a question.
        """
        with self._lock:
            if key is None:
                return self.act(acts.choose_take, "Take back approval", frame=frame, key=None)
            acts.choose_take(self.project, frame=frame, key=key)  # refuses what is not there before pixels are read
            source, take = self.picture(frame), decode_png(self.journal.objects.get(key))
            region = self.material.subjects_region(frame)
            stray = outside_difference(source, take, region, CODEC_NOISE)
            if stray is not None and region.any():
                if outside == "ask":
                    pixels = f"{int(stray.sum()):,} pixels"
                    raise OutsideRegion(
                        f"This take also changes {pixels} outside the mask: grow the region to them, or clip the take."
                    )
                if outside == "clip":
                    return self._approve_changed(frame, key, clip_to_region(source, take, region), None)
            grown = None if stray is None else region_of_difference(source, take)
            reach = region if grown is None else np.maximum(region, grown)
            # What is left outside is codec noise: the approved picture must equal the source there, to the bit.
            clean = np.where(reach[..., None] > 0, take, source)
            grown_key = None if grown is None else self.journal.objects.put(encode_png(grown))
            if (clean != take).any():
                return self._approve_changed(frame, key, clean, grown_key)
            return self.act(acts.choose_take, f"Approve anchor {frame}", frame=frame, key=key, region=grown_key)

    def _approve_changed(self, frame: FrameIndex, key: str, image: np.ndarray, region: str | None) -> Project:
        """Approves the picture that a take became when it was fitted to the region; the take itself stays."""
        anchor = self.project.edit.anchor_at(frame)
        old = next((take for take in anchor.takes if take.key == key), None) if anchor else None
        if old is None:
            raise ProjectError(f"Anchor {frame} has no such take.")
        clipped = replace(old, key=self.journal.objects.put(encode_png(image)), label=f"{old.label}, clipped")
        project = acts.add_take(self.project, frame=frame, take=clipped)
        chosen = acts.choose_take(project, frame=frame, key=clipped.key, region=region)
        return self.commit(chosen, f"Approve anchor {frame}", place=frame)
