"""What a training step is given: edits of the drawn world as latents, their words, and what each token shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones.bundled_autoencoder import STRIDE, ClipAutoencoder
from engine.backbones.wan_lean import training_type
from engine.world.draw import Drawing, draw
from engine.world.edits import Order, edits
from engine.world.scene import Scenes, sample
from engine.world.truth import flow
from engine.world.words import BACKGROUNDS, COLOURS, MATERIALS, SHAPES

LABELS = len(SHAPES) + len(COLOURS) + len(MATERIALS) + len(BACKGROUNDS)
CELL = 2 * STRIDE
"""Pixels along the side of a token."""


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """B edits: videos (B, 3, T, H, W) in [−1, 1], their latents (B, C, F, h, w), orders, and labels (B, N, LABELS) in [0, 1]."""

    source_video: Tensor
    target_video: Tensor
    source: Tensor
    target: Tensor
    orders: list[Order]
    source_labels: Tensor
    target_labels: Tensor
    scenes: Scenes

    def flow(self) -> Tensor:
        """The source's motion, exactly: (B, T, 2, H, W), at each latent frame's last frame the pixels back to the one before."""
        batch, _, frames, height, width = self.source_video.shape
        moved = torch.zeros(batch, frames, 2, height, width)
        for b in range(batch):
            for mark in range(STRIDE, frames, STRIDE):
                back, _ = flow(self.scenes[[b]].to("cpu"), (height, width), float(mark), float(mark - STRIDE))
                moved[b, mark] = back.permute(2, 0, 1)
        return moved.to(self.source_video)


@torch.no_grad()
def pairs(
    autoencoder: ClipAutoencoder, numbers: range, frames: int, *, seed: int, size: int, device: torch.device, split: str = "train"
) -> Pairs:
    """The edits of the scenes with these numbers, as clips of `frames` frames and `size` × `size` pixels."""
    made = edits(sample(seed, numbers, split), split)
    videos, shown = [], []
    for scenes in (made.source, made.target):
        scenes = scenes.to(device)
        drawing = draw(scenes, (size, size), frames)
        videos.append(2 * drawing.video.transpose(1, 2) - 1)
        shown.append(labels(scenes, drawing))
    with torch.autocast(device.type, torch.bfloat16, enabled=training_type(device) == torch.bfloat16):
        latents = [autoencoder.encode(video).float() for video in videos]
    return Pairs(videos[0], videos[1], latents[0], latents[1], made.orders, shown[0], shown[1], made.source)


def labels(scenes: Scenes, drawing: Drawing) -> Tensor:
    """(B, N, LABELS): of each token's pixels, the share that shows each shape, colour, material and background."""
    subjects = scenes.subjects
    names = (SHAPES, COLOURS, MATERIALS)
    kinds = [
        F.one_hot(which, len(words))
        for which, words in zip((subjects.shape, subjects.colour, subjects.material), names, strict=True)
    ]
    ground = F.one_hot(scenes.background, len(BACKGROUNDS)).float()
    seen = drawing.visible
    seen = torch.cat([seen[:, :, :1].expand(-1, -1, STRIDE - 1, -1, -1), seen], 2)
    seen = F.avg_pool3d(seen, (STRIDE, CELL, CELL)).flatten(2)  # (B, K, N)
    rest = (1 - seen.sum(1)).clamp(0, 1)
    subjects_seen = torch.einsum("bkn,bkl->bnl", seen, torch.cat(kinds, -1).float())
    return torch.cat([subjects_seen, rest[..., None] * ground[:, None]], -1)
