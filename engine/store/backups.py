"""Backups of a project's database, thinned over time: six of the last hour, two hourly, two daily.

Made after an act when ten minutes have passed since the last one, so never while nothing changes. Objects are never
changed or deleted, so a copy of the database is a whole earlier state. Bringing one back makes a new project
(engine/store/projects.py, `copy_project`); nothing is ever written over.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine.store.database import BACKUPS, DATABASE, copy_database

EVERY = 600.0  # seconds
HOUR, DAY = 3600.0, 86400.0
FINE, HOURLY, DAILY = 6, 2, 2
NAME = re.compile(r"^(\d{8}-\d{6})-r(\d+)\.db$")
STAMP = "%Y%m%d-%H%M%S"
log = logging.getLogger("anchorline")


@dataclass(frozen=True, slots=True)
class Backup:
    """One earlier state: when it was made (seconds since the epoch) and at which revision."""

    path: Path
    at: float
    rev: int


def backups_of(folder: Path) -> list[Backup]:
    """The project's backups, newest first."""
    found = []
    for path in (folder / BACKUPS).glob("*.db"):
        said = NAME.match(path.name)
        if said:
            # Universal time: the hour that daylight saving repeats would give two backups one name.
            at = datetime.strptime(said[1] + "+0000", STAMP + "%z").timestamp()
            found.append(Backup(path, at, int(said[2])))
    return sorted(found, key=lambda one: one.at, reverse=True)


def is_due(folder: Path, rev: int, now: float) -> bool:
    """Whether the project changed since its newest backup, and that one is ten minutes old."""
    newest = next(iter(backups_of(folder)), None)
    return newest is None or (newest.rev != rev and abs(now - newest.at) >= EVERY)


def make_backup(folder: Path, rev: int, now: float | None = None) -> Path:
    """Copies the database as it is and thins the older copies out. Safe while the project is worked on.

    Raises:
        OSError, sqlite3.Error: it could not be made; the older ones are all still there.
    """
    now = time.time() if now is None else now
    place = folder / BACKUPS
    place.mkdir(exist_ok=True)
    path = place / f"{time.strftime(STAMP, time.gmtime(now))}-r{rev}.db"
    copy_database(folder / DATABASE, path)
    there = backups_of(folder)
    kept = thinned([one.at for one in there])
    for one in there:
        if one.at not in kept:
            with contextlib.suppress(FileNotFoundError):
                one.path.unlink()
    return path


def thinned(times: list[float]) -> set[float]:
    """Which of the times to keep, seen from the newest: an idle project keeps what it has.

    Of the last hour the newest of each ten minutes (six); before that the newest of each hour (two); of the days before
    the newest of each (two). What leaves one group may stay in the next, so yesterday's last state is there tomorrow.
    """
    newest = max(times, default=0.0)
    fine = _newest_of_each([t for t in times if newest - t < HOUR], lambda t: t // EVERY, FINE)
    rest = [t for t in times if t not in fine and newest - t >= HOUR]
    hourly = _newest_of_each(rest, lambda t: t // HOUR, HOURLY)
    before = [t for t in rest if t not in hourly and _day(t) != _day(newest)]
    return fine | hourly | _newest_of_each(before, _day, DAILY)


def _newest_of_each(times: list[float], bucket: Callable[[float], float], most: int) -> set[float]:
    groups: dict[float, float] = {}
    for one in times:
        groups[bucket(one)] = max(one, groups.get(bucket(one), one))
    return set(sorted(groups.values(), reverse=True)[:most])


def _day(at: float) -> float:
    return float(datetime.fromtimestamp(at).toordinal())


class BackupClock:
    """Makes backups of one project in the background when they are due. `changed` costs nothing in between."""

    def __init__(self, folder: Path, rev: Callable[[], int], now: Callable[[], float] = time.time) -> None:
        self._folder, self._rev, self._now = folder, rev, now
        self._next = 0.0
        self._thread: threading.Thread | None = None

    def changed(self) -> None:
        """Call after every act."""
        now = self._now()
        if now < self._next or (self._thread is not None and self._thread.is_alive()):
            return
        self._next = now + EVERY / 10
        rev = self._rev()
        if is_due(self._folder, rev, now):
            self._thread = threading.Thread(target=self._make, args=(rev, now), name="backup")
            self._thread.start()

    def _make(self, rev: int, now: float) -> None:
        try:
            make_backup(self._folder, rev, now)
        except (OSError, sqlite3.Error) as error:
            log.warning("no backup of %s was made: %s", self._folder.name, error)

    def close(self) -> None:
        """Waits for one that is being made."""
        if self._thread is not None:
            self._thread.join()
