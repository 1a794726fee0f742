"""Marks become masks: what was said on a keyframe is segmented before the act is written down."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from engine.document import acts
from engine.document.project import Project
from engine.editing.opened import Opened
from engine.errors import MethodError
from engine.media.images import decode_png, encode_png
from engine.segmentation import BY_MODELS, Segmenter, keyframe_mask, segmenter, segmenter_names
from engine.types import FrameIndex, Keyframe, Point


class Marking(Opened):
    """An opened project in which subjects are marked."""

    def __init__(self, folder: Path, segmenter_name: str = "auto") -> None:
        super().__init__(folder, segmenter_name)
        self._bases: OrderedDict[tuple[object, ...], np.ndarray] = OrderedDict()

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
        mask = keyframe_mask(self.original(key.frame), strokes_only, imported=base, prior=None, segmenter=self._segmenter)
        return replace(key, mask=self.journal.objects.put(encode_png(mask)))

    def _base(self, key: Keyframe, prior: np.ndarray | None) -> np.ndarray | None:
        """What clicks and box say, before strokes; kept for the next stroke on the same frame."""
        if not key.points and key.box is None:
            return prior
        said = (key.frame, key.points, key.box, key.imported)
        if said not in self._bases:
            without = replace(key, strokes=())
            self._bases[said] = keyframe_mask(
                self.original(key.frame), without, imported=None, prior=prior, segmenter=self._segmenter
            )
            if len(self._bases) > 8:
                self._bases.popitem(last=False)
        return self._bases[said]

    def preview_click(self, frame: FrameIndex, subject: int, at: tuple[float, float], label: int) -> np.ndarray:
        """(H, W) uint8: the mask that one more click (x, y; 1 inside, -1 outside) would give. Nothing is kept of it.

        There need not be such a subject yet.
        """
        with self._lock:
            image, key = self.original(frame), self.project.keyframe(frame, subject)
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
