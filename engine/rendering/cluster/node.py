"""`launch.py node`: this machine becomes the head of a Ray cluster, or joins one, in the foreground until Ctrl+C.

A thin cover over `ray start` with what must not be forgotten: a token, no usage reports, no dashboard, fixed ports that a
firewall can name, and the engine where Ray's workers find it.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

from engine.errors import MethodError
from engine.rendering.cluster.connect import ENVIRONMENT, LOOPBACK_ONLY, check_installed, has_token, place_of_sockets
from engine.rendering.cluster.files import private_folder
from engine.store.processes import child_environment

PORT = 6379
FIXED_PORTS = {
    "node-manager-port": 6380,
    "object-manager-port": 6381,
    "runtime-env-agent-port": 6382,
    "dashboard-agent-listen-port": 6383,
    "dashboard-agent-grpc-port": 6384,
    "metrics-export-port": 6385,
}
WORKER_PORTS = (10002, 10201)
HERE = "127.0.0.1"
ADDRESS = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:\[\]-]*:\d{1,5}")


def start_node(address: str = "", *, host: str = HERE, cpus: int | None = None, gpus: int | None = None) -> int:
    """Runs a node until it is stopped; its exit code. Without an `address` it is the head of a new cluster, and `host` is
    the address of this machine under which the others reach it.

    Raises:
        MethodError: Ray is missing, the address is none, or there is no token for the cluster here.
    """
    check_installed()
    if address:
        check_address(address)
    if address and not has_token():
        raise MethodError("There is no token for the cluster here: copy .ray/auth_token from the home folder of its head first.")
    if not address and not has_token():
        _write_token(Path.home() / ".ray" / "auth_token")
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", *start_arguments(address, host, cpus, gpus)]
    if not address and host != HERE:
        print(f"Others join by: launch.py node --join {host}:{PORT} (with this machine's .ray/auth_token)", flush=True)
    environment = node_environment(loopback=not address and host == HERE)
    if os.name == "posix":
        os.execve(command[0], command, environment)
    return subprocess.call(command, env=environment)


def check_address(address: str) -> None:
    """Raises MethodError for what is no address of a cluster."""
    if not ADDRESS.fullmatch(address):
        raise MethodError(f"“{address[:60]}” is not the address of a cluster: write HOST:PORT, such as 192.0.2.1:{PORT}.")


def start_arguments(address: str, host: str, cpus: int | None, gpus: int | None) -> list[str]:
    """What `ray start` is told."""
    arguments = ["--block", "--disable-usage-stats", "--log-color", "false", "--include-log-monitor", "false"]
    if address:
        arguments += ["--address", address]
    else:
        folder = private_folder(place_of_sockets(), "alray")
        arguments += ["--head", "--port", str(PORT), "--include-dashboard", "false", "--temp-dir", str(folder)]
    if host != HERE or not address:
        arguments += ["--node-ip-address", host]
    arguments += [f"--{name}={port}" for name, port in FIXED_PORTS.items()]
    arguments += [f"--min-worker-port={WORKER_PORTS[0]}", f"--max-worker-port={WORKER_PORTS[1]}"]
    arguments += [f"--num-cpus={cpus}"] if cpus is not None else []
    return arguments + ([f"--num-gpus={gpus}"] if gpus is not None else [])


def node_environment(*, loopback: bool) -> dict[str, str]:
    """The environment of a node: token authentication on, nothing sent home, this engine found."""
    environment = {**child_environment(), **ENVIRONMENT}
    if loopback:
        environment[LOOPBACK_ONLY] = "0"
    return environment


def _write_token(path: Path) -> None:
    """A new token that only this user may read."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(32))
    except OSError as error:
        raise MethodError(f"Cannot write a token for the cluster: {error.strerror}; check your home folder.") from error
    print("Made a token for the cluster: .ray/auth_token in your home folder. Copy it to the other machines.", flush=True)
