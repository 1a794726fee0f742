"""When a pass does not fit into the device's memory: shorter windows, for every method that works in windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from engine.diffusion.backbone import DiffusionBackbone, OutOfMemory

T = TypeVar("T")


def in_shorter_windows(model: DiffusionBackbone, work: Callable[[], Iterator[T]]) -> Iterator[T]:
    """What `work()` yields. Where memory runs out before the first of it, it is called again: by then the model has lowered
    its `max_frames`, so windows that are planned anew are shorter; `model.warn` is told.

    Raises OutOfMemory where no shorter ones are left, or something was yielded already.
    """
    while True:
        longest, given = model.max_frames, work()
        try:
            first = next(given)
        except StopIteration:
            return
        except OutOfMemory:
            if model.max_frames >= longest:
                raise
            model.warn(f"Memory did not suffice for {longest} frames at a time; now it is {model.max_frames}, in windows.")
            continue
        yield first
        yield from given
        return


def half_as_long(frames: int, stride: int) -> int:
    """k · `stride` + 1 frames, about half as many, and no fewer than windows need to overlap and advance: 2 · `stride` + 1."""
    return min(frames, max(2 * stride + 1, 1 + (frames - 1) // (2 * stride) * stride))
