"""What SAMA asks of a model beyond the backbone's protocol: an instruction edit with semantic tokens denoised along."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from engine.diffusion.backbone import DiffusionBackbone, Prediction, Text


@runtime_checkable
class SemanticBackbone(DiffusionBackbone, Protocol):
    """`semantic_shape`: (S, features) of the semantic tokens of a clip, None where the model has none. `guidance`, `area`: the
    guidance scale that suits the model and the pixels of a frame that it is shown."""

    semantic_shape: tuple[int, int] | None
    guidance: float
    area: int

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (h, w) at which the model is shown frames of `size`."""
        ...

    def instructed(self, instruction: str) -> str:
        """The prompt for an instruction; for "" that of the branch that guidance leads away from."""
        ...

    def semantic_tokens(self, picture: Tensor) -> Tensor:
        """Clean tokens (1, S, features) of an anchor picture (3, H, W) in [−1, 1]."""
        ...

    def predict_semantic(
        self, z: Tensor, tokens: Tensor | None, level: float, text: Text, source: Tensor
    ) -> tuple[Prediction, Tensor | None]:
        """What z (B, C, F, h, w) is made of beside the source's clean latents, and the clean tokens (B, S, features)."""
        ...

    def purpose(self, frames: Tensor) -> str:
        """A sentence to the user where the model was not made for such frames (T, 3, H, W) in [−1, 1]; else ""."""
        ...
