"""Wan guided by pictures: VACE (Jiang et al., arXiv 2503.07598), and the model that joins a first and a last picture.

VACE looks at a video beside the noise: what its mask keeps, and what it replaces, each encoded by itself, and the mask folded
8 × 8 into channels. Its own blocks turn that into hints for the transformer's. The first–last model sees latents of a video
that has nothing but its two ends, a mask that says so, and what CLIP makes of both pictures. Written after diffusers'
pipelines of the two, against which the tests hold every input.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones.offload import Mode
from engine.backbones.snapshot import Snapshot
from engine.backbones.wan import Wan, WanParts, load_parts
from engine.device import torch_device, working_dtype
from engine.diffusion.backbone import Condition
from engine.errors import MethodError


class Vace(Wan):
    """Takes a video and a mask. Without them there is nothing to follow: a grey video, all of it to be made."""

    name: ClassVar[str] = "vace"

    def __init__(self, parts: WanParts, device: torch.device, mode: Mode = "whole") -> None:
        super().__init__(parts, device, mode)
        self.takes = ("video", "mask")
        self._nothing = Condition()

    def _given(self, z: Tensor, condition: Condition | None) -> dict[str, Tensor]:
        """ "beside": what the control sees (1, 96, F, h, w), and "strength" for each of its blocks."""
        condition = condition or self._nothing
        given = self._once(condition, lambda: {"beside": self._beside(z, condition)})
        if given["beside"].shape[2:] != z.shape[2:]:
            if condition.video is not None:
                raise ValueError(f"the video makes latents {tuple(given['beside'].shape[2:])}, the noise is {tuple(z.shape[2:])}")
            given = self._kept[condition] = {"beside": self._beside(z, condition)}
        blocks = len(self.parts.transformer.config.vace_layers)
        return given | {"strength": torch.full((blocks,), float(condition.strength))}

    def _beside(self, z: Tensor, condition: Condition) -> Tensor:
        """Latents of what is kept and of what is replaced, 2 C channels, and the mask's 8 × 8 of every cell."""
        frames, rows, columns = self._pixels_of(z)
        video = condition.video if condition.video is not None else torch.zeros(frames, 3, rows, columns)
        mask = condition.mask if condition.mask is not None else torch.ones(len(video), 1, *video.shape[2:])
        if mask.shape != (len(video), 1, *video.shape[2:]):
            raise ValueError(f"the mask {tuple(mask.shape)} does not belong to the video {tuple(video.shape)}")
        # Our choice for a clip that is filled up: the frames beyond its end are to be made, as the last one is.
        more = (1 - len(mask)) % self._cell[0]
        mask, binary = torch.cat([mask, mask[-1:].expand(more, -1, -1, -1)]), (mask > 0.5).to(video)
        kept, made = self.encode(video * (1 - binary)), self.encode(video * binary)
        return torch.cat([kept, made, folded_mask(mask.to(kept), self._cell)], 1)

    def _pixels_of(self, z: Tensor) -> tuple[int, int, int]:
        return (z.shape[2] - 1) * self._cell[0] + 1, z.shape[3] * self._cell[1], z.shape[4] * self._cell[1]

    def _pass(self, states: Tensor, times: Tensor, words: Tensor, given: dict[str, Tensor]) -> Tensor:
        beside = given["beside"].to(states).expand(len(states), -1, -1, -1, -1)
        return self.parts.transformer(
            states,
            times,
            words,
            control_hidden_states=beside,
            control_hidden_states_scale=given["strength"].to(states),
            return_dict=False,
        )[0]


