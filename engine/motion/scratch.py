"""Carried positions on disk: what a backward pass leaves for the forward pass to pick up, frame by frame."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from engine.media.records import RecordReader, RecordWriter

STEPS = 32  # positions are kept to 1/32 px at motion scale: finer than flow is
FAR = 1000.0  # px a pixel may travel and still be kept exactly


class PositionStore:
    """Positions (h, w, 2) float32 and confidence (h, w) float32 0–1 by frame."""

    def __init__(self, folder: Path, pixels: np.ndarray) -> None:
        self._folder, self._pixels = folder, pixels
        self._writer: RecordWriter | None = RecordWriter(folder, resume=False)
        self._reader: RecordReader | None = None

    def put(self, frame: int, positions: np.ndarray, confidence: np.ndarray) -> None:
        assert self._writer is not None, "put after get"
        moved = np.rint(np.clip(positions - self._pixels, -FAR, FAR) * STEPS).astype("<i2")
        certain = np.rint(confidence * 255).astype(np.uint8)
        self._writer.append(frame, zlib.compress(moved.tobytes() + certain.tobytes(), 1))

    def get(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions and confidence, to 1/32 px and 1/255."""
        if self._reader is None:
            if self._writer is not None:
                self._writer.finish()
                self._writer = None
            self._reader = RecordReader(self._folder)
        raw = zlib.decompress(self._reader.get(frame))
        height, width = self._pixels.shape[:2]
        cut = height * width * 4
        moved = np.frombuffer(raw[:cut], "<i2").reshape(height, width, 2).astype(np.float32) / STEPS
        certain = np.frombuffer(raw[cut:], np.uint8).reshape(height, width).astype(np.float32) / 255
        return self._pixels + moved, certain
