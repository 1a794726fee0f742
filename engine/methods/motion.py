"""Motion propagation: approved anchors carried through the clip on a plain CPU, without any weights.

Not from a paper: our own method. What is carried is the *difference* that the user made, take − source, never the
picture: the source keeps its own shading, grain and motion blur in every frame.

    part of the method                                                     function
    ------------------------------------------------------------------     -----------------
    positions of each pixel in both neighbouring anchors                   `_Side`, `_backward`
    the difference sampled there, gated by the edit region                 `_Side.difference`
    blended by nearness and confidence                                     `_blend`
    what neither anchor saw, filled from around                            `fill`
    added to the source, inside the region only                            `_apply`

Symbols: D (H, W, 3) float32 difference, w (H, W) weight, region and alpha (H, W) uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import cv2
import numpy as np

from engine.methods.base import Context, Prepared, Rendered, Segment, Shot
from engine.methods.cards import MotionConfig as Config
from engine.motion.carry import Chain
from engine.motion.flow import Window, grid, sample, upsample, upsample_positions
from engine.motion.scratch import PositionStore
from engine.types import FrameIndex, FrameRange

UNSEEN = 0.02  # weight below which neither anchor can be believed


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

        right = None if segment.right is None else _Side(shot, segment.right)
        store = None if right is None else _backward(segment, right, context, tick)
        left = None if segment.left is None else _Side(shot, segment.left)
        frames = shot.frames.frames(FrameRange(segment.start, segment.stop))
        for frame, source in zip(range(segment.start, segment.stop), frames, strict=True):
            if left is not None and frame > segment.start:
                left.advance(frame)
            tick()
            if frame == segment.left:
                yield frame, shot.take(frame)
                continue
            region = shot.region(frame)
            window = _window(region)
            if window is None:
                yield frame, source
                continue
            carried = []
            if left is not None:
                carried.append(left.carried(region, window, _nearness(frame, segment, left=True), config))
            if right is not None and store is not None:
                right.positions, right.confidence = store.get(frame)
                carried.append(right.carried(region, window, _nearness(frame, segment, left=False), config))
            yield frame, _apply(source, _blend(carried, region[window]), region, window)


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


def _backward(segment: Segment, right: _Side, context: Context, tick: Callable[[], None]) -> PositionStore:
    """Runs from the right anchor to the segment's start and leaves positions on disk for the forward pass."""
    store = PositionStore(context.scratch / "right", right.pixels)
    assert segment.right is not None
    for frame in range(segment.right - 1, segment.start - 1, -1):
        right.advance(frame)
        store.put(frame, right.positions, right.confidence)
        tick()
    return store


class _Side:
    """One anchor's difference on its way through the segment."""

    def __init__(self, shot: Shot, anchor: FrameIndex) -> None:
        self._shot, self._size = shot, shot.size
        self.pixels = grid(shot.steps.size)
        source, take = shot.frames.get(anchor), shot.take(anchor)
        self._difference = take.astype(np.float32) - source
        self._region = shot.region(anchor).astype(np.float32)
        self._chain = Chain(shot.steps, anchor, self._subject(anchor))
        self.positions, self.confidence = self._chain.positions, self._chain.confidence

    def advance(self, frame: FrameIndex) -> None:
        """Carries the positions on to a neighbouring frame."""
        self._chain.advance(frame, self._subject(frame))
        self.positions, self.confidence = self._chain.positions, self._chain.confidence

    def _subject(self, frame: FrameIndex) -> np.ndarray | None:
        """(h, w) bool: the edited part; None where it is the whole frame, which does not move as one piece."""
        region = cv2.resize(self._shot.region(frame), self._shot.steps.size[::-1], interpolation=cv2.INTER_AREA) >= 128
        return None if region.mean() > 0.9 else region

    def carried(self, region: np.ndarray, window: Window, near: float, config: Config) -> Carried:
        """D (h, w, 3) and its weight (h, w) in a window of the frame where the chain is.

        The take's soft edge is part of D already: gating by region / carried region keeps it from being applied twice.
        """
        at = upsample_positions(self.positions, self._size, window)
        difference = sample(self._difference, at, cv2.INTER_CUBIC)
        was = sample(self._region, at)
        certain = upsample(self.confidence, self._size, window)
        weight = np.power(certain, config.trust) * near**config.nearness * (was > 127)
        gate = np.minimum(1, region[window] / np.maximum(was, 1))
        return difference * gate[..., None], weight.astype(np.float32)


Carried = tuple[np.ndarray, np.ndarray]


def _blend(carried: list[Carried], region: np.ndarray) -> np.ndarray:
    """D from one or both sides by weight; where no side can be believed, filled from around inside the region."""
    total = np.zeros(region.shape, np.float32)
    mixed = np.zeros((*region.shape, 3), np.float32)
    for difference, weight in carried:
        total += weight
        mixed += difference * weight[..., None]
    mixed /= np.maximum(total, 1e-6)[..., None]
    unseen = (total < UNSEEN) & (region > 0)
    if not unseen.any():
        return mixed
    seen = (total >= UNSEEN) & (region > 127)
    if not seen.any():
        # Nothing of this frame was seen by an anchor: what the chains say is all there is.
        return np.mean([difference for difference, _ in carried], axis=0)
    filled = fill(mixed, seen) * (region.astype(np.float32) / 255)[..., None]
    return np.where(unseen[..., None], filled, mixed)


def fill(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values (H, W, 3) float32 with unknown places filled from around: push–pull over a pyramid (Gortler et al., 1996, §3.4).

    known (H, W) bool. Known values are kept.
    """
    weight = known.astype(np.float32)
    pyramid: list[tuple[np.ndarray, np.ndarray]] = [(values * weight[..., None], weight)]
    while min(pyramid[-1][1].shape) > 2 and pyramid[-1][1].min() < 1e-3:
        level, mass = pyramid[-1]
        pyramid.append((cv2.pyrDown(level), cv2.pyrDown(mass)))
    level, mass = pyramid.pop()
    result = level / np.maximum(mass, 1e-6)[..., None]
    while pyramid:
        level, mass = pyramid.pop()
        coarse = cv2.resize(result, mass.shape[::-1], interpolation=cv2.INTER_LINEAR)
        share = np.minimum(1, mass)[..., None]
        result = share * (level / np.maximum(mass, 1e-6)[..., None]) + (1 - share) * coarse
    return np.where(known[..., None], values, result)


def _apply(source: np.ndarray, difference: np.ndarray, region: np.ndarray, window: Window) -> np.ndarray:
    """source + D, rounded, inside the region; the source to the bit outside. D covers the window."""
    edited = np.clip(np.rint(source[window] + difference), 0, 255).astype(np.uint8)
    image = source.copy()
    image[window] = np.where(region[window][..., None] > 0, edited, source[window])
    return image
