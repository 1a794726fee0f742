"""The virtual environment: is it sound, making it anew, one installer at a time, bringing stages up to date."""

import contextlib
import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from .pip import install, pip_environment, pip_failure
from .stages import AGAIN, SECOND, ConflictError, Place, SetupError, Stage, installed, say, sentence, write_status

LOCK = "launch.lock"


def fault(place: Place) -> str | None:
    """Why `.venv` must be made anew; None when it is sound. Looks at files only: this runs at every start."""
    try:
        text = (place.venv / "pyvenv.cfg").read_text("utf-8")
    except OSError:
        return "it is incomplete"
    settings = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in text.splitlines())}
    made_by = settings.get("version", settings.get("version_info", "")).split(".")[:2]
    if made_by != [str(part) for part in sys.version_info[:2]]:
        return f"it was made by Python {'.'.join(made_by)}, this is {'.'.join(map(str, sys.version_info[:2]))}"
    if not place.python.exists():
        return "its Python is gone"
    command = settings.get("command", "")
    if " -m venv " in command and not command.endswith(str(place.venv)):
        return "its folder was moved"
    return None


def make_venv(place: Place) -> None:
    """Make `.venv`, and empty it first where something broken lies there. Raises SetupError."""
    reason = fault(place)
    if reason is None:
        probe = subprocess.run([str(place.python), "-c", "import pip"], capture_output=True, env=pip_environment())
        if probe.returncode == 0:
            return
        reason = "its pip does not run"
    left = [path for path in place.venv.iterdir() if path.name != LOCK]
    if left:
        say(f"Making {place.venv} anew: {reason}.")
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    no_venv = (
        "This Python has no working 'venv' module; on Debian or Ubuntu install it with: sudo apt install python3-venv. " + AGAIN
    )
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise SetupError(no_venv)
    made = subprocess.run([sys.executable, "-m", "venv", str(place.venv)], capture_output=True, text=True, env=pip_environment())
    if made.returncode:
        text = made.stdout + made.stderr
        if "ensurepip" in text and "No space" not in text:
            raise SetupError(no_venv)
        raise pip_failure(text, place)


def try_lock(handle: int) -> bool:
    """Take the system's lock on an open file; it goes with the process, so that a killed set-up blocks nobody."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


@contextlib.contextmanager
def locked(place: Place, on_wait: Callable[[], None]) -> Iterator[int]:
    """Only one process installs at a time; another waits, and `on_wait` is called twice a second meanwhile."""
    place.venv.mkdir(exist_ok=True)
    handle = os.open(place.venv / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while not try_lock(handle):
            on_wait()
            time.sleep(0.5)
        yield handle
    finally:
        os.close(handle)


def set_up(place: Place, stages: list[Stage]) -> None:
    """Bring the venv and these stages up to date, in the foreground. Raises SetupError; costs nothing when all is there."""
    if all([installed(place, stage) for stage in stages]) and fault(place) is None:
        return
    told: list[bool] = []

    def on_wait() -> None:
        if not told:
            say("Another launch.py is installing packages here; waiting for it to end (Ctrl+C to stop waiting).")
            told.append(True)

    with locked(place, on_wait) as lock:
        make_venv(place)
        place.state.mkdir(exist_ok=True)
        for stage in stages:
            if not installed(place, stage):
                install(place, stage, lock)


def finish_in_background(place: Place, editor: int) -> int:
    """Install the second stage beside the running editor; stops when the process `editor` has ended."""

    def still_wanted() -> None:
        if os.name == "posix" and os.getppid() != editor:
            raise KeyboardInterrupt

    if hasattr(os, "nice"):
        os.nice(10)
    try:
        with locked(place, still_wanted) as lock:
            if not installed(place, SECOND):
                install(place, SECOND, lock, background=still_wanted)
    except ConflictError:
        write_status(place, "conflict", f"Installing {SECOND.title} changes packages in use: it is done at the next start.")
    except (SetupError, OSError) as error:
        write_status(place, "failed", f"Could not install {SECOND.title}: {sentence(error, place)}")
    except KeyboardInterrupt:
        write_status(place, "waiting", f"Installing {SECOND.title} goes on at the next start.")
        return 130
    return 0 if installed(place, SECOND) else 1
