"""Runs of frames that have one thing in common, so that a list has one entry for them and not one a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.types import FrameIndex

GAP = 4
"""Runs that are so many frames apart, or fewer, are one (our choice)."""


@dataclass(frozen=True, slots=True)
class Run:
    """Frames [start, stop); `frame` is the worst of them and `value` its measure."""

    start: FrameIndex
    stop: FrameIndex
    frame: FrameIndex
    value: float


def runs_of(values: Mapping[FrameIndex, float], least: float, cuts: Iterable[FrameIndex] = (), gap: int = GAP) -> list[Run]:
    """The runs in which `values` reach `least`, in the order of frames. None goes over a cut.

    The worst frame is the first of those with the highest value; in a plateau of equal values the one in its middle.
    """
    edges = sorted(set(cuts))
    groups: list[list[FrameIndex]] = []
    for frame in sorted(one for one, value in values.items() if value >= least):
        last = groups[-1][-1] if groups else None
        apart = last is None or frame - last > gap + 1 or any(last < cut <= frame for cut in edges)
        if apart:
            groups.append([])
        groups[-1].append(frame)
    return [_run(group, values) for group in groups]


def _run(group: list[FrameIndex], values: Mapping[FrameIndex, float]) -> Run:
    worst = max(values[frame] for frame in group)
    plateau = [frame for frame in group if values[frame] == worst]
    return Run(group[0], group[-1] + 1, plateau[len(plateau) // 2], worst)
