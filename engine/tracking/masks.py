"""Carrying the masks of several subjects through a stretch of a shot, both ways and together.

From frame to frame each mask goes along its subject's motion; then what is near each place, what the subject looks like and
what everything else looks like decide, and the subjects share every pixel between them, so that none takes another's. What
comes out is the start of the next step. A subject that is hidden or has left is looked for until it is seen again.

    part                                                                   where
    ------------------------------------------------------------------     ----------------------------------
    one step of a subject's own motion, with its forward–backward check    engine/tracking/mask_motion.py
    colours of subject and surroundings, overall and place by place        engine/tracking/appearance.py
    patches that were seen of each subject and of everything else          engine/tracking/mask_memory.py
    the decision: odds of all of these, shared between the subjects        engine/tracking/mask_step.py
    a lost subject found again                                             engine/tracking/mask_find.py
    two passes meet between two given frames                               `carry_masks`, `_meet`
    the outline at full size                                               engine/segmentation/outline.py

A soft mask is (h, w) float32 0–1 at motion scale.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.media.records import RecordReader, RecordWriter
from engine.motion.steps import Steps
from engine.segmentation.outline import full_outline
from engine.tracking.appearance import Palette
from engine.tracking.mask_memory import PatchMemory
from engine.tracking.mask_step import Carrier, Look, Looks, learn_given, learn_rest
from engine.types import FrameIndex, FrameRange

LEARNT_FROM = 16  # given frames, or up to twice as many: spread over all that there are

Given = Mapping[int, Mapping[FrameIndex, np.ndarray]]
"""By subject number (from 1) and frame: (H, W) uint8 alpha."""


@dataclass(frozen=True, eq=False, slots=True)
class CarriedMask:
    """alpha (H, W) uint8; confidence 0–1: 1 on given frames, lower the further and the less surely it was carried."""

    alpha: np.ndarray
    confidence: float


def carry_masks(
    steps: Steps,
    size: tuple[int, int],
    given: Given,
    span: FrameRange,
    *,
    step: Callable[[int, int], None],
    scratch: Path,
    wanted: tuple[int, ...] | None = None,
) -> Iterator[tuple[FrameIndex, dict[int, CarriedMask]]]:
    """Yields (frame, masks by subject) for every frame of the span, in order; given frames exactly as given.

    `given` holds at least one mask; masks of frames outside the span are where other subjects come from. `steps` holds
    the clip's motion over the span and up to those frames. Nothing of this may cross a cut. Only the `wanted` subjects
    (all, where None) are yielded; what the others are asked for changes nothing in these. `step` is called once per frame and
    pass and may raise Cancelled. Working files go to the folder `scratch`.
    """
    run = _Run(steps, given)
    marks = sorted({frame for masks in given.values() for frame in masks})
    backwards = range(marks[-1], span.start - 1, -1) if marks[-1] > span.start else range(0)
    forwards = range(min(marks[0], span.start), span.stop)
    tick = _Ticks(step, len(backwards) + len(forwards))
    store = _Store(scratch / "masks", run.looks.size)
    for frame, carrier in run.walk(backwards):
        if frame in span and carrier is not None:
            store.put(frame, {number: (one.soft, one.trust) for number, one in carrier.subjects.items()})
        tick()
    store.finish()
    chosen = tuple(given) if wanted is None else wanted
    for frame, carrier in run.walk(forwards):
        tick()
        if frame not in span:
            continue
        ends = {} if carrier is None else {number: (one.soft, one.trust) for number, one in carrier.subjects.items()}
        met = run.meet(frame, ends, store.get(frame))
        yield frame, {number: run.mask(number, frame, met, size) for number in chosen}


class _Ticks:
    """Counts frames over both passes."""

    def __init__(self, step: Callable[[int, int], None], total: int) -> None:
        self._step, self._total, self._done = step, max(total, 1), 0

    def __call__(self) -> None:
        self._done += 1
        self._step(self._done, self._total)


Soft = dict[int, tuple[np.ndarray, float]]
"""By subject number: soft mask and trust 0–1."""


class _Run:
    """What both passes share: what is given, and what is known from it."""

    def __init__(self, steps: Steps, given: Given) -> None:
        self._steps, self._given = steps, given
        self.looks = Looks(steps)
        self._palettes = {number: Palette() for number in given}
        self._memory = PatchMemory()
        at: dict[FrameIndex, list[int]] = {}
        for number, masks in given.items():
            for frame in masks:
                at.setdefault(frame, []).append(number)
        frames = sorted(at)[:: max(1, len(at) // LEARNT_FROM)]
        for frame in frames:
            look, softs = self._marked(frame, at[frame])
            for number, soft in softs.items():
                self._palettes[number].learn(look.bins, soft)
            learn_given(self._memory, look, softs)
        # Frames on which every subject is marked say for sure what is none of them.
        complete = [frame for frame in frames if len(at[frame]) == len(given)]
        known = {} if complete else {number: self._known(number, min(given[number])) for number in given}
        for frame in complete or frames:
            absent = {number: memory for number, memory in known.items() if frame not in given[number]}
            learn_rest(self._memory, *self._marked(frame, at[frame]), absent)

    def _known(self, number: int, frame: FrameIndex) -> PatchMemory:
        """A memory of one subject on one given frame alone."""
        memory = self._memory.again()
        learn_rest(memory, *self._marked(frame, [number]), {})
        return memory

    def _marked(self, frame: FrameIndex, numbers: list[int]) -> tuple[Look, dict[int, np.ndarray]]:
        return self.looks.at(frame), {number: self._small(number, frame) for number in numbers}

    def _small(self, number: int, frame: FrameIndex) -> np.ndarray:
        """(h, w) float32 0–1: a given mask."""
        alpha = cv2.resize(self._given[number][frame], self.looks.size[::-1], interpolation=cv2.INTER_AREA)
        return alpha.astype(np.float32) / 255

    def walk(self, frames: range) -> Iterator[tuple[FrameIndex, Carrier | None]]:
        """One pass: the carrier in each frame; None before the first given frame."""
        carrier: Carrier | None = None
        for frame in frames:
            fresh = {number: self._small(number, frame) for number, masks in self._given.items() if frame in masks}
            if carrier is not None:
                carrier.advance(self.looks.at(frame))
            elif fresh:
                carrier = Carrier(self._steps, self.looks.at(frame), self._memory.again())
            if carrier is not None:
                for number, soft in fresh.items():
                    carrier.put(number, soft, self._palettes[number])
            yield frame, carrier

    def meet(self, frame: FrameIndex, forward: Soft, backward: Soft) -> Soft:
        """Soft masks from one or both passes by weight: trust, and how near the given frame is that they come from."""
        met: Soft = {}
        for number, masks in self._given.items():
            left = max((mark for mark in masks if mark <= frame), default=None)
            right = min((mark for mark in masks if mark >= frame), default=None)
            ends = []
            if left is not None and number in forward:
                ends.append((*forward[number], _nearness(frame, left, right)))
            if right is not None and number in backward and right != left:
                ends.append((*backward[number], _nearness(frame, right, left)))
            if not ends:
                continue
            total = sum(trust * near for _, trust, near in ends)
            soft = sum(soft * (trust * near / max(total, 1e-9)) for soft, trust, near in ends)
            trust = max(trust for _, trust, _ in ends)
            met[number] = np.asarray(soft, np.float32), trust
        crowd = np.maximum(1, sum((soft for soft, _ in met.values()), np.zeros(self.looks.size, np.float32)))
        return {number: (soft / crowd, trust) for number, (soft, trust) in met.items()}

    def mask(self, number: int, frame: FrameIndex, met: Soft, size: tuple[int, int]) -> CarriedMask:
        if frame in self._given[number]:
            return CarriedMask(self._given[number][frame], 1.0)
        if number not in met:
            return CarriedMask(np.zeros(size, np.uint8), 0.0)
        soft, trust = met[number]
        alpha = full_outline(self._steps.pictures.gray(frame), soft)
        full = alpha if alpha.shape == size else cv2.resize(alpha, size[::-1], interpolation=cv2.INTER_LINEAR)
        return CarriedMask(full, trust)


def _nearness(frame: FrameIndex, end: FrameIndex, other: FrameIndex | None) -> float:
    """1 at `end`, 0 at the other end; 1 where there is only one."""
    return 1.0 if other is None or end == other else 1 - abs(frame - end) / abs(other - end)


class _Store:
    """Soft masks on disk, left by the backward pass for the forward pass."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self._folder, self._size = folder, size
        self._writer = RecordWriter(folder, resume=False)
        self._reader: RecordReader | None = None

    def put(self, frame: FrameIndex, softs: Soft) -> None:
        heads = np.array([(number, trust) for number, (_, trust) in softs.items()], "<f8").tobytes()
        pictures = b"".join(np.rint(soft * 255).astype(np.uint8).tobytes() for soft, _ in softs.values())
        self._writer.append(frame, len(softs).to_bytes(4, "little") + heads + zlib.compress(pictures, 1))

    def finish(self) -> None:
        self._writer.finish()
        self._reader = RecordReader(self._folder)

    def get(self, frame: FrameIndex) -> Soft:
        """What was put there; nothing where nothing was."""
        assert self._reader is not None, "get before finish"
        if frame not in self._reader:
            return {}
        blob = self._reader.get(frame)
        count = int.from_bytes(blob[:4], "little")
        heads = np.frombuffer(blob[4 : 4 + 16 * count], "<f8").reshape(count, 2)
        softs = np.frombuffer(zlib.decompress(blob[4 + 16 * count :]), np.uint8).reshape(count, *self._size)
        pairs = zip(heads, softs, strict=True)
        return {int(number): (soft.astype(np.float32) / 255, float(trust)) for (number, trust), soft in pairs}
