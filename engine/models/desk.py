"""Fetching and checking models beside the page: one at a time, in a process of its own, whatever happens to the browser."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from dataclasses import dataclass, replace

from engine.errors import MethodError
from engine.models import model
from engine.store.processes import child_environment

STOPPING = 5.0  # seconds that a stopped process has to leave things in order


@dataclass(frozen=True, slots=True)
class Errand:
    """What is being done, or was done last. `state`: "running", "done", "failed" or "stopped"; done and total in MB."""

    model: str
    kind: str
    state: str = "running"
    phase: str = ""
    done: int = 0
    total: int = 0
    message: str = ""


class ModelDesk:
    """Sends for models, one errand at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self.errand: Errand | None = None

    def begin(self, kind: str, name: str, *, accepted: bool = False) -> None:
        """`kind` "fetch" or "check". Raises MethodError for an unknown model, and while another errand runs."""
        chosen = model(name)
        with self._lock:
            if self.errand is not None and self.errand.state == "running":
                raise MethodError(f"{self.errand.model} is still being worked on; wait for it, or stop it.")
            command = [sys.executable, "-P", "-m", "engine.models", kind, chosen.name, *(["accepted"] if accepted else [])]
            pipe = subprocess.PIPE
            try:
                process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8", env=child_environment())
            except OSError as error:
                raise MethodError(
                    f"The process that fetches cannot be started: {error.strerror}; close other programs."
                ) from error
            self._process, self.errand = process, Errand(chosen.name, kind)
        threading.Thread(target=self._follow, args=(process,), daemon=True, name=f"models-{kind}").start()

    def stop(self) -> None:
        """What has arrived is kept."""
        with self._lock:
            process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                if process.stdin:
                    process.stdin.close()
            try:
                process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                process.kill()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                known = {name: said[name] for name in ("phase", "done", "total", "message") if name in said}
                self._note(process, **known)
        code = process.wait()
        ends = {0: "done", 1: "failed", 130: "stopped"}
        state = ends.get(code, "failed")
        message = {"stopped": "Stopped; what has arrived is kept."}.get(state, "")
        if state == "failed" and code != 1:
            message = "The process ended unexpectedly; what has arrived is kept: try again."
        self._note(process, state=state, **({"message": message} if message else {}))

    def _note(self, process: subprocess.Popen[str], **changes: object) -> None:
        with self._lock:
            if self._process is process and self.errand is not None:
                self.errand = replace(self.errand, **changes)  # type: ignore[arg-type]
