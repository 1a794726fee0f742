"""Small pictures of a clip with quick random access: what motion, masks and points look at (the frame pack has them)."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from engine.types import FrameIndex


class Pictures(Protocol):
    """Both may be smaller than the clip, with its proportions."""

    def gray(self, frame: FrameIndex, size: tuple[int, int] | None = None) -> np.ndarray:
        """(h, w) uint8 at `size` (height, width); at the pictures' own size where that is None."""
        ...

    def rgb(self, frame: FrameIndex) -> np.ndarray:
        """(h, w, 3) uint8 RGB at the pictures' own size."""
        ...
