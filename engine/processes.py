"""Which processes live: working files carry the number of the process that uses them, so that a killed one's can go."""

from __future__ import annotations

import os


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
