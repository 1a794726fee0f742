"""Runs the method of motion on a clip whose frames and regions are in memory, as a render would."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import numpy as np

from engine.methods import method
from engine.methods.base import Context, Segment, Shot
from engine.motion.steps import Steps
from engine.types import Edit, FrameRange
from tests.bench.harness import BenchError
from tests.bench.propagation_clips import TrueClip
from tests.bench.propagation_rivals import Layout
from tests.drawn import DrawnPictures

METHOD = "motion"


def parts_of_the_method() -> list[str]:
    """What can be switched off in it: the fields of its Config that are true by default."""
    return [field.name for field in fields(method(METHOD).Config) if field.default is True]


@dataclass(frozen=True, eq=False, slots=True)
class Rendered:
    """Pictures of the frames that the layout wants; largest differences outside and at anchors; CPU s per frame."""

    pictures: dict[int, np.ndarray]
    outside: int
    anchor: int
    seconds: float


class _Source:
    def __init__(self, clip: TrueClip) -> None:
        self._frames = clip.source

    def get(self, frame: int) -> np.ndarray:
        return self._frames[frame]

    def frames(self, span: FrameRange) -> Iterator[np.ndarray]:
        yield from (self._frames[frame] for frame in span)


def _no_backbone(*names: str, **options: object) -> NoReturn:
    raise BenchError("Motion is carried without a model.")


class Run:
    """One clip; its motion is computed once. `motion_seconds`: CPU s per frame for that."""

    def __init__(self, clip: TrueClip, folder: Path) -> None:
        self.clip, self.folder = clip, folder
        self._steps = Steps(DrawnPictures(clip.source), clip.size, folder / "motion")
        begun = time.process_time()
        self._steps.ensure(self._steps.missing([FrameRange(0, clip.frames)]), lambda done, total: None)
        self.motion_seconds = (time.process_time() - begun) / clip.frames
        self.measures: dict[int, dict[str, float]] = {}

    def render(self, layout: Layout, without: str = "") -> Rendered:
        """The layout's segments one after the other; `without` a part of the method."""
        chosen = method(METHOD)
        config = replace(chosen.Config(), **{without: False}) if without else chosen.Config()
        scratch = self.folder / f"scratch-{layout.name}-{without}"
        scratch.mkdir(exist_ok=True)
        context = Context(
            step=lambda done, total: None,
            seed=0,
            scratch=scratch,
            store=scratch,
            backbone=_no_backbone,
            note=lambda frame, **measures: self.measures.setdefault(frame, {}).update(measures),
        )
        shot = self._shot(layout)
        pictures: dict[int, np.ndarray] = {}
        outside = anchor = 0
        seconds = 0.0
        for segment in segments(layout):
            begun = time.process_time()
            prepared = chosen.prepare(shot, config, context)
            for frame, image in chosen.render(shot, segment, prepared, context):
                seconds += time.process_time() - begun
                outside = max(outside, self._difference(image, self.clip.source[frame], self.clip.region[frame] == 0))
                if frame in layout.anchors:
                    everywhere = np.ones(self.clip.size, bool)
                    anchor = max(anchor, self._difference(image, self.clip.edited[frame], everywhere))
                if frame in layout.wanted:
                    pictures[frame] = image
                begun = time.process_time()
        return Rendered(pictures, outside, anchor, seconds / layout.stop)

    def _shot(self, layout: Layout) -> Shot:
        return Shot(
            frames=_Source(self.clip),
            steps=self._steps,
            size=self.clip.size,
            span=FrameRange(0, layout.stop),
            anchors=layout.anchors,
            region=lambda frame: self.clip.region[frame],
            alpha=lambda subject, frame: self.clip.region[frame],
            take=lambda frame: self.clip.edited[frame],
            tracks=lambda: None,
            edit=Edit(),
        )

    @staticmethod
    def _difference(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> int:
        return int(np.abs(a.astype(np.int16) - b)[where].max(initial=0))


def segments(layout: Layout) -> list[Segment]:
    """As the engine cuts a shot between its anchors."""
    shot = FrameRange(0, layout.stop)
    edges: list[int | None] = [*layout.anchors, None]
    found = []
    for index, (left, right) in enumerate(pairwise(edges)):
        assert left is not None
        found.append(Segment(index, left, layout.stop if right is None else right, left, right, shot))
    return found
