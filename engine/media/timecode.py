"""The clock of a shoot: the timecode of a clip's first frame, read, moved to a range's first frame, and given to the export."""

from __future__ import annotations

import re
from fractions import Fraction

from av.container import InputContainer

FORM = re.compile(r"^(\d{1,2}):(\d{2}):(\d{2})([:;.])(\d{2,3})$")
DAY_HOURS = 24


def timecode_of(container: InputContainer) -> str | None:
    """The timecode that the file, or one of its tracks, begins with; None where there is none."""
    for metadata in (container.metadata, *(stream.metadata for stream in container.streams)):
        for key, value in metadata.items():
            if key.lower() == "timecode" and FORM.match(value):
                return value
    return None


def frames_of(timecode: str, rate: Fraction) -> int:
    """How many frames after midnight a timecode stands."""
    return _parts(timecode, rate)[0]


def _parts(timecode: str, rate: Fraction) -> tuple[int, int, int, str]:
    """Frames after midnight, frames a second that are counted, numbers that are skipped, the mark before the frame."""
    match = FORM.match(timecode)
    if match is None:
        raise ValueError(f"no timecode: {timecode!r}")
    hours, minutes, seconds, mark, frame = int(match[1]), int(match[2]), int(match[3]), match[4], int(match[5])
    base = max(1, round(rate))
    dropped = base // 15 if mark in ";." and base in (30, 60) else 0
    minute = 60 * hours + minutes
    return (60 * minute + seconds) * base + frame - dropped * (minute - minute // 10), base, dropped, mark


def moved(timecode: str, frames: int, rate: Fraction) -> str:
    """The timecode `frames` frames later. Drop-frame timecode (; or . before the frame) skips the first 2 numbers of every
    minute but each tenth at 30 frames a second, 4 at 60 (SMPTE ST 12-1)."""
    number, base, dropped, mark = _parts(timecode, rate)
    per_ten = 600 * base - 9 * dropped
    number = (number + frames) % (per_ten * 6 * DAY_HOURS)
    tens, rest = divmod(number, per_ten)
    if dropped:
        after_first = max(0, rest - dropped) // (60 * base - dropped)
        number += 9 * dropped * tens + dropped * after_first
    seconds, frame = divmod(number, base)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{frame:02d}"
