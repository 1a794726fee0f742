"""What an effect may look at besides its own frame: the frames around it, with their masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.types import FrameIndex, FrameRange


@dataclass(frozen=True, eq=False, slots=True)
class Nearby:
    """The clip around a frame. `span`: the frames of its shot inside the in–out range.

    `picture(frame)` (H, W, 3) uint8: the source, as the edits below leave it. `region(frame)` (H, W) uint8: what the effect is
    asked to change there, None where the mask is not carried to that frame.
    """

    frame: FrameIndex
    span: FrameRange
    picture: Callable[[FrameIndex], np.ndarray]
    region: Callable[[FrameIndex], np.ndarray | None]
