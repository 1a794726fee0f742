"""What the backbones of the Stable Diffusion family share: the autoencoder, CLIP's prompts, DDPM levels, the pass.

They are image models: latent frame = frame, and their `Condition` and hooks know the frames by `AttentionSite.folded`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from engine.backbones.hooks import Hooks
from engine.backbones.offload import Home, Mode, Needs, choose
from engine.backbones.prompts import Prompts
from engine.backbones.snapshot import Snapshot
from engine.backbones.unet_attention import UnetHooks, as_clips, as_pictures, modules_in_order
from engine.diffusion.backbone import Condition, OutOfMemory, Prediction, Text
from engine.diffusion.ddpm import Betas, DdpmSchedule, Target, from_output
from engine.diffusion.memory import half_as_long
from engine.errors import MethodError

ROOM = 3 * 10**9
"""Our choice: bytes that a pass over 16 pictures of 512² works with, beside the weights, in half precision."""


@dataclass(frozen=True, eq=False, slots=True)
class StableDiffusionParts:
    """What a loader found. `target`: what the UNet was trained to say."""

    title: str
    unet: Any
    autoencoder: Any
    prompts: Prompts
    schedule: DdpmSchedule
    target: Target


class ClipEncoder:
    """One CLIP text encoder, or the two of XL, whose last but one layers stand side by side."""

    def __init__(self, snapshot: Snapshot, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.double = device, snapshot.has("text_encoder_2")
        self.tokenizers = [snapshot.load("AutoTokenizer", part) for part in self._parts("tokenizer")]
        kinds = ("CLIPTextModel", "CLIPTextModelWithProjection")
        self.models = [
            snapshot.load(kind, part, dtype).to(device) for kind, part in zip(kinds, self._parts("text_encoder"), strict=False)
        ]
        self.tokenizer = self.tokenizers[0]
        self.length = int(self.models[0].config.max_position_embeddings)

    def _parts(self, name: str) -> list[str]:
        return [name, f"{name}_2"] if self.double else [name]

    def embed(self, prompt: str, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """ids (1, J) -> (1, J, C) and, for XL, the pooled vector. XL's empty prompt is zero, as its pipelines have it."""
        if not self.double:
            return self.models[0](ids.to(self.device)).last_hidden_state, None
        # The second tokenizer pads differently, so the prompt is split again.
        options: dict[str, Any] = {"padding": "max_length", "max_length": self.length, "return_tensors": "pt"}
        splits = [ids, self.tokenizers[1](prompt, **options).input_ids]
        said = [model(split.to(self.device), output_hidden_states=True) for model, split in zip(self.models, splits, strict=True)]
        embeddings, pooled = torch.cat([one.hidden_states[-2] for one in said], -1), said[1].text_embeds
        return (embeddings, pooled) if prompt else (torch.zeros_like(embeddings), torch.zeros_like(pooled))


