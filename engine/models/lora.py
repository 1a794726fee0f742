"""A user's own LoRA: a safetensors file of low-rank pairs, as peft, diffusers and kohya's trainer write them; read without torch.

layout                       a pair's names, for the layer L
peft, diffusers              [unet.|transformer.|base_model.model.] L .lora_A.weight, .lora_B.weight
diffusers, older             L .lora.down.weight, .lora.up.weight; L′ .processor.to_q_lora.down.weight …
kohya                        lora_unet_ L, points as underscores, .lora_down.weight, .lora_up.weight, .alpha
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from engine.errors import MethodError
from engine.models.forms import kind_of, tensors

LARGEST = 2 * 2**30
"""Bytes of a file that is taken."""
PREFIX = re.compile(r"^(base_model\.model\.|diffusion_model\.|unet\.|transformer\.)+")
OF_TEXT = re.compile(r"^(text_encoder|text_encoder_2|te|te1|te2|lora_te|lora_te1|lora_te2)[._]")
KOHYA = "lora_unet_"
SIDES = {"lora_A": "down", "lora_B": "up", "lora_down": "down", "lora_up": "up", "down": "down", "up": "up"}
PARTS = (
    re.compile(r"^(?P<layer>.+)\.(?P<side>lora_[AB])(\.[^.]+)?\.weight$"),
    re.compile(r"^(?P<layer>.+)\.(?P<side>lora_down|lora_up)\.weight$"),
    re.compile(r"^(?P<layer>.+)\.lora\.(?P<side>down|up)\.weight$"),
    re.compile(r"^(?P<layer>.+)\.processor\.(?P<to>to_q|to_k|to_v|to_out)_lora\.(?P<side>down|up)\.weight$"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """The tensors' names in the file: W + strength · alpha / rank · up down. `alpha` is one too, or None; `told` is what the file
    says of it elsewhere; without either it is the rank."""

    down: str
    up: str
    rank: int
    alpha: str | None = None
    told: float | None = None


@dataclass(frozen=True, slots=True)
class LoraFile:
    """`pairs` by layer: its name with points, or kohya's with underscores alone (`flat`). `texts`: text encoders change too."""

    pairs: dict[str, Pair]
    flat: bool
    texts: bool


def read_lora(path: Path, name: str = "") -> LoraFile:
    """What a file holds, from its header alone; `name` is what the user calls it.

    Raises:
        MethodError: it is no such file.
    """
    name = name or path.name
    try:
        if not path.is_file():
            raise FileNotFoundError(2, "there is no such file")
        if path.stat().st_size > LARGEST:
            raise MethodError(f"{name} is larger than any LoRA ({LARGEST // 2**30} GB): choose another file.")
        if kind_of(path) != "safetensors":
            raise MethodError(f"{name} is not a safetensors file: save the LoRA as .safetensors and choose that.")
    except OSError as error:
        raise MethodError(f"{name} cannot be read ({error.strerror}): choose a LoRA file (.safetensors) again.") from error
    try:
        entries = tensors(path)
    except MethodError as error:
        raise MethodError(f"{name} is damaged or was cut off: choose a whole LoRA file.") from error
    return _sorted(name, {key: entry.shape for key, entry in entries.items()}, _alphas(path))


def _sorted(name: str, shapes: dict[str, tuple[int, ...]], told: dict[str, float]) -> LoraFile:
    """Puts the tensors of a file in pairs."""
    texts = any(OF_TEXT.match(PREFIX.sub("", key)) for key in shapes)
    own = {key: PREFIX.sub("", key) for key in shapes if not OF_TEXT.match(PREFIX.sub("", key))}
    flat = any(short.startswith(KOHYA) for short in own.values())
    sides: dict[str, dict[str, str]] = {}
    for key, short in own.items():
        layer, side = _place(short)
        if side == "" or (side != "alpha" and len(shapes[key]) < 2):
            raise MethodError(
                f"{name} is not a LoRA in peft's, diffusers' or kohya's layout (it holds {key[:60]}): choose another file."
            )
        sides.setdefault(layer, {})[side] = key
    pairs = {}
    for layer, found in sides.items():
        if "down" not in found or "up" not in found:
            raise MethodError(f"{name} is not a whole LoRA: half of the pair of {layer[:60]} is missing; choose another file.")
        noted = told.get(layer, told.get(""))
        pairs[layer] = Pair(found["down"], found["up"], shapes[found["down"]][0], found.get("alpha"), noted)
    if not pairs:
        raise MethodError(f"{name} holds no LoRA for a picture or video model: choose another file.")
    return LoraFile(pairs, flat, texts)


def _place(key: str) -> tuple[str, str]:
    """The layer that a tensor belongs to, and what it is there: "down", "up", "alpha", or "" for what is nothing of a LoRA."""
    if key.endswith(".alpha"):
        return key.removesuffix(".alpha").removeprefix(KOHYA).removesuffix(".lora"), "alpha"
    for part in PARTS:
        found = part.match(key)
        if found:
            layer = found["layer"].removeprefix(KOHYA)
            to = found.groupdict().get("to")
            return (f"{layer}.{'to_out.0' if to == 'to_out' else to}" if to else layer), SIDES[found["side"]]
    return key, ""


def _alphas(path: Path) -> dict[str, float]:
    """What diffusers notes of alpha in the file's header: by layer, "" = of all others."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        noted = json.loads(file.read(length)).get("__metadata__") or {}
    try:
        said = json.loads(noted["lora_adapter_metadata"])
        said = {PREFIX.sub("", key): value for key, value in said.items()}
        by_layer = {str(layer): float(alpha) for layer, alpha in (said.get("alpha_pattern") or {}).items()}
        return {**by_layer, "": float(said["lora_alpha"])}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
