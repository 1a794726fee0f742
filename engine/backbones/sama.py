"""The released SAMA as a backbone: its transformer in a Wan 2.1 snapshot's place, its image encoder a SigLIP.

Which SigLIP the authors used is not said anywhere; the width of the tokens, 1152, is that of so400m. What is around the
transformer (autoencoder, text encoder, memory) is Wan's and stays as it is.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones.sama_layout import AREA, GUIDANCE, LOCAL, SHIFT, SamaTransformer, bucket, pooled, prompts, read
from engine.backbones.snapshot import Snapshot
from engine.backbones.wan import Wan, WanParts, load_parts
from engine.device import torch_device, working_dtype
from engine.diffusion.backbone import Condition, Prediction, Text
from engine.diffusion.flow import from_velocity
from engine.errors import MethodError


class Sama(Wan):
    """`vision`: a SiglipVisionModel, for anchors; without one the semantic tokens are denoised along but cannot be held."""

    name: ClassVar[str] = "sama"
    guidance, area = GUIDANCE, AREA

    def __init__(self, parts: WanParts, sama: SamaTransformer, vision: Any, device: torch.device, mode: Any = "whole") -> None:
        super().__init__(replace(parts, transformer=sama.wan, shift=SHIFT), device, mode)
        self.sama, self.vision = sama, vision
        self.takes = ("source",)
        self.semantic_shape: tuple[int, int] = (LOCAL + 1, sama.features)

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return bucket(*size)

    def instructed(self, instruction: str) -> str:
        asked, nothing = prompts(instruction)
        return asked if instruction else nothing

    @torch.no_grad()
    def semantic_tokens(self, picture: Tensor) -> Tensor:
        """(1, 65, D). Raises MethodError where there is no image encoder."""
        if self.vision is None:
            raise MethodError(
                f"{self.parts.title} came without its image encoder; fetch SigLIP, or switch the anchor's guide off."
            )
        side = self.vision.config.image_size
        shown = F.interpolate(picture[None].to(self.vision.device), (side, side), mode="bicubic", antialias=True).clamp(-1, 1)
        return pooled(self.vision(shown.to(self.vision.dtype)).last_hidden_state.float()).to(self.device)

    def predict(self, z: Tensor, level: float, text: Text, condition: Condition | None = None) -> Prediction:
        """An edit of the condition's source without semantic tokens' plan: they are left at noise of mean 0.

        Raises MethodError without a source: this model edits.
        """
        if condition is None or condition.source is None:
            raise MethodError(f"{self.parts.title} edits clips; to make one from a text take Wan.")
        empty = z.new_zeros(1, *self.semantic_shape)
        return self.predict_semantic(z, empty, level, text, condition.source)[0]

    def predict_semantic(
        self, z: Tensor, tokens: Tensor | None, level: float, text: Text, source: Tensor
    ) -> tuple[Prediction, Tensor | None]:
        """See `engine/diffusion/semantic.py`. Raises OutOfMemory."""
        told = z.new_zeros(1, *self.semantic_shape) if tokens is None else tokens
        self.parts.prompts.free()
        asked = f"{(z.shape[2] - 1) * 4 + 1} frames of {z.shape[3] * 8} × {z.shape[4] * 8}"
        velocity, drift = self.home.run("model", partial(self._both, z, told, level, text, source), asked)
        return from_velocity(z, velocity.to(z), level), told - level * drift.to(told)

    def _both(self, z: Tensor, tokens: Tensor, level: float, text: Text, source: Tensor) -> tuple[Tensor, Tensor]:
        kind = self.sama.wan.dtype
        grid = z.shape[2], z.shape[3] // 2, z.shape[4] // 2
        batch = len(z)
        x, told, given, words = (
            part.to(self.device, kind).expand(batch, *part.shape[1:]) for part in (z, tokens, source, text.embeddings)
        )
        times = torch.full((batch,), level, device=self.device)
        with self._wan.on(grid, grid[0] * grid[1] * grid[2] + told.shape[1]):
            velocity, drift = self.sama(x, told, times, words, given)
        return velocity.float(), drift.float()

    def purpose(self, frames: Tensor) -> str:
        return ""


def load(
    folder: Path | str,
    checkpoint: Path | str,
    vision: Path | str | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    *,
    hidden: int = 1024,
    title: str = "SAMA",
) -> Sama:
    """SAMA's checkpoint over the Wan snapshot in `folder`; `vision`: folder of a SigLIP vision model.

    Raises MethodError where anything is missing or does not fit.
    """
    place = device if isinstance(device, torch.device) else torch_device(device)
    kind = dtype or working_dtype(place)
    parts, mode = load_parts(Snapshot(folder, title), "WanTransformer3DModel", place, kind, None)
    eyes = None if vision is None else _vision(vision, title).to(place)
    features = 1152 if eyes is None else eyes.config.hidden_size
    config = {name: value for name, value in dict(parts.transformer.config).items() if not name.startswith("_")}
    sama = read(Path(checkpoint), config, features, hidden).to(place, kind)
    return Sama(parts, sama, eyes, place, mode)


def _vision(folder: Path | str, title: str) -> Any:
    from transformers import SiglipVisionModel

    try:
        return SiglipVisionModel.from_pretrained(str(folder), local_files_only=True, use_safetensors=True).eval()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise MethodError(f"The image encoder of {title} in {folder} cannot be loaded; fetch SigLIP again.") from error
