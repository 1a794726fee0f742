"""What of an anchor a frame shows: where each pixel lies in the anchor's picture, and how far that can be believed.

Kept on a lattice over a window of the frame, sampled at any pixel; a backward pass leaves sights on disk for the forward pass.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.media.records import RecordReader, RecordWriter

Window = tuple[slice, slice]
"""Rows and columns of the full picture."""
STEPS = 32  # shifts are kept on disk to 1/32 px
FARTHEST = 1000.0  # px
_HEAD = struct.Struct("<4H2d")


@dataclass(frozen=True, eq=False, slots=True)
class Sight:
    """`nodes`: the rows and columns of the lattice that are held; node (i, j) is the middle of a cell of `cell` (height, width)
    px of the full picture. shift (n, m, 2) float32 full-size px (x, y): place in the anchor − place here. certain (n, m) float32
    0–1. light (n, m) float32: brightness here over brightness at the anchor."""

    nodes: Window
    cell: tuple[float, float]
    shift: np.ndarray
    certain: np.ndarray
    light: np.ndarray

    def _lattice(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places in px (broadcastable (h, 1) and (1, w)) as places on the arrays held here: x and y (h, w)."""
        rows = (y + 0.5) / self.cell[0] - 0.5 - self.nodes[0].start
        columns = (x + 0.5) / self.cell[1] - 0.5 - self.nodes[1].start
        shape = np.broadcast_shapes(rows.shape, columns.shape)
        return (
            np.ascontiguousarray(np.broadcast_to(columns, shape), np.float32),
            np.ascontiguousarray(np.broadcast_to(rows, shape), np.float32),
        )

    def at(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions in the anchor's picture (h, w, 2), certain and light (h, w), at rows y (h,) and columns x (w,) in px."""
        y, x = y.astype(np.float32)[:, None], x.astype(np.float32)[None]
        columns, rows = self._lattice(y, x)
        fields = np.dstack([self.shift, self.certain, self.light])
        found = cv2.remap(fields, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        positions = np.stack([found[..., 0] + x, found[..., 1] + y], axis=-1)
        return positions, found[..., 2], found[..., 3]


class SightStore:
    """Sights by frame on disk: shifts to 1/32 px, the rest to 8 bits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: RecordWriter | None = RecordWriter(folder, resume=False)
        self._reader: RecordReader | None = None

    def put(self, frame: int, sight: Sight) -> None:
        assert self._writer is not None, "put after get"
        (rows, columns), (height, width) = sight.nodes, sight.shift.shape[:2]
        shift = np.rint(np.clip(sight.shift, -FARTHEST, FARTHEST) * STEPS).astype("<i2")
        certain = np.rint(np.clip(sight.certain, 0, 1) * 255).astype(np.uint8)
        light = np.rint(np.clip(np.log2(sight.light), -1, 1) * 120 + 128).astype(np.uint8)
        head = _HEAD.pack(rows.start, columns.start, height, width, *sight.cell)
        self._writer.append(frame, zlib.compress(head + shift.tobytes() + certain.tobytes() + light.tobytes(), 1))

    def get(self, frame: int) -> Sight:
        if self._reader is None:
            if self._writer is not None:
                self._writer.finish()
                self._writer = None
            self._reader = RecordReader(self._folder)
        raw = zlib.decompress(self._reader.get(frame))
        top, left, height, width, *cell = _HEAD.unpack_from(raw)
        count, at = height * width, _HEAD.size
        shift = np.frombuffer(raw, "<i2", 2 * count, at).reshape(height, width, 2).astype(np.float32) / STEPS
        certain = np.frombuffer(raw, np.uint8, count, at + 4 * count).reshape(height, width).astype(np.float32) / 255
        light = np.frombuffer(raw, np.uint8, count, at + 5 * count).reshape(height, width).astype(np.float32)
        nodes = slice(top, top + height), slice(left, left + width)
        return Sight(nodes, (cell[0], cell[1]), shift, certain, np.exp2((light - 128) / 120))
