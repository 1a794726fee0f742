"""The data types of the house. Standard library and numpy only.

Conventions, stated once and meant everywhere:

* Pixels: origin top left, `(x, y)` order for points, **pixel centres at integers**, unit = source pixels.
  Sizes are `(height, width)`. Boxes are `(x0, y0, x1, y1)`, x1 and y1 exclusive.
* Frames: 0-based, display order, absolute in the decoded clip. Ranges are half-open.
* Images are `(H, W, 3) uint8` RGB; masks are `(H, W) uint8` alpha, 0 outside … 255 inside.
* Letters in docstrings: `T` frames, `H W` pixels, `h w` pixels at motion scale, `K` anchors, `P` points.

Data classes are `eq=False` where they hold arrays or lists of parts: identity is enough, and an array has no truth value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

FrameIndex = int
Colour = str  # "#rrggbb"


@dataclass(frozen=True, slots=True)
class FrameRange:
    """Half-open span of frames."""

    start: FrameIndex
    stop: FrameIndex

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __iter__(self) -> Iterator[FrameIndex]:
        return iter(range(self.start, self.stop))

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and self.start <= frame < self.stop

    def meet(self, other: FrameRange) -> FrameRange:
        """The frames in both; may be empty."""
        start = max(self.start, other.start)
        return FrameRange(start, max(start, min(self.stop, other.stop)))


@dataclass(frozen=True, slots=True)
class ColourTags:
    """Colour description as numbers of ITU-T H.273; 2 = unspecified."""

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    full_range: bool = False


@dataclass(frozen=True, slots=True)
class AudioStream:
    codec: str
    channels: int
    sample_rate: int
    seconds: float


@dataclass(frozen=True, eq=False, slots=True)
class Video:
    """What the reader found in a clip. Never edited.

    `pts` (T,) int64, strictly increasing, in units of `time_base` seconds: the one index that decides what frame i is.
    `size` is upright and in square pixels, after `rotation` (degrees counter-clockwise that were applied to the stored picture).
    `colour` is that of the frames as they are read (HDR is read as BT.709), `bits` that of the stored ones. `digest` is over
    the content and, where the user chose to have an `interlaced` clip `deinterlaced`, over that. `damaged` are half-open ranges
    of frames that were decoded with errors, as far as the clip was looked at when it was opened.
    `kind` is "file" or "sequence" (a folder of stills; `path` is the folder).
    """

    path: str
    digest: str
    kind: str
    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    pts: np.ndarray
    rotation: int = 0
    bits: int = 8
    codec: str = ""
    colour: ColourTags = ColourTags()
    audio: tuple[AudioStream, ...] = ()
    warnings: tuple[str, ...] = ()
    interlaced: bool = False
    deinterlaced: bool = False
    damaged: tuple[tuple[FrameIndex, FrameIndex], ...] = ()

    @property
    def frames(self) -> int:
        return len(self.pts)

    @property
    def span(self) -> FrameRange:
        return FrameRange(0, self.frames)

    def seconds(self) -> np.ndarray:
        """(T,) float64: when each frame is shown, from the first frame on."""
        return (self.pts - self.pts[0]) * float(self.time_base)


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float
    label: int = 1
    """1 = inside, -1 = outside."""


@dataclass(frozen=True, eq=False, slots=True)
class Stroke:
    """A brush stroke: a polyline swept by a disc; `filled`: the area that the closed polyline surrounds (lasso), no disc.
    The mask is derived from it."""

    xy: tuple[tuple[float, float], ...]
    radius: float
    mode: str = "add"
    """ "add" or "erase"."""
    filled: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Keyframe:
    """Where the user spoke about one subject on one frame.

    `imported` is the object key of a mask the user brought; `mask` the key of the mask that follows from
    everything said here (PNG, `(H, W) uint8` alpha).
    """

    frame: FrameIndex
    subject: int
    points: tuple[Point, ...] = ()
    strokes: tuple[Stroke, ...] = ()
    box: tuple[float, float, float, float] | None = None
    imported: str | None = None
    mask: str | None = None
    locked: bool = False


class Spot(NamedTuple):
    """Where the user said that a tracked point is, in source px; `seen` False: hidden there, at about this place."""

    frame: FrameIndex
    x: float
    y: float
    seen: bool = True


@dataclass(frozen=True, eq=False, slots=True)
class TrackPoint:
    """A point of a subject that is tracked: at least one spot, by frame, one a frame. `id` counts within the subject."""

    id: int
    spots: tuple[Spot, ...]

    def spot_at(self, frame: FrameIndex) -> Spot | None:
        return next((spot for spot in self.spots if spot.frame == frame), None)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is edited. `grow` and `feather` (px) shape the edit region from its mask."""

    id: int
    name: str
    colour: Colour
    feather: float = 2.0
    grow: float = 0.0
    track_points: tuple[TrackPoint, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Take:
    """One candidate picture for an anchor. `key` is the object key of a full-size RGB PNG."""

    key: str
    source: str
    """ "effect", "painted", "imported", "method" or "carried" (along the motion from another anchor's approved take).
    `config` remembers how it was made (engine/rendering/takes.py)."""
    label: str = ""
    seed: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    fit: float | None = None
    """How well it carries out what was asked, 0–1, as the model that made it can say (engine/diffusion/judging.py); else None."""


@dataclass(frozen=True, eq=False, slots=True)
class Anchor:
    """A frame that the user edits. `chosen` is the key of the approved take, or None while there is none.

    `region` is the object key of the part of the edit that reaches outside the subjects' masks (the user agreed
    to grow the region to it), or None. `blind`: the subjects are not seen there and nothing was changed, so nothing is
    carried from it: the edit goes on beyond it as if it were not there.
    """

    frame: FrameIndex
    takes: tuple[Take, ...] = ()
    chosen: str | None = None
    region: str | None = None
    locked: bool = False
    blind: bool = False

    @property
    def take(self) -> Take | None:
        return next((take for take in self.takes if take.key == self.chosen), None)


class TokenChange(NamedTuple):
    """What the user did to an anchor token that a method found: it begins on `frame` at (x, y), source px, which names it.

    `gone`: taken away. Else dragged by (dx, dy) px, as seen on frame `at`.
    """

    frame: FrameIndex
    x: float
    y: float
    gone: bool = False
    at: FrameIndex = 0
    dx: float = 0.0
    dy: float = 0.0

    @property
    def shift(self) -> tuple[float, float]:
        return self.dx, self.dy

    def names(self, frame: float, x: float, y: float) -> bool:
        """Whether it is about the token that begins there."""
        return self.frame == int(frame) and abs(self.x - x) < 0.1 and abs(self.y - y) < 0.1


class SegmentMethod(NamedTuple):
    """Another method for the segments of an edit that lie wholly in the frames [start, stop) it was chosen for."""

    start: FrameIndex
    stop: FrameIndex
    method: str
    config: dict[str, Any]


@dataclass(frozen=True, eq=False, slots=True)
class Edit:
    """One layer of change: what it edits is the result of the edits before it. `subjects` None = all, () = the whole frame.

    `id` counts within the project and stays; `on` is False while the edit is left out. `by_segment` are in order and disjoint.
    """

    name: str = "Edit 1"
    subjects: tuple[int, ...] | None = None
    anchors: tuple[Anchor, ...] = ()
    method: str = "motion"
    config: dict[str, Any] = field(default_factory=dict)
    source_prompt: str = ""
    target_prompt: str = ""
    instruction: str = ""
    target_words: tuple[str, ...] = ()
    seed: int = 0
    tokens: tuple[TokenChange, ...] = ()
    id: int = 1
    on: bool = True
    by_segment: tuple[SegmentMethod, ...] = ()

    def anchor_at(self, frame: FrameIndex) -> Anchor | None:
        return next((anchor for anchor in self.anchors if anchor.frame == frame), None)

    @property
    def approved(self) -> tuple[Anchor, ...]:
        return tuple(anchor for anchor in self.anchors if anchor.chosen)

    @property
    def carried(self) -> tuple[Anchor, ...]:
        """The approved anchors from which something is carried."""
        return tuple(anchor for anchor in self.approved if not anchor.blind)


@dataclass(frozen=True, eq=False, slots=True)
class Tracks:
    """Point trajectories. Never NaN: use `visible`.

    xy (T, P, 2) float32 px; visible (T, P) bool; confidence (T, P) float32 in 0–1; queries (P, 3) float32 (frame, x, y).
    Row 0 is frame `frame0` of the clip.
    """

    xy: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray
    queries: np.ndarray
    frame0: FrameIndex = 0
