"""Motion propagation: approved anchors carried through the clip on a plain CPU, without any weights.

Not from a paper: our own method. What is carried is the *edit*, take − source, never the picture: the source keeps its own
shading, grain and motion blur in every frame.

    part of the method                                                     where
    ------------------------------------------------------------------     -----------------------------------
    the region shared out among its subjects                               engine/motion/parts.py
    the edit split into change of colour and painted layer                 engine/motion/recolour.py
    a subject's surface, its pixels' places in an anchor                   engine/motion/surface.py, align.py
    the same for a whole frame, which has many surfaces                    engine/motion/carry.py
    what lies behind a subject that was taken away                         engine/motion/ground.py
    what one anchor says of a frame                                        `_Side.carried`, `_Behind.carried`
    both anchors together, and what neither saw                            engine/motion/blend.py
    added to the source, inside the region only                            `_apply`

Symbols: G (n, m, 3, 3) change of colour, layer (H, W, 3) float32 levels, w (H, W) weight, region (H, W) uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import cv2
import numpy as np

from engine.methods.base import Context, Prepared, Rendered, Segment, Shot
from engine.methods.cards import MotionConfig as Config
from engine.motion.align import eroded
from engine.motion.blend import Carried, completed, mixed
from engine.motion.carry import Chain
from engine.motion.flow import sample
from engine.motion.ground import Ground, cloned, shows_ground, widened
from engine.motion.parts import Parts
from engine.motion.recolour import SOLID, carried, cell_centres, recoloured, solid, split
from engine.motion.sight import Sight, SightStore, Window
from engine.motion.surface import Looks, Surface
from engine.types import FrameIndex, FrameRange

WHOLE = 0.9  # share of the frame from which on an edit is of many surfaces
EDGE = 4  # px along the region's edge in which it may lie on something else
UNLIKE = (20.0, 45.0)  # levels between the frame and the anchor's source there: below, it is the subject; above, it is not
RIM = 24  # px around a region to whose light what was behind it is fitted
LEAST = 0.05  # weight of what an anchor saw and what fits badly
STRETCH = 2.0  # how far a soft edge may be made harder than it was at the anchor


class Motion:
    """See the module. `render` holds two frames' worth of fields, whatever the segment's length."""

    Config: ClassVar[type] = Config

    def prepare(self, shot: Shot, config: Any, context: Context) -> Prepared:
        """Nothing is shared between segments."""
        return Prepared(digest="", config=config)

    def render(self, shot: Shot, segment: Segment, prepared: Prepared, context: Context) -> Rendered:
        """Every frame of the segment in order; see `Method`."""
        config: Config = prepared.config
        length = segment.stop - segment.start
        total = length * (1 if segment.right is None else 2)
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            context.step(done, total)

        parts = Parts(shot.region, shot.alpha, shot.subjects)
        looks = Looks(shot.steps, shot.size)
        layers = [
            _Layer(replace(shot, region=partial(parts.part, number)), segment, config, looks) for number in range(len(parts))
        ]
        _backward(layers, segment, context, tick)
        for layer in layers:
            layer.begin()
        frames = shot.frames.frames(FrameRange(segment.start, segment.stop))
        for frame, source in zip(range(segment.start, segment.stop), frames, strict=True):
            if frame > segment.start:
                for layer in layers:
                    layer.advance(frame)
            tick()
            if frame == segment.left or frame in shot.blind:
                context.note(frame, unseen=0.0, confidence=1.0)
                yield frame, shot.take(frame)
                continue
            image = source.copy()
            told = [layer.edit(frame, source, image) for layer in layers]
            area = sum(pixels for pixels, _, _ in told)
            unseen = sum(pixels * share for pixels, share, _ in told) / max(area, 1)
            sure = sum(pixels * share for pixels, _, share in told) / area if area else 1.0
            context.note(frame, unseen=round(unseen, 4), confidence=round(sure, 4))
            yield frame, image


def _backward(layers: list[_Layer], segment: Segment, context: Context, tick: Callable[[], None]) -> None:
    """Runs from the right anchor to the segment's start; what is seen of the anchor waits on disk for the forward pass."""
    if segment.right is None:
        return
    for number, layer in enumerate(layers):
        layer.begin_backward(SightStore(context.scratch / f"right-{number}"))
    for frame in range(segment.right - 1, segment.start - 1, -1):
        for layer in layers:
            layer.step_back(frame)
        tick()


