"""Point tracks as npz: the format of the house. Pixels with centres at integers; keeps everything."""

from __future__ import annotations

import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import MediaError
from engine.interchange.files import whole
from engine.interchange.tracks import FIELDS, MAX_VALUES, TrackSet, fields_of, from_arrays
from engine.media.probe import check_file

BROKEN = (
    OSError, ValueError, EOFError, KeyError, TypeError, MemoryError, OverflowError, NotImplementedError, RuntimeError,
    SyntaxError, tokenize.TokenError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
MAX_BYTES = 16 * MAX_VALUES


def write(path: Path, found: TrackSet) -> None:
    """Writes tracks, visibility, confidence, queries, subject, size, fps (numerator, denominator), frame0. Raises MediaError."""
    fields: dict[str, Any] = fields_of(found)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **fields)
    with whole(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def read(path: Path, size: tuple[int, int], rate: Fraction) -> TrackSet:
    """Reads what `write` wrote; `tracks` and `visibility` are enough.

    Raises:
        MediaError: not such a file, damaged, of another size, or with values that cannot be.
    """
    arrays = _arrays(path)
    if not {"tracks", "visibility"} <= set(arrays):
        raise MediaError(f"{path.name} needs the arrays “tracks” and “visibility”; export the tracks again.")
    return from_arrays(arrays, arrays["tracks"], arrays["visibility"], (size, rate), path.name)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of numbers in an npz; nothing in it is run."""
    file = check_file(path)
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
                raise MediaError(f"{path.name} unpacks to more than {MAX_BYTES // 2**20} MB; leave some points out.")
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files if name in FIELDS}
    except BROKEN as error:
        raise MediaError(f"{path.name} is damaged or not an npz of tracks; export the tracks again.") from error
    return found
