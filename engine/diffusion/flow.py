"""Rectified flow (Liu et al., arXiv 2209.03003): straight paths z_t = (1 − t) x0 + t · noise, velocity v = noise − x0."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from engine.diffusion.backbone import Prediction


def blend(x0: Tensor, noise: Tensor, t: Tensor | float) -> Tensor:
    """z_t = (1 − t) x0 + t · noise; t a number or (B,)."""
    t = _wide(t, x0)
    return (1 - t) * x0 + t * noise


def from_velocity(z: Tensor, velocity: Tensor, t: Tensor | float) -> Prediction:
    """x0 = z − t·v, noise = z + (1 − t)·v."""
    t = _wide(t, z)
    return Prediction(z - t * velocity, z + (1 - t) * velocity)


def from_clean(z: Tensor, x0: Tensor, t: Tensor | float) -> Prediction:
    """noise = (z − (1 − t) x0) / t. At t = 0 there is nothing to predict: x0 = z, noise = 0."""
    t = _wide(t, z)
    if isinstance(t, float | int):
        return Prediction(x0, (z - (1 - t) * x0) / t) if t > 0 else Prediction(z, torch.zeros_like(z))
    noise = torch.where(t > 0, (z - (1 - t) * x0) / t.clamp_min(1e-8), 0.0)
    return Prediction(torch.where(t > 0, x0, z), noise)


def velocity_of(prediction: Prediction) -> Tensor:
    """v = noise − x0."""
    return prediction.noise - prediction.x0


def shifted_levels(steps: int, shift: float, first: float = 1.0) -> list[float]:
    """Noise levels `first` = t_0 > … > t_steps = 0: even steps s from 1 to 1/1000, then t = shift·s / (1 + (shift − 1)·s).

    Wan's grid (FlowAnchor §B.1): more steps are spent where there is much noise. Raises ValueError for steps < 1.
    """
    if steps < 1:
        raise ValueError("sampling takes one step at least")
    even = torch.linspace(1, 1 / 1000, steps + 1, dtype=torch.float64)[:-1]
    return [*(first * shift * even / (1 + (shift - 1) * even)).tolist(), 0.0]


def euler(z: Tensor, levels: list[float], velocity: Callable[[Tensor, float], Tensor]) -> Tensor:
    """Follows dz/dt = velocity(z, t) from levels[0] to levels[-1] by explicit Euler steps."""
    for t, following in pairwise(levels):
        z = z + (following - t) * velocity(z, t)
    return z


def guided(unconditional: Tensor, conditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho and Salimans, arXiv 2207.12598): u + scale · (c − u)."""
    return unconditional + scale * (conditional - unconditional)


def _wide(t: Tensor | float, like: Tensor) -> Tensor | float:
    return t.to(like).view(-1, *[1] * (like.dim() - 1)) if isinstance(t, Tensor) and t.dim() else t