def folded_mask(mask: Tensor, cell: tuple[int, int]) -> Tensor:
    """(T, 1, H, W) -> (1, 8 · 8, F, H/8, W/8): every pixel of a cell as a channel, the nearest frame of each latent frame."""
    frames, side = -(-len(mask) // cell[0]), cell[1]
    channels = F.pixel_unshuffle(mask, side).transpose(0, 1)[None]
    return F.interpolate(channels, size=(frames, *channels.shape[3:]), mode="nearest-exact")


class FirstLast(Wan):
    """Joins two pictures: takes `first` and `last`, and needs them; a model for one picture needs the first alone."""

    name: ClassVar[str] = "first-last"

    def __init__(self, parts: WanParts, device: torch.device, snapshot: Snapshot, mode: Mode = "whole") -> None:
        super().__init__(parts, device, mode)
        self.takes, self._snapshot = ("first", "last"), snapshot

    def _given(self, z: Tensor, condition: Condition | None) -> dict[str, Tensor]:
        """ "beside": the mask and the latents of the ends (1, 4 + C, F, h, w); "seen": CLIP's view of the pictures (1, J, C')."""
        wanted = ("first", "last") if self.parts.transformer.config.pos_embed_seq_len else ("first",)
        lacking = [name for name in wanted if condition is None or getattr(condition, name) is None]
        if condition is None or lacking:
            raise MethodError(f"{self.parts.title} needs a picture to go by ({', '.join(lacking)}): approve an anchor there.")
        return self._once(condition, lambda: self._views(z, condition))

    def _views(self, z: Tensor, condition: Condition) -> dict[str, Tensor]:
        count = (z.shape[2] - 1) * self._cell[0] + 1
        ends = [picture for picture in (condition.first, condition.last) if picture is not None]
        video = torch.zeros(count, *ends[0].shape)
        video[0], mask = ends[0], torch.zeros(count)
        mask[0] = 1
        if len(ends) == 2:
            video[-1], mask[-1] = ends[1], 1
        latents = self.encode(video)
        if latents.shape[2:] != z.shape[2:]:
            raise ValueError(f"the pictures make latents {tuple(latents.shape[2:])}, the noise is {tuple(z.shape[2:])}")
        # Each latent frame has the marks of its frames as channels; the first, which holds one frame, has it four times.
        marks = torch.cat([mask[:1].repeat(self._cell[0]), mask[1:]]).view(-1, self._cell[0]).T
        marks = marks.to(latents)[None, :, :, None, None].expand(-1, -1, -1, *latents.shape[3:])
        given = {"beside": torch.cat([marks, latents], 1)}
        if self.parts.transformer.config.image_dim is not None:
            given["seen"] = self._seen(ends)
        return given

    @torch.no_grad()
    def _seen(self, pictures: list[Tensor]) -> Tensor:
        """CLIP's last but one layer, (pictures, J, C'). Its encoder is loaded for this and freed: it is used once a segment."""
        look = self._snapshot.load("CLIPImageProcessorPil", "image_processor")
        model = self._snapshot.load("CLIPVisionModel", "image_encoder", torch.float32).to(self.device)
        arrays = [((picture.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy() for picture in pictures]
        pixels = look(images=arrays, return_tensors="pt").pixel_values.to(self.device)
        return model(pixels, output_hidden_states=True).hidden_states[-2]

    def _pass(self, states: Tensor, times: Tensor, words: Tensor, given: dict[str, Tensor]) -> Tensor:
        count = len(states)
        beside = given["beside"].to(states).expand(count, -1, -1, -1, -1)
        seen = given["seen"].to(states).repeat(count, 1, 1) if "seen" in given else None
        return self.parts.transformer(torch.cat([states, beside], 1), times, words, seen, return_dict=False)[0]


def load(
    folder: Path | str,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    offload: Mode | None = None,
    title: str = "Wan VACE",
) -> Vace:
    """VACE from a snapshot's folder; see `wan.load`. Raises MethodError."""
    place = device if isinstance(device, torch.device) else torch_device(device)
    snapshot = Snapshot(folder, title)
    parts, mode = load_parts(snapshot, "WanVACETransformer3DModel", place, dtype or working_dtype(place), offload)
    return Vace(parts, place, mode)


def load_first_last(
    folder: Path | str,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    offload: Mode | None = None,
    title: str = "Wan FLF2V",
) -> FirstLast:
    """The first–last model from a snapshot's folder; see `wan.load`. Raises MethodError."""
    place = device if isinstance(device, torch.device) else torch_device(device)
    snapshot = Snapshot(folder, title)
    parts, mode = load_parts(snapshot, "WanTransformer3DModel", place, dtype or working_dtype(place), offload)
    return FirstLast(parts, place, snapshot, mode)
