"""The bundled model's autoencoder: clips to latents four times smaller in each direction, and back.

Like Wan's it is causal in time and takes 4k + 1 frames: the first frame alone makes the first latent frame, every further
four make another. Unlike Wan's it does all its work at the latents' resolution, with plane convolutions and a look at the
previous latent frame, which is about eighteen times faster on a CPU at the same size (our choice: the drawn world is sharp and
flat, and a clip must be encoded in every training step). A linear map of each cell, the principal components of the world
before training, stands beside both networks: they learn what it cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4
"""Pixels per latent cell in both directions, and frames per latent frame."""


@dataclass(frozen=True, slots=True)
class AutoencoderConfig:
    """`channels` of the latents, `width` of the hidden layers, residual blocks of encoder and decoder."""

    channels: int = 24
    width: int = 96
    encoder_blocks: int = 3
    decoder_blocks: int = 5


def start_at_zero(layer: nn.Module) -> None:
    """The layer gives zero before training: what it stands beside passes unchanged."""
    for value in layer.parameters():
        nn.init.zeros_(value)


class Block(nn.Module):
    """Residual: mixes each cell with its neighbours and with the same cell of the latent frame before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.mix = nn.Conv2d(2 * width, width, 1)
        self.spread = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, width, 3, padding=1)
        start_at_zero(self.out)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x (B·F, C, h, w), F = frames."""
        h = self.norm(x)
        before = h.unflatten(0, (-1, frames))
        before = torch.cat([before[:, :1], before[:, :-1]], 1).flatten(0, 1)
        h = F.silu(self.mix(torch.cat([h, before], 1)))
        return x + self.out(F.silu(self.spread(h)))


class ClipAutoencoder(nn.Module):
    """Deterministic encoder and decoder; latents are normalised by the buffers `mean` and `std` (C,)."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        values = 3 * STRIDE**3
        self.analysis = nn.Conv2d(values, config.channels, 1)
        self.synthesis = nn.Conv2d(config.channels, values, 1)
        self.patch = nn.Conv2d(values, config.width, 1)
        self.encoder = nn.ModuleList(Block(config.width) for _ in range(config.encoder_blocks))
        self.to_latent = nn.Conv2d(config.width, config.channels, 1)
        self.from_latent = nn.Conv2d(config.channels, config.width, 3, padding=1)
        self.decoder = nn.ModuleList(Block(config.width) for _ in range(config.decoder_blocks))
        self.unpatch = nn.Conv2d(config.width, values, 1)
        start_at_zero(self.to_latent)
        start_at_zero(self.unpatch)
        self.register_buffer("mean", torch.zeros(config.channels))
        self.register_buffer("std", torch.ones(config.channels))

    def encode(self, clips: Tensor) -> Tensor:
        """clips (B, 3, T, H, W) in [−1, 1], T = 4k + 1, H and W multiples of 4 -> latents (B, C, k + 1, H/4, W/4).

        Raises ValueError for another size.
        """
        frames, height, width = clips.shape[2:]
        if frames % STRIDE != 1 or height % STRIDE or width % STRIDE:
            raise ValueError(f"a clip has 4k + 1 frames and sides that are multiples of 4; got {frames} of {height} × {width}")
        cells, count = self.cells(clips)
        x = self.patch(cells)
        for block in self.encoder:
            x = block(x, count)
        z = (self.analysis(cells) + self.to_latent(x)).unflatten(0, (-1, count)).transpose(1, 2)
        return (z - self._wide(self.mean)) / self._wide(self.std)

    @staticmethod
    def cells(clips: Tensor) -> tuple[Tensor, int]:
        """Clips (B, 3, T, H, W) cut into cells of 4 × 4 × 4: (B·F, 192, H/4, W/4) and F; the first frame counts four times."""
        clips = torch.cat([clips[:, :, :1].expand(-1, -1, STRIDE - 1, -1, -1), clips], 2)
        cells = clips.unflatten(2, (-1, STRIDE)).permute(0, 2, 1, 3, 4, 5)  # (B, F, 3, 4, H, W)
        return F.pixel_unshuffle(cells.flatten(0, 1).flatten(1, 2), STRIDE), cells.shape[1]

    def decode(self, latents: Tensor) -> Tensor:
        """The inverse of `encode`, as well as training made it; values may leave [−1, 1] a little."""
        count = latents.shape[2]
        z = (latents * self._wide(self.std) + self._wide(self.mean)).transpose(1, 2).flatten(0, 1)
        x = self.from_latent(z)
        for block in self.decoder:
            x = block(x, count)
        cells = self.synthesis(z) + self.unpatch(x)
        x = F.pixel_shuffle(cells, STRIDE).unflatten(1, (3, STRIDE)).unflatten(0, (-1, count))
        return x.permute(0, 2, 1, 3, 4, 5).flatten(2, 3)[:, :, STRIDE - 1 :]

    @staticmethod
    def _wide(values: Tensor) -> Tensor:
        return values[:, None, None, None]
