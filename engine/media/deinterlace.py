"""Interlaced clips made whole frames: FFmpeg's bwdif, one frame for each stored one, at its own time.

bwdif looks at the frame before and the frame after, and at nothing else: three frames in a fresh filter give the same
picture as the whole clip in one, so random access equals reading in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from av.error import BlockingIOError as NotYet
from av.error import EOFError as AtEnd
from av.filter import Graph
from av.video.frame import VideoFrame

UNIT = Fraction(1)
SETTINGS = "mode=send_frame:parity=auto:deint=all"


class _Filter:
    """bwdif for frames like `first`."""

    def __init__(self, first: VideoFrame) -> None:
        self._shape = (first.width, first.height, first.format.name)
        self._graph = Graph()
        source = self._graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=UNIT)
        bwdif, sink = self._graph.add("bwdif", SETTINGS), self._graph.add("buffersink")
        source.link_to(bwdif)
        bwdif.link_to(sink)
        self._graph.configure()
        self._count = 0

    def push(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Frames that are ready after `frame`; None ends."""
        if frame is not None:
            if (frame.width, frame.height, frame.format.name) != self._shape:
                width, height, name = self._shape
                frame = frame.reformat(width, height, name)
            frame.pts, frame.time_base = self._count, UNIT
            self._count += 1
        self._graph.push(frame)
        while True:
            try:
                made = self._graph.pull()
            except (NotYet, AtEnd):
                return
            if isinstance(made, VideoFrame):
                yield made


def in_order(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """Each frame deinterlaced, one behind the reading."""
    stage: _Filter | None = None
    for frame in frames:
        stage = stage or _Filter(frame)
        yield from stage.push(frame)
    if stage is not None:
        yield from stage.push(None)


def single(before: VideoFrame | None, frame: VideoFrame, after: VideoFrame | None) -> VideoFrame:
    """One frame deinterlaced with its neighbours; None at the ends of the clip."""
    made = list(in_order(one for one in (before, frame, after) if one is not None))
    return made[0 if before is None else 1]
