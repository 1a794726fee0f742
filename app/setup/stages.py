"""What set-up installs and how it remembers: stages, requirement lines, stamps, the status that the page reads.

A stamp per stage lies in `.venv/anchorline/` and is written only after pip succeeded: a set-up that was interrupted
resumes, one that is out of date is brought up to date, one that is complete costs a few milliseconds.
"""

import errno
import hashlib
import json
import os
import re
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

SCHEMA = 1  # raised when a stamp written by an older set-up must not be believed
MARKER = "# --- second stage"  # the comment line of requirements.txt between the two stages
AGAIN = "Run the same command again to go on."


class SetupError(Exception):
    """Set-up cannot go on. The text is one sentence or two for the user."""


class ConflictError(SetupError):
    """pip found no set of versions that agree."""


@dataclass(frozen=True)
class Stage:
    """One set of packages: its name in stamps, what it is for, and the free disk space it wants in GB."""

    name: str
    title: str
    gigabytes: float


FIRST = Stage("first", "what the editor needs", 1.0)
SECOND = Stage("second", "what models need", 3.0)
TEST = Stage("test", "what the tests need", 0.5)


@dataclass(frozen=True)
class Place:
    """Where everything of one checkout lies."""

    root: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def state(self) -> Path:
        return self.venv / "anchorline"

    @property
    def log(self) -> Path:
        return self.state / "setup.log"

    @property
    def status(self) -> Path:
        return self.state / "stage2.json"


def say(text: str) -> None:
    """One line for the user; progress goes to stderr."""
    print(text, file=sys.stderr, flush=True)


def sentence(error: Exception, place: Place) -> str:
    """What went wrong in set-up, for the user."""
    if isinstance(error, OSError):
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return f"{place.root} cannot be written, and set-up must write .venv there; copy the project to a folder of yours."
        if error.errno == errno.ENOSPC:
            return f"The disk of {place.root} is full; free some space. {AGAIN}"
        return f"Set-up could not use {error.filename or place.venv}: {error.strerror or error}."
    return str(error)


def requirement_lines(place: Place, stage: Stage) -> list[str]:
    """The stage's requirement lines, without comments. Raises SetupError where a file is missing or damaged."""
    try:
        if stage is TEST:
            group = tomllib.loads((place.root / "pyproject.toml").read_text("utf-8"))["dependency-groups"]["test"]
            return [str(line) for line in group]
        text = (place.root / "requirements.txt").read_text("utf-8")
    except (OSError, ValueError, KeyError) as error:
        raise SetupError(f"This checkout is damaged, its list of packages cannot be read ({error}); clone it again.") from error
    before, marker, after = text.partition(MARKER)
    if not marker:
        raise SetupError(f"requirements.txt has lost its line '{MARKER} …'; restore it from the repository.")
    part = before if stage is FIRST else after.partition("\n")[2]
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in part.splitlines()]
    return [line for line in lines if line]


def expected_stamp(place: Place, stage: Stage) -> dict:
    """What the stamp of a stage says when the stage is installed and up to date."""
    digest = hashlib.sha256("\n".join(requirement_lines(place, stage)).encode()).hexdigest()
    return {"schema": SCHEMA, "python": sys.implementation.cache_tag, "sha256": digest}


def read_json(path: Path) -> dict:
    """The object in a JSON file; empty when the file is missing or cut off (it is then made anew)."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: dict) -> None:
    """Write beside and rename, so that a reader never sees half a file."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(value), "utf-8")
    # Windows refuses to replace a file that is being read at that moment; the reader is done soon.
    for attempt in range(20):
        try:
            os.replace(beside, path)
            return
        except PermissionError:
            if os.name != "nt" or attempt == 19:
                raise
            time.sleep(0.05)


def installed(place: Place, stage: Stage) -> bool:
    return read_json(place.state / f"installed-{stage.name}.json") == expected_stamp(place, stage)


def write_status(place: Place, state: str, message: str, package: str = "", done: int = 0) -> None:
    """Tell the page about the second stage. `state`: waiting, installing, done, conflict or failed."""
    fields = {"state": state, "package": package, "done": done, "message": message, "time": time.time()}
    write_json(place.status, fields)
