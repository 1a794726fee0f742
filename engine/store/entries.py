"""Entries of the cache, checked when they are read: what the disk has damaged is done again, never shown.

An entry is a record set (engine/media/records.py). Its records carry a checksum over their content and their frame, so
a flipped bit, a torn write or a row that points elsewhere is noticed on reading. The frame pack's records are plain
JPEGs that the page fetches as they are; their checksums lie beside them.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import shutil
import uuid
import zlib
from pathlib import Path

from engine.errors import MediaError
from engine.media.pack import FramePack
from engine.media.records import RecordReader
from engine.types import FrameIndex

SUM_BYTES = 4
SUMS = "sums"


class Damaged(MediaError):
    """Something that was computed is damaged on the disk. It was thrown away: doing the work again makes it anew."""


def seal(frame: FrameIndex, blob: bytes) -> bytes:
    """The record of a frame: a checksum and the blob."""
    return zlib.crc32(blob, frame).to_bytes(SUM_BYTES, "little") + blob


def unseal(frame: FrameIndex, record: bytes) -> bytes | None:
    """The blob; None for a damaged record."""
    blob = record[SUM_BYTES:]
    fine = len(record) >= SUM_BYTES and zlib.crc32(blob, frame) == int.from_bytes(record[:SUM_BYTES], "little")
    return blob if fine else None


class Entry:
    """Reads an entry of sealed records, also while it grows. Raises OSError where there is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records = RecordReader(folder)
        self._sealed = False

    def refresh(self) -> None:
        """Looks for new frames, unless it was complete the last time."""
        if not self._sealed:
            sealed = self._records.complete
            self._records.refresh()
            self._sealed = sealed

    @property
    def frames(self) -> list[FrameIndex]:
        return self._records.frames

    def __contains__(self, frame: FrameIndex) -> bool:
        return frame in self._records

    def get(self, frame: FrameIndex) -> bytes | None:
        """The blob of a frame; None where it is not there (any more). A finished entry with a damaged record is discarded."""
        if frame not in self._records:
            return None
        blob = unseal(frame, self._records.get(frame))
        if blob is not None:
            return blob
        # It may have been begun anew since it was opened; then what is known of it is out of date.
        with contextlib.suppress(OSError, KeyError):
            before, self._records = self._records, RecordReader(self.folder)
            before.close()
            blob = unseal(frame, self._records.get(frame))
        if blob is None and self._records.complete:
            discard(self.folder)
        return blob

    def close(self) -> None:
        self._records.close()


def is_whole(folder: Path) -> bool:
    """Whether a finished entry is as it was written; reads all of it. One that is not is discarded."""
    try:
        count = meta_count(folder)
        entry = Entry(folder)
    except OSError:
        return False
    try:
        whole = count == len(entry.frames) and all(entry.get(frame) is not None for frame in entry.frames)
    finally:
        entry.close()
    if not whole:
        discard(folder)
    return whole


def meta_count(folder: Path) -> int:
    """How many records a finished entry says it has; −1 where it does not say. Raises OSError where it is not finished."""
    try:
        return int(json.loads((folder / "done.json").read_text(encoding="utf-8"))["count"])
    except (ValueError, KeyError, TypeError):
        return -1


def discard(folder: Path) -> None:
    """Takes an entry away: first from sight, then from the disk. Whoever reads it still has what it has opened."""
    gone = folder.with_name(f".gone-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    with contextlib.suppress(OSError):
        (folder / "done.json").unlink()  # unfinished from here on, also where a folder in use cannot be renamed
    with contextlib.suppress(OSError):  # another process may be doing the same
        os.replace(folder, gone)
        if gone.is_file():
            gone.unlink()
    shutil.rmtree(gone, ignore_errors=True)


# --- the frame pack ---------------------------------------------------------------------------------------


class CheckedPack(FramePack):
    """The frame pack with its checksums, where it has them. Raises MediaError when there is no pack."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._sums: array.array[int] | None = None

    def jpeg(self, frame: FrameIndex) -> bytes:
        """The stored JPEG.

        Raises:
            Damaged: it is not what was stored; the whole pack was discarded.
            MediaError: it is not there (yet).
        """
        blob = super().jpeg(frame)
        if self._sums is None and self.complete:
            self._sums = _read_sums(self.folder)
        if self._sums and zlib.crc32(blob, frame) != self._sums[frame]:
            discard(self.folder)
            raise Damaged("The preview pictures of the clip were damaged on the disk; they are made again.")
        return blob


def write_sums(folder: Path) -> None:
    """Notes the checksums of a finished pack. Raises MediaError when the disk is full."""
    pack = FramePack(folder)
    part = folder / f".{SUMS}.{os.getpid()}"
    try:
        sums = array.array("I", (zlib.crc32(pack.jpeg(frame), frame) for frame in range(pack.ready)))
        part.write_bytes(sums.tobytes())
        os.replace(part, folder / SUMS)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MediaError(f"Cannot write to the project's cache: {error.strerror}; free some disk space and run again.") from error
    finally:
        pack.close()


def _read_sums(folder: Path) -> array.array[int]:
    sums: array.array[int] = array.array("I")
    with contextlib.suppress(OSError, ValueError):
        sums.frombytes((folder / SUMS).read_bytes())
    return sums
