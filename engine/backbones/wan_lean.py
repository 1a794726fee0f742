"""Wan's transformer block in few, plain operations: the same mathematics as the stock block, for training.

The stock block goes up to single precision and back around every norm, and its attention kernel is slow in half precision on
CPUs (five times slower backwards than two matrix products, measured). Here everything but the norms' statistics stays in one
type: with bfloat16 on a CPU that has instructions for it, a training step takes less than half the time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Rotary = tuple[Tensor, Tensor]


def training_type(device: torch.device) -> torch.dtype:
    """What to train in: bfloat16 where the device multiplies it fast, else float32."""
    # our choice: the instruction set is asked, not a stopwatch, so that a run is the same on every start
    fast = device.type != "cpu" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.bfloat16 if fast else torch.float32


def signed(rotary: Rotary, dtype: torch.dtype) -> Rotary:
    """Wan's tables (cos, sin), each (1, N, 1, d), made ready for `block`: the sine of even places counts negative."""
    cos, sin = rotary
    sign = torch.ones_like(sin)
    sign[..., 0::2] = -1
    return cos.to(dtype), (sin * sign).to(dtype)


def block(stock: Any, x: Tensor, text: Tensor, modulation: Tensor, rotary: Rotary) -> Tensor:
    """What `stock`, a WanTransformerBlock, makes of x (B, N, C), worked out in x's type; `rotary` from `signed`."""
    shift, scale, gate, shift2, scale2, gate2 = (stock.scale_shift_table + modulation).to(x.dtype).chunk(6, 1)
    width = x.shape[-1:]
    h = torch.addcmul(shift, F.layer_norm(x, width, eps=stock.norm1.eps), 1 + scale)
    x = torch.addcmul(x, _attention(stock.attn1, h, h, rotary), gate)
    norm = stock.norm2
    h = F.layer_norm(x, width, norm.weight.to(x.dtype), norm.bias.to(x.dtype), norm.eps)
    x = x + _attention(stock.attn2, h, text, None)
    h = torch.addcmul(shift2, F.layer_norm(x, width, eps=stock.norm3.eps), 1 + scale2)
    h = linear(stock.ffn.net[2], F.gelu(linear(stock.ffn.net[0].proj, h), approximate="tanh"))
    return torch.addcmul(x, h, gate2)


def linear(layer: Any, x: Tensor) -> Tensor:
    """The layer's map in x's type."""
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def _attention(attention: Any, x: Tensor, context: Tensor, rotary: Rotary | None) -> Tensor:
    heads = attention.heads
    q, k, v = linear(attention.to_q, x), linear(attention.to_k, context), linear(attention.to_v, context)
    q = _rms(q, attention.norm_q.weight * (q.shape[-1] // heads) ** -0.5, attention.norm_q.eps)
    k = _rms(k, attention.norm_k.weight, attention.norm_k.eps)
    q, k, v = (part.unflatten(2, (heads, -1)) for part in (q, k, v))
    if rotary is not None:
        q, k = _rotate(q, rotary), _rotate(k, rotary)
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    out = (q @ k.transpose(-1, -2)).softmax(-1) @ v
    return linear(attention.to_out[0], out.transpose(1, 2).flatten(2))


def _rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return x * torch.rsqrt(length.square() / x.shape[-1] + eps).to(x.dtype) * weight.to(x.dtype)


def _rotate(x: Tensor, rotary: Rotary) -> Tensor:
    cos, sin = rotary
    return x * cos + x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2) * sin
