"""Hooks into Wan's transformer, which the bundled model and the hub's Wan share: attention control, states after blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import Tensor, nn

from engine.diffusion.attention import AttentionControl, AttentionSite, attend

Grid = tuple[int, int, int]


class HookedProcessor(WanAttnProcessor):
    """Stock attention until a control is installed; then the same computation through `attend`."""

    def __init__(self, hooks: AttentionHooks, layer: int, kind: str) -> None:
        super().__init__()
        self._hooks, self._layer, self._kind = hooks, layer, kind

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):  # type: ignore[no-untyped-def]
        control = self._hooks.installed
        if control is None:
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, rotary_emb)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.norm_q(attn.to_q(hidden_states)), attn.norm_k(attn.to_k(context)), attn.to_v(context)
        q, k, v = (part.unflatten(2, (attn.heads, -1)) for part in (q, k, v))
        if rotary_emb is not None:
            q, k = rotate(q, *rotary_emb), rotate(k, *rotary_emb)
        site = AttentionSite(self._layer, self._kind, self._hooks.grid, self._hooks.lead)  # type: ignore[arg-type]
        out = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), site, control)
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2, 3).type_as(q)))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al., arXiv 2104.09864) in Wan's layout: x (B, N, heads, d), cos and sin (1, N, 1, d)."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[..., 0::2], sin[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).type_as(x)


class AttentionHooks:
    """What is installed on one transformer. `grid` and `lead` describe the sequence of the running forward pass."""

    def __init__(self, transformer: Any) -> None:
        self.installed: AttentionControl | None = None
        self.grid: Grid = (0, 0, 0)
        self.lead = 0
        for layer, block in enumerate(transformer.blocks):
            block.attn1.set_processor(HookedProcessor(self, layer, "self"))
            block.attn2.set_processor(HookedProcessor(self, layer, "cross"))

    @contextmanager
    def control(self, control: AttentionControl) -> Iterator[None]:
        """Installs a control within the block; the one before comes back on any exit."""
        before, self.installed = self.installed, control
        try:
            yield
        finally:
            self.installed = before

    @contextmanager
    def on(self, grid: Grid, lead: int) -> Iterator[None]:
        """Says what the sequence of the pass within the block is: `lead` tokens, then the grid's."""
        before = self.grid, self.lead
        self.grid, self.lead = grid, lead
        try:
            yield
        finally:
            self.grid, self.lead = before

    @contextmanager
    def state(self, block: nn.Module, look: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
        """Within the block, `look` is given the state (B, C, F, h, w) after a transformer block; what it returns replaces it."""

        def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
            picture = output[:, self.lead :].transpose(1, 2).unflatten(2, self.grid)
            changed = look(picture)
            if changed is None:
                return None
            return torch.cat([output[:, : self.lead], changed.flatten(2).transpose(1, 2).type_as(output)], 1)

        handle = block.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()
