"""What the bundled model may know of a clip beside its text and source: some frames of the answer, edges, flow.

    channels   C latents of the frames that are known, else 0; 1: which are
               16 edges at the end of each latent frame (a cell's 4 × 4 pixels), 1: whether they are given
               2 flow back to the end of the latent frame before, in cells; 1: whether it is given

That makes C + 21; a latent frame's *mark* is the last frame that it holds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones.bundled_autoencoder import STRIDE

BESIDE = 21


def beside(known: Tensor, mask: Tensor, edges: Tensor | None = None, flow: Tensor | None = None) -> Tensor:
    """(B, C + 21, F, h, w). known (B, C, F, h, w) latents, mask (B, F) of 0 and 1; edges (B, T, H, W) in [0, 1]; flow
    (B, T, 2, H, W): at each mark, pixels back to the mark before."""
    batch, _, frames, height, width = known.shape
    which = mask[:, None, :, None, None].expand(-1, 1, -1, height, width).to(known)
    parts = [known * which, which]
    for given, channels, pack in ((edges, STRIDE * STRIDE, _edges), (flow, 2, _flow)):
        if given is None:
            parts.append(known.new_zeros(batch, channels + 1, frames, height, width))
        else:
            parts += [pack(given[:, ::STRIDE]).to(known), known.new_ones(batch, 1, frames, height, width)]
    return torch.cat(parts, 1)


def _edges(edges: Tensor) -> Tensor:
    """(B, F, H, W) -> (B, 16, F, H/4, W/4)."""
    return F.pixel_unshuffle(edges.flatten(0, 1)[:, None], STRIDE).unflatten(0, edges.shape[:2]).transpose(1, 2)


def _flow(flow: Tensor) -> Tensor:
    """(B, F, 2, H, W) pixels -> (B, 2, F, H/4, W/4) cells."""
    return F.avg_pool2d(flow.flatten(0, 1) / STRIDE, STRIDE).unflatten(0, flow.shape[:2]).transpose(1, 2)


def known_video(first: Tensor | None, last: Tensor | None, frames: int) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, H, W) in [−1, 1] as a clip (B, 3, frames, H, W) to encode, grey between, and which latent frames are known
    (B, F). The last picture stands still over its whole latent frame. Raises ValueError where neither is given."""
    given = first if first is not None else last
    if given is None:
        raise ValueError("neither a first nor a last picture is given")
    clip = given.new_zeros(given.shape[0], 3, frames, *given.shape[2:])
    mask = given.new_zeros(given.shape[0], (frames + STRIDE - 1) // STRIDE)
    if first is not None:
        clip[:, :, 0], mask[:, 0] = first, 1
    if last is not None and frames > 1:
        clip[:, :, -STRIDE:], mask[:, -1] = last[:, :, None], 1
    return clip, mask


def edges_of(video: Tensor) -> Tensor:
    """video (B, 3, T, H, W) in [−1, 1] -> (B, T, H, W) in [0, 1]: the Sobel gradient of its grey value, cut off at 1."""
    grey = video.mean(1).flatten(0, 1)[:, None]
    sobel = video.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    gradient = F.conv2d(padded, torch.stack([sobel, sobel.T])[:, None])
    return gradient.norm(dim=1).clamp(0, 1).unflatten(0, (video.shape[0], -1))
