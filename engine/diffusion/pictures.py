"""Between the clip's frames and a model's: to its size and range, and back without losing what the source has.

A model works at its own size, often a small one. What comes back is only the *change* that it made, laid over the source at
full size: where nothing changed, the source's detail stays.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def fit(frames: np.ndarray, size: tuple[int, int]) -> Tensor:
    """frames (T, H, W, 3) uint8 -> (T, 3, h, w) float32 in [−1, 1], resized to `size` = (h, w); stretched, never cropped."""
    pictures = torch.tensor(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    if pictures.shape[-2:] == size:
        return pictures
    smaller = size[0] < pictures.shape[-2] or size[1] < pictures.shape[-1]
    return F.interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=smaller).clamp(-1, 1)


def lay(source: np.ndarray, before: Tensor, after: Tensor) -> np.ndarray:
    """(H, W, 3) uint8: source (H, W, 3) uint8 + (after − before) (3, h, w) in [−1, 1], the change resized to full size.

    `before` is what the model was shown of the source (`fit`), or what its latents make of that.
    """
    change = (after.detach().cpu().float() - before.detach().cpu().float())[None] * 127.5
    if change.shape[-2:] != source.shape[:2]:
        change = F.interpolate(change, source.shape[:2], mode="bicubic", align_corners=False)
    return np.clip(np.rint(source + change[0].permute(1, 2, 0).numpy()), 0, 255).astype(np.uint8)


def working_size(size: tuple[int, int], area: int, multiple: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of about `area` pixels in the clip's proportions, each side a multiple of what the model takes, at least one."""
    scale = (area / (size[0] * size[1])) ** 0.5
    height, width = (max(m, round(side * scale / m) * m) for side, m in zip(size, multiple, strict=True))
    return height, width
