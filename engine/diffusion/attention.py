"""Attention control: the one way in which a method looks into a backbone's attention, or changes it.

There are two hooks on purpose. `keys_values` leaves the fused kernel in place (VIA swaps keys and values). `scores`
needs the whole map of logits, so it is asked only where `wants_scores` says so (FlowAnchor: cross-attention, early steps),
and never where tokens of the video look at each other: there the map of 81 frames of 480p would have 32,760² logits a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Kind = Literal["self", "cross", "temporal"]


@dataclass(frozen=True, slots=True)
class AttentionSite:
    """Where an attention call happens.

    `layer`: which one of its kind, in the order of the model's blocks. `kind`: "self" = tokens of the video look at each
    other, "cross" = they look for words, "temporal" = tokens at one place look at each other along the frames (AnimateDiff).
    `grid` (F, h, w): a row's video tokens, the last F·h·w of the sequence; `lead` others (of a source clip, say) come before.
    `folded` (F, h, w): what stands in the batch instead, batch outermost: an image model's rows are B · F frames, folded
    (F, 1, 1) with grid (1, h, w); a temporal row is one place, folded (1, h, w) with grid (F, 1, 1). `name`: the module's
    own name in the model, "" where it has none.
    """

    layer: int
    kind: Kind
    grid: tuple[int, int, int]
    lead: int = 0
    folded: tuple[int, int, int] = (1, 1, 1)
    name: str = ""


class AttentionControl(Protocol):
    """What a method may do at a site. Queries are (B, heads, N, d); keys and values (B, heads, J, d)."""

    def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values to use; their number J may change."""
        ...

    def wants_scores(self, site: AttentionSite) -> bool:
        """Asked where the kind is "cross" only: attention among the video's tokens keeps the fused kernel."""
        ...

    def scores(self, site: AttentionSite, logits: Tensor, heads: slice) -> Tensor:
        """Logits (B, H, N, J) float32 before the softmax, for these heads of the site, changed."""
        ...


class Untouched:
    """A control that changes nothing; methods derive theirs from it."""

    def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return keys, values

    def wants_scores(self, site: AttentionSite) -> bool:
        return False

    def scores(self, site: AttentionSite, logits: Tensor, heads: slice) -> Tensor:
        return logits


def attend(q: Tensor, k: Tensor, v: Tensor, site: AttentionSite, control: AttentionControl | None) -> Tensor:
    """softmax(q kᵀ / √d) v with the control's hooks: q (B, heads, N, d), k and v (B, heads, J, d) -> (B, heads, N, d).

    Where scores are wanted they are worked out one head at a time, so that the map in memory is (B, 1, N, J) float32:
    67 MB for 81 frames of 480p and 512 words, whatever the number of heads.
    """
    if control is None:
        return F.scaled_dot_product_attention(q, k, v)
    k, v = control.keys_values(site, k, v)
    if site.kind != "cross" or not control.wants_scores(site):
        return F.scaled_dot_product_attention(q, k, v)
    out = torch.empty_like(q)
    for head in range(q.shape[1]):
        one = slice(head, head + 1)
        logits = q[:, one].float() @ k[:, one].float().transpose(-1, -2) / q.shape[-1] ** 0.5
        out[:, one] = control.scores(site, logits, one).softmax(-1).to(v.dtype) @ v[:, one]
    return out
