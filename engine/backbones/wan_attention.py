"""What ties the hooks to Wan's transformer; the bundled model and the hub's Wan and VACE share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import Tensor

from engine.backbones.caches import refuse_caches
from engine.backbones.hooks import Hooks
from engine.diffusion.attention import AttentionSite, Kind, attend

TEXT_TOKENS = 512
"""Of models that also look at a picture: its tokens stand before the last 512, which are the text's (diffusers' own rule)."""


class WanHooks:
    """Routes a transformer's attention and the states after its blocks (sites "block.0", "block.1", …) through `hooks`.

    While nothing is installed the stock computation runs, bit by bit. VACE's own blocks have the layers after the last.
    """

    def __init__(self, transformer: Any, hooks: Hooks) -> None:
        self.transformer, self.hooks = transformer, hooks
        self.grid, self.lead = (0, 0, 0), 0
        for index, block in enumerate(transformer.blocks):
            self._route(block, index, f"blocks.{index}")
            block.register_forward_hook(lambda block, inputs, output, site=f"block.{index}": self._after(site, output))
        for index, block in enumerate(getattr(transformer, "vace_blocks", ())):
            self._route(block, len(transformer.blocks) + index, f"vace_blocks.{index}")

    @contextmanager
    def on(self, grid: tuple[int, int, int], lead: int) -> Iterator[None]:
        """Says what the sequence of the pass within the block is: `lead` tokens, then those of the grid (F, h, w).

        Raises MethodError where hooks are in use and a cache would leave out parts of the pass.
        """
        if self.hooks.busy:
            refuse_caches(self.transformer)
        before = self.grid, self.lead
        self.grid, self.lead = grid, lead
        try:
            yield
        finally:
            self.grid, self.lead = before

    def site(self, layer: int, kind: Kind, name: str) -> AttentionSite:
        return AttentionSite(layer, kind, self.grid, self.lead, name=name)

    def _route(self, block: Any, layer: int, name: str) -> None:
        block.attn1.set_processor(HookedProcessor(self, layer, "self", f"{name}.attn1"))
        block.attn2.set_processor(HookedProcessor(self, layer, "cross", f"{name}.attn2"))

    def _after(self, site: str, output: Tensor) -> Tensor | None:
        """The state (B, C, F, h, w) of the grid's tokens passes its site; None leaves the output as it is."""
        if not self.hooks.watched(site):
            return None
        state = output[:, self.lead :].transpose(1, 2).unflatten(2, self.grid)
        changed = self.hooks.passing(site, state)
        return torch.cat([output[:, : self.lead], changed.flatten(2).transpose(1, 2).type_as(output)], 1)


class HookedProcessor(WanAttnProcessor):
    """Stock attention until a control is installed; then the same computation through `attend`.

    What a model with an image encoder sees of its pictures is added untouched; the control has the words.
    """

    def __init__(self, wan: WanHooks, layer: int, kind: Kind, name: str) -> None:
        super().__init__()
        self._wan, self._layer, self._kind, self._name = wan, layer, kind, name

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):  # type: ignore[no-untyped-def]
        control = self._wan.hooks.installed
        if control is None:
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, rotary_emb)
        picture, context = None, encoder_hidden_states
        if attn.add_k_proj is not None:
            picture, context = context[:, :-TEXT_TOKENS], context[:, -TEXT_TOKENS:]
        q, k, v = _projections(attn, hidden_states, context)
        q, k, v = (part.unflatten(2, (attn.heads, -1)) for part in (attn.norm_q(q), attn.norm_k(k), v))
        if rotary_emb is not None:
            q, k = rotate(q, *rotary_emb), rotate(k, *rotary_emb)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        out = attend(q, k, v, self._wan.site(self._layer, self._kind, self._name), control)
        out = out.transpose(1, 2).flatten(2, 3).type_as(q)
        if picture is not None:
            out = out + _look_at(attn, q, picture)
        return attn.to_out[1](attn.to_out[0](out))


def _projections(attn: Any, states: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (B, N or J, heads · d), also of a layer whose projections were fused into one."""
    if getattr(attn, "fused_projections", False):
        if not attn.is_cross_attention:
            q, k, v = attn.to_qkv(states).chunk(3, -1)
            return q, k, v
        k, v = attn.to_kv(states if context is None else context).chunk(2, -1)
        return attn.to_q(states), k, v
    context = states if context is None else context
    return attn.to_q(states), attn.to_k(context), attn.to_v(context)


def _look_at(attn: Any, q: Tensor, picture: Tensor) -> Tensor:
    """Attention of the queries (B, heads, N, d) on the tokens of a picture (B, J, C) -> (B, N, heads · d)."""
    if getattr(attn, "fused_projections", False):
        k, v = attn.to_added_kv(picture).chunk(2, -1)
    else:
        k, v = attn.add_k_proj(picture), attn.add_v_proj(picture)
    k, v = (part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in (attn.norm_added_k(k), v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2, 3).type_as(q)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al., arXiv 2104.09864) in Wan's layout: x (B, N, heads, d), cos and sin (1, N, 1, d)."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[..., 0::2], sin[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).type_as(x)
