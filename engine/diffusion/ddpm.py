"""Denoising diffusion (DDPM, Ho et al., arXiv 2006.11239): z = √ᾱ · x0 + √(1 − ᾱ) · noise, with ᾱ falling over 1000 steps.

Level n/1000 is the n-th of them, so that levels run from 1 to 0 as those of rectified flow do; level 0 is the clip itself.
The models count from 0: their `timestep` is n − 1. Between two steps log ᾱ is linear.
"""

from __future__ import annotations

from math import exp
from typing import Literal

import torch
from torch import Tensor

from engine.diffusion.backbone import Prediction

Betas = Literal["scaled_linear", "linear"]
Target = Literal["epsilon", "v_prediction", "sample"]
STEPS = 1000


class DdpmSchedule:
    """Levels and scales. `betas`: the first and last β; they are linear between them, or their roots are (scaled_linear)."""

    def __init__(self, first: float = 0.00085, last: float = 0.012, betas: Betas = "scaled_linear") -> None:
        power = 2 if betas == "scaled_linear" else 1
        values = torch.linspace(first ** (1 / power), last ** (1 / power), STEPS, dtype=torch.float64) ** power
        self._log_alpha_bar: list[float] = [0.0, *(1 - values).log().cumsum(0).tolist()]

    def levels(self, steps: int) -> list[float]:
        """`steps` + 1 levels from 1 to 0, even, each n/1000. Raises ValueError for steps outside 1 … 1000.

        Our choice, after Lin et al., arXiv 2305.08891: they begin with the last step, which is all but noise.
        """
        if not 1 <= steps <= STEPS:
            raise ValueError(f"sampling takes 1 to {STEPS} steps; got {steps}")
        return [round(STEPS * (steps - i) / steps) / STEPS for i in range(steps + 1)]

    def scales(self, level: float) -> tuple[float, float]:
        """(√ᾱ, √(1 − ᾱ)). Raises ValueError outside [0, 1]."""
        if not 0 <= level <= 1:
            raise ValueError(f"noise levels are within [0, 1]; got {level}")
        step = min(int(level * STEPS), STEPS - 1)
        low, high = self._log_alpha_bar[step : step + 2]
        alpha_bar = exp(low + (level * STEPS - step) * (high - low))
        return alpha_bar**0.5, (1 - alpha_bar) ** 0.5

    @staticmethod
    def timestep(level: float) -> float:
        """What a model is told: 999 at level 1, 0 at level 1/1000 and below."""
        return max(level * STEPS - 1, 0.0)


def from_output(z: Tensor, output: Tensor, scales: tuple[float, float], target: Target) -> Prediction:
    """x0 and noise from what the model was trained to say: the noise (epsilon), a · noise − b · x0 (v), or x0 (sample).

    At b = 0, x0 = z whatever it says, and the noise is what it says, which inversion starts from. Raises ValueError for
    another target.
    """
    a, b = scales
    if target == "epsilon":
        return Prediction((z - b * output) / a, output)
    if target == "v_prediction":
        return Prediction(a * z - b * output, b * z + a * output)
    if target == "sample":
        return Prediction(output, (z - a * output) / b) if b > 0 else Prediction(z, torch.zeros_like(z))
    raise ValueError(f"unknown prediction {target!r}")
