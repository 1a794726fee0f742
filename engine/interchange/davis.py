"""DAVIS / YouTube-VOS masks: one indexed PNG per frame, index = subject id, 0 = background. Soft edges are not kept."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from engine.errors import MediaError
from engine.interchange.files import whole
from engine.interchange.masks import INSIDE, Alphas, Masks, explained, frame_name, stills_by_number, values_of
from engine.media.probe import check_file
from engine.types import FrameIndex, Video


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


def write(folder: Path, masks: Masks, video: Video) -> None:
    """Writes `folder/%05d.png`, named by absolute frame. Raises MediaError when the disk does not take it."""
    with whole(folder) as temporary:
        temporary.mkdir()
        for frame, alphas in masks.numbered():
            image = Image.fromarray(index_map(masks.size, alphas.items()), mode="P")
            image.putpalette(palette())
            buffer = io.BytesIO()
            image.save(buffer, format="PNG")
            (temporary / frame_name(frame)).write_bytes(buffer.getvalue())


def read(folder: Path, size: tuple[int, int]) -> Masks:
    """Reads a folder of indexed pictures; grey ones hold the index as their value, coloured ones the palette's colours.

    Raises:
        MediaError: now or while the frames are gone through: no such pictures, another size, a damaged picture, colours
            that are not the palette's.
    """
    stills = stills_by_number(folder, size)
    subjects: set[int] = set()
    for still in stills.values():
        subjects.update(int(index) for index in np.unique(_indices(still)) if index)
    return Masks(size, tuple(sorted(subjects)), tuple(stills), _alphas(stills))


def is_indexed(stills: list[Path]) -> bool:
    """Whether pictures hold an index for each pixel: the first has a palette, or the first that is not black its colours."""
    for still in stills:
        if _mode(still) == "P":
            return True
        pixels = values_of(still)
        if pixels.shape[2:] != (3,) or pixels.dtype != np.uint8:
            return False
        indices = _by_colour(pixels)
        if indices is None or indices.any():
            return indices is not None
    return False


def _mode(still: Path) -> str:
    with explained(still), Image.open(check_file(still)) as image:
        return image.mode


def _alphas(stills: dict[FrameIndex, Path]) -> Iterator[Alphas]:
    for still in stills.values():
        indices = _indices(still)
        yield {int(index): np.where(indices == index, 255, 0).astype(np.uint8) for index in np.unique(indices) if index}


def _indices(still: Path) -> np.ndarray:
    """(H, W) uint8."""
    with explained(still), Image.open(check_file(still), formats=["PNG"]) as image:
        if image.mode in ("P", "L", "1"):
            return np.array(image, np.uint8)
        pixels = np.array(image)
    found = None if pixels.ndim != 3 or pixels.dtype != np.uint8 else _by_colour(pixels[..., :3])
    if found is None:
        raise MediaError(f"“{still.name}” has colours that are not those of the DAVIS palette; save indexed PNGs.")
    return found


def _by_colour(pixels: np.ndarray) -> np.ndarray | None:
    """(H, W) uint8 index of each pixel's colour in the palette; None where a colour is not in it."""
    weights = np.array([65536, 256, 1])
    colours = np.frombuffer(palette(), np.uint8).reshape(256, 3) @ weights
    order = np.argsort(colours)
    wanted = pixels @ weights
    index = order[np.minimum(np.searchsorted(colours[order], wanted), 255)]
    return index.astype(np.uint8) if (colours[index] == wanted).all() else None
