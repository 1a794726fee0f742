"""Motion tokens: what a video model's features say about the motion along a trajectory, how alike two are, which to choose.

A feature's mean over the frames is what is shown; the rest is how it moves (Xiao et al., "Video Diffusion Models are
Training-free Motion Interpreter and Controller"). Along a trajectory the rest is a motion token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.diffusion.sampling import farthest_points

WIDTH = 64
"""Leading directions of the features that tokens are made of (our choice; the source of the idea keeps 50): 12,288 candidates
of 16 frames take 50 MB, not 1 GB."""


@dataclass(frozen=True, eq=False, slots=True)
class Basis:
    """rows (C, WIDTH or C) of the leading directions of a clip's motion features."""

    rows: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """(C, F, h, w) -> (W, F, h, w)."""
        return torch.einsum("cfhw,ck->kfhw", features.to(self.rows), self.rows)


def motion_of(features: Tensor) -> Tensor:
    """f̂ = f − its mean over the frames; features (C, F, h, w)."""
    return features - features.mean(1, keepdim=True)


def basis_of(features: Tensor, width: int = WIDTH) -> Basis:
    """Of motion features (C, F, h, w): eigenvectors of their covariance, largest first; signs are fixed."""
    flat = features.flatten(1).double()
    values, vectors = torch.linalg.eigh(flat @ flat.T)
    rows = vectors[:, values.argsort(descending=True)[:width]]
    peak = rows.gather(0, rows.abs().argmax(0, keepdim=True))
    return Basis((rows * torch.where(peak < 0, -1.0, 1.0)).float())


@dataclass(frozen=True, eq=False, slots=True)
class MotionTokens:
    """values (N, F, C) of length 1, zero on frames where the trajectory is hidden; visible (N, F)."""

    values: Tensor
    visible: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, chosen: Tensor | list[int]) -> MotionTokens:
        return MotionTokens(self.values[chosen], self.visible[chosen])

    def distance_to(self, other: MotionTokens, index: int) -> Tensor:
        """(N,) in [0, 2]: 1 − mean over common frames of the inner products with the `index`-th of another set; 1 where
        there is no common frame."""
        one, seen = other.values[index], other.visible[index].to(self.values)
        product = self.values.flatten(1) @ one.flatten()
        common = self.visible.to(self.values) @ seen
        return 1 - product / common.clamp_min(1)

    def mean(self) -> Tensor:
        """(N, C): over the visible frames, of length 1."""
        count = self.visible.sum(1, keepdim=True).clamp_min(1)
        return F.normalize(self.values.sum(1) / count, dim=-1)


def along(features: Tensor, places: Tensor, visible: Tensor) -> MotionTokens:
    """Motion features (C, F, h, w) along trajectories: places (F, N, 2), x and y in [−1, 1] of the frame, visible (F, N)."""
    picked = F.grid_sample(features.transpose(0, 1), places[:, :, None].to(features), align_corners=False, padding_mode="border")
    values = F.normalize(picked[..., 0].permute(2, 0, 1), dim=-1)
    return MotionTokens(values * visible.T[..., None].to(values), visible.T)


def normalised(xy: Tensor, size: tuple[int, int]) -> Tensor:
    """Places (..., 2) in px of a frame (H, W), centres at integers -> in [−1, 1], where −1 is the frame's edge."""
    return (2 * xy + 1) / torch.tensor([size[1], size[0]], dtype=xy.dtype, device=xy.device) - 1


def select(tokens: MotionTokens, first: int, stop: float, most: int) -> list[int]:
    """Anchor tokens by farthest point sampling."""
    return farthest_points(lambda index: tokens.distance_to(tokens, index), first, stop, most)


def best_matches(anchors: MotionTokens, candidates: MotionTokens, allowed: Tensor) -> list[int]:
    """For each anchor the candidate with the nearest motion; allowed (A, N) bool. −1 where none is allowed."""
    matches = []
    for index in range(len(anchors)):
        far = candidates.distance_to(anchors, index).masked_fill(~allowed[index], torch.inf)
        best = int(far.argmin()) if len(far) else -1
        matches.append(best if best >= 0 and bool(torch.isfinite(far[best])) else -1)
    return matches
