"""Which executor a run uses: by name on the command line, by the environment for the page's jobs."""

from __future__ import annotations

import os

from engine.device import workers
from engine.errors import MethodError
from engine.rendering.executors import Executor, PoolExecutor, SerialExecutor
from engine.rendering.render import render_segment

EXECUTORS = ("serial", "pool", "ray")
CHOICE, ADDRESS = "ANCHORLINE_EXECUTOR", "ANCHORLINE_RAY_ADDRESS"


def executor_named(name: str, address: str = "") -> Executor:
    """`address` (host:port) is that of a Ray cluster, "" = Ray on this machine.

    Raises MethodError for no such name, an address without Ray, and where Ray is not installed.
    """
    if name not in EXECUTORS:
        raise MethodError(f"There is no executor “{name[:20]}”: choose one of {', '.join(EXECUTORS)}.")
    if address and name != "ray":
        raise MethodError(f"The address of a Ray cluster goes with the executor ray, not with {name}.")
    if name == "ray":
        from engine.rendering.cluster.connect import check_installed
        from engine.rendering.cluster.executor import RayExecutor

        check_installed()
        return RayExecutor(address)
    return PoolExecutor(workers()) if name == "pool" else SerialExecutor(render_segment)


def executor_of_jobs() -> Executor:
    """What the environment says of the page's jobs; one segment after the other where it says nothing."""
    return executor_named(os.environ.get(CHOICE, "") or "serial", os.environ.get(ADDRESS, ""))
