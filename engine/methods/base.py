"""What a method is: the protocol, and what it is given.

A method edits the frames of a shot: it carries approved takes, or follows a text, guided by them. It *prepares* once what
its segments share, then *renders* segments, each on its own; the same inputs give the same bytes, in any order, in any
process. What is known of it without loading it is its card (cards.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from engine.motion.steps import Steps
from engine.types import Edit, FrameIndex, FrameRange, Tracks

if TYPE_CHECKING:
    from engine.diffusion.backbone import DiffusionBackbone


@dataclass(frozen=True, slots=True)
class Segment:
    """Frames [start, stop) between neighbouring approved anchors within a shot.

    `left` is the anchor at `start` or None; `right` the anchor at `stop` (the next segment's first frame, inside the
    shot) or None. At least one of them is there where the method needs anchors.
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

    `size` = (H, W). `span`: the frames of the shot inside the project's range; `anchors`: the approved ones among them.
    `region(frame)` (H, W) uint8: 0 where the source must stay, 255 where the edit is whole; `alpha(subject, frame)` the same
    of one subject's own mask, None where it has none. `take(frame)` (H, W, 3) uint8: the approved take of an anchor.
    `subjects`: those that the edit changes, none where it changes the whole frame or they are not known one by one.
    `blind`: the anchors that show nothing of what is edited; segments go over them, and they come out as they are.
    `steps`: motion between neighbouring frames. `tracks()`: the trajectories of the user's points, None where there are none.
    """

    frames: Frames
    steps: Steps
    size: tuple[int, int]
    span: FrameRange
    anchors: tuple[FrameIndex, ...]
    region: Callable[[FrameIndex], np.ndarray]
    alpha: Callable[[int, FrameIndex], np.ndarray | None]
    take: Callable[[FrameIndex], np.ndarray]
    tracks: Callable[[], Tracks | None]
    edit: Edit
    subjects: tuple[int, ...] = ()
    blind: tuple[FrameIndex, ...] = ()


Rendered = Iterator[tuple[FrameIndex, np.ndarray]]


def unnoted(frame: FrameIndex, **measures: float) -> None:
    """Notes nothing."""


def as_path(value: str) -> Path:
    return Path(value)


def uncarried(shot: Shot, segment: Segment, context: Context) -> Rendered:
    raise ValueError("this context has no motion propagation")


@dataclass(frozen=True, eq=False, slots=True)
class Context:
    """How to work: `step(done, total)` once per frame or sampling step (raises Cancelled), the seed, a folder for working files.

    `backbone(name, **options)`: a diffusion model, loaded once a process and kept. `carry(shot, segment, context)`: motion
    propagation of the takes at the segment's ends, which needs no weights. `store`: a folder that belongs to this
    shot under these takes, masks, texts and settings; what `prepare` leaves there is found again by every later call.
    `note(frame, **measures)`: measures of a frame for the report and the next-anchor suggestion, such as `unseen` (share of
    the region that no anchor saw) and `confidence`, both from 0 to 1. `warn(sentence)`: something the user has to know.
    `file(value)`: where a file lies that a setting names.
    """

    step: Callable[[int, int], None]
    seed: int
    scratch: Path
    store: Path
    backbone: Callable[..., DiffusionBackbone]
    note: Callable[..., None] = unnoted
    warn: Callable[[str], None] = lambda sentence: None
    carry: Callable[[Shot, Segment, Context], Rendered] = uncarried
    file: Callable[[str], Path] = as_path

    def ticks(self, total: int) -> Callable[[], None]:
        """What to call once for each of `total` equal pieces of work."""
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            self.step(done, total)

        return tick


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """What a method shares over a shot; `digest` names its content in the keys of all segments.

    `parts` names content that belongs to single frames: they cut segments as approved anchors do, and a segment's key takes
    only the parts at its own two ends.
    """

    digest: str
    config: Any
    value: Any = None
    parts: Mapping[FrameIndex, str] = field(default_factory=dict)


class Method(Protocol):
    """A way to edit a shot. One file per method, one card."""

    Config: ClassVar[type]

    def prepare(self, shot: Shot, config: Any, context: Context) -> Prepared:
        """Work shared by all segments of the shot; may be empty. Called again in every process: what was left in
        `context.store` is then only read."""
        ...

    def render(self, shot: Shot, segment: Segment, prepared: Prepared, context: Context) -> Rendered:
        """Every frame of the segment once, in order: (frame, (H, W, 3) uint8).

        Where the method is not exact and the segment has a right anchor, that anchor's frame follows as one more: how far
        the method is from the approved take there is what the frames before it are corrected by.
        """
        ...


class TakeMaker(Method, Protocol):
    """A method that can make a take of a single frame."""

    def take(self, shot: Shot, frame: FrameIndex, config: Any, context: Context) -> np.ndarray:
        """(H, W, 3) uint8: a candidate for an anchor, after `context.seed`."""
        ...
