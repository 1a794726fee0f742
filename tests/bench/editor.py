"""The editor as a user starts it, in a process of its own, gone afterwards whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.harness import BenchError, environment

START_WITHIN = 120.0
ANNOUNCES = "Anchorline is at "


class EditorServer:
    """A running editor. Times are seconds since its process was started."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.log = process, log
        self.base = f"http://127.0.0.1:{port}"
        self._started = time.monotonic()

    def wait_for(self, path: str) -> float:
        """Asks until the address answers with 200; the seconds since the process was started.

        Raises:
            BenchError: the editor ended, or did not answer in time.
        """
        while (seconds := time.monotonic() - self._started) < START_WITHIN:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                self.get(path)
                return time.monotonic() - self._started
            self._check()
            time.sleep(0.01)
        raise BenchError(f"The editor did not answer {path} within {seconds:.0f} s.")

    @property
    def page(self) -> str:
        """The address of the project it opened. Waits until the editor says it."""
        while True:
            for line in self._said().splitlines():
                if line.startswith(ANNOUNCES):
                    return line.removeprefix(ANNOUNCES).strip()
            self._check()
            if time.monotonic() - self._started > START_WITHIN:
                raise BenchError("The editor did not say where it is.")
            time.sleep(0.01)

    @property
    def project(self) -> str:
        return self.page.partition("?project=")[2]

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.base + path, timeout=30) as answer:
            return answer.read()

    def status(self) -> dict[str, Any]:
        """Pack, job and segments of the opened project."""
        return json.loads(self.get(f"/api/projects/{self.project}/status"))

    def _said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def _check(self) -> None:
        if self.process.poll() is not None:
            last = (self._said().strip().splitlines() or ["it said nothing"])[-1]
            raise BenchError(f"The editor ended with code {self.process.returncode}: {last}")


@contextmanager
def editor_server(home: Path, *what: str) -> Iterator[EditorServer]:
    """`python -m app --port P --no-browser [CLIP]` with its projects in `home`; ended with its workers at the end."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-P", "-m", "app", "--port", str(port), "--no-browser", *what]
    log = home / "server.log"
    with open(log, "wb") as said:
        process = subprocess.Popen(
            command,
            env=environment(ANCHORLINE_HOME=str(home)),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield EditorServer(process, port, log)
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that leads a session of its own, and everything it started."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.terminate()
        process.wait(15)
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
