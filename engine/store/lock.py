"""One process at a time: a lock file that its owner's death frees, whatever kind of death it was.

The system's own file lock decides; who holds it stands in the file. Where a file system has no locks, what stands in
the file decides: an owner on this host is asked for, one on another host counts as there until it has been silent for
an hour.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from engine.store.processes import Owner

SILENT = 3600.0  # seconds after which an owner that cannot be asked counts as gone (our choice)
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
LOOK_EVERY = 0.1  # seconds

if sys.platform == "win32":
    import msvcrt

    def _grab(file: IO[str]) -> None:
        """Raises OSError (EACCES) while another process holds it."""
        file.seek(1 << 20)  # locks are mandatory there: past the end, so that the owner can be read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _grab(file: IO[str]) -> None:
        """Raises OSError (EAGAIN) while another process holds it."""
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """`take` it, `free` it. Also between two parts of one process: what holds it is the object.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None
        self._told = 0.0

    @property
    def held(self) -> bool:
        return self._file is not None

    def take(self) -> Owner | None:
        """None once it is ours, else whose it is (this process where nobody can be named)."""
        if self._file is not None:
            return None
        file = open(self.path, "a+", encoding="utf-8")
        try:
            owner = self._holder(file)
            if owner is not None:
                file.close()
                return owner
            file.seek(0)
            file.truncate()
            file.write(json.dumps(Owner.here().as_json()))
            file.flush()
        except BaseException:
            file.close()
            raise
        self._file, self._told = file, time.monotonic()
        return None

    def _holder(self, file: IO[str]) -> Owner | None:
        """Who else has it; None when it is free (and then, where the system can, locked)."""
        said = _read_owner(file)
        try:
            _grab(file)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                return said or Owner.here()
            return said if said and said != Owner.here() and said.runs() and not self._is_silent(said) else None
        # A lock that does not reach other hosts (some network mounts) is not enough against one of them.
        return said if said and not said.is_local and not self._is_silent(said) else None

    def _is_silent(self, owner: Owner) -> bool:
        return not owner.is_local and time.time() - self.path.stat().st_mtime > SILENT

    def beat(self) -> None:
        """Tells other hosts that the owner is at work; costs nothing when it was told within the last minute."""
        if self._file is not None and time.monotonic() - self._told > 60:
            self._told = time.monotonic()
            with contextlib.suppress(OSError):  # a full disk or a lost share is told by what is written next
                os.utime(self.path)

    def free(self) -> None:
        """Gives it back. The file stays, empty: taking it away would let two others each have one."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            self._file.seek(0)
            self._file.truncate()
        self._file.close()
        self._file = None

    def wait(self, check: Callable[[], None]) -> None:
        """Takes it as soon as it is free; calls `check`, which may raise Cancelled, until then."""
        while self.take() is not None:
            check()
            time.sleep(LOOK_EVERY)


def _read_owner(file: IO[str]) -> Owner | None:
    file.seek(0)
    try:
        return Owner.of(json.loads(file.read() or "null"))
    except ValueError:
        return None  # being written this moment
