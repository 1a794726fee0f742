"""FlowAnchor at Wan 1.3B's full size, 832 × 480, where there is a GPU: random weights cost what real ones do.

One edit is 23 steps of 4 passes. Plain is the same 92 passes with attention left alone and the signal as it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from engine.device import torch_device, working_dtype
from engine.diffusion.backbone import DiffusionBackbone, Text
from engine.diffusion.windows import SharedNoise, Window
from engine.methods.cards import FlowAnchorConfig as Config
from engine.methods.flowanchor import WAN_GUIDANCE, Asked, Editing, Part, edit_windows, frame_factor
from tests.bench.harness import Figure, Report, say

LENGTHS, SIZE = (41, 81), (480, 832)
WORDS, WIDTH, PIECES = 512, 4096, 40
"""Positions of a prompt, their width, and how many of them a long sentence takes."""


def figures() -> Iterator[Figure]:
    for frames in LENGTHS:
        yield Figure(f"wan_seconds_{frames}", f"Wan 1.3B, {frames} frames of 832 × 480: one edit", "s")
        yield Figure(f"wan_time_ratio_{frames}", "the same, to the same passes left alone", "times", 1.15)
        yield Figure(f"wan_gb_{frames}", "most memory on the GPU, transformer alone", "GB", 16)


def run(report: Report) -> None:
    """Leaves the figures out, with the reason, where there is no GPU."""
    device = torch_device()
    if device.type == "cpu":
        report.lack("There is no GPU here.", "wan_")
        return
    from tests.bench import full_size  # needs a GPU

    model, _ = full_size.wan(device, working_dtype(device), "whole")
    for frames in LENGTHS:
        full, plain = Config(), Config(beta_text=0.0, beta_space_time=0.0, gamma=0.0, tau=1.1)
        cost(model, 5, plain, device)  # warm
        full_size.forget(device)
        seconds = cost(model, frames, full, device)
        report.reach(f"wan_gb_{frames}", full_size.peak(device) / 1e9)
        report.reach(f"wan_seconds_{frames}", seconds)
        report.reach(f"wan_time_ratio_{frames}", seconds / cost(model, frames, plain, device))
        say(f"Wan 1.3B, {frames} frames: {seconds:.0f} s")


def cost(
    model: DiffusionBackbone, frames: int, config: Config, device: torch.device, size: tuple[int, int] = (480, 832)
) -> float:
    """Seconds of one edit of random latents; the mask is the middle of the picture, the word to edit the fifth."""
    part, asked = _part(model, frames, size, device), _asked(device)
    factor = frame_factor(config.gamma, part.source.shape[2])
    editing = Editing(model, asked, config, factor, SharedNoise(0), refine=True)
    begun = time.perf_counter()
    states = edit_windows(editing, [part], [Window(0, frames)], lambda: None)
    float(states[0].sum())  # waits for the device
    return time.perf_counter() - begun


def _part(model: DiffusionBackbone, frames: int, size: tuple[int, int], device: torch.device) -> Part:
    stride = model.stride
    grid = (1 + (frames - 1) // stride[0], size[0] // stride[1], size[1] // stride[2])
    middle = torch.zeros(grid, dtype=torch.bool, device=device)
    middle[:, grid[1] // 3 : 2 * grid[1] // 3, grid[2] // 3 : 2 * grid[2] // 3] = True
    latents = torch.randn(1, 16, grid[0], 2 * grid[1], 2 * grid[2], device=device)
    fine = middle.repeat_interleave(2, 1).repeat_interleave(2, 2)
    return Part(latents, fine, middle.flatten(), tuple(range(0, stride[0] * grid[0], stride[0])))


def _asked(device: torch.device) -> Asked:
    real = torch.arange(WORDS) < PIECES
    texts = [Text("", (), (), (torch.randn(1, WORDS, WIDTH) * real[:, None]).to(device)) for _ in range(3)]
    target = torch.zeros(WORDS, dtype=torch.bool)
    target[4] = True
    return Asked(texts[0], texts[1], texts[2], target, real, WAN_GUIDANCE)
