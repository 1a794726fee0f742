"""What a diffusion model is to a method: the protocol that every backbone keeps.

Noise levels. A level is one number: for rectified flow the time t ∈ [0, 1], 1 = noise, where z = (1 − t) x0 + t · noise.
One prediction (x0 and noise) serves flow models and DDPM models alike, so a method is written once.

Letters: B batch, C channels, F h w latent frames, rows and columns, N = number of video tokens, J = number of text tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor, nn

from engine.diffusion.attention import AttentionControl
from engine.errors import MethodError


class OutOfMemory(MethodError):
    """The device is too small for this pass however the weights are kept; fewer frames or smaller ones need less."""


@dataclass(frozen=True, eq=False, slots=True)
class Prediction:
    """What the model takes z to be made of: clean latents x0 and noise, both shaped like z (B, C, F, h, w)."""

    x0: Tensor
    noise: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class Text:
    """An encoded prompt: embeddings (1, J, C); `pieces[i]` = positions in 0 … J − 1 of the i-th word of `words`.

    `pooled` (1, C'): the whole prompt as one vector, for models that want it (SD XL).
    """

    prompt: str
    words: tuple[str, ...]
    pieces: tuple[tuple[int, ...], ...]
    embeddings: Tensor
    pooled: Tensor | None = None

    def positions(self, words: set[str] | frozenset[str]) -> list[int]:
        """Positions of all pieces of the given words, in order; empty where none is in the prompt."""
        return [at for word, piece in zip(self.words, self.pieces, strict=True) if word in words for at in piece]


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Condition:
    """What stands beside the noisy latents. A model has inputs for some of it, `takes`, and refuses the rest by name.

    What is given as pictures is encoded once for each Condition: make one and hand the same one to every step.

    `source`    clean latents (1, C, F, h, w), as `encode` makes them, of the clip or the pictures to edit.
                InstructPix2Pix has three branches, each a prediction of its own: (text, source), (empty text, source) and
                (empty text, no source); the caller combines them.
    `first`     the picture (3, H, W) in [−1, 1] to begin with; `last`: the one to end with.
    `video`     pictures (T, 3, H, W) in [−1, 1] to keep or to follow (VACE); grey, 0, where there is nothing to follow.
    `mask`      (T, 1, H, W), 1 = make this pixel, 0 = keep the video's. Without it all is made, as the video leads.
    `edges`     (T, H, W) in [0, 1]: outlines to follow between `first` and `last`.
    `flow`      (T, 2, H, W) px: motion to follow between them, at every frame that is a multiple of the model's stride in time
                back to the one before it; 0 elsewhere. `edges` and `flow` have as many frames as the latents can hold.
    `strength`  how much the video counts.
    """

    source: Tensor | None = None
    first: Tensor | None = None
    last: Tensor | None = None
    video: Tensor | None = None
    mask: Tensor | None = None
    edges: Tensor | None = None
    flow: Tensor | None = None
    strength: float = 1.0

    def given(self) -> set[str]:
        """The names of the tensors that are there."""
        names = ("source", "first", "last", "video", "mask", "edges", "flow")
        return {name for name in names if getattr(self, name) is not None}


class DiffusionBackbone(Protocol):
    """One pretrained model. The hooks are context managers, restored on any exit; idle, they change no bit.

    `max_frames`: the longest clip in frames. `stride`: pixels per token cell (frames, rows, columns). `sites`: the names
    that `features` and `inject` take, in the order in which a pass meets them. `takes`: the tensors of a `Condition` that
    it has an input for. `warn`: is told, in a sentence, when memory ran short and what was done; set it to be told.
    A pass that raises OutOfMemory lowers `max_frames` first, so windows that are planned anew are shorter.
    """

    name: ClassVar[str]
    takes: tuple[str, ...]
    warn: Callable[[str], None]
    max_frames: int
    stride: tuple[int, int, int]
    sites: tuple[str, ...]

    @property
    def denoiser(self) -> nn.Module | None:
        """The network that an adapter (diffusion/adapt.py) is put on; None where there are no weights."""
        ...

    def encode(self, frames: Tensor) -> Tensor:
        """frames (T, 3, H, W) in [−1, 1] -> latents (1, C, F, h, w)."""
        ...

    def decode(self, latents: Tensor, frames: int) -> Tensor:
        """latents (1, C, F, h, w) -> the first `frames` pictures (T, 3, H, W) in [−1, 1]."""
        ...

    def encode_text(self, prompt: str) -> Text: ...

    def levels(self, steps: int) -> list[float]:
        """`steps` + 1 noise levels from all noise to none."""
        ...

    def scales(self, level: float) -> tuple[float, float]:
        """(a, b) in z = a · x0 + b · noise at a level; rectified flow: (1 − t, t), DDPM: (√ᾱ, √(1 − ᾱ))."""
        ...

    def predict(self, z: Tensor, level: float, text: Text, condition: Condition | None = None) -> Prediction:
        """z (B, C, F, h, w) at a level -> what it is made of, on the device of z.

        At level 0, x0 = z; the noise is 0, or what the model takes for noise, which inversion starts from. Raises
        MethodError for a condition that is not among `takes`, OutOfMemory where memory does not suffice.
        """
        ...

    def control(self, control: AttentionControl) -> AbstractContextManager[None]: ...

    def features(self, site: str) -> AbstractContextManager[list[Tensor]]:
        """Within the block, every pass through `site` appends its state (B, C, F, h, w) to the list."""
        ...

    def inject(self, site: str, change: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """Within the block, `change` replaces the state (B, C, F, h, w) at `site`."""
        ...
