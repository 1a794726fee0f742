"""Records: one small picture (or other blob) per frame, appended as work goes on, readable while it grows.

One mechanism serves the frame pack of the page, carried masks and rendered segments. A record set is a folder:

    data       the blobs, one after the other
    index      24 bytes a record: frame, offset, length (little-endian uint64)
    done.json  written last, by rename: the set is complete; holds the caller's `meta`

A blob is in `data` before its row is in `index`, so a reader never sees half of one; after a crash `RecordWriter`
drops a torn tail and goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from engine.errors import MediaError
from engine.types import FrameRange

ROW = struct.Struct("<QQQ")


class RecordWriter:
    """Appends records. `frames` holds what is there already (not empty after a crash and `resume`).

    Use as a context manager; call `finish(meta)` when everything is written. Left without `finish`, the folder
    stays as it is, to be resumed.

    Raises:
        MediaError: the disk is full or the folder cannot be written.
    """

    def __init__(self, folder: Path, resume: bool = True) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "done.json").unlink(missing_ok=True)
            mode = "r+b" if resume and (folder / "index").exists() else "w+b"
            self._data = open(folder / "data", mode if (folder / "data").exists() else "w+b", buffering=0)
            self._index = open(folder / "index", mode, buffering=0)
        except OSError as error:
            raise _cannot_write(error) from error
        rows = _read_rows(self._index.read()) if resume else []
        size = os.fstat(self._data.fileno()).st_size
        while rows and rows[-1][1] + rows[-1][2] > size:
            rows.pop()
        self.frames = [frame for frame, _, _ in rows]
        self._end = rows[-1][1] + rows[-1][2] if rows else 0
        self._data.truncate(self._end)
        self._index.truncate(len(rows) * ROW.size)
        self._data.seek(self._end)
        self._index.seek(len(rows) * ROW.size)

    def append(self, frame: int, blob: bytes) -> None:
        try:
            _write_all(self._data, blob)
            _write_all(self._index, ROW.pack(frame, self._end, len(blob)))
        except OSError as error:
            raise _cannot_write(error) from error
        self._end += len(blob)
        self.frames.append(frame)

    def finish(self, meta: dict[str, Any] | None = None) -> None:
        temporary = self.folder / "done.json.tmp"
        try:
            for file in (self._data, self._index):
                os.fsync(file.fileno())
            with open(temporary, "w", encoding="utf-8") as done:
                json.dump({"count": len(self.frames), "meta": meta or {}}, done)
                done.flush()
                os.fsync(done.fileno())
            os.replace(temporary, self.folder / "done.json")
        except OSError as error:
            raise _cannot_write(error) from error
        self.close()

    def close(self) -> None:
        self._data.close()
        self._index.close()

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class RecordReader:
    """Reads records by frame, also while a writer is still appending (call `refresh` to see more)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: dict[int, tuple[int, int]] = {}
        self._seen = 0
        self._file = open(folder / "data", "rb")
        self.refresh()

    def refresh(self) -> None:
        with open(self.folder / "index", "rb") as file:
            file.seek(self._seen)
            fresh = file.read()
        rows = _read_rows(fresh)
        self._seen += len(rows) * ROW.size
        for frame, offset, length in rows:
            self._rows[frame] = (offset, length)

    @property
    def complete(self) -> bool:
        return (self.folder / "done.json").exists()

    @property
    def meta(self) -> dict[str, Any]:
        """What the writer left with `finish`; empty until then."""
        path = self.folder / "done.json"
        return json.loads(path.read_text(encoding="utf-8"))["meta"] if path.exists() else {}

    @property
    def frames(self) -> list[int]:
        return sorted(self._rows)

    def __contains__(self, frame: int) -> bool:
        return frame in self._rows

    def get(self, frame: int) -> bytes:
        """The blob of a frame. Raises KeyError when it is not there (yet)."""
        offset, length = self._rows[frame]
        return os.pread(self._file.fileno(), length, offset) if hasattr(os, "pread") else self._seek_read(offset, length)

    def _seek_read(self, offset: int, length: int) -> bytes:
        with open(self.folder / "data", "rb") as file:
            file.seek(offset)
            return file.read(length)

    def close(self) -> None:
        self._file.close()


def covered(folder: Path) -> FrameRange:
    """The frames from the first to the last record of a set that is in order; empty where there is none."""
    try:
        with open(folder / "index", "rb") as file:
            first = file.read(ROW.size)
            if len(first) < ROW.size:
                return FrameRange(0, 0)
            file.seek(-ROW.size, os.SEEK_END)
            last = file.read(ROW.size)
    except FileNotFoundError:
        return FrameRange(0, 0)
    return FrameRange(ROW.unpack(first)[0], ROW.unpack(last)[0] + 1)


def _read_rows(raw: bytes) -> list[tuple[int, int, int]]:
    return list(ROW.iter_unpack(raw[: len(raw) // ROW.size * ROW.size]))


def _write_all(file: IO[Any], blob: bytes) -> None:
    """An unbuffered file may take a part; what does not fit must be an error here, not when the file is closed."""
    rest = memoryview(blob)
    while rest:
        rest = rest[file.write(rest) :]


def _cannot_write(error: OSError) -> MediaError:
    return MediaError(f"Cannot write to the project's cache: {error.strerror}; free some disk space and run again.")
