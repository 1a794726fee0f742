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

import numpy as np

from engine.errors import MediaError
from engine.interchange.files import whole
from engine.interchange.tracks import MAX_VALUES, TrackSet, check_track_size, checked
from engine.media.probe import check_file
from engine.types import Tracks

KINDS = {
    "tracks": "f", "visibility": "b", "confidence": "f", "queries": "f",
    "subject": "iu", "size": "iu", "fps": "iu", "frame0": "iu",
}  # fmt: skip
BROKEN = (
    OSError, ValueError, EOFError, KeyError, TypeError, MemoryError, OverflowError, NotImplementedError, RuntimeError,
    SyntaxError, tokenize.TokenError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
MAX_BYTES = 16 * MAX_VALUES


def write(path: Path, found: TrackSet) -> None:
    """Writes tracks, visibility, confidence, queries, subject, size, fps (numerator, denominator), frame0. Raises MediaError."""
    tracks, buffer = found.tracks, io.BytesIO()
    np.savez_compressed(
        buffer,
        tracks=tracks.xy.astype(np.float32),
        visibility=tracks.visible.astype(bool),
        confidence=tracks.confidence.astype(np.float32),
        queries=tracks.queries.astype(np.float32),
        subject=found.subjects.astype(np.int32),
        size=np.array(found.size, np.int32),
        fps=np.array([found.rate.numerator, found.rate.denominator], np.int64),
        frame0=np.int64(tracks.frame0),
    )
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
    xy, visible = arrays["tracks"], arrays["visibility"]
    frame0 = int(arrays["frame0"]) if "frame0" in arrays and arrays["frame0"].shape == () else 0
    if xy.ndim != 3 or xy.shape[2] != 2 or visible.shape != xy.shape[:2] or not xy.size:
        raise MediaError(f"{path.name} holds no tracks, or parts of different length; export the tracks again.")
    if "size" in arrays:
        check_track_size(_pair(arrays["size"], path.name), size, path.name)
    if "fps" in arrays:
        rate = Fraction(*_pair(arrays["fps"], path.name))
    first = np.column_stack([np.full(xy.shape[1], frame0), xy[0]]).astype(np.float32)
    confidence, queries = arrays.get("confidence", visible.astype(np.float32)), arrays.get("queries", first)
    subjects = arrays.get("subject", np.zeros(xy.shape[1])).astype(np.int32)
    return checked(TrackSet(Tracks(xy, visible, confidence, queries, frame0), subjects, size, rate), path.name)


def _pair(values: np.ndarray, name: str) -> tuple[int, int]:
    if values.shape != (2,) or (values <= 0).any():
        raise MediaError(f"{name} has a size or rate that cannot be; export the tracks again.")
    return int(values[0]), int(values[1])


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of numbers in an npz; nothing in it is run."""
    file = check_file(path)
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
                raise MediaError(f"{path.name} unpacks to more than {MAX_BYTES // 2**20} MB; leave some points out.")
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files if name in KINDS}
    except BROKEN as error:
        raise MediaError(f"{path.name} is damaged or not an npz of tracks; export the tracks again.") from error
    for name, values in found.items():
        if values.dtype.kind not in KINDS[name]:
            raise MediaError(f"{path.name}: “{name}” is of another kind than tracks have; export the tracks again.")
    return found
