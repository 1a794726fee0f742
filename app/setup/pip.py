"""Runs pip in the virtual environment: progress, the log, what its failures mean, one stage at a time."""

import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .stages import (
    AGAIN,
    FIRST,
    SECOND,
    ConflictError,
    Place,
    SetupError,
    Stage,
    expected_stamp,
    requirement_lines,
    say,
    write_json,
    write_status,
)


class Progress:
    """Follows pip's output and shows it: one updating line on a terminal, else a plain line every few seconds."""

    def __init__(self, place: Place, stage: Stage, quiet: bool = False) -> None:
        self.place, self.stage, self.quiet = place, stage, quiet
        self.package, self.size, self.note, self.done = "", "", "", 0
        self.start = self.shown = time.monotonic()

    def line(self, text: str) -> None:
        """One line of pip's output."""
        found = re.match(r"\s*(Collecting|Processing|Installing collected packages:|Downloading|WARNING: Retrying)\s*(.*)", text)
        if not found:
            return
        word, rest = found.groups()
        if word in ("Collecting", "Processing"):  # the second is a wheel in a folder that the user's pip settings name
            wheel = re.match(r"\S*[/\\]([^-/\\\s]+)-\S+\.whl", rest)
            self.package = wheel[1] if wheel else re.split(r"[\s<>=!~;\[(]", rest, maxsplit=1)[0]
            self.size = self.note = ""
            self.done += 1
        elif word == "Downloading":
            size = re.search(r"\(([\d.]+ [kMG]?B)\)", rest)
            self.size = f" ({size[1]})" if size and not rest.split(" ")[0].endswith(".metadata") else ""
        elif word.startswith("Installing"):
            self.package, self.size, self.note = f"unpacking {rest.count(',') + 1} packages", "", ""
        else:
            self.note = "no answer from the package index, trying again"
        self.show()

    def show(self, last: bool = False) -> None:
        """Show where it stands; called at each change and each second."""
        now = time.monotonic()
        if self.stage is SECOND and not last:
            write_status(self.place, "installing", f"Installing {SECOND.title}.", self.package, self.done)
        if self.quiet:
            return
        minutes, seconds = divmod(int(now - self.start), 60)
        what = [f"{self.done:5d}", f"{minutes}:{seconds:02d}", self.package + self.size, self.note]
        text = " · ".join(filter(None, what))
        if sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1
            print("\r\x1b[K" + ("" if last else text[:width]), end="", file=sys.stderr, flush=True)
        elif not last and now - self.shown >= 3.0:
            self.shown = now
            say(text)


NETWORK = (
    r"NewConnectionError|NameResolutionError|name resolution|Name or service not known|getaddrinfo failed|unreachable"
    r"|ConnectTimeout|ReadTimeout|Read timed out|timed out|Connection refused|Connection reset|RemoteDisconnected"
    r"|IncompleteRead|ProxyError|Max retries exceeded|SSLError|CERTIFICATE_VERIFY_FAILED"
)


def pip_failure(text: str, place: Place) -> SetupError:
    """What pip's output of a failed run means, as one sentence for the user."""
    log = f"pip's own words are in {place.log}"
    missing = re.search(
        r"(?:Could not find a version that satisfies the requirement|No matching distribution found for) (\S+)", text
    )
    if re.search(r"No space left on device|\[Errno 28\]|not enough space|Disk quota exceeded", text):
        return SetupError(f"The disk became full while installing packages into {place.venv}; free some space. {AGAIN}")
    if re.search(r"conflicting dependencies|ResolutionImpossible", text):
        return ConflictError(f"pip found no versions of the packages that agree with each other; {log}.")
    if re.search(r"Permission denied|\[Errno 13\]|Read-only file system", text):
        return SetupError(f"Packages cannot be written into {place.venv}: no permission; make the folder writable. {AGAIN}")
    if re.search(NETWORK, text) and (missing is None or "(from versions: none)" in text):
        return SetupError(f"No network: the package index did not answer while setting up; connect or check the proxy. {AGAIN}")
    if missing:
        version = ".".join(map(str, sys.version_info[:2]))
        return SetupError(f"pip finds no package '{missing[1]}' for Python {version} on this system; {log}.")
    errors = re.findall(r"^\s*(?:ERROR|error): (.+)$", text, re.MULTILINE)
    return SetupError(f"pip could not install the packages ({errors[-1].rstrip('.') if errors else 'it was ended'}); {log}.")