class _Layer:
    """One subject's part of the edit between two anchors. `shot.region` is that part alone."""

    def __init__(self, shot: Shot, segment: Segment, config: Config, looks: Looks) -> None:
        self._shot, self._segment, self._config, self._looks = shot, segment, config, looks
        self._left: _Side | _Behind | None = None
        self._right: _Side | _Behind | None = None
        self._seen: SightStore | None = None

    def begin_backward(self, store: SightStore) -> None:
        """Starts at the right anchor."""
        assert self._segment.right is not None
        self._right, self._seen = _side(self._shot, self._looks, self._segment.right, self._config), store

    def step_back(self, frame: FrameIndex) -> None:
        """Goes back to the frame before."""
        assert self._right is not None and self._seen is not None
        self._right.advance(frame)
        self._seen.put(frame, self._right.sight())

    def begin(self) -> None:
        """Starts at the left anchor, if there is one."""
        if self._segment.left is not None:
            self._left = _side(self._shot, self._looks, self._segment.left, self._config)

    def advance(self, frame: FrameIndex) -> None:
        """Goes on to the next frame."""
        if self._left is not None:
            self._left.advance(frame)

    def edit(self, frame: FrameIndex, source: np.ndarray, image: np.ndarray) -> tuple[int, float, float]:
        """Puts this part of the edit into the image (H, W, 3) uint8; source likewise.

        Returns how many pixels it has, the share of them that no anchor saw, and how far the rest can be believed, 0–1.
        """
        region = self._shot.region(frame)
        window = _window(region)
        if window is None:
            return 0, 0.0, 1.0
        said = []
        if self._left is not None:
            near = _nearness(frame, self._segment, left=True)
            said.append(self._left.carried(self._left.sight(), source, region, window, near))
        if self._right is not None and self._seen is not None:
            near = _nearness(frame, self._segment, left=False)
            said.append(self._right.carried(self._seen.get(frame), source, region, window, near))
        edit, weight = mixed(said, region[window] > 0, bands=self._config.bands)
        edit, unseen = completed(edit, weight, region[window], said)
        _apply(image, source, edit, region, window)
        inside = region[window] > 127
        count = int(np.count_nonzero(inside))
        sure = np.max([one.certain for one in said], axis=0)[inside]
        return count, unseen, float(sure.mean()) if count else 1.0


def _window(region: np.ndarray) -> Window | None:
    """The part of the picture where there is anything to do; None where there is nothing."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _nearness(frame: FrameIndex, segment: Segment, *, left: bool) -> float:
    """1 at the anchor, 0 at the other one; 1 where there is only one."""
    if segment.left is None or segment.right is None:
        return 1.0
    share = (frame - segment.left) / (segment.right - segment.left)
    return 1 - share if left else share


class _Side:
    """One anchor's edit on its way through the segment: on the subject's surface, or, where a whole frame is edited, on many."""

    def __init__(self, shot: Shot, looks: Looks, anchor: FrameIndex, config: Config) -> None:
        self._shot, self.config = shot, config
        region = shot.region(anchor)
        self._source = shot.frames.get(anchor)
        self._split = split(self._source, shot.take(anchor), region, recolour=config.recolour)
        self._region = region.astype(np.float32)
        self._within = eroded((region >= SOLID).astype(np.float32), EDGE)
        self._carrier: Surface | Chain
        if region.mean() > WHOLE * 255:
            self._carrier = Chain(shot.steps, shot.size, anchor)
        else:
            self._carrier = Surface(looks, anchor, region, lock=config.lock, smooth=config.smooth)

    def advance(self, frame: FrameIndex) -> None:
        """Goes on to a neighbouring frame."""
        self._carrier.advance(frame, self._shot.region(frame))

    def sight(self) -> Sight:
        """What of the anchor the current frame shows."""
        return self._carrier.sight()

    def carried(self, sight: Sight, source: np.ndarray, region: np.ndarray, window: Window, near: float) -> Carried:
        """What the anchor says of a window of the frame.

        The take's soft edge is part of its layer already: going by region / carried region keeps it from being applied twice.
        """
        config, inside = self.config, region[window].astype(np.float32)
        at, certain, light = sight.at(*_pixels(window))
        was = cv2.remap(self._region, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        gate = np.clip(inside / np.maximum(was, 1), 0, STRETCH)
        edit = sample(self._split.layer, at, cv2.INTER_CUBIC)
        edit *= (gate * light if config.light else gate)[..., None]
        here = source[window].astype(np.float32)
        colour = self._colour(sight, here, region[window], window)
        if colour is not None:
            edit += colour
        if config.edges:
            edit *= self._uncovered(here, at, light, inside)[..., None]
        certain = certain * ((was >= 0.5 * inside) & (was > 8))
        return Carried(edit, _weight(certain, near, config), certain, colour)

    def _uncovered(self, here: np.ndarray, at: np.ndarray, light: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """(h, w) 0–1: 0 along the region's edge where it lies on something that covers the subject, which was whole there."""
        edge = eroded((inside >= SOLID).astype(np.float32), EDGE) == 0
        if not edge.any():
            return np.ones_like(light)
        edge &= sample(self._within, at) > 0.5
        unlike = np.abs(here - light[..., None] * sample(self._source, at)).mean(axis=-1)
        return np.where(edge, np.clip((UNLIKE[1] - unlike) / (UNLIKE[1] - UNLIKE[0]), 0, 1), 1).astype(np.float32)

    def _colour(self, sight: Sight, source: np.ndarray, region: np.ndarray, window: Window) -> np.ndarray | None:
        """G·source, where the subject alone is seen."""
        gain, size = self._split.gain, self._shot.size
        if gain is None:
            return None
        places, _, _ = sight.at(*cell_centres(size, window))
        return recoloured(carried(gain, size, places), source, size, window) * solid(region)[..., None]


