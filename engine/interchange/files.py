"""Files of other programs, in and out: read with a limit, written beside and renamed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import MediaError
from engine.media import target
from engine.media.probe import check_file

MAX_TEXT = 256 * 2**20


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A hidden name beside `out` that becomes `out` when the block ends well and is gone otherwise.

    Raises:
        MediaError: the disk does not take it.
    """
    try:
        with target.beside(out) as temporary:
            yield temporary
    except OSError as error:
        raise MediaError(f"Cannot write {out.name}: {error.strerror}; check free space and permissions.") from error


def read_text(path: Path, limit: int = MAX_TEXT) -> str:
    """The text of a file, UTF-8 with or without a mark.

    Raises:
        MediaError: not a regular file, larger than `limit` bytes, or not UTF-8.
    """
    return _text(read_bytes(path, limit), path.name)


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file. Raises MediaError: not a regular file, or larger than `limit` bytes."""
    file = check_file(path)
    try:
        with open(file, "rb") as opened:
            content = opened.read(limit + 1)
    except OSError as error:
        raise MediaError(f"Cannot read {path.name}: {error.strerror}; check the file.") from error
    if len(content) > limit:
        raise MediaError(f"{path.name} is larger than {limit // 2**20} MB; cut it into shorter clips.")
    return content


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError(f"{name} is not UTF-8 text; save it as UTF-8.") from error
