"""All formats of masks and of tracks, one row each, and which of them a path means."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from engine.errors import MediaError
from engine.interchange import after_effects, davis, grey, matte, npz, rgba, tapvid, tracks_csv, youtube_vis
from engine.interchange.masks import Masks, by_subject, values_of
from engine.interchange.tracks import TrackSet
from engine.types import Video


@dataclass(frozen=True, slots=True)
class MaskFormat:
    """`suffixes` of its files, "" = a folder. `write(path, masks, video)` replaces what is there; `read(path, size)`.

    `soft`: keeps soft edges. `several`: keeps subjects apart. `overlap`: … also where they lie over each other.
    `numbers`: keeps the frames' numbers; without, the first is 0.
    """

    title: str
    suffixes: tuple[str, ...]
    write: Callable[[Path, Masks, Video], None]
    read: Callable[[Path, tuple[int, int]], Masks]
    soft: bool = False
    several: bool = True
    overlap: bool = False
    numbers: bool = True


@dataclass(frozen=True, slots=True)
class TrackFormat:
    """`write(path, tracks)` replaces what is there; `read(path, size, rate)` of the clip.

    `keeps` names what of a TrackSet comes back to the bit beside the positions of points that are seen.
    """

    title: str
    suffixes: tuple[str, ...]
    write: Callable[[Path, TrackSet], None]
    read: Callable[[Path, tuple[int, int], Fraction], TrackSet]
    keeps: frozenset[str]


MASK_FORMATS = {
    "davis": MaskFormat("DAVIS indexed PNGs (a folder)", ("",), davis.write, davis.read),
    "youtube-vis": MaskFormat("YouTube-VIS JSON, COCO RLE", (".json",), youtube_vis.write, youtube_vis.read, overlap=True),
    "grey": MaskFormat("grey PNGs, 8 bits (a folder)", ("",), grey.write, grey.read, soft=True, overlap=True),
    "grey16": MaskFormat("grey PNGs, 16 bits (a folder)", ("",), grey.write_deep, grey.read, soft=True, overlap=True),
    "rgba": MaskFormat("RGBA cut-outs (a folder)", ("",), rgba.write, rgba.read, soft=True, overlap=True),
    "prores": MaskFormat("matte, ProRes 4444", (".mov",), matte.write, matte.read, soft=True, several=False, numbers=False),
    "ffv1": MaskFormat("matte, FFV1 (lossless)", (".mkv",), matte.write, matte.read, soft=True, several=False, numbers=False),
}

ALL = frozenset({"hidden", "span", "confidence", "queries", "subjects"})
TRACK_FORMATS = {
    "npz": TrackFormat("npz", (".npz",), npz.write, npz.read, ALL),
    "tap-vid": TrackFormat("TAP-Vid pickle", (".pkl", ".pickle"), tapvid.write, tapvid.read, ALL),
    "csv": TrackFormat("CSV", (".csv",), tracks_csv.write, tracks_csv.read, ALL),
    "after-effects": TrackFormat("After Effects keyframe text", (".txt",), after_effects.write, after_effects.read, frozenset()),
}


def mask_format(path: Path, name: str | None = None) -> MaskFormat:
    """The format to write to a path: by its suffix, or the one of that `name`.

    Raises:
        MediaError: no such format, or it does not go into files of that suffix.
    """
    suffix = "" if os.path.isdir(path) else path.suffix.lower()
    if name is not None:
        chosen = MASK_FORMATS.get(name)
        if chosen is None or suffix not in chosen.suffixes:
            fitting = ", ".join(key for key, one in MASK_FORMATS.items() if suffix in one.suffixes) or "none"
            raise MediaError(f"Masks as “{name[:20]}” do not go into “{path.name}”; there go: {fitting}.")
        return chosen
    for one in MASK_FORMATS.values():
        if suffix in one.suffixes:
            return one
    known = "a folder without suffix, .json (YouTube-VIS), .mov (ProRes 4444) or .mkv (FFV1)"
    raise MediaError(f"Masks cannot be in “{path.name}”; give {known}.")


def mask_format_of(path: Path, size: tuple[int, int]) -> MaskFormat:
    """The format of masks that somebody brought: by suffix; of a folder, by its first picture.

    Raises:
        MediaError: not masks that can be read.
    """
    if not os.path.isdir(path):
        if path.suffix.lower() in matte.SUFFIXES:
            return MASK_FORMATS["ffv1"]
        return mask_format(path)
    stills = list(next(iter(by_subject(path, size).values())).values())
    if davis.is_indexed(stills):
        return MASK_FORMATS["davis"]
    return MASK_FORMATS["rgba" if values_of(stills[0]).shape[2:] in ((2,), (4,)) else "grey"]


def track_format(path: Path) -> TrackFormat:
    """The format of tracks, to read or to write, by the suffix of a path. Raises MediaError."""
    for one in TRACK_FORMATS.values():
        if path.suffix.lower() in one.suffixes:
            return one
    known = ", ".join(f"{one.suffixes[0]} ({one.title})" for one in TRACK_FORMATS.values())
    raise MediaError(f"Tracks cannot be in “{path.name}”; end it in one of {known}.")
