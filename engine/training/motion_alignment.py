"""Motion Alignment (SAMA §3.3): pretext tasks on clips without captions. The source is spoilt, the answer is the clip as it was.

Each task has a prefix, a word of the bundled model's vocabulary that stands for the paper's sentence.
"""

from __future__ import annotations

import torch
from torch import Tensor

PRETEXTS = ("none", "cube", "speed", "tube")
MIX = (1, 2, 3, 4)
PREFIX = {
    "cube": "[complete]",  # [Complete the missing regions in the video.]
    "speed": "[speed]",  # [Restore the video to normal playback speed.]
    "tube": "[order]",  # [Restore the correct spatio-temporal order of the video segments.]
}
MASKED = 0.3
"""Share of the frames that cube inpainting takes away, in one block."""


def draw_pretext(dice: torch.Generator) -> str:
    """One of PRETEXTS, in the shares of MIX."""
    return PRETEXTS[int(torch.multinomial(torch.tensor(MIX, dtype=torch.float), 1, generator=dice))]


def spoil(video: Tensor, pretext: str, dice: torch.Generator) -> Tensor:
    """The source of a pretext task on video (B, 3, T, H, W) in [−1, 1]. Raises KeyError for an unknown task."""
    return {"none": _as_it_is, "cube": cube_inpainting, "speed": speed_perturbation, "tube": tube_shuffle}[pretext](video, dice)


def _as_it_is(video: Tensor, dice: torch.Generator) -> Tensor:
    return video


def cube_inpainting(video: Tensor, dice: torch.Generator) -> Tensor:
    """A block of successive frames, MASKED of all, is grey."""
    frames = video.shape[2]
    length = max(1, round(MASKED * frames))
    start = int(torch.randint(frames - length + 1, (), generator=dice))
    out = video.clone()
    out[:, :, start : start + length] = 0
    return out


def speed_perturbation(video: Tensor, dice: torch.Generator) -> Tensor:
    """Twice as fast, then standing still at its end: as many frames as before."""
    frames = video.shape[2]
    return video[:, :, (2 * torch.arange(frames)).clamp_max(frames - 1)]


def tube_shuffle(video: Tensor, dice: torch.Generator) -> Tensor:
    """The clip cut into 2 × 2 × 2 blocks in time, rows and columns, which change places. Odd frames stay at the beginning."""
    frames, height, width = (size // 2 * 2 for size in video.shape[2:])
    late = video.shape[2] - frames
    halves = video[:, :, late:, :height, :width]
    halves = halves.unflatten(4, (2, -1)).unflatten(3, (2, -1)).unflatten(2, (2, -1))  # (B, 3, 2, T/2, 2, H/2, 2, W/2)
    blocks = halves.permute(2, 4, 6, 0, 1, 3, 5, 7).flatten(0, 2)
    blocks = blocks[torch.randperm(8, generator=dice)].unflatten(0, (2, 2, 2))
    out = video.clone()
    out[:, :, late:, :height, :width] = blocks.permute(3, 4, 0, 5, 1, 6, 2, 7).flatten(6, 7).flatten(4, 5).flatten(2, 3)
    return out
