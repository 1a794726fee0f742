"""A user's own LoRA (engine/models/lora.py) on a model's weights, for as long as a block lasts.

our choice: it is added to the weights and taken out again, bit for bit, instead of standing beside them: an adapter that is
learnt meanwhile (adapt.py) then has the layers to itself, and a pass costs what it cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.errors import MethodError
from engine.models.lora import LoraFile, Pair, read_lora
from engine.models.weights import load_weights


@dataclass(frozen=True, slots=True)
class Lora:
    """A file, what the user calls it, and how much of it."""

    path: Path
    name: str
    strength: float = 1.0


@contextmanager
def with_lora(
    denoiser: nn.Module | None, lora: Lora | None, warn: Callable[[str], None] = lambda sentence: None
) -> Iterator[None]:
    """Within the block the model's weights are W + strength · alpha / rank · up down. `warn` is told what is left out.

    Raises:
        MethodError: the file is damaged, no LoRA, or made for another model.
    """
    if lora is None or lora.strength == 0:
        yield
        return
    if denoiser is None:
        raise MethodError(f"This model has no weights that {lora.name} could change: choose another model, or no LoRA.")
    if any(getattr(one, "_diffusers_hook", None) is not None for one in denoiser.modules()):
        raise MethodError(f"{lora.name} cannot be used while the model comes to the device block by block: free some memory.")
    file = read_lora(lora.path, lora.name)
    if file.texts:
        warn(f"{lora.name} changes the text encoder too; that part of it is not used.")
    changes = _changes(denoiser, file, lora)
    before = [(weight, weight.detach().clone()) for weight, _ in changes]
    try:
        with torch.no_grad():
            for weight, change in changes:
                weight.copy_(weight.float() + change.to(weight.device))
        yield
    finally:
        with torch.no_grad():
            for weight, old in before:
                weight.copy_(old)


def _changes(denoiser: nn.Module, file: LoraFile, lora: Lora) -> list[tuple[Tensor, Tensor]]:
    """The weights that a LoRA changes, each with what is added to it."""
    layers = {name.replace(".", "_") if file.flat else name: layer for name, layer in denoiser.named_modules()}
    values = load_weights(lora.path)
    changes = []
    for name, pair in file.pairs.items():
        weight = getattr(layers.get(name), "weight", None)
        change = _change(pair, values) * lora.strength
        if not isinstance(weight, Tensor) or change.numel() != weight.numel() or change.shape[0] != weight.shape[0]:
            raise MethodError(
                f"{lora.name} was made for another model: it changes {name[:80]}, which this one "
                f"{'does not have' if not isinstance(weight, Tensor) else 'has in another size'}; choose a LoRA for this model."
            )
        changes.append((weight, change.reshape(weight.shape)))
    return changes


def _change(pair: Pair, values: dict[str, Tensor]) -> Tensor:
    """(out, in · …) float32."""
    down, up = (values[name].float().flatten(1) for name in (pair.down, pair.up))
    alpha = float(values[pair.alpha]) if pair.alpha else pair.told if pair.told is not None else float(pair.rank)
    if up.shape[1] != down.shape[0]:
        raise MethodError(f"A LoRA's pair {pair.down[:60]} has two ranks: choose another file.")
    return alpha / max(1, pair.rank) * (up @ down)
