"""The one place that says which device and how many threads work is done on."""

from __future__ import annotations

import os


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
