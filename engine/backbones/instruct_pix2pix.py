"""InstructPix2Pix (Brooks et al., arXiv 2211.09800): edits pictures as an instruction says; SD 1.5 and XL.

The UNet sees the picture's latents, unscaled, beside the noisy ones. Its guidance has three branches, each a prediction of
its own, which the caller combines (Brooks et al., eq. 3):

    text    predict(z, level, text, Condition(source))         what the instruction makes of the picture
    image   predict(z, level, empty text, Condition(source))   what the picture alone says
    none    predict(z, level, empty text)                      neither: the picture's latents are zero

    noise = none + image_scale · (image − none) + text_scale · (text − image)

Frames of a clip stand in one batch; nothing joins them but what a control does.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from engine.backbones.offload import Mode
from engine.backbones.prompts import Prompts
from engine.backbones.snapshot import Snapshot
from engine.backbones.stable_diffusion import ClipEncoder, StableDiffusion, StableDiffusionParts, chosen_mode, schedule_of
from engine.backbones.unet_attention import as_clips, as_pictures, for_each_frame
from engine.device import torch_device, working_dtype
from engine.diffusion.backbone import Condition, Text

FRAMES = 16
"""Our choice: as many pictures as one pass takes; they are independent, so more passes do as well."""


class InstructPix2Pix(StableDiffusion):
    """`source`: the pictures to edit, as `encode` makes them."""

    name: ClassVar[str] = "instruct-pix2pix"
    takes: tuple[str, ...] = ("source",)

    def __init__(self, parts: StableDiffusionParts, device: torch.device, mode: Mode = "whole") -> None:
        super().__init__(parts, device, FRAMES, mode)

    def _pass(self, z: Tensor, timestep: float, text: Text, condition: Condition | None) -> Tensor:
        unet, frames = self.parts.unet, z.shape[2]
        source = condition.source if condition is not None else None
        if source is None:
            source = torch.zeros_like(z)
        elif source.shape[1:] != z.shape[1:]:
            raise ValueError(f"the source {tuple(source.shape)} must be as large as the noisy latents {tuple(z.shape)}")
        shown = source.to(z).expand_as(z) / self.parts.autoencoder.config.scaling_factor
        states = torch.cat([as_pictures(z), as_pictures(shown)], 1).to(unet.dtype)
        words = for_each_frame(text.embeddings.to(states), len(z), frames)
        said = unet(states, timestep, words, added_cond_kwargs=self._added(text, states), return_dict=False)[0]
        return as_clips(said, frames)

    def _added(self, text: Text, states: Tensor) -> dict[str, Tensor] | None:
        """XL is also told the pooled prompt and sizes: the whole picture, uncut, at its own size."""
        if text.pooled is None:
            return None
        height, width = (side * self.stride[1] for side in states.shape[-2:])
        sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=states.dtype, device=states.device)
        return {"text_embeds": text.pooled.to(states).expand(len(states), -1), "time_ids": sizes.expand(len(states), -1)}


def load(
    folder: Path | str,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    offload: Mode | None = None,
    title: str = "InstructPix2Pix",
) -> InstructPix2Pix:
    """From a snapshot's folder, SD 1.5 or XL as its parts say. What is None is chosen: device, dtype, `offload`.

    The autoencoder stays float32: XL's overflows in half precision. Raises MethodError where the snapshot is not whole, or
    the memory cannot do.
    """
    place = device if isinstance(device, torch.device) else torch_device(device)
    kind = dtype or working_dtype(place)
    snapshot = Snapshot(folder, title)
    mode = offload or chosen_mode(snapshot, snapshot.parameters("unet"), kind, place)
    schedule, target = schedule_of(snapshot)
    parts = StableDiffusionParts(
        title,
        snapshot.load("UNet2DConditionModel", "unet", kind),
        snapshot.load("AutoencoderKL", "vae", torch.float32),
        Prompts(lambda: ClipEncoder(snapshot, place, kind)),
        schedule,
        target,
    )
    return InstructPix2Pix(parts, place, mode)
