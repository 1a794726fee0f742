"""Set-up of `.venv`, for `launch.py`. Standard library only: it runs before anything is installed.

Two stages: what the page and editing without models need, then what models need (gigabytes on many systems).
The editor opens after the first; the second goes on in the background and tells the page through a status file.
"""

from .stages import FIRST, SECOND, TEST, Place, SetupError, installed, read_json, say, sentence, write_status
from .venv import finish_in_background, set_up

__all__ = [
    "FIRST",
    "SECOND",
    "TEST",
    "Place",
    "SetupError",
    "finish_in_background",
    "installed",
    "read_json",
    "say",
    "sentence",
    "set_up",
    "write_status",
]
