"""Cut-outs: RGBA PNGs, the subject's mask as (straight) transparency, one folder for one subject or a folder of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.errors import MediaError
from engine.interchange.files import whole
from engine.interchange.masks import (
    Alphas,
    Masks,
    by_subject,
    eight_bits,
    frame_name,
    places,
    present,
    values_of,
    write_picture,
)
from engine.types import FrameIndex, Video


def write(folder: Path, masks: Masks, video: Video) -> None:
    """`folder/%05d.png` for subject 1 alone, else `folder/ID/%05d.png`; colours from `masks.picture`. Raises MediaError."""
    nothing, white = np.zeros(masks.size, np.uint8), np.full((*masks.size, 3), 255, np.uint8)
    with whole(folder) as temporary:
        homes = places(temporary, masks.subjects)
        for frame, alphas in masks.numbered():
            colours = masks.picture(frame) if masks.picture else white
            for subject, home in homes.items():
                write_picture(home / frame_name(frame), np.dstack([colours, alphas.get(subject, nothing)]))


def read(folder: Path, size: tuple[int, int]) -> Masks:
    """Reads the transparency of pictures; their colours are not looked at.

    Raises:
        MediaError: now or while the frames are gone through: no pictures, another size, damaged, without transparency.
    """
    stills = by_subject(folder, size)
    numbers = tuple(sorted({number for its in stills.values() for number in its}))
    return Masks(size, tuple(stills), numbers, _alphas(stills, numbers))


def _alphas(stills: dict[int, dict[FrameIndex, Path]], numbers: tuple[FrameIndex, ...]) -> Iterator[Alphas]:
    for number in numbers:
        yield present((subject, _alpha(its[number])) for subject, its in stills.items() if number in its)


def _alpha(still: Path) -> np.ndarray:
    """(H, W) uint8."""
    values = values_of(still)
    if values.ndim != 3 or values.shape[2] not in (2, 4):
        raise MediaError(f"“{still.name}” has no transparency to take for a mask; save it as RGBA, or bring grey masks.")
    return eight_bits(values[..., -1])
