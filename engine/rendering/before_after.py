"""Frames that show source and edit in one picture, to lay before others: with a moving line between them, or side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from engine.rendering.masters import finished_frames
from engine.rendering.material import Material
from engine.types import FrameRange, Video

WIPE_SECONDS = 4.0  # there and back
SWEEP = 0.46
"""Of the width that the line goes to either side of the middle: a strip of both stays in sight (our choice)."""
LINES = 400  # of the width makes the line one px thick on either side


def wipe_frames(material: Material, span: FrameRange) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8: the source left of a white line, the result of all edits right of it; the line goes to and fro."""
    width = material.project.video.size[1]
    thick = max(1, width // LINES)
    for frame, (source, edited) in zip(span, _both(material, span), strict=True):
        at = line_at(material.project.video, span, frame)
        picture = edited.copy()
        picture[:, :at] = source[:, :at]
        picture[:, max(0, at - thick) : at + thick] = 255
        yield picture


def line_at(video: Video, span: FrameRange, frame: int) -> int:
    """Where the line of the wipe is, px from the left: right at first, so that a viewer sees the source before the edit."""
    times = video.seconds()
    length = float(times[span.stop - 1] - times[span.start])
    period = WIPE_SECONDS if length >= WIPE_SECONDS else max(length, 1e-6)
    phase = 2 * math.pi * float(times[frame] - times[span.start]) / period
    return round(video.size[1] * (0.5 + SWEEP * math.cos(phase)))


def beside_frames(material: Material, span: FrameRange) -> Iterator[np.ndarray]:
    """(H, 2W, 3) uint8: the source on the left, the result of all edits on the right."""
    return (np.hstack(both) for both in _both(material, span))


def canvas_of(video: Video, layout: str) -> Video:
    """The clip as the writer has to see it for frames of that layout: "wipe" or "beside" (twice as wide)."""
    height, width = video.size
    return replace(video, size=(height, 2 * width)) if layout == "beside" else video


def _both(material: Material, span: FrameRange) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Source and result, frame by frame."""
    return zip(material.reader.frames(span), finished_frames(material.whole, span), strict=True)
