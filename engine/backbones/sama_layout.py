"""Checkpoints in the layout of the released SAMA-14B, and what its inference does around the transformer.

One file of weights holds Wan's transformer under the names of its original code, and beside it

    segment_embedding.weight                    (3, C)       the type embedding
    siglip_feat_mlp.{0,1,3}.{weight,bias}       LayerNorm (D), Linear D -> H, GELU, Linear H -> C
    semantic_head.{0,1}.{weight,bias}           LayerNorm (C), Linear C -> D

with D the width of SigLIP (1152) and H = 1024. A name that is missing, or one too many, is refused by name. The numbering
inside the last two is read from the names' order, so `siglip_feat_mlp.norm`, `.fc1` and `.fc2` do as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.backbones.bundled_model import picture
from engine.backbones.sama_sequence import SEMANTIC, SOURCE, TARGET, SemanticTokens, Tokens, head, standing, through
from engine.errors import MethodError

EXTRA = ("segment_embedding", "siglip_feat_mlp", "semantic_head")
PREFIX = "[Video edit]"
LOCAL = 64
"""Semantic tokens of the anchor frame beside the one for all of it: SigLIP's grid pooled to 8 × 8."""
AREA, FACTOR, ASPECTS = 480 * 832, 32, (0.5, 2.0)
"""Of the buckets that clips are resized to: pixels, what sides are multiples of, and the limits of height over width."""
STEPS, SHIFT, GUIDANCE, FRAMES = 50, 5.0, 5.0, 81


class SamaTransformer(nn.Module):
    """SAMA around a WanTransformer3DModel: velocity of the target's latents and of the semantic tokens."""

    def __init__(self, wan: Any, features: int = 1152, hidden: int = 1024) -> None:
        super().__init__()
        width = wan.config.num_attention_heads * wan.config.attention_head_dim
        self.wan, self.features = wan, features
        self.kinds = nn.Embedding(3, width)
        self.semantic = SemanticTokens(features, hidden, width)

    def forward(self, z: Tensor, semantic: Tensor, t: Tensor, text: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """z, source (B, C, F, h, w), semantic (B, S, D), t (B,) in [0, 1], text (B, J, text_dim) -> the velocity of z and that
        of the semantic tokens. The tokens' rotary table is zero, as in the released code."""
        rotary = self.wan.rope(z)
        given, x = (self.wan.patch_embedding(part).flatten(2).transpose(1, 2) for part in (source, z))
        told = self.semantic.into(semantic)
        parts = [
            Tokens(given + self.kinds.weight[SOURCE], rotary),
            Tokens(told + self.kinds.weight[SEMANTIC], standing(semantic.shape[1], rotary, turn=0.0)),
            Tokens(x + self.kinds.weight[TARGET], rotary),
        ]
        states, time = through(self.wan, parts, 1000 * t, text)
        return picture(head(self.wan, states[2], time), z.shape), self.semantic.out(states[1])


def read(path: Path, config: Mapping[str, Any], features: int = 1152, hidden: int = 1024) -> SamaTransformer:
    """The model of a checkpoint file in safetensors; `config`: of the WanTransformer3DModel.

    Raises MethodError for a file that cannot be read, and by name for weights that are missing, too many or of another size.
    """
    from diffusers import WanTransformer3DModel
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise MethodError(f"{path.name} cannot be read as safetensors ({error}); fetch the model again.") from error
    made = SamaTransformer(WanTransformer3DModel(**config), features, hidden)
    ours = renamed(weights)
    expected = {name: value.shape for name, value in made.state_dict().items()}
    _refuse(path, "lacks", sorted(expected.keys() - ours.keys()))
    _refuse(path, "has unknown", sorted(ours.keys() - expected.keys()))
    _refuse(path, "has in another size", sorted(name for name, value in ours.items() if value.shape != expected[name]))
    made.load_state_dict(ours)
    return made.eval().requires_grad_(False)


def _refuse(path: Path, what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise MethodError(f"{path.name} is no SAMA checkpoint of this size: it {what} {', '.join(names[:3])}{more}.")


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The checkpoint's weights under the names of `SamaTransformer`."""
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    own = {name: value for name, value in weights.items() if name.split(".")[0] in EXTRA}
    rest = {name: value for name, value in weights.items() if name not in own}
    ours = {f"wan.{name}": value for name, value in convert_wan_transformer_to_diffusers(rest).items()}
    for theirs, mine, places in (("siglip_feat_mlp", "semantic.into", (0, 1, 3)), ("semantic_head", "semantic.out", (0, 1))):
        layers = sorted({name.split(".")[1] for name in own if name.startswith(f"{theirs}.")}, key=_order)
        for layer, place in zip(layers, places, strict=False):
            for kind in ("weight", "bias"):
                if (value := own.pop(f"{theirs}.{layer}.{kind}", None)) is not None:
                    ours[f"{mine}.{place}.{kind}"] = value
    if (value := own.pop("segment_embedding.weight", None)) is not None:
        ours["kinds.weight"] = value
    return ours | own


def _order(layer: str) -> tuple[int, str]:
    """Numbers by size; `norm` before `fc1` before `fc2`."""
    return (int(layer), "") if layer.isdigit() else (-1 if "norm" in layer else 0, layer)


# --- Around the transformer -------------------------------------------------------------------------------


def bucket(height: int, width: int) -> tuple[int, int]:
    """(h, w): sides that are multiples of FACTOR, of about AREA pixels together, nearest in proportion to the clip's."""
    aspect = height / width
    rows = range(FACTOR, 2 * int(AREA**0.5), FACTOR)
    sizes = [(h, max(FACTOR, round(AREA / h / FACTOR) * FACTOR)) for h in rows]
    fits = [size for size in sizes if ASPECTS[0] <= size[0] / size[1] <= ASPECTS[1] and size[0] * size[1] <= 1.05 * AREA]
    return min(fits, key=lambda size: abs(torch.tensor(size[0] / size[1] / aspect).log().item()))


def padded(frames: Tensor) -> Tensor:
    """Frames (T, 3, H, W), the last one repeated until there are 4k + 1."""
    return torch.cat([frames, frames[-1:].expand((1 - len(frames)) % 4, -1, -1, -1)])


def pooled(grid: Tensor) -> Tensor:
    """SigLIP's patches (B, rows · columns, D), a square grid -> (B, 65, D): 8 × 8 local tokens and their mean over all.

    Raises ValueError where they are no square.
    """
    side = round(grid.shape[1] ** 0.5)
    if side * side != grid.shape[1]:
        raise ValueError(f"{grid.shape[1]} patches are no square grid")
    cells = grid.transpose(1, 2).unflatten(2, (side, side))
    local = nn.functional.adaptive_avg_pool2d(cells, round(LOCAL**0.5)).flatten(2).transpose(1, 2)
    return torch.cat([local, grid.mean(1, keepdim=True)], 1)


def prompts(instruction: str) -> tuple[str, str]:
    """The instruction as the model was trained to read it, and the branch that guidance leads away from."""
    return f"{PREFIX} {instruction}", PREFIX


def read_config(path: Path) -> dict[str, Any]:
    """The settings of the transformer that lie beside a checkpoint. Raises MethodError."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MethodError(f"{path.name} holds no settings of a transformer ({error}); fetch the model again.") from error
    return {name: value for name, value in found.items() if not name.startswith("_")}
