"""Point adapter: tokens put into a model's states at their places along trajectories, by small networks, one a level.

As in VideoSwap (Gu et al., arXiv 2312.02087): what a network makes of a token is laid on the four cells around its place on
each frame and added to the state. The last layer starts at zero, so that an untrained adapter changes nothing (our choice).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from engine.diffusion.backbone import DiffusionBackbone

HIDDEN = 128


class PointAdapter(nn.Module):
    """`widths`: channels of the state at each site; `width`: of a token."""

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.sites, self.widths = tuple(widths), tuple(widths.values())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # where it starts must not depend on what was drawn before
            self.levels = nn.ModuleList(
                nn.Sequential(nn.Linear(width, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, channels)) for channels in widths.values()
            )
        for level in self.levels:
            assert isinstance(level, nn.Sequential)
            nn.init.zeros_(level[-1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(level[-1].bias)  # type: ignore[arg-type]

    @contextmanager
    def on(self, model: DiffusionBackbone, tokens: Tensor, places: Tensor, visible: Tensor, gain: float = 1.0) -> Iterator[None]:
        """Within the block every pass of the model is given the tokens (A, C): places (F, A, 2) in [−1, 1], visible (F, A)."""
        with ExitStack() as stack:
            for site, level in zip(self.sites, self.levels, strict=True):

                def change(state: Tensor, level: nn.Module = level) -> Tensor:
                    told = level(tokens.to(next(level.parameters())))
                    laid = splat(told, places, visible, (state.shape[2], state.shape[3], state.shape[4]))
                    return state + (gain * laid).to(state)

                stack.enter_context(model.inject(site, change))
            yield


def splat(values: Tensor, places: Tensor, visible: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """values (A, C) laid on a grid (F, h, w) -> (1, C, F, h, w): each on the four cells around its place, by nearness, where it
    is visible; several add up. places (F, A, 2) in [−1, 1], visible (F, A). Gradients pass to the values."""
    frames, rows, columns = grid
    size = torch.tensor([columns, rows], dtype=torch.float32, device=values.device)
    at = (places.to(values.device, torch.float32) + 1) / 2 * size - 0.5
    low = at.floor()
    part = at - low
    out = values.new_zeros(frames * rows * columns, values.shape[1])
    frame = torch.arange(frames, device=values.device)[:, None].expand(at.shape[:2])
    for right in (0, 1):
        for down in (0, 1):
            x, y = low[..., 0] + right, low[..., 1] + down
            weight = (part[..., 0] if right else 1 - part[..., 0]) * (part[..., 1] if down else 1 - part[..., 1])
            weight = weight * visible.to(values.device) * ((x >= 0) & (x < columns) & (y >= 0) & (y < rows))
            cell = (frame * rows + y.clamp(0, rows - 1).long()) * columns + x.clamp(0, columns - 1).long()
            told = weight[..., None].to(values) * values.expand(frames, -1, -1)
            out = out.index_add(0, cell.flatten(), told.flatten(0, 1))
    return out.T.reshape(1, -1, frames, rows, columns)
