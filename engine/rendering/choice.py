"""Which executor a run uses: by name on the command line; for the page's jobs by the environment, in which the page writes."""

from __future__ import annotations

import os

from engine.device import workers
from engine.errors import MethodError
from engine.rendering.executors import Executor, PoolExecutor, SerialExecutor
from engine.rendering.render import render_segment

EXECUTORS = ("serial", "pool", "ray")
UNKNOWN = "There is no executor “{}”: choose one of {}."
CHOICE, ADDRESS = "ANCHORLINE_EXECUTOR", "ANCHORLINE_RAY_ADDRESS"


def executor_named(name: str, address: str = "") -> Executor:
    """`address` (host:port) is that of a Ray cluster, "" = Ray on this machine.

    Raises MethodError for no such name, an address without Ray, and where Ray is not installed.
    """
    if name not in EXECUTORS:
        raise MethodError(UNKNOWN.format(name[:20], ", ".join(EXECUTORS)))
    if address and name != "ray":
        raise MethodError(f"The address of a Ray cluster goes with the executor ray, not with {name}.")
    if name == "ray":
        from engine.rendering.cluster.connect import check_installed
        from engine.rendering.cluster.executor import RayExecutor

        check_installed()
        return RayExecutor(address)
    return PoolExecutor(workers()) if name == "pool" else SerialExecutor(render_segment)


def chosen_executor() -> tuple[str, str]:
    """Name and address of what processes use that are started from now on; the address is "" for this machine's own."""
    return os.environ.get(CHOICE, "").strip() or EXECUTORS[0], os.environ.get(ADDRESS, "").strip()


def choose_executor(name: str, address: str = "") -> None:
    """For processes that are started from now on. Whether it can be used is another question (`check_executor`).

    Raises MethodError for no such name.
    """
    if name not in EXECUTORS:
        raise MethodError(UNKNOWN.format(name[:20], ", ".join(EXECUTORS)))
    os.environ.update({CHOICE: name, ADDRESS: address if name == "ray" else ""})


def check_executor(name: str, address: str = "") -> None:
    """Raises MethodError where it cannot be used now: Ray is not installed, the address is none, no token is known here for
    the cluster, or nobody answers there within seconds."""
    executor_named(name, address)
    if address:
        from engine.rendering.cluster.connect import check_reached
        from engine.rendering.cluster.node import check_address

        check_address(address)
        check_reached(address)


def why_no_ray() -> str:
    """How Ray is got, in one sentence; "" where it is installed."""
    from engine.rendering.cluster.connect import check_installed

    try:
        check_installed()
    except MethodError as error:
        return str(error)
    return ""


def executor_of_jobs() -> Executor:
    """What the environment says of the page's jobs; one segment after the other where it says nothing."""
    return executor_named(*chosen_executor())
