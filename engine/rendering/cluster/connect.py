"""Ray, started for one run on this machine or found as a cluster that is there already; never without a token.

Ray runs whatever code it is sent, so who may talk to it must be sure. On this machine every run has a token of its own,
listens on the loopback address alone and keeps its files in a folder that only this user may enter. A cluster is used
only where a token is known here, and where it refuses those who have none.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.device import workers
from engine.errors import MethodError
from engine.store.processes import child_environment
from engine.store.workspace import sweep_parts

OLDEST = "2.60"
MISSING = (
    f'Ray, which spreads segments over machines, is not installed: run .venv/bin/python -m pip install "ray>={OLDEST}", '
    "or use this machine's cores (--executor pool)."
)
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what it would print among our output: all of it
}
LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's own switch, read when it is imported: at 0 it takes the loopback address and listens there alone."""
LOOPBACKS = ("127.", "localhost", "[::1]")
STORE = 200 * 2**20  # bytes of Ray's shared memory: on one machine results go by way of the disk
LONGEST = 16  # characters of a folder below which the names of Ray's sockets are not too long for the system
REACHING, ASKING = 5, 60  # seconds until a cluster's port must be open, and until it must have said who may come in
LEFT = re.compile(r"alray-(\d+)-")
NOBODY = "No Ray cluster answers at {}: check host and port, and that this machine may reach them."
OPEN = "open"
PROBE = """
import sys
from ray._raylet import GcsClient
try:
    GcsClient(address=sys.argv[1]).internal_kv_keys(b"", None, 5)
except Exception as error:
    print(type(error).__name__)
else:
    print("open")
"""


def check_installed() -> None:
    """Raises MethodError with the command that installs Ray where it is missing."""
    if importlib.util.find_spec("ray") is None:
        raise MethodError(MISSING)


@contextmanager
def connected(address: str = "") -> Iterator[ModuleType]:
    """Ray for the block: a cluster at `address` (host:port), or one that lives on this machine for the block alone.

    Raises:
        MethodError: Ray is missing; no token, a wrong one, an open cluster, or nobody answers.
    """
    check_installed()
    os.environ.update(ENVIRONMENT)
    with ExitStack() as stack:
        if address:
            _check(address)
            init: dict[str, Any] = {"address": address}
            if address.startswith(LOOPBACKS):
                stack.callback(_restore, {LOOPBACK_ONLY: os.environ.get(LOOPBACK_ONLY)})
                os.environ[LOOPBACK_ONLY] = "0"
        else:
            init = _local(stack)
        import ray

        stack.callback(ray.shutdown)
        try:
            with _own_signals():
                ray.init(**init, namespace="anchorline", configure_logging=False, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise MethodError(_refused(address, error)) from error
        yield ray


def _local(stack: ExitStack) -> dict[str, Any]:
    """How Ray is started on this machine; what has to go afterwards goes on the stack."""
    place = _folder()
    stack.callback(shutil.rmtree, place, ignore_errors=True)
    stack.callback(_restore, {name: os.environ.get(name) for name in ("RAY_AUTH_TOKEN", LOOPBACK_ONLY, "PYTHONPATH")})
    os.environ.update({"RAY_AUTH_TOKEN": _token(), LOOPBACK_ONLY: "0", "PYTHONPATH": child_environment()["PYTHONPATH"]})
    return {
        "address": "local",
        "num_cpus": workers(),
        "include_dashboard": False,
        "object_store_memory": STORE,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": str(place),
    }


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@cache
def _token() -> str:
    """Of all that this process starts: Ray reads it once. It never lies on a disk."""
    return secrets.token_hex(32)


def place_of_sockets() -> Path:
    """The folder for temporary files, or, where its name is too long for sockets in it, the system's."""
    place = Path(tempfile.gettempdir())
    return Path(os.sep, "tmp") if os.name == "posix" and len(str(place)) > LONGEST else place


def _folder() -> Path:
    """A folder for Ray's sockets and logs that only this user may enter; takes those of killed runs away."""
    near = place_of_sockets()
    sweep_parts(near, LEFT)
    try:
        return Path(tempfile.mkdtemp(prefix=f"alray-{os.getpid()}-", dir=near))
    except OSError as error:
        raise MethodError(f"Ray cannot make a folder for its sockets: {error.strerror}; use --executor pool.") from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes over what a polite kill means; it goes on meaning what it meant before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def check_reached(address: str) -> None:
    """Raises MethodError where no token is known here, or nobody listens at the address. Takes seconds at most."""
    if not has_token():
        raise MethodError(
            f"There is no token for the cluster at {address}: copy the file .ray/auth_token of its head into your home folder, "
            "or set RAY_AUTH_TOKEN_PATH."
        )
    _reach(address)


def _check(address: str) -> None:
    """Raises MethodError where no token is known here, nobody answers, or anybody is let in."""
    check_reached(address)
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    with ThreadPoolExecutor(2) as both:
        anybody = both.submit(_asked, address, {**bare, "RAY_AUTH_MODE": "disabled"})
        us = both.submit(_asked, address, dict(os.environ))
    if anybody.result() == OPEN:
        raise MethodError(
            f"The cluster at {address} lets anybody in, and would run anybody's code: start it anew with RAY_AUTH_MODE=token "
            "(launch.py node does so)."
        )
    if us.result() == "AuthenticationError":
        raise MethodError(
            f"The cluster at {address} refuses this machine's token: copy .ray/auth_token from the home folder of its head again."
        )
    if us.result() != OPEN:
        raise MethodError(NOBODY.format(address))


def _reach(address: str) -> None:
    """Raises MethodError where nobody listens."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHING).close()
    except (OSError, ValueError, OverflowError) as error:
        raise MethodError(NOBODY.format(address)) from error


def _asked(address: str, environment: dict[str, str]) -> str:
    """What a process in that environment meets at the address: OPEN, or the name of an error."""
    command = [sys.executable, "-P", "-c", PROBE, address]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=ASKING, env=environment).stdout.strip()
    except subprocess.TimeoutExpired:
        return "silent"


def has_token() -> bool:
    """Whether a token for clusters is known on this machine; where Ray looks for it."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return (Path(named) if named else Path.home() / ".ray" / "auth_token").is_file()


def _refused(address: str, error: Exception) -> str:
    said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    if address:
        return f"Cannot join the cluster at {address} ({said}): this machine must be one of its nodes (launch.py node)."
    return f"Ray did not start on this machine ({said}); use --executor pool."
