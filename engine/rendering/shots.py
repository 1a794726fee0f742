"""What a method is given of a project: the shot with its frames, masks and takes, and how to work on it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from engine.document.config_files import name_and_key, name_of
from engine.errors import MethodError
from engine.methods import card, method
from engine.methods.base import Context, Rendered, Segment, Shot
from engine.progress import Step
from engine.rendering.material import Material
from engine.rendering.trails import found_tracks
from engine.types import FrameIndex, FrameRange, Tracks

FRAMES_KEPT = 4


def shot_of(material: Material, shot: FrameRange) -> Shot:
    """The part of a shot inside the project's range, with what the edit has there."""
    span, edit = shot.meet(material.window or material.project.range), material.project.edit
    return Shot(
        frames=Recent(material),
        steps=material.steps,
        size=material.project.video.size,
        span=span,
        anchors=tuple(sorted(anchor.frame for anchor in edit.approved if anchor.frame in span)),
        region=material.region,
        alpha=material.alpha,
        take=material.take,
        tracks=lambda: _tracks(material),
        edit=edit,
        subjects=tuple(subject.id for subject in material.project.edited_subjects()),
        blind=tuple(sorted(anchor.frame for anchor in edit.approved if anchor.blind and anchor.frame in span)),
    )


def context_of(material: Material, shot: FrameRange, scratch: Path, step: Step, warnings: list[str]) -> Context:
    """What is said goes into `warnings`, each sentence once."""

    def warn(sentence: str) -> None:
        if sentence not in warnings:
            warnings.append(sentence)

    store = material.workspace.prepared(material.shared_key(shot))
    material.backbones.warn = warn
    file = partial(kept_file, material)
    return Context(step, material.project.edit.seed, scratch, store, material.backbones, warn=warn, carry=carried, file=file)


def kept_file(material: Material, value: str) -> Path:
    """Where a file lies that a setting names. Raises MethodError where it was not taken into the project, or is gone."""
    kept = name_and_key(value)
    path = material.objects.path(kept[1]) if kept else None
    if path is None or not path.is_file():
        raise MethodError(f"The file {name_of(value)[-80:]} is not in this project: choose it again in the method's settings.")
    return path


def carried(shot: Shot, segment: Segment, context: Context) -> Rendered:
    """Motion propagation as other methods use it: every frame of the segment from the takes at its ends."""
    motion = method("motion")
    return motion.render(shot, segment, motion.prepare(shot, card("motion").Config(), context), context)


class Recent:
    """Frames that are edited, for a method: the clip's with the lower edits in them. The last ones are kept: what it has just
    been given is not decoded again to check it."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._kept: OrderedDict[FrameIndex, np.ndarray] = OrderedDict()

    def get(self, frame: FrameIndex) -> np.ndarray:
        kept = self._kept.get(frame)
        return self._material.picture(frame) if kept is None else kept

    def frames(self, span: FrameRange) -> Iterator[np.ndarray]:
        for frame, original in zip(span, self._material.reader.frames(span), strict=True):
            picture = self._kept[frame] = self._material.picture(frame, original)
            if len(self._kept) > FRAMES_KEPT:
                self._kept.popitem(last=False)
            yield picture


def _tracks(material: Material) -> Tracks | None:
    found = found_tracks(material)
    return None if found is None else found.tracks
