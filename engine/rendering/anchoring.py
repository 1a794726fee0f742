"""The anchor lock: whatever a method makes of a segment, approved takes come out as they are, and the outside stays.

At an anchor the residual R = take − method's frame is known. It is carried along the motion to the frames nearby and added to
what the method made of them, fading out (our choice, no published system does it):

    image(f) = method(f) + (1 − s) · R_left carried to f + s · R_right carried to f        s = place between the anchors, 0 … 1

Towards an end without an anchor the residual fades over FADE frames. Then the region: outside it, the source to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from engine.composite import inside
from engine.media.records import RecordReader, RecordWriter
from engine.methods.base import Context, Rendered, Segment, Shot
from engine.motion.flow import grid, sample, upsample_positions
from engine.rendering.noting import strayed
from engine.rendering.patches import apply_patch, make_patch
from engine.types import FrameIndex, FrameRange

FADE = 24
"""Frames (our choice): about a second, after which what the method makes stands for itself."""


def locked(shot: Shot, segment: Segment, rendered: Rendered, context: Context) -> Rendered:
    """Every frame of the segment once, in order, from what a method makes of it (with the right anchor's frame as one more).

    Memory does not grow with the segment: where there is a right anchor, whose residual is known last, the method's frames
    wait on the disk.
    """
    if segment.right is not None:
        rendered = _corrected_backwards(shot, segment, rendered, context)
    left: _Residual | None = None
    for frame, image in rendered:
        source, region = shot.frames.get(frame), shot.region(frame)
        if frame == segment.left:
            left = _Residual(shot, frame, image)
            context.note(frame, strayed=strayed(shot.take(frame), image, region))
            yield frame, shot.take(frame)
            continue
        if left is not None:
            image = left.added_to(image, frame, 1 - _place(frame, segment))
        yield frame, inside(source, image, region)


def _place(frame: FrameIndex, segment: Segment) -> float:
    """0 at the left anchor, 1 at the right one, or where the residual of the one that is there has faded."""
    if segment.left is not None and segment.right is not None:
        return (frame - segment.left) / (segment.right - segment.left)
    if segment.left is not None:
        return min(1.0, (frame - segment.left) / FADE)
    assert segment.right is not None
    return max(0.0, 1 - (segment.right - frame) / FADE)


def _corrected_backwards(shot: Shot, segment: Segment, rendered: Rendered, context: Context) -> Rendered:
    """What the method made, corrected by the right anchor's residual: written as it comes, corrected from the anchor back."""
    assert segment.right is not None
    span = FrameRange(segment.start, segment.stop)
    made, corrected = context.scratch / "made", context.scratch / "corrected"
    residual: _Residual | None = None
    with RecordWriter(made, resume=False) as records:
        for frame, image in rendered:
            if frame == segment.right:
                residual = _Residual(shot, frame, image)
            else:
                records.append(frame, make_patch(shot.frames.get(frame), image))
        records.finish()
    if residual is None:
        raise ValueError(f"the method must make frame {segment.right} too, the right anchor of the segment")
    with RecordWriter(corrected, resume=False) as records:
        for frame, image in _read(shot, made, reversed(range(span.start, span.stop))):
            # The method's own frame at the left anchor is what that anchor's residual is taken from.
            fixed = image if frame == segment.left else residual.added_to(image, frame, _place(frame, segment))
            records.append(frame, make_patch(shot.frames.get(frame), fixed))
        records.finish()
    yield from _read(shot, corrected, iter(span))


def _read(shot: Shot, folder: Path, frames: Iterator[FrameIndex]) -> Rendered:
    records = RecordReader(folder)
    try:
        for frame in frames:
            yield frame, apply_patch(shot.frames.get(frame), records.get(frame))
    finally:
        records.close()


class _Residual:
    """R (H, W, 3) float32 of an anchor, on its way through the neighbouring frames."""

    def __init__(self, shot: Shot, anchor: FrameIndex, made: np.ndarray) -> None:
        self._shot, self._at = shot, anchor
        self._residual = shot.take(anchor).astype(np.float32) - made
        self._nothing = not self._residual.any()
        self._pixels = grid(shot.steps.size)
        self._positions = self._pixels.copy()

    def added_to(self, image: np.ndarray, frame: FrameIndex, weight: float) -> np.ndarray:
        """(H, W, 3) uint8. `frame` neighbours the one asked for before."""
        if self._nothing or weight <= 0:
            self._at = frame if weight > 0 else self._at
            return image
        for at in _between(self._at, frame):
            there = self._pixels + self._shot.steps.flow(at[1], at[0])
            # Resampling the displacement keeps the frame's border from dragging absolute positions along.
            self._positions = there + sample(self._positions - self._pixels, there)
        self._at = frame
        height, width = self._shot.size
        positions = upsample_positions(self._positions, self._shot.size, (slice(0, height), slice(0, width)))
        carried = sample(self._residual, positions, cv2.INTER_LINEAR)
        return np.clip(np.rint(image + weight * carried), 0, 255).astype(np.uint8)


def _between(a: FrameIndex, b: FrameIndex) -> list[tuple[FrameIndex, FrameIndex]]:
    """The steps from a to b: pairs of neighbours."""
    way = 1 if b > a else -1
    return [(frame, frame + way) for frame in range(a, b, way)]
