"""Models of the hub at their published sizes, with random weights made on the device: for time and memory, not for pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.backbones.animatediff import AnimateDiff
from engine.backbones.instruct_pix2pix import InstructPix2Pix
from engine.backbones.offload import Mode
from engine.backbones.prompts import Prompts
from engine.backbones.stable_diffusion import StableDiffusionParts
from engine.backbones.wan import Wan, WanParts
from engine.diffusion.backbone import Condition, Text
from engine.diffusion.ddpm import DdpmSchedule

Work = Callable[[], Tensor]
Make = Callable[[torch.device, torch.dtype, Mode], tuple[Any, Work]]
MODES: tuple[Mode, ...] = ("whole", "parts", "blocks")


@dataclass(frozen=True, slots=True)
class Full:
    """One model and what it is asked: `make(device, dtype, mode)` gives it and one pass of it."""

    key: str
    title: str
    make: Make
    modes: tuple[Mode, ...] = MODES


def forget(device: torch.device) -> None:
    """Begins the count of the largest memory anew."""
    torch.accelerator.synchronize(device)
    torch.accelerator.empty_cache()
    torch.accelerator.reset_peak_memory_stats(device)


def peak(device: torch.device) -> int:
    """Bytes at most since `forget`."""
    return torch.accelerator.max_memory_allocated(device)


def _made(build: Callable[[], Any], device: torch.device, dtype: torch.dtype, mode: Mode) -> Any:
    """The module with random weights of that type, made where it will be; those that wait in main memory, there."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device if mode == "whole" else "cpu"):
            return build().eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


def _no_prompts() -> Prompts:
    def load() -> Any:
        raise AssertionError("a pass is given its text")

    return Prompts(load)


def _text(words: int, width: int) -> Text:
    return Text("", (), (), torch.randn(1, words, width))


def wan(device: torch.device, dtype: torch.dtype, mode: Mode) -> tuple[Any, Work]:
    """Wan 2.1 T2V 1.3B at 81 frames of 480p: 32,760 tokens."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    transformer = _made(
        lambda: WanTransformer3DModel(
            num_attention_heads=12, attention_head_dim=128, text_dim=4096, freq_dim=256, ffn_dim=8960, num_layers=30
        ),
        device, dtype, mode,
    )  # fmt: skip
    small: dict[str, Any] = {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
    parts = WanParts("Wan 1.3B", transformer, AutoencoderKLWan(**small), _no_prompts(), 5.0, False)
    model, z, text = Wan(parts, device, mode), torch.randn(1, 16, 21, 60, 104, device=device), _text(512, 4096)

    @torch.no_grad()
    def work() -> Tensor:
        return model.predict(z, 0.7, text).x0

    return model, work


def _unet(inputs: int, device: torch.device, dtype: torch.dtype, mode: Mode) -> Any:
    from diffusers import UNet2DConditionModel

    settings: dict[str, Any] = {"in_channels": inputs, "cross_attention_dim": 768, "attention_head_dim": 8}
    return _made(lambda: UNet2DConditionModel(**settings), device, dtype, mode)


def _stable_diffusion(unet: Any) -> StableDiffusionParts:
    from diffusers import AutoencoderKL

    four: dict[str, Any] = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    autoencoder = AutoencoderKL(block_out_channels=(8, 8, 8, 8), norm_num_groups=4, **four)
    return StableDiffusionParts("SD 1.5", unet, autoencoder, _no_prompts(), DdpmSchedule(), "epsilon")


def instruct_pix2pix(device: torch.device, dtype: torch.dtype, mode: Mode) -> tuple[Any, Work]:
    """InstructPix2Pix SD 1.5, 8 pictures of 512²."""
    model = InstructPix2Pix(_stable_diffusion(_unet(8, device, dtype, mode)), device, mode)
    z, text = torch.randn(1, 4, 8, 64, 64, device=device), _text(77, 768)
    condition = Condition(torch.randn_like(z))

    @torch.no_grad()
    def work() -> Tensor:
        return model.predict(z, 0.7, text, condition).x0

    return model, work


def animatediff(device: torch.device, dtype: torch.dtype, mode: Mode) -> tuple[Any, Work]:
    """AnimateDiff v1-5-2 on SD 1.5, 16 frames of 512²."""
    from diffusers import MotionAdapter
    from diffusers.models.unets.unet_motion_model import UNetMotionModel

    adapter = _made(lambda: MotionAdapter(motion_max_seq_length=32, use_motion_mid_block=False), device, dtype, mode)
    unet = UNetMotionModel.from_unet2d(_unet(4, device, dtype, mode), adapter).to(dtype).eval().requires_grad_(False)
    model = AnimateDiff(_stable_diffusion(unet), device, mode)
    z, text = torch.randn(1, 4, 16, 64, 64, device=device), _text(77, 768)

    @torch.no_grad()
    def work() -> Tensor:
        return model.predict(z, 0.7, text).x0

    return model, work


FULL = (
    Full("wan", "Wan 2.1 1.3B, 81 frames of 480p", wan),
    Full("sd", "InstructPix2Pix SD 1.5, 8 pictures of 512²", instruct_pix2pix),
    Full("animatediff", "AnimateDiff v1-5-2, 16 frames of 512²", animatediff),
)
