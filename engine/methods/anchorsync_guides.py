"""What a model that fills a gap between two edited pictures is told of the source: its edges and its motion."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

EDGES = (100, 200)
"""Canny's thresholds."""
SMALL = 256
"""Pictures with a shorter side than that are enlarged before their motion is read: the search's patches are of 8 pixels."""


def edges_of(sources: Tensor) -> Tensor:
    """sources (T, 3, H, W) in [−1, 1] -> (T, H, W) in [0, 1]: Sobel's gradient of the grey value, as the bundled model learnt."""
    sobel = sources.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4
    padded = F.pad(sources.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, torch.stack([sobel, sobel.T])[:, None]).norm(dim=1).clamp(0, 1)


def flow_back(sources: Tensor, stride: int) -> Tensor:
    """sources (T, 3, H, W) in [−1, 1] -> (T, 2, H, W) px: at each multiple of `stride` back to the one before; else 0."""
    scale = max(1, SMALL // min(sources.shape[-2:]))
    grey = [cv2.resize(one, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) for one in _grey(sources[::stride])]
    moved = sources.new_zeros(len(sources), 2, *sources.shape[2:])
    for number in range(1, len(grey)):
        flow = cv2.resize(_flow(grey[number], grey[number - 1]), sources.shape[:-3:-1], interpolation=cv2.INTER_AREA) / scale
        moved[number * stride] = torch.from_numpy(flow).permute(2, 0, 1)
    return moved


def _grey(sources: Tensor) -> list[np.ndarray]:
    return [((frame.mean(0) + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy() for frame in sources]


def _flow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow: np.ndarray = dis.calc(a, b, np.zeros((*a.shape, 2), np.float32))
    return flow


def control_video(sources: Tensor, ends: tuple[Tensor, Tensor], *, edges: bool, flow: bool) -> tuple[Tensor, Tensor]:
    """What a model with an input for a video is shown, (T, 3, H, W), and its mask (T, 1, H, W), 1 = make.

    The edited anchors at both ends; between them the source's edges in white and its motion in colours (direction as hue,
    length as brightness), each where it is asked for. sources (T, 3, H, W), ends (3, H, W), all in [−1, 1].
    """
    count = len(sources)
    video = torch.zeros_like(sources)
    grey = _grey(sources)
    for at in range(1, count - 1):
        shown = np.zeros((*grey[at].shape, 3), np.uint8)
        if flow:
            shown = coloured(_flow(grey[at - 1], grey[at]))
        if edges:
            shown[cv2.Canny(grey[at], *EDGES) > 0] = 255
        video[at] = torch.from_numpy(shown).permute(2, 0, 1).float() / 127.5 - 1
    video[0], video[-1] = ends
    mask = torch.ones(count, 1, *sources.shape[2:])
    mask[0] = mask[-1] = 0
    return video, mask


def coloured(flow: np.ndarray) -> np.ndarray:
    """Flow (H, W, 2) px -> (H, W, 3) uint8: direction as hue, length as brightness, whole at 8 px."""
    length, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1])
    hsv = np.stack([angle * 90 / np.pi, np.full_like(angle, 255), np.minimum(length / 8, 1) * 255], -1)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
