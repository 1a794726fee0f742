"""Walking through the frames of a clip from any frame on, with every frame delivered once and in order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from av.video.frame import VideoFrame

from engine.media.decode import Decoder
from engine.media.index import FrameTable
from engine.types import FrameIndex

KEPT_BEFORE = 4
"""Frames before the wanted one that are decoded in full even in a hurry: for stepping back (our choice)."""


class Step(NamedTuple):
    """One frame of the clip. `whole` is False when its own picture is damaged and the one before stands in."""

    frame: FrameIndex
    decoded: VideoFrame
    whole: bool


class Walk:
    """Steps through a clip, starting wherever it is told. Not shared between threads."""

    def __init__(self, path: Path, table: FrameTable) -> None:
        self._path = path
        self._table = table
        self._decoder: Decoder | None = None
        self._used = False

    def steps(self, start: FrameIndex, hurry: bool = False) -> Iterator[Step]:
        """Steps from a frame at or before `start` to the end of the clip. Ends an earlier walk of this object.

        With `hurry`, frames before `start` that no other frame needs may be missing, all but the last few.
        """
        exact_from = max(0, start - KEPT_BEFORE) if hurry and self._table.hurries(start) else 0
        return self._filled(self._numbered(self._from(start, exact_from)), exact_from)

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
        self._decoder = None

    def _open(self, fresh: bool = False) -> Decoder:
        if self._decoder is None or (fresh and self._used):
            self.close()
            self._decoder, self._used = Decoder(self._path, one_thread=bool(self._table.damaged)), False
        return self._decoder

    def _from(self, start: FrameIndex, exact_from: FrameIndex) -> Iterator[VideoFrame]:
        """Decoded frames from the nearest keyframe that really decodes, else from the start.

        A keyframe that does not deliver itself first (intra refresh, damage) is passed over for an earlier one.
        """
        table = self._table
        at, stride = (table.key_before(start), 1) if table.seekable else (-1, 1)
        while at >= 0:
            key = table.keys[at]
            decoder, self._used = self._open(), True
            frames = decoder.from_key(key, int(table.pts[exact_from]) if exact_from else None)
            first = next(frames, None) if frames is not None else None
            lands = first is not None and first.pts is not None and table.frame_at(first.pts) <= table.frame_at(key.pts)
            if frames is not None and first is not None and lands:
                return chain([first], frames)
            at, stride = at - stride, stride * 2
        decoder, self._used = self._open(fresh=True), True
        return decoder.from_start()

    def _numbered(self, frames: Iterator[VideoFrame]) -> Iterator[tuple[FrameIndex, VideoFrame]]:
        """Gives each decoded frame its index; frames that the table does not know are left out."""
        table, last, total = self._table, -1, len(self._table.pts)
        for count, decoded in enumerate(frames):
            if not table.seekable:
                frame = count
            elif decoded.pts is None:
                continue
            else:
                frame = table.frame_at(decoded.pts)
            if frame >= total or frame <= last or (table.seekable and table.pts[frame] != decoded.pts):
                continue
            last = frame
            yield frame, decoded

    def _filled(self, numbered: Iterator[tuple[FrameIndex, VideoFrame]], exact_from: FrameIndex) -> Iterator[Step]:
        """Fills gaps from `exact_from` on with the frame before; one at the very start with the first frame there is."""
        before: VideoFrame | None = None
        following = None
        for frame, decoded in numbered:
            gap_from = following if following is not None else (0 if self._at_start(frame) else frame)
            for missing in range(max(gap_from, exact_from), frame):
                yield Step(missing, before if before is not None else decoded, False)
            yield Step(frame, decoded, not decoded.is_corrupt)
            before, following = decoded, frame + 1
        if before is not None and following is not None:
            for missing in range(max(following, exact_from), len(self._table.pts)):
                yield Step(missing, before, False)

    def _at_start(self, frame: FrameIndex) -> bool:
        """Whether nothing before `frame` can be decoded, as this walk began at the start."""
        return frame > 0 and not self._table.key_before(frame - 1) >= 0
