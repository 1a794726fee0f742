"""A project's folder: where everything that belongs to it lies.

project.db  objects/     the journal (engine/store/journal.py): what the user made
backups/                 earlier states of project.db (engine/store/backups.py)
clips.json               where the clip lies on this machine (engine/store/clips.py)
media/                   an uploaded clip (a clip opened by path stays where it is)
exports/                 finished clips
painting/                anchors that are painted in another program (engine/handover)
cache/pack-…  masks/KEY  points/KEY  segments/KEY  audio.*   can be computed again from the above
cache/scratch/           working files of running jobs
cache/work.lock          held by the one process that computes; others wait
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from engine.errors import MediaError
from engine.store.lock import FileLock
from engine.store.processes import alive

ENGINE_VERSION = 6
"""Counts up when the same inputs would give other pixels; part of every content key."""

SCRATCH = re.compile(r"(\d+)-")
GONE = re.compile(r"\.gone-(\d+)-")
PART = re.compile(r"\..*\.part-(\d+)(\.|-|$)")


class Workspace:
    """Paths of one project. Makes folders when they are first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.media = folder / "media"
        self.exports = folder / "exports"

    def pack(self, digest: str) -> Path:
        """The frame pack of the clip with this digest."""
        return self.cache / f"pack-{digest[:16]}"

    def motion(self, digest: str) -> Path:
        """The record set of motion between neighbouring frames of the clip with this digest."""
        return self.cache / f"motion-{digest[:16]}"

    def masks(self, key: str) -> Path:
        """The record set of carried masks with this key."""
        return self.cache / "masks" / key

    def points(self, key: str) -> Path:
        """The record set of solved stretches of tracked points with this key."""
        return self.cache / "points" / key

    def segment(self, key: str) -> Path:
        """The record set of a rendered segment with this key."""
        return self.cache / "segments" / key

    def agreement(self, key: str) -> Path:
        """How far two neighbouring anchors agree, under this key; its done.json says it."""
        return self.cache / "agreement" / key

    def prepared(self, key: str) -> Path:
        """What a method prepared for a shot under this key; its done.json says what it is."""
        return self.cache / "prepared" / key

    def proxies(self, key: str) -> Path:
        """The record set of preview pictures of a segment, under this key."""
        return self.cache / "proxies" / key

    def audition(self, key: str) -> Path:
        """What a method made of a second of the clip to be looked at, under this key: never part of the project's result."""
        return self.cache / "audition" / key

    def entries(self) -> list[Path]:
        """The folders of the cache that hold one computed thing each; finished ones have a done.json."""
        places = (
            self.cache.glob("pack-*"),
            self.cache.glob("motion-*"),
            self.cache.glob("masks/*"),
            self.cache.glob("points/*"),
            self.cache.glob("segments/*"),
            self.cache.glob("prepared/*"),
            self.cache.glob("proxies/*"),
            self.cache.glob("agreement/*"),
            self.cache.glob("audition/*"),
        )
        return sorted(path for place in places for path in place if path.is_dir() and not path.name.startswith("."))

    @contextmanager
    def working(self, check: Callable[[], None]) -> Iterator[None]:
        """Holds the right to compute in this project for the block: two runs must not write one entry of the cache.

        Waits while another process has it, calling `check`, which may raise Cancelled.
        """
        lock = FileLock(self.cache / "work.lock")
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            lock.wait(check)
        except OSError as error:
            raise MediaError(f"Cannot work in the project's cache: {error.strerror}; check free disk space.") from error
        try:
            yield
        finally:
            lock.free()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for working files, gone when the block ends, however it ends."""
        place = self.cache / "scratch"
        try:
            place.mkdir(parents=True, exist_ok=True)
            folder = Path(mkdtemp(prefix=f"{os.getpid()}-", dir=place))
        except OSError as error:
            raise MediaError(
                f"Cannot write working files in the project: {error.strerror}; free some disk space and try again."
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Removes what killed processes left: scratch folders, exports and databases that were being written."""
        sweep_parts(self.cache / "scratch", SCRATCH)
        sweep_parts(self.exports)
        sweep_parts(self.folder)
        sweep_parts(self.folder / "backups")
        for place in (self.cache, *(self.cache / name for name in ("masks", "points", "segments", "prepared", "proxies"))):
            sweep_parts(place, GONE)


def sweep_parts(place: Path, pattern: re.Pattern[str] = PART) -> None:
    """Removes from a folder what carries the number of a process that is gone."""
    for left in place.glob("*") if place.is_dir() else ():
        found = pattern.match(left.name)
        if found and not alive(int(found[1])):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def touch(entry: Path) -> None:
    """Notes that an entry of the cache is used, so that it is not the first to go when there is too much."""
    with contextlib.suppress(OSError):  # a read-only disk has no use for it
        os.utime(entry)


def content_key(**parts: Any) -> str:
    """sha256 of the parts as canonical JSON, with the engine's version: equal keys mean equal bytes."""
    text = json.dumps({**parts, "engine": ENGINE_VERSION}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
