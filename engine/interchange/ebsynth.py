"""EbSynth's project files (.ebs, version 05): which key frames are carried from where to where, and with what weights.

Layout, little-endian: "EBS05\\0"; strings as int32 length and characters: video, masks, keys (patterns such as
video/[#####].png); masks on; six float32 weights; int32 number of synths; each int32 key, two flags, int32 first and last, output
pattern; "V02\\0", int32 detail, GPU on, float32 frames per second, int32 704.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.errors import MediaError
from engine.interchange.files import read_bytes, whole

HEAD, TAIL = b"EBS05\0", b"V02\0"
LAST_WORD = 704
MAX_BYTES = 4 * 2**20
MAX_TEXT = 4096
MAX_SYNTHS = 10_000
SYNTHS_A_FILE = 15
"""EbSynth's window has room for about twenty; our choice, and that of others who write these files."""
PLACE = re.compile(r"\[(#+)\]")


@dataclass(frozen=True, slots=True)
class Weights:
    """The sliders of EbSynth's window, at its own defaults."""

    keys: float = 1.0
    video: float = 4.0
    masks: float = 1.0
    mapping: float = 10.0
    deflicker: float = 1.0
    diversity: float = 3500.0


@dataclass(frozen=True, slots=True)
class Synth:
    """Key frame `key` is carried back to `first` and on to `last` (numbers of files; None: not in that direction)."""

    key: int
    first: int | None
    last: int | None
    out: str


@dataclass(frozen=True, slots=True)
class EbsProject:
    """One .ebs file. Patterns hold the place of the number as [#####]."""

    video: str
    masks: str
    keys: str
    synths: tuple[Synth, ...]
    masks_on: bool = True
    weights: Weights = Weights()
    detail: int = 2
    """1 high, 2 medium, 3 low, 4 least."""
    gpu: bool = True
    rate: float = 30.0


# --- bytes ------------------------------------------------------------------------------------------------


def write_ebs(path: Path, project: EbsProject) -> None:
    """Raises MediaError when the disk does not take it, or a name is not ASCII, which EbSynth cannot read."""
    with whole(path) as temporary:
        temporary.write_bytes(packed(project))


def packed(project: EbsProject) -> bytes:
    """The file's bytes. Raises MediaError for names that are not ASCII."""
    w = project.weights
    parts = [HEAD, *map(_text, (project.video, project.masks, project.keys))]
    parts.append(struct.pack("<?6f", project.masks_on, w.keys, w.video, w.masks, w.mapping, w.deflicker, w.diversity))
    parts.append(struct.pack("<i", len(project.synths)))
    for one in project.synths:
        first, last = one.key if one.first is None else one.first, one.key if one.last is None else one.last
        parts.append(struct.pack("<i??ii", one.key, one.first is not None, one.last is not None, first, last) + _text(one.out))
    return b"".join(parts) + TAIL + struct.pack("<i?fi", project.detail, project.gpu, project.rate, LAST_WORD)


def _text(value: str) -> bytes:
    if not value.isascii():
        raise MediaError(f"EbSynth reads plain names only, and “{value[:60]}” has other letters; choose another name.")
    return struct.pack("<i", len(value)) + value.encode("ascii")


class _Bytes:
    """What is left of a file to read."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, count: int) -> bytes:
        piece = self._content[self._at : self._at + count]
        if len(piece) < count:
            raise struct.error("cut off")
        self._at += count
        return piece

    def numbers(self, form: str) -> tuple[int | float | bool, ...]:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def integer(self, least: int, most: int) -> int:
        value = int(self.numbers("i")[0])
        if not least <= value <= most:
            raise ValueError(f"{value} where {least} to {most} is wanted")
        return value

    def flag(self) -> bool:
        return bool(self.numbers("B")[0])

    def text(self) -> str:
        return self.take(self.integer(0, MAX_TEXT)).decode("utf-8")

    def word(self, wanted: bytes) -> None:
        if self.take(len(wanted)) != wanted:
            raise ValueError(f"{wanted!r} is missing")

    def check_end(self) -> None:
        if self._at != len(self._content):
            raise ValueError("more after the end")


def read_ebs(path: Path) -> EbsProject:
    """Raises MediaError: not a project of EbSynth 05, cut off, or with numbers that mean nothing."""
    try:
        return unpacked(read_bytes(path, MAX_BYTES))
    except (struct.error, ValueError, OverflowError) as error:
        raise MediaError(f"“{path.name}” is damaged or not a project of EbSynth (version 05); save it again there.") from error


def unpacked(content: bytes) -> EbsProject:
    """Raises ValueError or struct.error for what is no such file."""
    left = _Bytes(content)
    left.word(HEAD)
    video, masks, keys = left.text(), left.text(), left.text()
    masks_on, weights = left.flag(), Weights(*map(float, left.numbers("6f")))
    synths = tuple(_synth(left) for _ in range(left.integer(0, MAX_SYNTHS)))
    left.word(TAIL)
    detail, gpu, rate = left.integer(0, 100), left.flag(), float(left.numbers("f")[0])
    left.integer(-(2**31), 2**31 - 1)
    left.check_end()
    return EbsProject(video, masks, keys, synths, masks_on, weights, detail, gpu, rate)


def _synth(left: _Bytes) -> Synth:
    key, backward, forward = left.integer(0, 10_000_000), left.flag(), left.flag()
    first, last = left.integer(0, 10_000_000), left.integer(0, 10_000_000)
    return Synth(key, first if backward else None, last if forward else None, left.text())


# --- places -----------------------------------------------------------------------------------------------


def stills_of(pattern: str, beside: Path) -> dict[int, Path]:
    """The files of a pattern by number, looked for near the .ebs file in the folder `beside` and nowhere else.

    Projects name folders of the machine that they were made on: what counts are the last two names.
    """
    names = PurePosixPath(pattern.replace("\\", "/")).parts
    hole = PLACE.search(names[-1]) if names else None
    if hole is None:
        return {}
    place = re.compile(re.escape(names[-1][: hole.start()]) + r"(\d+)" + re.escape(names[-1][hole.end() :]), re.IGNORECASE)
    folder = next((one for one in _folders(names[:-1], beside) if one.is_dir()), None)
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()) if folder else []:
        match = place.fullmatch(path.name)
        if match and len(match[1]) <= 8 and path.is_file():
            found.setdefault(int(match[1]), path)
    return found


def _folders(names: tuple[str, ...], beside: Path) -> list[Path]:
    """Where the folder may be: as it is said from the file, or by its last name beside the file or one level up."""
    kept = [name for name in names if name not in ("", ".", "..", "/") and ":" not in name]
    if not kept:
        return [beside]
    return [beside / kept[-1], beside.joinpath(*kept[-2:]), beside.parent / kept[-1]]
