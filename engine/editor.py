"""An opened project and the verbs on it: open, act, segment, preview a take, approve. Long verbs: engine/rendering/render.py.

Every change goes through `Editor.act`: a pure function of engine/document/acts.py, then whatever must be derived from it
(a keyframe's mask), then one row in the journal, then the answer. Safe to call from several threads.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.composite import clip_to_region, outside_difference, region_of_difference
from engine.document import acts, edit_acts
from engine.document.config_files import file_fields, kept_as, name_and_key, name_of
from engine.document.project import Project
from engine.editing.marking import Marking
from engine.effects import apply_effect, checked_config
from engine.errors import MediaError, ProjectError
from engine.media.images import decode_png, encode_png, fit_image
from engine.methods import card
from engine.models.lora import read_lora
from engine.rendering.nearby import nearby_of
from engine.types import FrameIndex, Take

CODEC_NOISE = 2  # levels; smaller differences outside the region are no edit


class OutsideRegion(ProjectError):
    """A take changes pixels outside the edit region: the user must choose to grow the region or to clip the take."""


class Editor(Marking):
    """One opened project. `rev` counts its versions."""

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
            image = apply_effect(name, below, region, config, nearby_of(self.material, frame, subject))
            on = {key: value for key, value in (("subject", subject), ("over", over)) if value is not None}
            return self._add_take(frame, image, Take("", "effect", name, seed, {"effect": name, **config, **on}))

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

    def method_takes(self, frame: FrameIndex, made: list[dict[str, Any]], edit: int | None = None) -> Project:
        """Takes that a method made in another process: their pictures are stored; `made` says key, label, seed, config and fit.
        They belong to `edit`, or to the edit that is worked on."""
        with self._lock:
            worked_on = self.project.selected
            project = self.project if edit is None else self.project.on_edit(edit)
            for one in made:
                take = Take(one["key"], one.get("source", "method"), one["label"], one["seed"], one["config"], one.get("fit"))
                project = acts.add_take(project, frame=one.get("frame", frame), take=take)
            return self.commit(replace(project, selected=worked_on), f"Takes on frame {frame}", place=frame)

    def with_files(self, method: str, config: dict[str, Any], *, reach: bool = True) -> dict[str, Any]:
        """The settings of a method with the files that they name taken into the project. A name that the edit's settings show
        already stands for that file. `reach`: paths on this machine may be named.

        Raises MethodError for a file that is not what it must be, ProjectError for a path out of reach.
        """
        of, now = card(method).Config, self.project.edit.config
        taken = dict(config)
        for name in file_fields(of):
            said, had = str(config.get(name) or ""), str(now.get(name) or "")
            if said and (said == name_of(had) or (Path(said).name == name_of(had) and not Path(said).exists())):
                taken[name] = had
            elif said and not name_and_key(said):
                if not reach:
                    raise ProjectError("Files of a shared server are out of reach; upload the LoRA instead of naming a path.")
                taken[name] = self.keep_file(Path(said))
        return taken

    def keep_file(self, path: Path, name: str = "") -> str:
        """Takes a LoRA file into the project; what a setting says of it then. Raises MethodError where it is none."""
        read_lora(path, name)
        return kept_as(name or path.name, self.journal.objects.put(path.read_bytes()))

    def use_method(self, method: str, config: dict[str, Any]) -> Project:
        """Another method for the whole edit. Raises MethodError, RecipeError: there is none such, or a wrong setting."""
        checked_config(card(method).Config, config, f"the settings of {card(method).title}")
        if (method, config) == (self.project.edit.method, self.project.edit.config):
            return self.project
        return self.act(acts.set_edit, "Method", method=method, config=dict(config))

    def set_segment_method(
        self, start: FrameIndex, stop: FrameIndex, method: str, config: dict[str, Any] | None = None
    ) -> Project:
        """Another method for the frames [start, stop) between two anchors of the edit.

        Raises:
            MethodError: there is no such method.
            RecipeError: a wrong setting, or frames that the clip does not have.
        """
        given = dict(config or {})
        checked_config(card(method).Config, given, f"the settings of {card(method).title}")
        named: dict[str, Any] = {"start": start, "stop": stop, "method": method, "config": given}
        return self.act(edit_acts.set_segment_method, "Method of a segment", **named)

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
            blind = not reach.any() and self._is_masked(frame)
            if (clean != take).any():
                return self._approve_changed(frame, key, clean, grown_key, blind=blind)
            said = {"region": grown_key, "blind": blind}
            return self.act(acts.choose_take, f"Approve anchor {frame}", frame=frame, key=key, **said)

    def _is_masked(self, frame: FrameIndex) -> bool:
        """Whether it is known where the edited subjects are on a frame, be it nowhere."""
        subjects = self.project.edited_subjects()
        return bool(subjects) and all(self.material.alpha(subject.id, frame) is not None for subject in subjects)

    def _approve_changed(
        self, frame: FrameIndex, key: str, image: np.ndarray, region: str | None, *, blind: bool = False
    ) -> Project:
        """Approves the picture that a take became when it was fitted to the region; the take itself stays."""
        anchor = self.project.edit.anchor_at(frame)
        old = next((take for take in anchor.takes if take.key == key), None) if anchor else None
        if old is None:
            raise ProjectError(f"Anchor {frame} has no such take.")
        clipped = replace(old, key=self.journal.objects.put(encode_png(image)), label=f"{old.label}, clipped")
        project = acts.add_take(self.project, frame=frame, take=clipped)
        chosen = acts.choose_take(project, frame=frame, key=clipped.key, region=region, blind=blind)
        return self.commit(chosen, f"Approve anchor {frame}", place=frame)
