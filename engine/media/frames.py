"""What a reader of frames is, and the small cache that readers keep."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from engine.errors import MediaError
from engine.types import FrameIndex, FrameRange, Video

CACHE_FRAMES = 24
CACHE_BYTES = 150 * 2**20


class FrameReader(Protocol):
    """Frames of one clip by index. Files and sequences of stills look the same from here.

    `damaged` grows while reading: the frames that could not be decoded (the frame before stands in) or were
    decoded with errors.
    """

    video: Video
    damaged: set[FrameIndex]

    def get(self, frame: FrameIndex) -> np.ndarray:
        """Frame `frame` as (H, W, 3) uint8 RGB, upright, read-only. Raises MediaError outside the clip."""
        ...

    def frames(self, span: FrameRange, *, deep: bool = False) -> Iterator[np.ndarray]:
        """The frames of `span` in order, decoded once, bit-equal to `get`. Memory does not grow with the span.

        With `deep`, (H, W, 3) uint16 with 65535 = white; rounded to 8 bits they are the others.
        """
        ...

    @property
    def has_alpha(self) -> bool:
        """Whether the clip has transparency that `alphas` gives."""
        ...

    def alphas(self, span: FrameRange) -> Iterator[np.ndarray]:
        """The opacity of the frames of `span` in order, (H, W) uint16, 65535 = opaque."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class FrameCache:
    """The pictures asked for last: at most 24 and at most 150 MB."""

    def __init__(self) -> None:
        self._pictures: OrderedDict[FrameIndex, np.ndarray] = OrderedDict()

    def get(self, frame: FrameIndex) -> np.ndarray | None:
        picture = self._pictures.get(frame)
        if picture is not None:
            self._pictures.move_to_end(frame)
        return picture

    def put(self, frame: FrameIndex, picture: np.ndarray) -> np.ndarray:
        """Keeps a picture, makes it read-only and gives it back."""
        picture.flags.writeable = False
        self._pictures[frame] = picture
        room = max(1, min(CACHE_FRAMES, CACHE_BYTES // max(1, picture.nbytes)))
        while len(self._pictures) > room:
            self._pictures.popitem(last=False)
        return picture

    def clear(self) -> None:
        self._pictures.clear()


def check_frame(frame: FrameIndex, video: Video) -> None:
    """Raises MediaError when the clip has no such frame."""
    if not 0 <= frame < video.frames:
        raise MediaError(f"The clip has no frame {frame}; its frames are 0 to {video.frames - 1}.")


def check_span(span: FrameRange, video: Video) -> None:
    """Raises MediaError when the span reaches outside the clip."""
    if span.start < 0 or span.stop > video.frames or span.stop < span.start:
        raise MediaError(f"The clip has no frames {span.start} to {span.stop - 1}; its frames are 0 to {video.frames - 1}.")
