"""Where an export goes: made beside its target under a hidden name and renamed at the end, so a target is always whole.

A process that is killed leaves its hidden file; the next export in the folder, or the next opening of the project, takes it
away. A folder cannot be replaced in one step: the old one is moved aside first, and moved back should the process die between.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.store.processes import alive

PART, ASIDE = ".part-", ".aside-"
LONGEST = 120  # bytes of the target's name in the hidden one, which must not become too long


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A hidden name beside `out`, of the same suffix, that becomes `out` when the block ends well and is gone otherwise.

    Raises:
        OSError: as writing does.
    """
    stem = os.fsencode(out.stem)[:LONGEST].decode("utf-8", "ignore")
    temporary = out.with_name(f".{stem}{PART}{os.getpid()}{out.suffix.lower()}")
    try:
        _sweep(out, stem)
        yield temporary
        _replace(temporary, out, out.with_name(f".{stem}{ASIDE}{os.getpid()}{out.suffix.lower()}"))
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that is in it; a link itself, not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until the content of a file is on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _sweep(out: Path, stem: str) -> None:
    """Removes what exports to this name left when their process was killed, and moves back what one had moved aside."""
    suffix = out.suffix.lower()
    for mark in (ASIDE, PART):
        start = f".{stem}{mark}"
        for left in out.parent.glob(glob.escape(start) + "*" + glob.escape(suffix)):
            number = left.name[len(start) : len(left.name) - len(suffix)]
            if not number.isdigit() or (int(number) != os.getpid() and alive(int(number))):
                continue
            if mark == ASIDE and not os.path.lexists(out):
                os.replace(left, out)
            else:
                remove(left)


def _replace(temporary: Path, out: Path, aside: Path) -> None:
    if temporary.is_dir() and out.is_dir():
        os.replace(out, aside)
    os.replace(temporary, out)
    _sync_folder(out.parent)
    remove(aside)


def _sync_folder(folder: Path) -> None:
    """Makes the renaming last through a power cut, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
