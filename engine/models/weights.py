"""The one way in which weights are read: data only, checked, and as safetensors from the second time on.

A checkpoint of torch is a pickle. It is unpacked in a process of its own with bounded memory, by torch's reader for
data alone (`weights_only`), and what comes out, tensors and nothing else, is kept as safetensors beside our records.
Whoever asks for the weights gets them from there; nobody else calls `torch.load`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import MethodError
from engine.models.fetch import sha256_of
from engine.models.forms import check_form, first_not_finite, kind_of
from engine.models.store import home
from engine.store.processes import child_environment

if TYPE_CHECKING:
    import torch

LARGEST = 120 * 2**30  # bytes of one file
PATIENCE = 600  # seconds
COVERED = 0.99  # of a model's tensors must be in its file


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file of weights, on the CPU, by name.

    Raises:
        MethodError: not weights, damaged, more than data, not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise MethodError(f"There is no file of weights {path.name} any more: fetch the model again.")
    if path.stat().st_size > LARGEST:
        raise MethodError(f"{path.name} is larger than any model known here, {LARGEST // 2**30} GB: it is not read.")
    check_form(path)
    kind = kind_of(path)
    if kind not in ("safetensors", "checkpoint", "pickle"):
        raise MethodError(f"{path.name} is not a file of weights: fetch the model again.")
    plain = path if kind == "safetensors" else _unpacked(path)
    wrong = first_not_finite(plain)
    if wrong:
        raise MethodError(f"{path.name} holds values that are no numbers (in {wrong}): fetch the model again.")
    try:
        return load_file(plain)
    except (SafetensorError, OSError) as error:
        raise MethodError(f"{path.name} cannot be read ({error}): fetch the model again.") from error


def _unpacked(path: Path) -> Path:
    """A torch checkpoint as safetensors; done once for each content."""
    place = home() / "unpacked" / f"{sha256_of(path)}.safetensors"
    if place.exists():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "engine.models.unpack", str(path), str(place)]
        ran = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, env=child_environment()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MethodError(f"{path.name} could not be unpacked ({error}); free some memory and try again.") from error
    if ran.returncode or not place.exists():
        said = ran.stdout.strip().splitlines()
        reason = said[-1] if said else "the process that read it ended"
        raise MethodError(f"{path.name} is refused: {reason}. Fetch the model again, or take another one.")
    return place


def fill(module: torch.nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Puts weights into a module that was built for them.

    Raises:
        MethodError: less than 99 % of the module's tensors are there, or one has another shape.
    """
    wanted = module.state_dict()
    check_keys(
        {name: tuple(one.shape) for name, one in wanted.items()}, {n: tuple(t.shape) for n, t in weights.items()}, path.name
    )
    module.load_state_dict({name: weights[name] for name in wanted if name in weights}, strict=False)


def check_keys(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], name: str) -> None:
    """Raises MethodError where a file does not cover a model: wanted, found (name → shape)."""
    missing = [one for one in wanted if one not in found]
    other = [one for one, shape in wanted.items() if one in found and found[one] != shape]
    if other:
        raise MethodError(f"{name} is of another model: {other[0]} is {found[other[0]]}, not {wanted[other[0]]}.")
    if len(missing) > (1 - COVERED) * len(wanted):
        raise MethodError(f"{name} is of another model: {len(missing)} of {len(wanted)} tensors are missing ({_some(missing)}).")


def _some(names: Iterable[str]) -> str:
    first = list(names)
    return ", ".join(first[:3]) + (" …" if len(first) > 3 else "")


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """The tensors of a checkpoint by name. Containers that many trainers wrap around weights are opened."""
    for wrapper in ("state_dict", "model", "model_state_dict"):
        if not prefix and isinstance(value, dict) and isinstance(value.get(wrapper), dict):
            value = value[wrapper]
            break
    if not isinstance(value, dict):
        return {}
    return {str(name): one for name, one in value.items() if hasattr(one, "contiguous")}
