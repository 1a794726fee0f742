"""Sequences of stills: a folder of numbered pictures, read like a clip."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from engine.errors import MediaError
from engine.media.convert import narrow, widen
from engine.media.frames import FrameCache, check_frame, check_span
from engine.media.images import load_deep, load_pixels, read_image, still_size
from engine.media.probe import STILL_SUFFIXES, check_file, check_size
from engine.types import ColourTags, FrameIndex, FrameRange, Video

STILL_RATE = Fraction(24)
"""Frames per second of stills unless told otherwise (our choice)."""
NUMBERED = re.compile(r"^(.*?)(\d+)(\.[^.]+)$")


class ImageSequenceReader:
    """A clip made of stills. See `frames.FrameReader`. Frame 0 is the still with the lowest number.

    Raises:
        MediaError: no pictures, a single picture, a picture that cannot be read, or content that is not that of `known`.
    """

    def __init__(self, path: Path, known: Video | None = None, *, rate: Fraction | None = None, unchanged: bool = False) -> None:
        self._stills, remarks = find_stills(path)
        self.damaged: set[FrameIndex] = set()
        self._cache = FrameCache()
        folder = self._stills[0].parent
        digest = known.digest if known is not None and unchanged else _digest(self._stills)
        if known is not None and known.digest != digest:
            raise MediaError(f"The pictures in “{folder.name}” have changed; put the earlier ones back or open the folder anew.")
        self._alpha = _is_transparent(self._stills[0])
        if self._alpha:
            remarks.append("The pictures have transparency; it is shown opaque and kept in exports other than H.264.")
        size = still_size(self._stills[0])
        check_size(*size, self._stills[0].name)
        if any(still_size(still) != size for still in self._stills):
            remarks.append("The pictures differ in size; all are scaled to the size of the first.")
        frames_per_second = rate or (known.rate if known is not None else STILL_RATE)
        self.video = Video(
            path=str(folder),
            digest=digest,
            kind="sequence",
            size=size,
            rate=frames_per_second,
            time_base=1 / frames_per_second,
            pts=np.arange(len(self._stills), dtype=np.int64),
            codec=self._stills[0].suffix.lower().lstrip("."),
            bits=8 if load_deep(self._stills[0]) is None else 16,
            colour=ColourTags(),
            warnings=tuple(remarks),
        )
        if known is not None:
            self.video = replace(self.video, time_base=known.time_base, pts=known.pts)

    def get(self, frame: FrameIndex) -> np.ndarray:
        """Frame `frame`, (H, W, 3) uint8 RGB, read-only. Raises MediaError outside the sequence."""
        check_frame(frame, self.video)
        picture = self._cache.get(frame)
        return picture if picture is not None else self._cache.put(frame, self._read(frame))

    def frames(self, span: FrameRange, *, deep: bool = False) -> Iterator[np.ndarray]:
        """The frames of `span` in order."""
        check_span(span, self.video)
        for frame in span:
            picture = self._deep(frame) if deep else self._read(frame)
            picture.flags.writeable = False
            yield picture

    @property
    def has_alpha(self) -> bool:
        return self._alpha

    def alphas(self, span: FrameRange) -> Iterator[np.ndarray]:
        """The opacity of the stills, (H, W) uint16; those without any are opaque."""
        check_span(span, self.video)
        for frame in span:
            deep = load_deep(self._stills[frame])
            pixels = load_pixels(self._stills[frame]) if deep is None else deep
            if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
                alpha = pixels[..., -1]
                yield self._fitted(alpha if alpha.dtype == np.uint16 else widen(alpha))
            else:
                yield np.full(self.video.size, 65535, np.uint16)

    def close(self) -> None:
        self._cache.clear()

    def __enter__(self) -> ImageSequenceReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _read(self, frame: FrameIndex) -> np.ndarray:
        if self.video.bits > 8:
            return narrow(self._deep(frame))
        return self._fitted(read_image(self._stills[frame]))

    def _deep(self, frame: FrameIndex) -> np.ndarray:
        """(H, W, 3) uint16 RGB."""
        pixels = load_deep(self._stills[frame])
        if pixels is None:
            return widen(self._fitted(read_image(self._stills[frame])))
        colours = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
        return self._fitted(np.ascontiguousarray(colours))

    def _fitted(self, picture: np.ndarray) -> np.ndarray:
        height, width = self.video.size
        if picture.shape[:2] != (height, width):
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        return picture


def _is_transparent(still: Path) -> bool:
    """Whether a picture has an alpha channel that says something."""
    pixels = load_pixels(still)
    return pixels.ndim == 3 and pixels.shape[2] in (2, 4) and bool((pixels[..., -1] != np.iinfo(pixels.dtype).max).any())


def find_stills(path: Path) -> tuple[list[Path], list[str]]:
    """The numbered pictures of a folder, or of the sequence that one picture belongs to, by number; and remarks.

    Raises:
        MediaError: a folder without pictures or with several sequences, or a picture that stands alone.
    """
    folder = path if path.is_dir() else path.parent
    groups: dict[tuple[str, str], list[tuple[int, Path]]] = {}
    for name in sorted(os.listdir(folder)):
        match = NUMBERED.match(name)
        if match and Path(name).suffix.lower() in STILL_SUFFIXES and not name.startswith("."):
            prefix, number, suffix = match.groups()
            groups.setdefault((prefix, suffix.lower()), []).append((int(number), folder / name))
    if path.is_dir():
        chosen = _only_group(groups, path)
    else:
        match = NUMBERED.match(path.name)
        chosen = groups.get((match[1], match[3].lower()), []) if match else []
        if len(chosen) < 2:
            raise MediaError(f"“{path.name}” is a picture, not a clip; open a folder of frames, or use it as an anchor.")
    chosen = sorted(chosen)
    numbers = [number for number, _ in chosen]
    remarks = []
    if len(set(numbers)) < len(numbers):
        raise MediaError(f"Two pictures in “{folder.name}” have the same number; keep one of each.")
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    if missing:
        remarks.append(f"{missing} numbers are missing in the sequence; the pictures after a gap close up.")
    return [check_file(still) for _, still in chosen], remarks


def _only_group(groups: dict[tuple[str, str], list[tuple[int, Path]]], folder: Path) -> list[tuple[int, Path]]:
    if not groups:
        raise MediaError(
            f"“{folder.name}” has no numbered pictures (such as 00000.png); choose the folder that holds the frames."
        )
    if len(groups) > 1:
        names = ", ".join(f"{stills[0][1].name}" for stills in list(groups.values())[:3])
        raise MediaError(f"“{folder.name}” holds several sequences ({names}); open the first picture of the one you mean.")
    return next(iter(groups.values()))


def _digest(stills: list[Path]) -> str:
    """sha256 of names and contents, in order."""
    total = hashlib.sha256()
    for still in stills:
        with open(still, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{still.name}\0{content}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()
