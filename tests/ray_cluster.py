"""A small Ray cluster for tests, and projects to render on it. Everything of it lies in one folder, its home too."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.rendering.cluster.worker import MADE
from engine.rendering.outputs import digest
from tests.conftest import ROOT
from tests.recipes import box_in, clip_in, edit_recipe, write_recipe

NO_RAY = 'Ray is not installed: .venv/bin/python -m pip install "ray>=2.60"'
HAS_RAY = importlib.util.find_spec("ray") is not None
SIZE = (160, 256)
START = """
import os, sys
from pathlib import Path
from engine.rendering.cluster import node
if os.environ.get("ANCHORLINE_TEST_OPEN"):
    node.ENVIRONMENT["RAY_AUTH_MODE"] = "disabled"
ports, node.PORT, place = sys.argv[1].split(","), int(sys.argv[1].split(",")[0]), Path(sys.argv[2])
node.FIXED_PORTS = dict(zip(node.FIXED_PORTS, map(int, ports[1:])))
node.WORKER_PORTS = (0, 0)
kept = node.start_arguments
def start_arguments(*given):
    said = [one for one in kept(*given) if not one.startswith(("--min-worker", "--max-worker"))]
    said[said.index("--temp-dir") + 1] = str(place)
    return [*said, "--object-store-memory", "100000000"]
node.start_arguments = start_arguments
sys.exit(node.start_node(cpus=2))
"""


@dataclass(frozen=True)
class Cluster:
    """A head on the loopback address with two cores."""

    address: str
    home: Path
    environment: dict[str, str]

    def workers(self) -> list[int]:
        """Processes that are workers of a run on it."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (entry / "cmdline").read_bytes().startswith(b"ray::Worker"):
                    place = f"ANCHORLINE_NODE_CACHE={self.home / 'node'}".encode()
                    if place in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
        return sorted(found)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def cluster(**more: str) -> Iterator[Cluster]:
    """A cluster of one node with a token of its own; gone afterwards. `more`: its environment."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # a short path: sockets lie below it
        home = Path(folder)
        ports = free_ports(7)
        mine = {"HOME": folder, "RAY_AUTH_TOKEN": secrets.token_hex(32), "ANCHORLINE_NODE_CACHE": str(home / "node"), **more}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **mine}
        command = [sys.executable, "-P", "-c", START, ",".join(map(str, ports)), str(home / "r")]
        log = open(home / "log", "wb")
        child = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_until_started(child, home / "log")
            yield Cluster(f"127.0.0.1:{ports[0]}", home, environment)
        finally:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=15)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            log.close()


def _wait_until_started(child: subprocess.Popen[bytes], log: Path) -> None:
    started = time.monotonic()
    while b"runtime started" not in log.read_bytes():
        assert child.poll() is None and time.monotonic() - started < 90, log.read_text("utf-8", "replace")[-2000:]
        time.sleep(0.1)


def recipe_in(folder: Path, frames: int = 36, every: int = 6) -> None:
    """A clip with a marked disc and a blurred take on every sixth frame: six segments."""
    clip_in(folder, frames, size=SIZE)
    marks = [{"id": 1, "keyframes": [{"frame": 0, "box": box_in(SIZE)}]}]
    takes = [{"frame": frame, "effect": {"name": "blur"}} for frame in range(0, frames, every)]
    write_recipe(folder, edit_recipe(subjects=marks, anchors=takes))


def segments_of(project: Path) -> dict[str, str]:
    """Digests of what was rendered of every finished segment, by its key; nothing else may lie among them. What a report has
    measured of it since lies beside."""
    found = sorted((project / "cache" / "segments").iterdir())
    assert all(len(path.name) == 64 and (path / "done.json").exists() for path in found), found
    return {path.name: " ".join(digest(path / name) for name in MADE) for path in found}
