"""Which processes live: working files and locks carry the process that uses them, so that a killed one's can go."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any


def alive(process: int) -> bool:
    """Whether a process of this number runs on this machine; True where the system cannot be asked harmlessly."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def child_environment() -> dict[str, str]:
    """The environment in which `python -P -m engine.…` finds this engine, whatever the folder it is started in."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))}


@dataclass(frozen=True, slots=True)
class Owner:
    """A process for good: its number may be given out again, its number and start time on one host may not."""

    pid: int
    started: str
    host: str

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return _here(os.getpid())

    @classmethod
    def of(cls, value: Any) -> Owner | None:
        """From JSON values; None for what is none."""
        if not isinstance(value, dict) or not isinstance(value.get("pid"), int):
            return None
        return cls(value["pid"], str(value.get("started", "")), str(value.get("host", "")))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def is_local(self) -> bool:
        return self.host == socket.gethostname()

    def runs(self) -> bool:
        """Whether it runs still. True for a process of another host, which cannot be asked."""
        if not self.is_local:
            return True
        return alive(self.pid) and started(self.pid) in ("", self.started)


@cache
def _here(pid: int) -> Owner:
    return Owner(pid, started(pid), socket.gethostname())


def started(process: int) -> str:
    """When a process of this machine was started, as text that another process of the same number does not share.

    "" where the system does not tell.
    """
    if sys.platform == "linux":
        try:
            ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
            return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{ticks}"
        except (OSError, IndexError):
            return ""
    if os.name == "posix":
        told = subprocess.run(["ps", "-o", "lstart=", "-p", str(process)], capture_output=True, text=True, check=False)
        return told.stdout.strip()
    return ""
