"""Three machines, each a network namespace of this one: a cluster that only its own cable connects, and one machine lost.

The second machine shares the project's folder; for the third it is hidden, so the clip travels there and segments travel back.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.rendering.cluster.connect import place_of_sockets
from engine.rendering.cluster.files import private_folder
from engine.rendering.cluster.node import PORT
from tests.conftest import ROOT
from tests.ray_cluster import HAS_RAY, NO_RAY, recipe_in, segments_of
from tests.recipes import cli

BRIDGE = "alray0"
STARTS = 150  # seconds that a node may take on a busy machine


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def why_not() -> str:
    """Why there are no namespaces here; "" where there are."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        return "network namespaces need Linux, root and the command ip"
    try:
        ip("netns", "add", "alray-try")
        ip("netns", "del", "alray-try")
        with tempfile.TemporaryDirectory() as folder:  # seen by the unshared process alone
            subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces cannot be made here: {getattr(error, 'stderr', error)!r}"
    return ""


@dataclass(eq=False)
class Machine:
    """A network namespace with its own temporary folder; `hides`: a folder that it does not see."""

    number: int
    home: Path
    token: str
    hides: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"alray{self.number}"

    @property
    def address(self) -> str:
        return f"10.231.7.{self.number}"

    def connect(self) -> None:
        ip("netns", "add", self.name)
        ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", self.name, "master", BRIDGE, "up")
        ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")
        ip("-n", self.name, "link", "set", "lo", "up")

    def disconnect(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.kill()
        for command in (("link", "del", self.name), ("netns", "del", self.name)):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip(*command)

    def kill(self) -> None:
        """Like pulling its plug: everything that runs on it is gone at once."""
        told = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True).stdout
        for number in told.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)

    def start(self, *arguments: object, folder: Path) -> subprocess.Popen[bytes]:
        """The command line on this machine."""
        temporary = self.home / "t"
        temporary.mkdir(parents=True, exist_ok=True)
        hide = f"mount -t tmpfs none '{self.hides}' && " if self.hides else ""
        more = {"HOME": str(self.home), "TMPDIR": str(temporary), "RAY_AUTH_TOKEN": self.token, "OMP_NUM_THREADS": "1"}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
        command = [sys.executable, "-P", "-m", "engine.commands.cli", *map(str, arguments)]
        # Ray's folder for sockets goes by the same name on all machines: each must see one of its own.
        sockets = private_folder(place_of_sockets(), "alray")
        mine = f"mount -t tmpfs -o mode=700 none '{sockets}' && " if self.number > 1 else ""
        shell = ["sh", "-c", f'{hide}{mine}exec "$@"', "sh"]
        wrapped = ["ip", "netns", "exec", self.name, "unshare", "-m", *shell, *command]
        with open(self.home / f"{arguments[0]}.log", "wb") as log:
            child = subprocess.Popen(wrapped, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(child)
        return child

    def log(self, verb: str) -> str:
        return (self.home / f"{verb}.log").read_text("utf-8", "replace")


def started(machine: Machine, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS
    while "runtime started" not in machine.log("node"):
        assert child.poll() is None and time.monotonic() < until, machine.log("node")[-2000:]
        time.sleep(0.2)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Machine]]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # a short path: sockets lie below it
        token = secrets.token_hex(32)
        found = [Machine(number, Path(folder) / str(number), token) for number in (1, 2, 3)]
        found[2].hides = str(tmp_path / "project")
        try:
            ip("link", "add", BRIDGE, "type", "bridge")
            ip("link", "set", BRIDGE, "up")
            for machine in found:
                machine.home.mkdir()
                machine.connect()
            yield found
        finally:
            for machine in found:
                machine.disconnect()
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("link", "del", BRIDGE)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason=NO_RAY)
def test_three_machines_render_what_one_does_though_one_is_lost(machines: list[Machine], tmp_path: Path) -> None:
    recipe_in(tmp_path, every=3)
    assert cli(tmp_path, "run", "r.json", "--project", "serial", limit=200)[0] == 0
    shutil.copytree(tmp_path / "serial", tmp_path / "project")
    shutil.rmtree(tmp_path / "project" / "cache" / "segments")
    head, second, third = machines
    started(head, head.start("node", "--host", head.address, "--cpus", 0, folder=tmp_path))
    for machine in (second, third):
        place = f"{head.address}:{PORT}"
        child = machine.start("node", "--join", place, "--host", machine.address, "--cpus", 1, folder=tmp_path)
        started(machine, child)
    render = ("render", "project", "-o", "out", "--executor", "ray", "--ray-address", f"{head.address}:{PORT}")
    run = head.start(*render, "--report", "report.json", folder=tmp_path)
    segments = tmp_path / "project" / "cache" / "segments"
    sent = third.home / "t"
    until = time.monotonic() + 200
    while len(list(segments.glob("*/done.json"))) < 4 or not list(sent.glob("anchorline-node-*/cache/segments/*/done.json")):
        assert run.poll() is None and time.monotonic() < until, head.log("render")
        time.sleep(0.05)
    second.kill()
    assert run.wait(timeout=200) == 0, head.log("render")
    assert json.loads((tmp_path / "report.json").read_text())["segments"] == {"rendered": 12, "reused": 0}
    assert segments_of(tmp_path / "project") == segments_of(tmp_path / "serial")
    assert list(sent.glob("anchorline-node-*/cache/pack-*.clip/in.mp4")), "the clip was not sent to the third machine"
    assert not list((second.home / "t").glob("anchorline-node-*/cache/pack-*.clip")), "the second one shares the folder"
