"""What mask formats have in common: masks of several subjects over the frames of a clip, streamed; folders of pictures."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from engine.errors import MediaError
from engine.media.images import load_pixels, still_size
from engine.media.sequence import NUMBERED, find_stills
from engine.types import FrameIndex

Alphas = dict[int, np.ndarray]
"""Subject → (H, W) uint8 alpha on one frame. A subject that is not on the frame is left out."""

INSIDE = 128  # alpha from which a pixel counts as inside
MAX_FRAME = 10_000_000
MAX_SUBJECT = 255
PNG_LEVEL = 1


@dataclass(frozen=True, eq=False, slots=True)
class Masks:
    """Masks over a clip. `frames` can be gone through once and gives the alphas of each of `numbers`, in order.

    `size` (H, W); `subjects` numbers 1–255, ascending; `numbers` of frames, ascending, absolute in the clip where the format
    says so. `picture`, for formats with colours: frame → (H, W, 3) uint8 RGB; None = white.
    """

    size: tuple[int, int]
    subjects: tuple[int, ...]
    numbers: tuple[FrameIndex, ...]
    frames: Iterable[Alphas]
    picture: Callable[[FrameIndex], np.ndarray] | None = None

    def numbered(self) -> Iterator[tuple[FrameIndex, Alphas]]:
        return zip(self.numbers, self.frames, strict=True)


def present(alphas: Iterable[tuple[int, np.ndarray | None]]) -> Alphas:
    """The subjects that have a pixel on the frame."""
    return {subject: alpha for subject, alpha in alphas if alpha is not None and alpha.any()}


def union(alphas: Alphas, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8: all subjects in one."""
    merged = np.zeros(size, np.uint8)
    for alpha in alphas.values():
        np.maximum(merged, alpha, out=merged)
    return merged


def check_mask_size(found: tuple[int, int], wanted: tuple[int, int], name: str) -> None:
    """Raises MediaError when masks are of another (H, W) than the clip."""
    if tuple(found) != tuple(wanted):
        was, clip = f"{found[1]}×{found[0]}", f"{wanted[1]}×{wanted[0]}"
        raise MediaError(f"The masks in “{name}” are {was} px and the clip is {clip} px; scale the masks to {clip}.")


# --- folders of numbered pictures -------------------------------------------------------------------------


def frame_name(frame: FrameIndex) -> str:
    return f"{frame:05d}.png"


def stills_by_number(folder: Path, size: tuple[int, int]) -> dict[FrameIndex, Path]:
    """The numbered pictures of a folder, all of `size`.

    Raises:
        MediaError: none, several sequences in one folder, a number twice or too large, another size.
    """
    if not os.path.isdir(folder):
        raise MediaError(f"“{folder.name}” is not a folder; give the folder that holds the masks.")
    stills = {}
    for still in find_stills(folder)[0]:
        match = NUMBERED.match(still.name)
        number = int(match[2]) if match else -1
        if not 0 <= number <= MAX_FRAME:
            raise MediaError(f"“{still.name}” is no frame of a clip; number the masks from 00000 on.")
        with explained(still):
            check_mask_size(still_size(still), size, still.name)
        stills[number] = still
    return stills


def by_subject(folder: Path, size: tuple[int, int]) -> dict[int, dict[FrameIndex, Path]]:
    """The pictures of each subject: those of folders named 1 to 255, or else the folder's own, which are subject 1's."""
    if os.path.isdir(folder):
        inside = {int(one.name): one for one in sorted(folder.iterdir()) if _is_subject(one)}
        if inside:
            return {subject: stills_by_number(inside[subject], size) for subject in sorted(inside)}
    return {1: stills_by_number(folder, size)}


def places(folder: Path, subjects: tuple[int, ...]) -> dict[int, Path]:
    """Where the pictures of each subject go: the counterpart of `by_subject`. Makes the folders."""
    folder.mkdir()
    if subjects in ((), (1,)):
        return {1: folder}
    made = {subject: folder / str(subject) for subject in subjects}
    for place in made.values():
        place.mkdir()
    return made


def is_sequence(folder: Path) -> bool:
    """Whether a folder holds numbered pictures, or such folders of subjects, and nothing else: what may be replaced."""
    return all(_is_frame(one) or (_is_subject(one) and all(map(_is_frame, one.iterdir()))) for one in folder.iterdir())


def write_picture(path: Path, picture: np.ndarray) -> None:
    """(H, W) or (H, W, 4) RGBA of uint8 or uint16 as PNG. Raises OSError, MediaError."""
    stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA)
    done, blob = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    if not done:
        raise MediaError(f"A mask of shape {picture.shape} could not be stored as PNG; report this clip.")
    path.write_bytes(blob.tobytes())


@contextmanager
def explained(still: Path) -> Iterator[None]:
    """What Pillow raises for a picture that is cut off or damaged, as a sentence. Raises MediaError."""
    try:
        yield
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise MediaError(f"“{still.name}” is damaged, cut off or no picture; write the masks again.") from error


def values_of(still: Path) -> np.ndarray:
    """The numbers of a still, (H, W) or (H, W, C) of bool, uint8, uint16 or float32; all finite. Raises MediaError."""
    with explained(still):
        pixels = load_pixels(still)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise MediaError(f"The mask “{still.name}” has values that are not numbers; save it with 0 outside and 1 inside.")
    return pixels


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Numbers of a still as uint8 that use the range of their kind: floats and bool 0–1, integers all their bits."""
    if values.dtype == np.uint8:
        return values
    top = 1.0 if values.dtype.kind in "bf" else float(np.iinfo(values.dtype).max)
    return np.rint(np.clip(values.astype(np.float64) / top, 0, 1) * 255).astype(np.uint8)


def _is_subject(path: Path) -> bool:
    name = path.name
    return name.isascii() and name.isdecimal() and str(int(name[:9])) == name and 1 <= int(name) <= MAX_SUBJECT and path.is_dir()


def _is_frame(path: Path) -> bool:
    return path.suffix == ".png" and len(path.stem) >= 5 and path.stem.isascii() and path.stem.isdecimal() and path.is_file()