class StableDiffusion(Hooks, ABC):
    """Sites: the UNet's modules by their names, see unet_attention."""

    name: ClassVar[str] = "stable-diffusion"
    takes: tuple[str, ...] = ()

    def __init__(self, parts: StableDiffusionParts, device: torch.device, max_frames: int, mode: Mode = "whole") -> None:
        super().__init__(tuple(name for name, _ in modules_in_order(parts.unet)))
        self.parts, self.device, self.max_frames = parts, device, max_frames
        side = 2 ** (len(parts.autoencoder.config.block_out_channels) - 1)
        self.stride = (1, side, side)
        self._unet = UnetHooks(parts.unet, self)
        if mode != "whole":
            parts.autoencoder.enable_tiling()
        self.home = Home(
            parts.title, mode, parts.unet, parts.autoencoder, device=device, warn=lambda sentence: self.warn(sentence)
        )

    @property
    def denoiser(self) -> torch.nn.Module:
        """What an adapter is put on."""
        return self.parts.unet

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """frames (T, 3, H, W) in [−1, 1] -> latents (1, C, T, H/8, W/8) float32, one frame at a time.

        Raises MethodError for sides that are no multiples of 8, and OutOfMemory.
        """
        (count, _, height, width), side = frames.shape, self.stride[1]
        if height % side or width % side:
            raise MethodError(
                f"{self.parts.title} takes sides that are multiples of {side}; got {width} × {height}: resize the clip."
            )
        vae = self.parts.autoencoder

        def work() -> Tensor:
            shown = (frame[None].to(self.device, vae.dtype) for frame in frames)
            return torch.cat([vae.encode(frame).latent_dist.mode() for frame in shown]).float()

        return vae.config.scaling_factor * as_clips(self.home.run("autoencoder", work, _asked(count, height, width)), count)

    @torch.no_grad()
    def decode(self, latents: Tensor, frames: int) -> Tensor:
        """latents (1, C, F, h, w) -> the first `frames` pictures (T, 3, H, W) in [−1, 1]. Raises OutOfMemory."""
        vae = self.parts.autoencoder
        cells = as_pictures(latents[:, :, :frames]).to(self.device, vae.dtype) / vae.config.scaling_factor

        def work() -> Tensor:
            return torch.cat([vae.decode(cell[None], return_dict=False)[0] for cell in cells])

        asked = _asked(len(cells), cells.shape[2] * self.stride[1], cells.shape[3] * self.stride[2])
        return self.home.run("autoencoder", work, asked).float().clamp(-1, 1)

    def encode_text(self, prompt: str) -> Text:
        """Encoded once; an empty prompt is the unconditional one. Raises MethodError for more pieces than CLIP reads."""
        return self.parts.prompts(prompt)

    def levels(self, steps: int) -> list[float]:
        """Even, each n/1000. Raises ValueError for steps outside 1 … 1000."""
        return self.parts.schedule.levels(steps)

    def scales(self, level: float) -> tuple[float, float]:
        """(√ᾱ, √(1 − ᾱ)). Raises ValueError outside [0, 1]."""
        return self.parts.schedule.scales(level)

    def predict(self, z: Tensor, level: float, text: Text, condition: Condition | None = None) -> Prediction:
        """Gradients pass. Raises MethodError for a condition that this model does not take, and OutOfMemory."""
        self.accept(condition)
        self.parts.prompts.free()

        def work() -> Tensor:
            with self._unet.on(z.shape[2]):
                return self._pass(z.to(self.device), self.parts.schedule.timestep(level), text, condition).float()

        asked = _asked(len(z) * z.shape[2], z.shape[3] * self.stride[1], z.shape[4] * self.stride[2])
        try:
            said = self.home.run("model", work, asked).to(z)
        except OutOfMemory:
            self.max_frames = half_as_long(z.shape[2], 1)
            raise
        return from_output(z, said, self.scales(level), self.parts.target)

    @abstractmethod
    def _pass(self, z: Tensor, timestep: float, text: Text, condition: Condition | None) -> Tensor:
        """What the UNet says: (B, C, F, h, w)."""


def _asked(frames: int, height: int, width: int) -> str:
    return f"{frames} pictures of {width} × {height}"


def schedule_of(snapshot: Snapshot, betas: Betas | None = None) -> tuple[DdpmSchedule, Target]:
    """The snapshot's schedule and what its model says; `betas` instead of its own curve."""
    found = snapshot.config("scheduler")
    curve: Betas = betas or found.get("beta_schedule", "scaled_linear")
    if curve not in ("linear", "scaled_linear") or int(found.get("num_train_timesteps", 1000)) != 1000:
        raise snapshot.broken(f"its schedule is not known here ({curve})")
    schedule = DdpmSchedule(float(found.get("beta_start", 0.00085)), float(found.get("beta_end", 0.012)), curve)
    return schedule, found.get("prediction_type", "epsilon")


def chosen_mode(snapshot: Snapshot, weights: int, dtype: torch.dtype, device: torch.device) -> Mode:
    """How a UNet with that many weights fits into the memory that is free. Raises OutOfMemory."""
    return choose(Needs(snapshot.title, weights * dtype.itemsize, snapshot.parameters("vae") * 4, ROOM), device)
