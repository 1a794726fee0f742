"""Dense motion between neighbouring frames of a clip, both ways: computed once, kept on disk, read by every pass.

Masks are carried both ways, takes are carried both ways, corrections do it again: all of them need the same flows,
which depend on the clip alone. They are kept at half of motion scale, where DIS (medium preset) computes them, to
1/32 px: about 0.1 MB a frame.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from engine.errors import MediaError
from engine.media.pictures import Pictures
from engine.media.records import RecordReader, RecordWriter
from engine.motion.flow import DenseFlow, motion_size
from engine.store.entries import Damaged, seal, unseal
from engine.types import FrameIndex, FrameRange

FINENESS = 32  # steps per px
FARTHEST = 1000.0  # px; beyond what int16 holds at 1/32 px nothing is tracked anyway


class Steps:
    """Flow from a frame to its neighbour, at motion scale. Reading is safe in several processes, `ensure` in one.

    `size` (h, w) is the motion scale of the clip.
    """

    def __init__(self, pictures: Pictures, clip_size: tuple[int, int], folder: Path) -> None:
        self.pictures, self.size = pictures, motion_size(clip_size)
        self._folder = folder
        self._half = (self.size[0] // 2, self.size[1] // 2)
        self._reader: RecordReader | None = None
        self._last: tuple[FrameIndex, np.ndarray] | None = None

    def gray(self, frame: FrameIndex) -> np.ndarray:
        """(h, w) uint8 at motion scale."""
        return self.pictures.gray(frame, self.size)

    def missing(self, spans: Iterable[FrameRange]) -> list[FrameIndex]:
        """First frames of the neighbouring pairs inside the spans that are not there yet."""
        there = set(self._records().frames) if (self._folder / "index").exists() else set()
        wanted = {frame for span in spans for frame in range(span.start, span.stop - 1)}
        # What the disk has damaged is missing: it is computed and appended again, and the later record counts.
        there = {frame for frame in there & wanted if unseal(frame, self._records().get(frame)) is not None}
        return sorted(wanted - there)

    def ensure(self, pairs: list[FrameIndex], step: Callable[[int, int], None]) -> None:
        """Computes the flows of the pairs (`missing` names them). `step` may raise Cancelled; what is done stays."""
        if not pairs:
            return
        there, back = DenseFlow(), DenseFlow()
        last: tuple[FrameIndex, np.ndarray] | None = None
        with RecordWriter(self._folder) as records, ThreadPoolExecutor(1) as pool:
            for done, frame in enumerate(pairs):
                a = last[1] if last and last[0] == frame else self.gray(frame)
                b = self.gray(frame + 1)
                future = pool.submit(there.flow, a, b)
                backward = back.flow(b, a)
                records.append(frame, seal(frame, self._packed(future.result(), backward)))
                last = (frame + 1, b)
                step(done + 1, len(pairs))
        self._reader = self._last = None

    def flow(self, a: FrameIndex, b: FrameIndex) -> np.ndarray:
        """(h, w, 2) float32 px: pixel x of frame a is found at x + flow(x) in its neighbour b.

        Raises:
            MediaError: the pair was not computed.
        """
        there, _ = self.pair(a, b)
        return 2 * cv2.resize(there, self.size[::-1], interpolation=cv2.INTER_LINEAR)

    def pair(self, a: FrameIndex, b: FrameIndex) -> tuple[np.ndarray, np.ndarray]:
        """Flow from frame a to its neighbour b and from b to a: (h/2, w/2, 2) float32 px, at half of motion scale.

        Raises:
            MediaError: the pair was not computed.
        """
        first = min(a, b)
        if abs(a - b) != 1 or first not in self._records():
            raise MediaError(f"The motion between frames {a} and {b} is not known; propagate again.")
        last = self._last  # subjects, and both ways, are asked for one after the other
        if last is None or last[0] != first:
            last = self._last = first, self._read(first)
        both = last[1]
        return (both[0], both[1]) if a < b else (both[1], both[0])

    def _read(self, first: FrameIndex) -> np.ndarray:
        """(2, h/2, w/2, 2) float32 px: there and back."""
        blob = unseal(first, self._records().get(first))
        if blob is None:
            raise Damaged(f"The motion at frame {first} was damaged on the disk; run this again to compute it anew.")
        height, width = self._half
        both = np.frombuffer(zlib.decompress(blob), "<i2").reshape(2, height, width, 2).astype(np.float32) / (2 * FINENESS)
        both.flags.writeable = False
        return both

    def _packed(self, there: np.ndarray, back: np.ndarray) -> bytes:
        halves = [cv2.resize(flow, self._half[::-1], interpolation=cv2.INTER_AREA) for flow in (there, back)]
        whole = np.rint(np.clip(np.stack(halves), -FARTHEST, FARTHEST) * FINENESS).astype("<i2")
        return zlib.compress(whole.tobytes(), 1)

    def _records(self) -> RecordReader:
        if self._reader is None:
            self._reader = RecordReader(self._folder)
        return self._reader
