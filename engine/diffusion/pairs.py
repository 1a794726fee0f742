"""Pictures that are denoised together, two by two: who goes with whom at which step, and how the two see each other."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import torch
from torch import Tensor

from engine.diffusion.attention import AttentionSite, Untouched


def pairs(count: int, progress: float, far_share: float) -> list[tuple[int, int]]:
    """Pairs (a, b), a < b, of `count` pictures in order at `progress` ∈ [0, 1) of the steps; each picture is in one at least.

    While progress < `far_share` they are far apart: first and last, then half as far, and so on; afterwards neighbours.
    """
    if count < 2:
        return []
    farthest = count - 1
    halvings = ceil(log2(farthest)) + 1
    far = progress < far_share
    distance = max(1, farthest >> int(progress / far_share * halvings)) if far else 1
    found = {(a, a + distance) for a in range(count - distance)}
    lonely = set(range(count)) - {one for pair in found for one in pair}
    # A picture without a partner at that distance goes with the end that is farther away.
    found |= {(0, one) if one > farthest - one else (one, farthest) for one in lonely}
    return sorted(found)


@dataclass(frozen=True, eq=False)
class PairAttention(Untouched):
    """Both of a pair look at their own keys and values and at each other's. Rows of the batch: a, b, a, b, …

    Tokens that come before the video's (those of a source) stay with their own picture.
    """

    def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if site.kind != "self":
            return keys, values
        swapped = torch.arange(len(keys), device=keys.device) ^ 1
        return (
            torch.cat([keys, keys[swapped][:, :, site.lead :]], 2),
            torch.cat([values, values[swapped][:, :, site.lead :]], 2),
        )


def averaged(parts: Tensor, members: list[int], count: int) -> Tensor:
    """parts (2P, …) of the pairs' rows, `members[i]` = which picture row i is -> (count, …): the mean over a picture's rows."""
    index = torch.tensor(members, device=parts.device)
    total = parts.new_zeros(count, *parts.shape[1:]).index_add_(0, index, parts)
    times = torch.bincount(index, minlength=count).to(parts)
    return total / times.view(-1, *[1] * (parts.dim() - 1))
