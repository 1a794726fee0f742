"""DAVIS / YouTube-VOS masks: one indexed PNG per frame, index = subject id, 0 = background."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from engine.errors import MediaError

INSIDE = 128  # alpha from which a pixel counts as inside


def palette() -> bytes:
    """The 256 RGB colours of the Pascal VOC / DAVIS palette: the bits of the index, spread over the channels."""
    table = np.zeros((256, 3), np.uint8)
    for index in range(256):
        rest, colour = index, [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                colour[channel] |= ((rest >> channel) & 1) << (7 - bit)
            rest >>= 3
        table[index] = colour
    return table.tobytes()


def index_map(size: tuple[int, int], masks: Iterable[tuple[int, np.ndarray | None]]) -> np.ndarray:
    """(H, W) uint8: subject ids where alpha ≥ 128; a later subject lies on top."""
    indices = np.zeros(size, np.uint8)
    for subject, alpha in masks:
        if alpha is not None:
            indices[alpha >= INSIDE] = subject
    return indices


def write_masks(folder: Path, frame: int, indices: np.ndarray) -> Path:
    """Writes `folder/%05d.png`. Raises MediaError when the disk does not take it."""
    image = Image.fromarray(indices, mode="P")
    image.putpalette(palette())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    path = folder / f"{frame:05d}.png"
    try:
        path.write_bytes(buffer.getvalue())
    except OSError as error:
        raise MediaError(
            f"Cannot write the masks to {folder.name}: {error.strerror}; check free space and permissions."
        ) from error
    return path
