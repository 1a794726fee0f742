"""Carrying masks through a stretch of a shot, both ways, by dense motion.

From each given frame a chain of positions runs through the stretch; a mask is sampled once from its frame, whatever
the distance. Between two given frames the two carried masks are blended by distance and by how far each chain can be
believed, then the outline is made one again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from engine.methods.base import Pictures
from engine.motion.carry import Chain
from engine.motion.flow import grid, motion_size, sample, upsample_positions
from engine.motion.scratch import PositionStore
from engine.types import FrameIndex, FrameRange

SPECK = 0.02  # parts smaller than this share of the largest are noise
SMOOTH = 1.2  # px at motion scale
SLOPE = 1.6  # alpha falls from 255 to 0 over about this many px


def carry_masks(
    pictures: Pictures,
    size: tuple[int, int],
    given: dict[FrameIndex, np.ndarray],
    span: FrameRange,
    *,
    step: Callable[[int, int], None],
    scratch: Path,
) -> Iterator[tuple[FrameIndex, np.ndarray]]:
    """Yields (frame, (H, W) uint8 alpha) for every frame of the span, in order; given frames exactly as given.

    `given` holds masks at one or both ends of the span, or one anywhere in it. The span must not cross a cut. `step`
    is called once per frame and pass and may raise Cancelled. Working files go to the folder `scratch`.
    """
    frames = sorted(frame for frame in given if frame in span)
    left, right = frames[0], frames[-1]
    small = motion_size(size)
    backward = PositionStore(scratch / "masks", grid(small))
    # One chain runs back from the last given frame to the first (or the span's start), one forward the other way.
    stop_back = left if left != right else span.start
    passes = _Passes(step, max(0, right - stop_back) + len(span))
    with ThreadPoolExecutor(1) as pool:
        chain = Chain(pictures.gray(right, small), _inside(given[right], small))
        for frame in range(right - 1, stop_back - 1, -1):
            chain.advance(pictures.gray(frame, small), None, pool)
            backward.put(frame, chain.positions, chain.confidence)
            passes.tick()
        forward: Chain | None = None
        for frame in span:
            if frame > left:
                if forward is None:
                    forward = Chain(pictures.gray(left, small), _inside(given[left], small))
                forward.advance(pictures.gray(frame, small), None, pool)
            passes.tick()
            if frame in given:
                yield frame, given[frame]
                continue
            ends = []
            if forward is not None:
                ends.append((given[left], forward.positions, forward.confidence, _nearness(frame, left, right)))
            if stop_back <= frame < right:
                ends.append((given[right], *backward.get(frame), _nearness(frame, right, left)))
            yield frame, _blend(ends, size)


class _Passes:
    """Counts frames over both passes."""

    def __init__(self, step: Callable[[int, int], None], total: int) -> None:
        self._step, self._total, self._done = step, max(total, 1), 0

    def tick(self) -> None:
        self._done += 1
        self._step(min(self._done, self._total), self._total)


def _nearness(frame: FrameIndex, end: FrameIndex, other: FrameIndex) -> float:
    """1 at `end`, 0 at the other end; 1 where there is only one."""
    return 1.0 if end == other else 1 - abs(frame - end) / abs(other - end)


def _inside(alpha: np.ndarray, small: tuple[int, int]) -> np.ndarray:
    return cv2.resize(alpha, small[::-1], interpolation=cv2.INTER_AREA) >= 128


def _blend(ends: list[tuple[np.ndarray, np.ndarray, np.ndarray, float]], size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 from carried masks: (mask, positions, confidence, nearness) for each end."""
    total = np.zeros(size, np.float32)
    weights = np.zeros(size, np.float32)
    for mask, positions, confidence, near in ends:
        carried = sample(mask, upsample_positions(positions, size)).astype(np.float32)
        certain = cv2.resize(confidence, size[::-1], interpolation=cv2.INTER_LINEAR)
        weight = (0.05 + certain) * max(near, 1e-3)
        total += weight * carried
        weights += weight
    return clean(total / np.maximum(weights, 1e-6), size)


def clean(soft: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8: one outline out of a soft mask (H, W) float32 0–255: smoothed, without specks, with a soft edge."""
    scale = size[0] / motion_size(size)[0]
    smooth = cv2.GaussianBlur(soft, (0, 0), SMOOTH * scale)
    inside = (smooth >= 128).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    if count > 2:
        areas = stats[1:, cv2.CC_STAT_AREA]
        noise = 1 + np.flatnonzero(areas < SPECK * areas.max())
        if len(noise):
            smooth[np.isin(parts, noise)] = 0
    slope = 255 / (SLOPE * max(scale, 1.0))
    # The ramp is laid along the blurred mask's own gradient, which is 255 / (σ·√2π) per px at a straight edge.
    gradient = 255 / (SMOOTH * scale * np.sqrt(2 * np.pi))
    return np.clip(np.rint(127.5 + (smooth - 127.5) * (slope / gradient)), 0, 255).astype(np.uint8)
