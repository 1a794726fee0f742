"""Muon (Jordan et al., 2024, github.com/KellerJordan/Muon): steps along the orthogonal part of a matrix's momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration that brings all singular values near 1, Muon's own."""


class Muon(torch.optim.Optimizer):
    """For matrices alone. The update's mean square is that of AdamW (0.2 · √max(rows, columns), Moonlight, arXiv 2502.16982), so
    that rates of both are on one scale. The state has AdamW's names, for checkpoints; `exp_avg_sq` is empty."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for value in group["params"]:
                alike.setdefault(value.shape, []).append(value)
            for values in alike.values():
                self._step(values, group)

    def _step(self, values: list[nn.Parameter], group: dict[str, Any]) -> None:
        updates = []
        for value in values:
            assert value.grad is not None
            state = self.state[value]
            if not state:
                state.update(step=torch.tensor(0.0), exp_avg=torch.zeros_like(value), exp_avg_sq=value.new_zeros(0))
            state["step"] += 1
            state["exp_avg"].lerp_(value.grad, 1 - group["momentum"])
            updates.append(value.grad.lerp(state["exp_avg"], group["momentum"]))
        steps = orthogonal(torch.stack(updates))
        scale = 0.2 * max(values[0].shape) ** 0.5
        for value, update in zip(values, steps, strict=True):
            value.mul_(1 - group["lr"] * group["weight_decay"])
            value.add_(update.to(value.dtype), alpha=-group["lr"] * scale)


def orthogonal(matrices: Tensor, rounds: int = 5) -> Tensor:
    """(n, rows, columns) -> the same singular vectors with all singular values near 1, as bfloat16; zero stays zero."""
    x = matrices.to(torch.bfloat16)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
