"""After Effects keyframe text: what After Effects puts on the clipboard when position keyframes are copied.

One document for each point, to be pasted onto a layer of its own; a key on every frame on which the point is seen. In After
Effects the corner of the picture is (0, 0), so pixel centres lie at 0.5. Which subject a point belongs to, its confidence
and where it is while not seen are not kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine.errors import MediaError
from engine.interchange.files import read_text, whole
from engine.interchange.tracks import MAX_FRAME, TrackSet, check_count, check_track_size, checked, from_positions

HEAD = "Adobe After Effects 8.0 Keyframe Data"
FOOT = "End of Keyframe Data"
HEADS = re.compile(r"Adobe After Effects [0-9.]{1,8} Keyframe Data")
CENTRE = 0.5
SAID = {"units per second", "source width", "source height", "source pixel aspect ratio", "comp pixel aspect ratio"}
NUMBER = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,2})?")
LARGEST = 1e9
MAX_BYTES = 64 * 2**20
BROADCAST = 0.005  # frames per second


def write(path: Path, found: TrackSet) -> None:
    """Writes the points one after the other. Raises MediaError when the disk does not take it."""
    xy = found.tracks.xy.astype(np.float64) + CENTRE
    with whole(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for point in range(xy.shape[1]):
            frames = np.flatnonzero(found.tracks.visible[:, point])
            rows = [f"\t{at + found.tracks.frame0}\t{xy[at, point, 0]!s}\t{xy[at, point, 1]!s}\t0\t" for at in frames]
            file.write("\n".join([*_head(found), *rows, "", "", FOOT, ""]))


def _head(found: TrackSet) -> list[str]:
    height, width = found.size
    return [
        HEAD,
        "",
        f"\tUnits Per Second\t{float(found.rate)!s}",
        f"\tSource Width\t{width}",
        f"\tSource Height\t{height}",
        "\tSource Pixel Aspect Ratio\t1",
        "\tComp Pixel Aspect Ratio\t1",
        "",
        "Transform\tPosition",
        "\tFrame\tX pixels\tY pixels\tZ pixels\t",
    ]


# --- reading ----------------------------------------------------------------------------------------------


_Block = dict[int, tuple[float, float]]


@dataclass
class _Found:
    """Positions, one (frame → x, y) for each block, and what the documents say of the clip."""

    said: dict[str, float] = field(default_factory=dict)
    blocks: list[_Block] = field(default_factory=list)


def read(path: Path, size: tuple[int, int], rate: Fraction) -> TrackSet:
    """Reads the positions of points and layers (also the corners of a corner pin); other properties are passed over.

    Raises:
        MediaError: no such text, cut off, of another size, no keyframes of a position; names the line.
    """
    name = path.name
    found = _parsed(read_text(path, MAX_BYTES), name)
    height, width = found.said.get("source height", 0.0), found.said.get("source width", 0.0)
    if not (width and height) or width != int(width) or height != int(height):
        raise MediaError(f"{name} does not say Source Width and Source Height; copy the keyframes again.")
    check_track_size((int(height), int(width)), size, name)
    if any(found.said.get(f"{one} pixel aspect ratio", 1.0) != 1.0 for one in ("source", "comp")):
        raise MediaError(f"{name} is of pixels that are not square; set the aspect ratio to 1 and copy them again.")
    frames = [frame for block in found.blocks for frame in block]
    if not frames:
        raise MediaError(f"{name} holds no keyframes of a position; copy the Position keyframes of a layer.")
    frame0, length = min(frames), max(frames) - min(frames) + 1
    check_count(len(found.blocks), length, name)
    known = np.zeros((length, len(found.blocks)), bool)
    xy = np.zeros((*known.shape, 2), np.float64)
    for point, block in enumerate(found.blocks):
        for frame, position in block.items():
            known[frame - frame0, point], xy[frame - frame0, point] = True, position
    units = found.said.get("units per second", 0.0)
    placed = from_positions((xy - CENTRE).astype(np.float32), known, frame0, size, _rate(units) if units else rate)
    return checked(placed, name)


def _parsed(text: str, name: str) -> _Found:
    found, inside, title = _Found(), False, ""
    block: _Block | None = None
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        where = f"{name}, line {number}"
        cells = [cell.strip() for cell in line.split("\t")]
        if HEADS.fullmatch(line.strip()):
            inside, block = True, None
        elif not line.strip() or (not inside and found.blocks):
            continue
        elif not inside:
            raise MediaError(f"{name} does not begin with “{HEAD}”; copy keyframes in After Effects and paste them there.")
        elif line.strip() == FOOT:
            inside = False
        elif cells[0]:
            title, block = line, None
        elif cells[1:4] == ["Frame", "X pixels", "Y pixels"] and "Anchor Point" not in title:
            block = {}
            found.blocks.append(block)
        elif cells[1] == "Frame":
            block = None
        elif block is not None:
            _take(cells, block, where)
            check_count(len(found.blocks), 1, name)
        elif len(cells) >= 3 and cells[1].lower() in SAID:
            value = _number(cells[2], where)
            if found.said.setdefault(cells[1].lower(), value) != value:
                raise MediaError(f"{where}: keyframes of clips of different size or rate; keep those of one clip.")
    if inside or not found.said:
        raise MediaError(f"{name} is cut off: “{FOOT}” is missing; copy the keyframes again.")
    return found


def _take(cells: list[str], block: _Block, where: str) -> None:
    if len(cells) < 4 or not cells[1]:
        raise MediaError(f"{where}: a position without a frame; set keyframes on the layer's position and copy them.")
    frame = _number(cells[1], where)
    if frame != int(frame) or not 0 <= frame <= MAX_FRAME or int(frame) in block:
        raise MediaError(f"{where}: {cells[1][:20]!a} is no frame, or there twice; put keyframes on whole frames from 0 on.")
    block[int(frame)] = _number(cells[2], where), _number(cells[3], where)


def _number(text: str, where: str) -> float:
    if not NUMBER.fullmatch(text) or abs(float(text)) > LARGEST:
        raise MediaError(f"{where}: {text[:20]!a} is not a number that can be used; copy the keyframes again.")
    return float(text)


def _rate(units: float) -> Fraction:
    """Frames per second as a ratio; near a broadcast rate, that one."""
    broadcast = Fraction(round(units) * 1000, 1001)
    return broadcast if abs(units - float(broadcast)) < BROADCAST else Fraction(units).limit_denominator(1001)
