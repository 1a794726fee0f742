"""How much may be uploaded, by a body, by a user and by the disk; and the janitor who takes away what nobody fetched.

An upload that was cut off leaves its temporary file behind, and one that was opened was copied into its project: after
an hour nothing in the folder of uploads is needed any more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

KEPT = 3000.0  # seconds an upload stays after it was last written to
SWEEP_EVERY = 300.0  # so that nothing stays for longer than an hour
FREE = 2 * 2**30  # bytes that uploads leave free on the disk
LOOK_AGAIN = 10.0  # seconds before a user's folder is measured again


class Uploads:
    """The rules for one folder of uploads. `used` measures what a user has already; `quota` 0 = no limit (bytes)."""

    def __init__(self, folder: Path, most: int, quota: int = 0, used: Callable[[str], int] = lambda user: 0) -> None:
        self.folder, self.most = folder, most
        self._quota, self._used = quota, used
        self._known: dict[str, tuple[float, int]] = {}
        self._stop = threading.Event()

    def refusal(self, user: str, length: int) -> tuple[int, str] | None:
        """Status and sentence where `length` more bytes are too many; None when there is room. Reads the disk."""
        if length > self.most:
            return 413, f"The upload is too large; the limit is {_size(self.most)}."
        if shutil.disk_usage(self.folder).free - length < FREE:
            return 507, "The disk of the server is full; ask whoever runs it to make room."
        if self._quota and self._taken(user) + length > self._quota:
            return 413, f"Your projects and uploads may take {_size(self._quota)} together; delete some first."
        return None

    def _taken(self, user: str) -> int:
        looked, known = self._known.get(user, (0.0, -1))
        if known < 0 or time.monotonic() - looked > LOOK_AGAIN:
            looked, known = self._known[user] = time.monotonic(), self._used(user)
        return known

    def look_again(self, user: str) -> None:
        """Something of this user's has just arrived."""
        self._known.pop(user, None)

    # --- the janitor --------------------------------------------------------------------------------------

    def start(self) -> None:
        threading.Thread(target=self._watch, daemon=True, name="janitor").start()

    def stop(self) -> None:
        self._stop.set()

    def _watch(self) -> None:
        self.sweep()
        while not self._stop.wait(SWEEP_EVERY):
            self.sweep()

    def sweep(self, now: float | None = None) -> int:
        """Takes away what was not written to for `KEPT` seconds; the number of files."""
        limit, gone = (time.time() if now is None else now) - KEPT, 0
        for folder, folders, files in os.walk(self.folder, topdown=False):
            for name in files:
                path = os.path.join(folder, name)
                with contextlib.suppress(OSError):  # somebody else took it
                    if os.lstat(path).st_mtime < limit:
                        os.unlink(path)
                        gone += 1
            for name in folders:
                path = os.path.join(folder, name)
                with contextlib.suppress(OSError):  # not empty, or just made
                    if os.lstat(path).st_mtime < limit:
                        os.rmdir(path)
        return gone


def bytes_in(*places: Path) -> int:
    """What files and folders take together, links not followed."""
    total = 0
    for place in places:
        if place.is_file():
            total += place.stat().st_size
        for folder, _, files in os.walk(place):
            for name in files:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
    return total


def _size(count: int) -> str:
    return f"{count / 2**30:.3g} GB" if count >= 2**30 else f"{count // 2**20} MB"