def pip_environment() -> dict[str, str]:
    """The user's environment and pip settings, without what would install elsewhere or hide what is missing."""
    drop = {"PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_QUIET", "PIP_DRY_RUN"}
    kept = {key: value for key, value in os.environ.items() if key not in drop}
    return {**kept, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def follow(process: subprocess.Popen, on_line: Callable[[str], None], on_tick: Callable[[], None]) -> None:
    """Read a process's output line by line until it ends, with a tick each second; end it when anything is raised."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            try:
                line = lines.get(timeout=1.0)
            except queue.Empty:
                on_tick()
                continue
            if line is None:
                break
            on_line(line)
        process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


def run_pip(place: Place, arguments: list[str], lock: int, progress: Progress, on_tick: Callable[[], None]) -> None:
    """Run pip in the venv, everything it says into the log. Raises SetupError when it fails."""
    command = [str(place.python), "-m", "pip", *arguments]
    text: list[str] = []
    with open(place.log, "a", encoding="utf-8", errors="replace") as log:
        log.write(f"\n=== {time.strftime('%Y-%m-%d %H:%M:%S')} pip {' '.join(arguments)}\n")

        def on_line(line: str) -> None:
            log.write(line)
            log.flush()
            text.append(line)
            progress.line(line)

        # pip holds the lock too: were this process killed, the next launch would still not start a second pip.
        held = (lock,) if os.name == "posix" else ()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="replace", env=pip_environment(), pass_fds=held,
        )  # fmt: skip
        follow(process, on_line, on_tick)
    if process.returncode:
        raise pip_failure("".join(text), place)


def install(place: Place, stage: Stage, lock: int, background: Callable[[], None] | None = None) -> None:
    """Install one stage and stamp it. `background`, called each second, makes it quiet and keeps what is installed.

    Raises SetupError; the stamp is written only after pip succeeded.
    """
    check_disk(place, stage)
    progress = Progress(place, stage, quiet=background is not None)

    def tick() -> None:
        progress.show()
        if background:
            background()

    if not background:
        say(f"Installing {stage.title} into {place.venv} …")
    # The first stage's bounds stand in every list, so that a later stage cannot break them.
    lines = requirement_lines(place, FIRST) + ([] if stage is FIRST else requirement_lines(place, stage))
    wanted = place.state / f"requirements-{stage.name}.txt"
    wanted.write_text("\n".join(lines) + "\n", "utf-8")
    arguments = ["install", "--progress-bar", "off", "--no-warn-script-location", "-r", str(wanted)]
    if background:
        arguments += ["-c", str(freeze(place))]
    try:
        run_pip(place, arguments, lock, progress, tick)
    finally:
        progress.show(last=True)
    write_json(place.state / f"installed-{stage.name}.json", expected_stamp(place, stage))
    if stage is SECOND:
        from .torchvision import add_torchvision

        add_torchvision(place, lock, progress)
        write_status(place, "done", f"Installed {SECOND.title}.", done=progress.done)


def freeze(place: Place) -> Path:
    """Write what is installed as pip constraints: a package in use must not be swapped under the running editor."""
    command = [str(place.python), "-m", "pip", "list", "--format=freeze"]
    command += ["--exclude", "pip", "--exclude", "setuptools", "--exclude", "wheel"]
    listed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=pip_environment())
    if listed.returncode:
        raise pip_failure(listed.stdout + listed.stderr, place)
    path = place.state / "constraints.txt"
    path.write_text(listed.stdout, "utf-8")
    return path


def check_disk(place: Place, stage: Stage) -> None:
    free = shutil.disk_usage(place.root).free / 1e9
    if free < stage.gigabytes:
        takes = f"{stage.title} takes about {stage.gigabytes:g} GB, {free:.1f} GB are free"
        raise SetupError(f"Not enough disk space in {place.root}: {takes}. {AGAIN}")
