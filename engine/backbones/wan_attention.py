"""What ties the hooks to Wan's transformer; the bundled model and the hub's Wan share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import Tensor

from engine.backbones.hooks import Hooks
from engine.diffusion.attention import AttentionSite, attend


class WanHooks:
    """Routes a transformer's attention and the states after its blocks (sites "block.0", "block.1", …) through `hooks`.

    While nothing is installed the stock computation runs, bit by bit.
    """

    def __init__(self, transformer: Any, hooks: Hooks) -> None:
        self.hooks = hooks
        self.grid, self.lead = (0, 0, 0), 0
        for layer, block in enumerate(transformer.blocks):
            block.attn1.set_processor(HookedProcessor(self, layer, "self"))
            block.attn2.set_processor(HookedProcessor(self, layer, "cross"))
            block.register_forward_hook(lambda block, inputs, output, site=f"block.{layer}": self._after(site, output))

    @contextmanager
    def on(self, grid: tuple[int, int, int], lead: int) -> Iterator[None]:
        """Says what the sequence of the pass within the block is: `lead` tokens, then those of the grid (F, h, w)."""
        before = self.grid, self.lead
        self.grid, self.lead = grid, lead
        try:
            yield
        finally:
            self.grid, self.lead = before

    def _after(self, site: str, output: Tensor) -> Tensor | None:
        """The state (B, C, F, h, w) of the grid's tokens passes its site; None leaves the output as it is."""
        if not self.hooks.watched(site):
            return None
        state = output[:, self.lead :].transpose(1, 2).unflatten(2, self.grid)
        changed = self.hooks.passing(site, state)
        return torch.cat([output[:, : self.lead], changed.flatten(2).transpose(1, 2).type_as(output)], 1)


class HookedProcessor(WanAttnProcessor):
    """Stock attention until a control is installed; then the same computation through `attend`."""

    def __init__(self, wan: WanHooks, layer: int, kind: str) -> None:
        super().__init__()
        self._wan, self._layer, self._kind = wan, layer, kind

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):  # type: ignore[no-untyped-def]
        control = self._wan.hooks.installed
        if control is None:
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, rotary_emb)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.norm_q(attn.to_q(hidden_states)), attn.norm_k(attn.to_k(context)), attn.to_v(context)
        q, k, v = (part.unflatten(2, (attn.heads, -1)) for part in (q, k, v))
        if rotary_emb is not None:
            q, k = rotate(q, *rotary_emb), rotate(k, *rotary_emb)
        site = AttentionSite(self._layer, self._kind, self._wan.grid, self._wan.lead)  # type: ignore[arg-type]
        out = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), site, control)
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2, 3).type_as(q)))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al., arXiv 2104.09864) in Wan's layout: x (B, N, heads, d), cos and sin (1, N, 1, d)."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[..., 0::2], sin[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).type_as(x)
