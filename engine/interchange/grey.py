"""Soft mattes: grey PNGs of 8 or 16 bits, white inside, one folder for one subject or a folder of each (1/, 2/, …)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

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
from engine.media.convert import widen
from engine.types import FrameIndex, Video


def write(folder: Path, masks: Masks, video: Video) -> None:
    """8 bits: `folder/%05d.png` for subject 1 alone, else `folder/ID/%05d.png`. Raises MediaError."""
    _write(folder, masks, deep=False)


def write_deep(folder: Path, masks: Masks, video: Video) -> None:
    """As `write`, with 16 bits; 65535 = inside."""
    _write(folder, masks, deep=True)


def _write(folder: Path, masks: Masks, deep: bool) -> None:
    nothing = np.zeros(masks.size, np.uint8)
    with whole(folder) as temporary:
        homes = places(temporary, masks.subjects)
        for frame, alphas in masks.numbered():
            for subject, home in homes.items():
                alpha = alphas.get(subject, nothing)
                write_picture(home / frame_name(frame), widen(alpha) if deep else alpha)


def read(folder: Path, size: tuple[int, int]) -> Masks:
    """Reads grey (or coloured, by their brightest channel) pictures of 1, 8 or 16 bits or floats.

    Where all pictures of a sequence hold nothing but 0 and 1, these mean outside and inside. 16 bits are rounded to 8.

    Raises:
        MediaError: now or while the frames are gone through: no pictures, another size, damaged, not numbers.
    """
    stills = by_subject(folder, size)
    ones = {subject: _is_zero_and_one(list(its.values())) for subject, its in stills.items()}
    numbers = tuple(sorted({number for its in stills.values() for number in its}))
    return Masks(size, tuple(stills), numbers, _alphas(stills, ones, numbers))


def _alphas(
    stills: dict[int, dict[FrameIndex, Path]], ones: dict[int, bool], numbers: tuple[FrameIndex, ...]
) -> Iterator[Alphas]:
    for number in numbers:
        here = ((subject, its[number]) for subject, its in stills.items() if number in its)
        yield present((subject, _alpha(still, ones[subject])) for subject, still in here)


def _alpha(still: Path, ones: bool) -> np.ndarray:
    """(H, W) uint8."""
    values = _brightness(still)
    return np.where(values > 0, 255, 0).astype(np.uint8) if ones else eight_bits(values)


def _brightness(still: Path) -> np.ndarray:
    """(H, W) as stored."""
    values = values_of(still)
    if values.ndim == 2:
        return values
    return (values[..., :-1] if values.shape[2] in (2, 4) else values).max(axis=2)


def _is_zero_and_one(stills: list[Path]) -> bool:
    """Whether pictures of whole numbers have none above 1, and one has a 1. Stops at the first that settles it."""
    top = 0
    for still in stills:
        values = _brightness(still)
        top = max(top, int(values.max()))
        if top > 1 or values.dtype.kind != "u":
            return False
    return top == 1
