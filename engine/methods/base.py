"""What a method is: the protocol, and what it is given.

A method carries approved takes through a shot. It *prepares* once what it shares over the clip, then *renders*
segments, each on its own; the same inputs give the same bytes, in any order, in any process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from engine.motion.steps import Steps
from engine.types import Edit, FrameIndex, FrameRange


@dataclass(frozen=True, slots=True)
class Segment:
    """Frames [start, stop) between neighbouring approved anchors within a shot.

    `left` is the anchor at `start` or None; `right` the anchor at `stop` (the next segment's first frame, inside the
    shot) or None. At least one of them is there.
    """

    index: int
    start: FrameIndex
    stop: FrameIndex
    left: FrameIndex | None
    right: FrameIndex | None
    shot: FrameRange


class Frames(Protocol):
    """Source frames: (H, W, 3) uint8 RGB, by index or in order."""

    def get(self, frame: FrameIndex) -> np.ndarray: ...
    def frames(self, span: FrameRange) -> Iterator[np.ndarray]: ...


@dataclass(frozen=True, eq=False, slots=True)
class Shot:
    """What a method sees of the clip. Everything is fetched by frame; nothing holds all frames.

    `region(frame)` (H, W) uint8: 0 where the source must stay, 255 where the edit is whole. `take(frame)` (H, W, 3)
    uint8: the approved take of an anchor. `size` = (H, W). `steps`: motion between neighbouring frames.
    """

    frames: Frames
    steps: Steps
    size: tuple[int, int]
    region: Callable[[FrameIndex], np.ndarray]
    take: Callable[[FrameIndex], np.ndarray]
    edit: Edit


@dataclass(frozen=True, eq=False, slots=True)
class Context:
    """How to work: `step(done, total)` once per frame (raises Cancelled), the seed, a folder for working files."""

    step: Callable[[int, int], None]
    seed: int
    scratch: Path


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """What a method shares over the clip; `digest` names its content in segment keys."""

    digest: str
    config: Any
    value: Any = None


Rendered = Iterator[tuple[FrameIndex, np.ndarray]]


class Method(Protocol):
    """A way to carry an edit. See DESIGN §7; one file per method, one line in the registry."""

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    Config: ClassVar[type]

    def prepare(self, shot: Shot, config: Any, context: Context) -> Prepared:
        """Work shared by all segments; may be empty."""
        ...

    def render(
        self, shot: Shot, segment: Segment, prepared: Prepared, context: Context
    ) -> Iterator[tuple[FrameIndex, np.ndarray]]:
        """Every frame of the segment once, in order: (frame, (H, W, 3) uint8)."""
        ...
