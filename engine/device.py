"""The one place that says which device and how many threads work is done on."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CHOICE = "ANCHORLINE_DEVICE"
LOOKING = 120  # seconds that looking for devices may take


def one_thread() -> None:
    """Makes OpenCV use one thread in this process.

    Dense optical flow (DIS) works in stripes, one per thread, and its result depends on their number: with one
    thread, the same inputs give the same bytes on every machine with the same library. Speed comes from working on
    several segments, or on two flows, side by side.
    """
    import cv2

    cv2.setNumThreads(1)


def workers() -> int:
    """How many processes a pool uses: the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def chosen_device() -> str:
    """The device that the user has chosen ("cpu", "cuda:1", "mps"); "" = the best there is. Processes inherit it."""
    return os.environ.get(CHOICE, "").strip().lower()


def choose_device(name: str) -> None:
    """For this process and those that it starts from now on. "" = the best there is. Raises MethodError for no such name."""
    from engine.errors import MethodError

    if not re.fullmatch(r"(cpu|mps|cuda(:[0-9]{1,2})?)?", name):
        raise MethodError(f"“{name[:20]}” is not the name of a device; choose one from the list.")
    os.environ[CHOICE] = name


def torch_device(name: str | None = None) -> torch.device:
    """The device called `name` ("cpu", "cuda", "cuda:1", "mps"); else the chosen one, else the best one there is.

    Raises MethodError for a device that this machine, or its torch, does not have.
    """
    import torch

    from engine.errors import MethodError

    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count())), *(["mps"] * torch.backends.mps.is_available())]
    name = name or chosen_device() or None
    if name is None:
        return torch.device(found[-1] if found[-1] == "mps" else found[min(1, len(found) - 1)])
    if name not in found and f"{name}:0" not in found:
        raise MethodError(f'There is no device "{name}" here; there is: {", ".join(found)}.')
    return torch.device(name)


def fast_arithmetic(device: torch.device) -> AbstractContextManager:
    """Within the block, products of matrices are worked out in bfloat16 where the device gains from it: on a GPU."""
    import torch

    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def device_name(device: torch.device) -> str:
    """What a person calls the device: the GPU's name, or the kind and the cores of the processor."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else f"{platform.machine()} CPU, {workers()} cores"


def working_dtype(device: torch.device) -> torch.dtype:
    """What large models are loaded as: bfloat16 where the device is made for it, float16 on older GPUs, else float32."""
    import torch

    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def free_memory(device: torch.device) -> int:
    """Bytes that can still be used on the device; of the CPU, of main memory."""
    import torch

    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    import psutil

    return psutil.virtual_memory().available


def let_go(device: torch.device) -> None:
    """Gives memory back that torch keeps for later on a GPU."""
    import gc

    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def has_streams(device: torch.device) -> bool:
    """Whether the device computes and copies at the same time."""
    return device.type == "cuda"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device had not enough memory: something smaller may still work, in the same process."""
    if "torch" not in sys.modules:
        return False
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in str(error)


def is_device_fault(error: BaseException) -> bool:
    """Whether the device itself failed: nothing in this process can use it any more, a new process can."""
    text = str(error)
    named = type(error).__name__ == "AcceleratorError" or any(
        word in text for word in ("CUDA error", "CUDNN_STATUS", "MPS error")
    )
    return named and not is_out_of_memory(error)


# --- what there is ----------------------------------------------------------------------------------------


def devices() -> list[dict[str, object]]:
    """Devices that torch has here: name, title, bytes of memory in all and free now. Asked in a process of its own.

    Empty where torch is not installed, or does not start.
    """
    from engine.store.processes import child_environment

    command = [sys.executable, "-P", "-m", "engine.device"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=LOOKING, env=child_environment())
        found = json.loads(ran.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return []
    return found if isinstance(found, list) else []


def _found() -> list[dict[str, object]]:
    import torch

    names = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count())), *(["mps"] * torch.backends.mps.is_available())]
    rows: list[dict[str, object]] = []
    for name in names:
        device = torch.device(name)
        total = _total_memory(device)
        rows.append({"name": name, "title": device_name(device), "total": total, "free": min(free_memory(device), total)})
    return rows


def _total_memory(device: torch.device) -> int:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    import psutil

    return psutil.virtual_memory().total


if __name__ == "__main__":
    print(json.dumps(_found()))