class _Behind:
    """One anchor's picture of what is behind a subject that was taken away."""

    def __init__(self, shot: Shot, looks: Looks, anchor: FrameIndex, config: Config) -> None:
        self._shot, self.config = shot, config
        self._ground = Ground(looks, anchor, shot.region(anchor), shot.span)
        self._take = shot.take(anchor).astype(np.float32)
        self._there = 1 - self._ground.others

    def advance(self, frame: FrameIndex) -> None:
        """Goes on to a neighbouring frame."""
        self._ground.advance(frame, self._shot.region(frame))

    def sight(self) -> Sight:
        """What of the anchor the current frame shows."""
        return self._ground.sight()

    def carried(self, sight: Sight, source: np.ndarray, region: np.ndarray, window: Window, near: float) -> Carried:
        """What the anchor says of a window of the frame: a picture, fitted in without a seam."""
        wide = widened(window, region.shape, RIM)
        at, certain, _ = sight.at(*_pixels(wide))
        there = cv2.remap(self._there, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        here = source[wide].astype(np.float32)
        picture = cloned(sample(self._take, at, cv2.INTER_CUBIC), here, region[wide], there > 0.99)
        inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(window, wide, strict=True))
        gate = (region[window].astype(np.float32) / 255)[..., None]
        certain = (certain * (there > 0.99))[inner]
        edit = (picture - here)[inner] * gate
        return Carried(edit, _weight(certain, near, self.config), certain, edit)


def _side(shot: Shot, looks: Looks, anchor: FrameIndex, config: Config) -> _Side | _Behind:
    """What carries an anchor's edit: it moves with the subject, or it shows what is behind it."""
    behind = config.follows == "background"
    if config.follows == "auto":
        behind = shows_ground(shot.frames.get(anchor), shot.take(anchor), shot.region(anchor))
    return _Behind(shot, looks, anchor, config) if behind else _Side(shot, looks, anchor, config)


def _pixels(window: Window) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(window[0].start, window[0].stop), np.arange(window[1].start, window[1].stop)


def _weight(certain: np.ndarray, near: float, config: Config) -> np.ndarray:
    """(h, w) float32: how much an anchor counts; what it saw counts a little even where it fits badly."""
    return (np.maximum(np.power(certain, config.trust), LEAST * (certain > 0)) * near**config.nearness).astype(np.float32)


def _apply(image: np.ndarray, source: np.ndarray, edit: np.ndarray, region: np.ndarray, window: Window) -> None:
    """source + edit, rounded, into the image inside the region alone. The edit covers the window."""
    edited = np.clip(np.rint(source[window] + edit), 0, 255).astype(np.uint8)
    np.copyto(image[window], edited, where=region[window][..., None] > 0)
