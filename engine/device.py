"""The one place that says which device and how many threads work is done on."""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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


def torch_device(name: str | None = None) -> torch.device:
    """The device called `name` ("cpu", "cuda", "cuda:1", "mps"), or the best one there is.

    Raises MethodError for a device that this machine, or its torch, does not have.
    """
    import torch

    from engine.errors import MethodError

    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count())), *(["mps"] * torch.backends.mps.is_available())]
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
