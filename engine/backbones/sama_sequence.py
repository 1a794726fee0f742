"""SAMA's sequence (arXiv 2603.19228 §3): tokens of the source, of semantic anchors and of the target through one transformer.

    [ source | semantic | target ] + type embedding -> Wan's blocks -> head(target) and LayerNorm, Linear(semantic)

Source and target stand at identical positions. The bundled model and checkpoints in the layout of the released SAMA-14B both
go through here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.backbones.wan_lean import Rotary, block, signed

SOURCE, SEMANTIC, TARGET = range(3)
"""Rows of the type embedding, in the order of the sequence."""


class SemanticTokens(nn.Module):
    """From an image encoder's space into the transformer's and back (SAMA §3.3): a two-layer MLP, and a linear head."""

    def __init__(self, features: int, hidden: int, width: int) -> None:
        super().__init__()
        self.into = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, features))


@dataclass(frozen=True, eq=False, slots=True)
class Tokens:
    """One part of the sequence: values (B, N, C) with their type embedding, and rotary tables (cos, sin), each (1, N, 1, d)."""

    values: Tensor
    rotary: Rotary


def standing(count: int, rotary: Rotary, turn: float = 1.0) -> Rotary:
    """Tables for tokens without a place: cos = `turn`, sin = 0. With 0, as in the released code, their queries and keys are
    zero: they attend evenly to everything, and everything pays them the attention of a logit of 0."""
    cos, sin = rotary
    shape = (1, count, 1, cos.shape[-1])
    return cos.new_full(shape, turn), sin.new_zeros(shape)


def through(
    wan: Any,
    parts: list[Tokens],
    t: Tensor,
    text: Tensor,
    *,
    lean: torch.dtype | None = None,
    after: Callable[[int, Tensor], None] | None = None,
) -> tuple[list[Tensor], Tensor]:
    """The hidden states of each part after the last block, and the time's embedding (B, C) for the head.

    t (B,) in 0 … 1000, text (B, J, text_dim) before Wan's projection. `lean`: work out the blocks in plain operations of that
    type instead of the stock ones. `after(index, x)` is told the states after each block.
    """
    x = torch.cat([part.values for part in parts], 1)
    cos, sin = (torch.cat([part.rotary[i] for part in parts], 1) for i in (0, 1))
    time, modulation, text, _ = wan.condition_embedder(t, text, None)
    modulation = modulation.unflatten(1, (6, -1))
    rotary = (cos, sin)
    if lean is not None:
        x, text, rotary = x.to(lean), text.to(lean), signed(rotary, lean)
    for index, stock in enumerate(wan.blocks):
        x = stock(x, text, modulation, rotary) if lean is None else block(stock, x, text, modulation, rotary)
        if after is not None:
            after(index, x)
    return list(x.split([part.values.shape[1] for part in parts], 1)), time


def head(wan: Any, x: Tensor, time: Tensor) -> Tensor:
    """Wan's output layer: hidden states (B, N, C) -> patches (B, N, rows · columns · channels), in single precision."""
    shift, scale = (wan.scale_shift_table + time[:, None]).chunk(2, 1)
    return wan.proj_out((wan.norm_out(x.float()) * (1 + scale) + shift).to(wan.proj_out.weight.dtype))
