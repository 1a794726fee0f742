"""AnimateDiff (Guo et al., arXiv 2307.04725): Stable Diffusion 1.5 with motion modules, which join frames at each place.

The base is a snapshot of Stable Diffusion, the motion adapter another one. The adapter was trained with β linear, which is
used whatever the base's own schedule says.
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
from engine.backbones.unet_attention import for_each_frame
from engine.device import torch_device, working_dtype
from engine.diffusion.backbone import Condition, Text


class AnimateDiff(StableDiffusion):
    """Goes by text alone. `max_frames` is what the motion modules have positions for (they were trained on 16)."""

    name: ClassVar[str] = "animatediff"

    def __init__(self, parts: StableDiffusionParts, device: torch.device, mode: Mode = "whole") -> None:
        super().__init__(parts, device, int(parts.unet.config.motion_max_seq_length), mode)

    def _pass(self, z: Tensor, timestep: float, text: Text, condition: Condition | None) -> Tensor:
        unet = self.parts.unet
        words = for_each_frame(text.embeddings.to(self.device, unet.dtype), len(z), z.shape[2])
        return unet(z.to(unet.dtype), timestep, words, return_dict=False)[0]


def load(
    folder: Path | str,
    base: Path | str,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    offload: Mode | None = None,
    *,
    title: str = "AnimateDiff",
) -> AnimateDiff:
    """`folder`: the motion adapter; `base`: Stable Diffusion 1.5. What is None is chosen: device, dtype, `offload`.

    Raises MethodError where either is not whole, they do not fit each other, or the memory cannot do.
    """
    from diffusers.models.unets.unet_motion_model import UNetMotionModel

    place = device if isinstance(device, torch.device) else torch_device(device)
    kind = dtype or working_dtype(place)
    adapter, snapshot = Snapshot(folder, title), Snapshot(base, "Stable Diffusion 1.5")
    mode = offload or chosen_mode(snapshot, snapshot.parameters("unet") + adapter.parameters(""), kind, place)
    schedule, target = schedule_of(snapshot, "linear")
    still = snapshot.load("UNet2DConditionModel", "unet", kind)
    try:
        unet = UNetMotionModel.from_unet2d(still, adapter.load("MotionAdapter", "", kind))
    except (ValueError, RuntimeError) as error:
        raise adapter.broken("it does not fit Stable Diffusion 1.5") from error
    parts = StableDiffusionParts(
        title,
        unet.eval().requires_grad_(False),
        snapshot.load("AutoencoderKL", "vae", torch.float32),
        Prompts(lambda: ClipEncoder(snapshot, place, kind)),
        schedule,
        target,
    )
    return AnimateDiff(parts, place, mode)
