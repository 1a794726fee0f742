"""Farthest point sampling (Gonzalez 1985; Eldar et al. 1997): a few of many, as different from one another as possible."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def farthest_points(distance: Callable[[int], Tensor], first: int, stop: float, most: int) -> list[int]:
    """Indices in the order in which they were chosen: `first`, then each time the one that is farthest from all chosen.

    `distance(i)` (N,): of all from i. It ends when the farthest is nearer than `stop`, or `most` are chosen. Of equals the
    first is taken, so the answer is the same everywhere. One row of distances is held, never N × N.
    """
    if most < 1:
        return []
    chosen = [first]
    nearest = distance(first).clone()
    while len(chosen) < min(most, len(nearest)):
        nearest[chosen[-1]] = -torch.inf
        farthest = int(nearest.argmax())
        if float(nearest[farthest]) < stop:
            break
        chosen.append(farthest)
        nearest = torch.minimum(nearest, distance(farthest))
    return chosen
