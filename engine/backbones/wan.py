"""Wan text-to-video (Wan team, arXiv 2503.20314) from the hub: 2.1 with 1.3B and 14B parameters, 2.2 with 5B.

Rectified flow: the transformer says the velocity noise − x0. The autoencoder is causal in time: 4k + 1 frames become k + 1
latent frames, so clips are filled up with their last frame and cut again. Wan 2.2 5B can begin with a picture: its first
latent frame then is that picture, at noise level 0. Written after diffusers' pipelines, whose pieces are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from engine.backbones.hooks import Hooks
from engine.backbones.offload import Home, Mode, Needs, choose
from engine.backbones.prompts import Prompts
from engine.backbones.snapshot import Snapshot
from engine.backbones.wan_attention import TEXT_TOKENS, WanHooks
from engine.device import free_memory, torch_device, working_dtype
from engine.diffusion.backbone import Condition, OutOfMemory, Prediction, Text
from engine.diffusion.flow import from_clean, from_velocity, shifted_levels
from engine.diffusion.memory import half_as_long
from engine.errors import MethodError

ROOM = 5 * 10**9
"""Bytes that a pass over 81 frames of 480p works with, beside the weights: what Wan 2.1 1.3B is published to need, 8.2 GB,
less its weights."""
LONGEST = 81
LONGEST_22 = 121


@dataclass(frozen=True, eq=False, slots=True)
class WanParts:
    """What `load_parts` found. `shift`: of the noise levels; `by_token`: whether every token has its own noise level (2.2 5B)."""

    title: str
    transformer: Any
    autoencoder: Any
    prompts: Prompts
    shift: float
    by_token: bool


class UmtEncoder:
    """umT5: embeddings of the padding are zero, as in Wan's training. On the device where it fits, else in main memory."""

    length = TEXT_TOKENS

    def __init__(self, snapshot: Snapshot, device: torch.device, dtype: torch.dtype) -> None:
        need = 1.1 * snapshot.parameters("text_encoder") * dtype.itemsize
        self.device = device if free_memory(device) > need else torch.device("cpu")
        self.tokenizer = snapshot.load("AutoTokenizer", "tokenizer")
        self.model = snapshot.load("UMT5EncoderModel", "text_encoder", dtype).to(self.device)

    def embed(self, prompt: str, ids: Tensor, mask: Tensor) -> tuple[Tensor, None]:
        """ids, mask (1, 512) -> (1, 512, C)."""
        ids, mask = ids.to(self.device), mask.to(self.device)
        return self.model(ids, mask).last_hidden_state * mask[..., None], None


