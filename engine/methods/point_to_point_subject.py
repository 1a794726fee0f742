"""Point-to-Point's new subject from pictures: a LoRA on a few of them, under the target prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from engine.diffusion.adapt import adapter, save, train
from engine.diffusion.backbone import DiffusionBackbone, Text

RANK, BATCH = 16, 2
RATES = {"bundled": 2e-3}
"""AdamW's, where 1e-4 is not right: small models learn at larger ones."""


def learn_subject(
    model: DiffusionBackbone,
    text: Text,
    pictures: Sequence[Tensor],
    path: Path,
    *,
    steps: int,
    seed: int,
    tick: Callable[[], None],
) -> None:
    """Trains on latents (1, C, 1, h, w) of pictures, each a clip of one frame, and keeps the adapter in `path`."""
    assert model.denoiser is not None
    dice = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        clean = torch.cat([pictures[int(torch.randint(len(pictures), (1,), generator=dice))] for _ in range(BATCH)])
        noise = torch.randn(clean.shape, generator=dice).to(clean)
        level = 0.02 + 0.98 * float(torch.rand(1, generator=dice))
        a, b = model.scales(level)
        said = model.predict(a * clean + b * noise, level, text)
        error = said.noise - noise
        return (error - (said.x0 - clean) if abs(a + b - 1) < 1e-6 else error).square().mean()

    with adapter(model.denoiser, RANK) as parameters:
        train(parameters, loss, steps, RATES.get(model.name, 1e-4), lambda step, value: tick())
        save(parameters, path)
