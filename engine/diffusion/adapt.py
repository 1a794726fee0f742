"""Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) on a model's attention, by `peft`: trained in minutes, kept as a small
file, gone without a trace when a block ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
"""The attention's linear layers, as diffusers call them."""
NAME = "anchorline"


@contextmanager
def adapter(denoiser: nn.Module, rank: int = 16, alpha: int = 16) -> Iterator[dict[str, nn.Parameter]]:
    """Within the block the model has an adapter, at first without any effect; yields its parameters by name.

    The model's own weights are not trained meanwhile. After the block it is what it was, however the block ends.
    """
    from peft import LoraConfig, LoraModel

    trained = {name for name, one in denoiser.named_parameters() if one.requires_grad}
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(TARGETS), lora_dropout=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # where it starts must not depend on what was drawn before
        tuner = LoraModel(denoiser, config, NAME)
    try:
        yield {name: one for name, one in tuner.model.named_parameters() if "lora_" in name}
    finally:
        tuner.unload()
        for name, one in denoiser.named_parameters():
            one.requires_grad_(name in trained)


def train(
    parameters: dict[str, nn.Parameter],
    loss: Callable[[int], Tensor],
    steps: int,
    rate: float,
    tick: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """AdamW on the adapter's parameters; `loss(step)` of step 0 … steps − 1. `tick` may raise Cancelled."""
    optimiser = torch.optim.AdamW(parameters.values(), lr=rate, weight_decay=0.0)
    for step in range(steps):
        value = loss(step)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimiser.step()
        tick(step, float(value.detach()))


def save(parameters: dict[str, nn.Parameter], path: Path) -> None:
    """Written beside and renamed."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    save_file({name: one.detach().cpu().contiguous() for name, one in parameters.items()}, part)
    part.replace(path)


def load(parameters: dict[str, nn.Parameter], path: Path) -> None:
    """What `save` wrote, into an adapter of the same model and rank. Raises ValueError where it is of another."""
    from safetensors.torch import load_file

    kept = load_file(path)
    if kept.keys() != parameters.keys():
        raise ValueError(f"the adapter in {path.name} belongs to another model")
    with torch.no_grad():
        for name, one in parameters.items():
            one.copy_(kept[name])


@contextmanager
def kept(denoiser: nn.Module | None, path: Path, rank: int = 16) -> Iterator[None]:
    """Within the block the model has the adapter that was saved, where one was."""
    if denoiser is None or not path.exists():
        yield
        return
    with adapter(denoiser, rank) as parameters:
        load(parameters, path)
        yield
