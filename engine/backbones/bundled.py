"""The bundled model as a backbone: what `assets/bundled` holds, loaded and wrapped in the protocol."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from engine.backbones.bundled_autoencoder import STRIDE, AutoencoderConfig, ClipAutoencoder
from engine.backbones.bundled_model import PATCH, BundledConfig, BundledModel
from engine.backbones.hooks import Hooks
from engine.backbones.wan_attention import WanHooks
from engine.diffusion.backbone import Condition, Prediction, Text
from engine.diffusion.flow import from_clean, shifted_levels
from engine.errors import MethodError

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets" / "bundled"
SHIFT = 5.0
"""Of the noise levels, Wan's own: what a clip shows is decided where there is much noise."""


class Bundled(Hooks):
    """The drawn world's model. Clips have 4k + 1 frames of H × W, multiples of 8; shorter ones are filled up with their last."""

    name: ClassVar[str] = "bundled"
    max_frames = 17
    stride = (STRIDE, STRIDE * PATCH[1], STRIDE * PATCH[2])

    def __init__(self, model: BundledModel, autoencoder: ClipAutoencoder) -> None:
        super().__init__(tuple(f"block.{index}" for index in range(model.config.layers)))
        self.model, self.autoencoder = model.eval(), autoencoder.eval()
        self._wan = WanHooks(model.transformer, self)

    @property
    def device(self) -> torch.device:
        return self.model.kinds.weight.device

    @property
    def denoiser(self) -> torch.nn.Module:
        """What an adapter is put on."""
        return self.model.transformer

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """frames (T, 3, H, W) in [−1, 1] -> latents (1, C, F, H/4, W/4).

        Raises MethodError for sides that are no multiples of 8.
        """
        count, _, height, width = frames.shape
        if height % self.stride[1] or width % self.stride[2]:
            raise MethodError(f"The bundled model takes sides that are multiples of 8; got {width} × {height}: resize the clip.")
        filled = torch.cat([frames, frames[-1:].expand((1 - count) % STRIDE, -1, -1, -1)])
        return self.autoencoder.encode(filled.transpose(0, 1)[None].to(self.device))

    @torch.no_grad()
    def decode(self, latents: Tensor, frames: int) -> Tensor:
        return self.autoencoder.decode(latents)[0].transpose(0, 1)[:frames].clamp(-1, 1)

    @torch.no_grad()
    def encode_text(self, prompt: str) -> Text:
        """Raises UnknownWord for a word outside the world's vocabulary."""
        words = tuple(prompt.lower().replace(",", " ").replace(".", " ").split())
        return Text(prompt, words, tuple((index,) for index in range(len(words))), self.model.encode_text([prompt]))

    def levels(self, steps: int) -> list[float]:
        return shifted_levels(steps, SHIFT)

    def scales(self, level: float) -> tuple[float, float]:
        return 1 - level, level

    def predict(self, z: Tensor, level: float, text: Text, condition: Condition | None = None) -> Prediction:
        """With a source the clip is edited as the text says; without one the text is a caption. Gradients pass."""
        self.accept(condition)
        source = condition.source if condition is not None else None
        grid = (z.shape[2], z.shape[3] // PATCH[1], z.shape[4] // PATCH[2])
        lead = 0 if source is None else grid[0] * grid[1] * grid[2]
        times = torch.full((len(z),), level, device=z.device)
        given = None if source is None else source.expand_as(z)
        with self._wan.on(grid, lead):
            x0 = self.model(z, times, text.embeddings.expand(len(z), -1, -1), given)
        return from_clean(z, x0, level)


def write_bundled(folder: Path, model: BundledModel, autoencoder: ClipAutoencoder) -> None:
    """Writes weights as float16 and their configuration; what is in the folder is replaced."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    for name, module in (("model", model), ("autoencoder", autoencoder)):
        half = {key: value.detach().half().cpu().contiguous() for key, value in module.state_dict().items()}
        save_file(half, folder / f"{name}.safetensors")
    config = {"model": asdict(model.config), "autoencoder": asdict(autoencoder.config), "vocabulary": list(model.vocabulary)}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")


def read_parts(folder: Path = ASSETS) -> tuple[BundledModel, ClipAutoencoder]:
    """The modules that `write_bundled` wrote, as float32. Raises MethodError where something is missing or does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        model = BundledModel(BundledConfig(**config["model"]), tuple(config["vocabulary"]))
        autoencoder = ClipAutoencoder(AutoencoderConfig(**config["autoencoder"]))
        for name, module in (("model", model), ("autoencoder", autoencoder)):
            module.load_state_dict({key: value.float() for key, value in load_file(folder / f"{name}.safetensors").items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise MethodError(f"The bundled model in {folder} cannot be loaded: {error}. Fetch the project again.") from error
    return model, autoencoder


def load(device: torch.device | str = "cpu", folder: Path = ASSETS) -> Bundled:
    """The bundled model on a device. Raises MethodError."""
    model, autoencoder = read_parts(folder)
    return Bundled(model.to(device), autoencoder.to(device))
