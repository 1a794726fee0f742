"""Masks of pixels on a model's grids: where the tokens and latents of an edit are.

Video autoencoders are causal in time: latent frame 0 holds frame 0 alone, latent frame j the `stride` frames up to frame
stride · j. A cell that holds any of the mask belongs to it: a thin part is never lost on the way to a coarse grid, and a
mask may be as rough as a box.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def latent_frames(frames: int, stride: int) -> int:
    """How many latent frames hold that many frames: 1 + ⌈(frames − 1) / stride⌉. Raises ValueError for frames < 1."""
    if frames < 1:
        raise ValueError("a clip has one frame at least")
    return 1 - (1 - frames) // stride


def pool(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., H, W) bool -> (..., h, w) bool, True where a cell touches the mask; any size, larger or smaller."""
    flat = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    return F.adaptive_max_pool2d(flat, size).reshape(*mask.shape[:-2], *size) > 0


def causal(mask: Tensor, stride: int) -> Tensor:
    """(T, h, w) bool of frames -> (F, h, w) bool of latent frames: each takes the union of its frames.

    A last latent frame that is not filled takes what is there, as though the last frame were repeated.
    """
    count = latent_frames(len(mask), stride)
    filled = torch.cat([mask, mask[-1:].expand(1 + stride * (count - 1) - len(mask), -1, -1)])
    groups = filled[1:].unflatten(0, (count - 1, stride)) if count > 1 else filled[1:, None]
    return torch.cat([filled[:1], groups.any(1)])


def token_mask(mask: Tensor, grid: tuple[int, int, int], stride: int) -> Tensor:
    """(T, H, W) bool of pixels -> (N,) bool of tokens, N = F·h·w in row-major order, as transformers flatten their patches.

    Raises ValueError where the grid's F does not hold T frames.
    """
    if latent_frames(len(mask), stride) != grid[0]:
        raise ValueError(f"{len(mask)} frames do not fill {grid[0]} latent frames of {stride}")
    return causal(pool(mask, grid[1:]), stride).flatten()


def soften(mask: Tensor) -> Tensor:
    """(B, h, w) bool -> (B, h, w) in [0, 1]: 1 inside, falling to 0 over one cell outside."""
    hard = mask.float()
    around = F.avg_pool2d(F.pad(hard[:, None], (1, 1, 1, 1), mode="replicate"), 3, 1)[:, 0]
    return torch.maximum(hard, around)
