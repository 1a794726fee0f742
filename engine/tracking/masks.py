"""Carrying masks through a stretch of a shot, both ways.

From frame to frame the mask goes along the motion, then colour decides where motion cannot be believed: near the
outline, and where forward and backward flow disagree. What comes out is the start of the next step.

    part                                                                   where
    ------------------------------------------------------------------     --------------------------
    one step of motion, with its forward–backward check                    `Carrier.advance`
    the subject as one piece, where single pixels' motion fails            `_moved_as_one`
    colours of subject and surroundings, overall and place by place        engine/tracking/appearance.py
    the decision: odds of all three, smoothed along the picture's edges    `Carrier._decide`
    two passes meet between two given frames                               `carry_masks`, `_meet`
    the outline at full size                                               engine/segmentation/outline.py

A soft mask is (h, w) float32 0–1 at motion scale; odds are logarithms, 0 = undecided.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.media.records import RecordReader, RecordWriter
from engine.motion.flow import consistency, grid, sample
from engine.motion.steps import Steps
from engine.pictures import Pictures
from engine.segmentation.outline import full_outline, guided
from engine.tracking.appearance import Palette, colour_bins, local_odds
from engine.types import FrameIndex, FrameRange

BY_MOTION, BY_PLACE, BY_COLOUR = 1.2, 1.0, 0.35  # weights of the three voices
SURE = 3.0  # odds that motion alone can give
REACH = 10.0  # px at motion scale: no mask changes further than this from where motion puts it
EDGE_RADIUS, EDGE_EPSILON = 4, 4e-4  # of the smoothing along edges
SPECK = 0.05  # parts smaller than this share of the largest are noise
HOLE = 0.02
SAMPLES = 1200
INLIER = 1.5  # px


def carry_masks(
    steps: Steps,
    size: tuple[int, int],
    given: dict[FrameIndex, np.ndarray],
    span: FrameRange,
    *,
    step: Callable[[int, int], None],
    scratch: Path,
) -> Iterator[tuple[FrameIndex, np.ndarray]]:
    """Yields (frame, (H, W) uint8 alpha) for every frame of the span, in order; given frames exactly as given.

    `steps` holds the clip's motion over the span. `given` holds masks at one or both ends of the span, or one anywhere
    in it. The span must not cross a cut. `step` is called once per frame and pass and may raise Cancelled. Working files
    go to the folder `scratch`.
    """
    frames = sorted(frame for frame in given if frame in span)
    left, right = frames[0], frames[-1]
    looks = _Looks(steps)
    palette = Palette()
    for frame in frames:
        palette.learn(looks.at(frame).bins, _small(given[frame], looks.size))
    # One pass runs back from the last given frame to the first (or the span's start), one forward the other way.
    stop_back = left + 1 if left != right else span.start
    tick = _Ticks(step, max(0, right - stop_back) + len(span))
    store = _Store(scratch / "masks", looks.size)
    carrier = Carrier(steps, looks.at(right), _small(given[right], looks.size), palette)
    for frame in range(right - 1, stop_back - 1, -1):
        carrier.advance(looks.at(frame))
        store.put(frame, carrier.soft, carrier.trust)
        tick()
    store.finish()
    forward: Carrier | None = None
    for frame in span:
        look = looks.at(frame)
        if frame == left:
            forward = Carrier(steps, look, _small(given[left], looks.size), palette)
        elif forward is not None:
            forward.advance(look)
        tick()
        if frame in given:
            yield frame, given[frame]
            continue
        ends = [] if forward is None else [(forward.soft, forward.trust * _nearness(frame, left, right))]
        if stop_back <= frame < right:
            soft, trust = store.get(frame)
            ends.append((soft, trust * _nearness(frame, right, left)))
        yield frame, _at_full_size(_meet(ends, look), steps.pictures, frame, size)


class _Ticks:
    """Counts frames over both passes."""

    def __init__(self, step: Callable[[int, int], None], total: int) -> None:
        self._step, self._total, self._done = step, max(total, 1), 0

    def __call__(self) -> None:
        self._done += 1
        self._step(self._done, self._total)


def _nearness(frame: FrameIndex, end: FrameIndex, other: FrameIndex) -> float:
    """1 at `end`, 0 at the other end; 1 where there is only one."""
    return 1.0 if end == other else 1 - abs(frame - end) / abs(other - end)


def _small(alpha: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) float32 0–1."""
    return cv2.resize(alpha, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _at_full_size(soft: np.ndarray, pictures: Pictures, frame: FrameIndex, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8."""
    alpha = full_outline(pictures.gray(frame), soft)
    return alpha if alpha.shape == size else cv2.resize(alpha, size[::-1], interpolation=cv2.INTER_LINEAR)


# --- pictures at motion scale -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Look:
    """One frame at motion scale: bins (h, w) int32 (colour), guide (h, w) float32 0–1."""

    frame: FrameIndex
    bins: np.ndarray
    guide: np.ndarray


class _Looks:
    """Fetches frames at motion scale."""

    def __init__(self, steps: Steps) -> None:
        self._pictures, self.size = steps.pictures, steps.size

    def at(self, frame: FrameIndex) -> Look:
        rgb = cv2.resize(self._pictures.rgb(frame), self.size[::-1], interpolation=cv2.INTER_AREA)
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        return Look(frame, colour_bins(rgb), gray.astype(np.float32) / 255)


class _Store:
    """Soft masks on disk, left by the backward pass for the forward pass."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self._folder, self._size = folder, size
        self._writer = RecordWriter(folder, resume=False)
        self._reader: RecordReader | None = None

    def put(self, frame: FrameIndex, soft: np.ndarray, trust: float) -> None:
        head = np.float32(trust).tobytes()
        self._writer.append(frame, head + zlib.compress(np.rint(soft * 255).astype(np.uint8).tobytes(), 1))

    def finish(self) -> None:
        self._writer.finish()
        self._reader = RecordReader(self._folder)

    def get(self, frame: FrameIndex) -> tuple[np.ndarray, float]:
        assert self._reader is not None, "get before finish"
        blob = self._reader.get(frame)
        soft = np.frombuffer(zlib.decompress(blob[4:]), np.uint8).reshape(self._size).astype(np.float32) / 255
        return soft, float(np.frombuffer(blob[:4], np.float32)[0])


# --- one pass ---------------------------------------------------------------------------------------------


class Carrier:
    """A soft mask on its way from a given frame.

    `soft` (h, w) float32 0–1 of the current frame; `trust` 0–1 falls with every step, faster where the step was doubtful.
    """

    def __init__(self, steps: Steps, look: Look, soft: np.ndarray, palette: Palette) -> None:
        self._steps, self._look, self._palette = steps, look, palette
        self._pixels = grid(steps.size)
        self.soft, self.trust = soft, 1.0

    def advance(self, look: Look) -> None:
        """Goes on to the neighbouring frame."""
        before, self._look = self._look, look
        if self.soft.max() < 0.5:
            self.soft = np.zeros_like(self.soft)
            return
        there, back = self._steps.flow(look.frame, before.frame), self._steps.flow(before.frame, look.frame)
        agree = consistency(there, back, self._pixels)
        by_flow = sample(self.soft, self._pixels + there)
        as_one = _moved_as_one(self.soft, self._pixels, back)
        moved = by_flow if as_one is None else agree * by_flow + (1 - agree) * as_one
        heard = agree if as_one is None else np.maximum(agree, 0.5)
        soft = self._decide(before, back, moved, heard)
        sure = float(np.abs(2 * soft - 1)[moved > 0.02].mean()) if (moved > 0.02).any() else 1.0
        self.trust *= 0.9 + 0.1 * sure
        self.soft = soft

    def _decide(self, before: Look, back: np.ndarray, moved: np.ndarray, heard: np.ndarray) -> np.ndarray:
        """(h, w) soft mask from where motion puts it, colours near each place and colours overall."""
        sharp = np.abs(2 * self.soft - 1)
        places = (self._pixels + back).reshape(-1, 2)
        by_place = local_odds(places, before.bins.ravel(), self.soft.ravel(), sharp.ravel(), self._look.bins)
        by_motion = SURE * np.clip(2 * cv2.GaussianBlur(moved, (0, 0), 1.5) - 1, -1, 1) * heard
        odds = BY_MOTION * by_motion + BY_PLACE * by_place + BY_COLOUR * self._palette.odds(self._look.bins)
        odds = np.clip(odds, -SURE, SURE)
        inside = (moved >= 0.5).astype(np.uint8)
        if inside.any() and not inside.all():
            odds[cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3) > REACH] = -SURE
            odds[(cv2.distanceTransform(inside, cv2.DIST_L2, 3) > REACH) & (heard > 0.5)] = SURE
        odds = guided(self._look.guide, odds.astype(np.float32), EDGE_RADIUS, EDGE_EPSILON)
        return _kept_parts(np.clip(0.5 + 0.35 * odds, 0, 1).astype(np.float32))


def _moved_as_one(soft: np.ndarray, pixels: np.ndarray, back: np.ndarray) -> np.ndarray | None:
    """(h, w) soft mask moved by one robust affine motion; None where it does not move as one piece.

    `back` leads from the mask's frame to the new one.
    """
    ys, xs = np.nonzero(soft > 0.5)
    if len(ys) < 50:
        return None
    chosen = np.random.default_rng(0).choice(len(ys), min(SAMPLES, len(ys)), replace=False)
    here = pixels[ys[chosen], xs[chosen]]
    cv2.setRNGSeed(0)
    matrix, inliers = cv2.estimateAffine2D(
        here, here + back[ys[chosen], xs[chosen]], method=cv2.RANSAC, ransacReprojThreshold=INLIER
    )
    if matrix is None or inliers.mean() < 0.6 or not 0.7 < np.linalg.det(matrix[:, :2]) < 1.4:
        return None
    return cv2.warpAffine(soft, matrix, soft.shape[::-1])


def _kept_parts(soft: np.ndarray) -> np.ndarray:
    """Without specks and pinholes."""
    inside = (soft >= 0.5).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    if count > 2:
        areas = stats[1:, cv2.CC_STAT_AREA]
        small = 1 + np.flatnonzero(areas < SPECK * areas.max())
        soft = np.where(np.isin(parts, small), 0, soft)
    return np.where(soft < 0.05, 0, soft).astype(np.float32)


# --- both passes ------------------------------------------------------------------------------------------


def _meet(ends: list[tuple[np.ndarray, float]], look: Look) -> np.ndarray:
    """(h, w) soft mask from one or both passes by weight; where they differ, the picture's edges decide."""
    if len(ends) == 1:
        return ends[0][0]
    total = sum(weight for _, weight in ends)
    mixed = sum(soft * (weight / max(total, 1e-9)) for soft, weight in ends)
    return np.asarray(mixed, np.float32)
