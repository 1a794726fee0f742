"""How much the computed files take, and what goes first when it is too much. What the user made is never looked at.

An entry is whatever holds one computed thing: the frame pack of a clip, its motion, a carried mask, a rendered segment,
the sound for the page. The time of the entry's folder says when it was used last (`workspace.touch`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.store.entries import discard
from engine.store.lock import FileLock
from engine.store.workspace import Workspace

DEFAULT_CACHE_GB = 20  # of all projects together (our choice)
RESTED = 600.0  # seconds since its last use before an entry may go


@dataclass(frozen=True, slots=True)
class CacheEntry:
    path: Path
    bytes: int
    used: float
    """Seconds since the epoch."""


def cache_entries(folder: Path) -> list[CacheEntry]:
    """The entries of one project."""
    workspace = Workspace(folder)
    found = []
    for path in [*workspace.entries(), *workspace.cache.glob("sound-*")]:
        try:
            found.append(CacheEntry(path, _bytes_of(path), path.stat().st_mtime))
        except FileNotFoundError:  # gone this moment
            continue
    return found


def cache_bytes(folder: Path) -> int:
    return sum(entry.bytes for entry in cache_entries(folder))


def clean_cache(folder: Path) -> int:
    """Takes away all that was computed in a project; how many bytes that was. 0 while a run works on it."""
    return _remove(folder, cache_entries(folder))


def limit_cache(folders: Iterable[Path], most: int, *, now: float | None = None) -> int:
    """Takes entries away, those that were used longest ago first, until at most `most` bytes are left.

    Entries used in the last ten minutes stay, and all of projects that a run works on. Returns how many bytes went.
    """
    now = time.time() if now is None else now
    entries = [(entry, folder) for folder in folders for entry in cache_entries(folder)]
    over = sum(entry.bytes for entry, _ in entries) - most
    gone = 0
    for entry, folder in sorted(entries, key=lambda pair: pair[0].used):
        if gone >= over:
            break
        if now - entry.used > RESTED:
            gone += _remove(folder, [entry])
    return gone


def _remove(folder: Path, entries: list[CacheEntry]) -> int:
    """Holds the project's work lock, so that nothing is taken from under a run."""
    lock = FileLock(Workspace(folder).cache / "work.lock")
    try:
        if not entries or lock.take() is not None:
            return 0
    except OSError:  # a folder that may not be written keeps what it has
        return 0
    try:
        for entry in entries:
            discard(entry.path)
        return sum(entry.bytes for entry in entries if not entry.path.exists())
    finally:
        lock.free()


def _bytes_of(path: Path) -> int:
    """What the disk holds for a file or a folder; what several projects share counts for each with its part."""
    files = [path] if path.is_file() else [Path(entry.path) for entry in os.scandir(path) if entry.is_file()]
    sizes = [(one.stat().st_size, one.stat().st_nlink) for one in files]
    return sum(size // max(links, 1) for size, links in sizes)