class Wan(Hooks):
    """Sites: "block.0", "block.1", …, the states after the transformer's blocks."""

    name: ClassVar[str] = "wan"

    def __init__(self, parts: WanParts, device: torch.device, mode: Mode = "whole") -> None:
        super().__init__(tuple(f"block.{index}" for index in range(len(parts.transformer.blocks))))
        self.parts, self.device = parts, device
        self.takes = ("first",) if parts.by_token else ()
        self.max_frames = LONGEST_22 if parts.by_token else LONGEST
        settings = parts.autoencoder.config
        self._cell = settings.scale_factor_temporal, settings.scale_factor_spatial
        frames, rows, columns = parts.transformer.config.patch_size
        self.stride = (self._cell[0] * frames, self._cell[1] * rows, self._cell[1] * columns)
        self._wan = WanHooks(parts.transformer, self)
        self._mean, self._spread = (
            torch.tensor(values, device=device).view(1, -1, 1, 1, 1) for values in (settings.latents_mean, settings.latents_std)
        )
        self._kept: WeakKeyDictionary[Condition, dict[str, Tensor]] = WeakKeyDictionary()
        if mode != "whole":
            parts.autoencoder.enable_tiling()
        self.home = Home(
            parts.title, mode, parts.transformer, parts.autoencoder, device=device, warn=lambda sentence: self.warn(sentence)
        )

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """frames (T, 3, H, W) in [−1, 1] -> latents (1, C, ⌈(T − 1) / 4⌉ + 1, H/8, W/8) float32; Wan 2.2: H/16, W/16.

        Raises MethodError for sides that are no multiples of the stride, and OutOfMemory.
        """
        count, _, height, width = frames.shape
        if height % self.stride[1] or width % self.stride[2]:
            raise MethodError(
                f"{self.parts.title} takes sides that are multiples of {self.stride[1]}; got {width} × {height}: resize the clip."
            )
        filled = torch.cat([frames, frames[-1:].expand((1 - count) % self._cell[0], -1, -1, -1)])

        def work() -> Tensor:
            clip = filled.transpose(0, 1)[None].to(self.device, self.parts.autoencoder.dtype)
            return (self.parts.autoencoder.encode(clip).latent_dist.mode().float() - self._mean) / self._spread

        return self.home.run("autoencoder", work, _asked(count, height, width))

    @torch.no_grad()
    def decode(self, latents: Tensor, frames: int) -> Tensor:
        """latents (1, C, F, h, w) -> the first `frames` pictures (T, 3, H, W) in [−1, 1]. Raises OutOfMemory."""
        cells = latents.to(self.device).float() * self._spread + self._mean

        def work() -> Tensor:
            return self.parts.autoencoder.decode(cells.to(self.parts.autoencoder.dtype), return_dict=False)[0]

        asked = _asked(frames, latents.shape[3] * self._cell[1], latents.shape[4] * self._cell[1])
        pictures = self.home.run("autoencoder", work, asked)
        return pictures[0].transpose(0, 1)[:frames].float().clamp(-1, 1)

    def encode_text(self, prompt: str) -> Text:
        """Encoded once; an empty prompt is the unconditional one. Raises MethodError for more than 512 pieces."""
        return self.parts.prompts(prompt)

    def levels(self, steps: int) -> list[float]:
        return shifted_levels(steps, self.parts.shift)

    def scales(self, level: float) -> tuple[float, float]:
        return 1 - level, level

    def predict(self, z: Tensor, level: float, text: Text, condition: Condition | None = None) -> Prediction:
        """Gradients pass, but not by blocks. With a first picture, the first latent frame is predicted to be that picture.

        Raises MethodError for a condition that this model does not take, and OutOfMemory.
        """
        self.accept(condition)
        self.parts.prompts.free()
        given = self._given(z, condition)
        asked = _asked((z.shape[2] - 1) * self._cell[0] + 1, z.shape[3] * self._cell[1], z.shape[4] * self._cell[1])
        try:
            velocity = self.home.run("model", partial(self._velocity, z, level, text, given), asked)
        except OutOfMemory:
            self.max_frames = half_as_long((z.shape[2] - 1) * self._cell[0] + 1, self._cell[0])
            raise
        found = from_velocity(z, velocity.to(z), level)
        if "opening" not in given:
            return found
        return from_clean(z, torch.cat([given["opening"].to(z).expand(len(z), -1, -1, -1, -1), found.x0[:, :, 1:]], 2), level)

    def _given(self, z: Tensor, condition: Condition | None) -> dict[str, Tensor]:
        """What the condition's pictures become, made once: "opening", the first picture's latents (1, C, 1, h, w)."""
        if condition is None or condition.first is None:
            return {}
        first = condition.first
        return self._once(condition, lambda: {"opening": self.encode(first[None])})

    def _once(self, condition: Condition, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        if condition not in self._kept:
            self._kept[condition] = make()
        return self._kept[condition]

    def _velocity(self, z: Tensor, level: float, text: Text, given: dict[str, Tensor]) -> Tensor:
        """One pass of the transformer: (B, C, F, h, w) float32."""
        model, (frames, rows, columns) = self.parts.transformer, self.parts.transformer.config.patch_size
        grid = z.shape[2] // frames, z.shape[3] // rows, z.shape[4] // columns
        states, times = z.to(self.device, model.dtype), torch.full((len(z),), 1000 * level, device=self.device)
        if self.parts.by_token:
            times = times[:, None].repeat(1, grid[0] * grid[1] * grid[2])
        if "opening" in given:
            opening = given["opening"].to(states).expand(len(z), -1, -1, -1, -1)
            states = torch.cat([opening, states[:, :, 1:]], 2)
            times[:, : grid[1] * grid[2]] = 0
        words = text.embeddings.to(self.device, model.dtype).expand(len(z), -1, -1)
        with self._wan.on(grid, 0):
            return self._pass(states, times, words, given).float()

    def _pass(self, states: Tensor, times: Tensor, words: Tensor, given: dict[str, Tensor]) -> Tensor:
        return self.parts.transformer(states, times, words, return_dict=False)[0]


def _asked(frames: int, height: int, width: int) -> str:
    return f"{frames} frames of {width} × {height}"


def load_parts(
    snapshot: Snapshot, kind: str, device: torch.device, dtype: torch.dtype, offload: Mode | None
) -> tuple[WanParts, Mode]:
    """The parts of a Wan snapshot with a transformer of that class, and how they fit into memory (`offload` None = choose).

    The autoencoder stays float32: it is small, and what it loses is seen. Raises MethodError.
    """
    needs = Needs(snapshot.title, snapshot.parameters("transformer") * dtype.itemsize, snapshot.parameters("vae") * 4, ROOM)
    mode = offload or choose(needs, device)
    scheduler = snapshot.config("scheduler")
    parts = WanParts(
        snapshot.title,
        snapshot.load(kind, "transformer", dtype),
        snapshot.load("AutoencoderKLWan", "vae", torch.float32),
        Prompts(lambda: UmtEncoder(snapshot, device, dtype)),
        float(scheduler.get("flow_shift") or scheduler.get("shift") or 5.0),
        bool(snapshot.index.get("expand_timesteps", False)),
    )
    return parts, mode


def load(
    folder: Path | str,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    offload: Mode | None = None,
    title: str = "Wan",
) -> Wan:
    """Wan text-to-video from a snapshot's folder. What is None is chosen: device, dtype, and `offload` from free memory.

    Raises MethodError where the snapshot is not whole, or the memory cannot do.
    """
    place = device if isinstance(device, torch.device) else torch_device(device)
    snapshot = Snapshot(folder, title)
    parts, mode = load_parts(snapshot, "WanTransformer3DModel", place, dtype or working_dtype(place), offload)
    return Wan(parts, place, mode)
