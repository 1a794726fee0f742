"""Draws scenes: video and masks, at any size, for any times, on the device the scenes are on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.world.geometry import Poses, outlines, poses, to_ground, to_surface
from engine.world.scene import LATTICES, TEXTURE_PERIOD, Scenes
from engine.world.words import BACKGROUND_RGB, COLOUR_RGB

DARK = 0.35
"""Brightness of the dark half of a pattern, relative to the subject's colour."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a scene looks. `relief`: contrast of the texture on subjects and background; `grain`: standard deviation of
    the sensor's noise; `shutter`: open time in frames, drawn as `exposures` pictures averaged (motion blur); `dusk`: how much
    darker the frame's far corner is."""

    relief: float = 0.1
    grain: float = 0.0
    shutter: float = 0.0
    exposures: int = 1
    dusk: float = 0.0


PLAIN = Style()
PHOTO = Style(relief=0.45, grain=0.012, shutter=0.4, exposures=3, dusk=0.25)
"""For tests and benches that want pictures like a camera's: texture of all scales, noise, motion blur, uneven light."""


@dataclass(frozen=True, eq=False, slots=True)
class Drawing:
    """video (B, T, 3, H, W) in [0, 1]; whole and visible (B, K, T, H, W) in [0, 1]: each subject's cover, and what of
    it is not hidden by subjects above. Subjects that are not present cover nothing."""

    video: Tensor
    whole: Tensor
    visible: Tensor


def draw(scenes: Scenes, size: tuple[int, int], times: Tensor | int, style: Style = PLAIN) -> Drawing:
    """Draws B scenes at the given times (T,), or at 0 … times − 1, as pictures of `size` (H, W)."""
    times = torch.arange(times) if isinstance(times, int) else times
    return Painter(scenes, size, style).draw(times)


def frames(scene: Scenes, size: tuple[int, int], count: int, style: Style = PLAIN) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One scene frame by frame: (picture (H, W, 3) uint8, visible masks (K, H, W) uint8). Holds two frames or so at a time."""
    painter = Painter(scene, size, style)
    chunk = max(1, 2**20 // (size[0] * size[1]))
    for start in range(0, count, chunk):
        drawing = painter.draw(torch.arange(start, min(count, start + chunk)))
        pictures = (drawing.video[0] * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        masks = (drawing.visible[0] * 255).round().byte().transpose(0, 1).cpu().numpy()
        yield from zip(pictures, masks, strict=True)


class Painter:
    """Draws B scenes as pictures of one size. Memory is about 40 floats a pixel of all frames drawn at once."""

    def __init__(self, scenes: Scenes, size: tuple[int, int], style: Style = PLAIN) -> None:
        self.scenes, self.size, self.style = scenes, size, style
        self._texture = _texture(scenes)
        height, width = size
        device = scenes.background.device
        self._x = ((torch.arange(width, device=device) + 0.5) / width * scenes.width)[None].expand(size)
        self._y = ((torch.arange(height, device=device) + 0.5) / height)[:, None].expand(size)

    def draw(self, times: Tensor) -> Drawing:
        """A frame looks the same whatever other frames are drawn with it."""
        t = times.to(self._x)
        style = self.style
        steps = ((torch.arange(style.exposures) + 0.5) / style.exposures - 0.5) * style.shutter
        video, whole, visible = self._expose(t + float(steps[0]))
        for step in steps[1:].tolist():
            for total, more in zip((video, whole, visible), self._expose(t + step), strict=True):
                total += more
        if style.exposures > 1:
            video, whole, visible = video / style.exposures, whole / style.exposures, visible / style.exposures
        if style.grain > 0:
            video = video + style.grain * _grain(self.scenes, self.size, t).to(t.device)
        return Drawing(video.clamp(0, 1), whole, visible)

    def _expose(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One instant exposure at each time: video, whole, visible."""
        scenes, pose = self.scenes, poses(self.scenes, t)
        x, y = (axis.expand(len(scenes), len(t), *self.size) for axis in (self._x, self._y))
        video = _ground(scenes, self._texture, x, y, t)
        count = scenes.subjects.shape.shape[1]
        whole = torch.zeros(len(scenes), count, len(t), *self.size, device=t.device)
        for k in range(count):
            rows, columns = _window(scenes, pose.subject(k), k, self.size)
            at = x[..., rows, columns], y[..., rows, columns]
            colour, cover = self._subject(k, *at, pose.subject(k))
            whole[:, k, :, rows, columns] = cover
            video[..., rows, columns] = torch.lerp(video[..., rows, columns], colour, cover[:, :, None])
        visible, clear = whole.clone(), torch.ones_like(whole[:, 0])
        for k in reversed(range(count)):
            visible[:, k] *= clear
            clear = clear * (1 - whole[:, k])
        light = 1 + scenes.light.at(t)[:, :, None, None, None]
        if self.style.dusk > 0:
            light = light * (1 - self.style.dusk * 0.5 * (x / scenes.width + y)[:, :, None])
        return video * light, whole, visible

    def _subject(self, k: int, x: Tensor, y: Tensor, pose: Poses) -> tuple[Tensor, Tensor]:
        """Colour (B, T, 3, H, W) and cover (B, T, H, W) of subject k at frame points x, y."""
        subjects = self.scenes.subjects
        u, v = to_surface(x, y, pose)
        pixels = pose.radius[..., None, None] * self.size[0]  # per radius
        cover = (0.5 - outlines(subjects.shape[:, k], u, v) * pixels).clamp(0, 1)
        cover = cover * subjects.present[:, k, None, None, None]
        patch = subjects.patch[:, k, :, None, None, None]
        relief = _look_up(self._texture, patch[:, 0] + 0.4 * u, patch[:, 1] + 0.4 * v) - 0.4
        # The first factor shows which way the subject is turned, whatever its shape.
        shade = (1 - 0.2 * v.clamp(-1.2, 1.2)) * (1 + self.style.relief * relief)
        shade = shade * _pattern(subjects.material[:, k], u, v, pixels)
        colour = COLOUR_RGB.to(u.device)[subjects.colour[:, k]] + subjects.tint[:, k]
        return (colour[:, None, :, None, None] * shade[:, :, None]).clamp(0, 1), cover


def _window(scenes: Scenes, pose: Poses, k: int, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that hold subject k in all scenes at all times: nothing outside needs to be worked out.

    No shape reaches further than 1.25 radii from its centre, and bending moves a point by at most its amplitudes.
    """
    present = scenes.subjects.present[:, k]
    if len(scenes) > 8 or not present.any():  # over many scenes the window is the frame: not worth asking
        return slice(0, size[0]), slice(0, size[1])
    reach = pose.radius * (1.25 + pose.bend.abs().sum(1)) + 1 / size[0]
    scale = torch.tensor([size[1] / scenes.width, size[0]], device=reach.device)
    low = ((pose.centre - reach[..., None]) * scale)[present].amin((0, 1))
    high = ((pose.centre + reach[..., None]) * scale)[present].amax((0, 1))
    (left, top), (right, bottom) = low.floor().long().tolist(), high.ceil().long().tolist()
    return slice(max(0, top), max(1, min(size[0], bottom))), slice(max(0, left), max(1, min(size[1], right)))


def _pattern(material: Tensor, u: Tensor, v: Tensor, pixels: Tensor) -> Tensor:
    """Brightness of the material on the surface: edges are one pixel soft."""
    material = material[:, None, None, None]
    stripes = torch.sin(3 * pi * u) * pixels / (3 * pi)
    checks = torch.sin(2.5 * pi * u) * torch.sin(2.5 * pi * v) * pixels / (2.5 * pi)
    bright = (0.5 + torch.where(material == 1, stripes, checks)).clamp(0, 1)
    return torch.where(material == 0, 1.0, DARK + (1 - DARK) * bright)


def _ground(scenes: Scenes, texture: Tensor, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """The background everywhere in the frame: (B, T, 3, H, W)."""
    x, y = to_ground(x, y, scenes, t)
    noise = 0.5 + 0.5 * _look_up(texture, x, y)
    share = noise.clone()  # grass, sand and snow are the bare texture
    for kind in (2, 3, 4):
        chosen = scenes.background == kind
        if chosen.any():
            share[chosen] = _GROUND[kind](x[chosen], y[chosen], noise[chosen])
    low, high = BACKGROUND_RGB.to(x.device)[scenes.background].unbind(1)
    share = share[:, :, None]
    return low[:, None, :, None, None] + (high - low)[:, None, :, None, None] * share


def _water(x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
    return 0.35 + 0.35 * torch.sin(8 * pi * y + 1.9 * torch.sin(2 * pi * x)) + 0.3 * noise


def _brick(x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
    row = (y * 6).floor()
    across = torch.remainder(x * 3 + 0.5 * torch.remainder(row, 2), 1)
    mortar = torch.minimum((across * 10 - 0.5).clamp(0, 1), (torch.remainder(y * 6, 1) * 6 - 0.5).clamp(0, 1))
    return 0.75 * mortar + 0.25 * noise


def _night(x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
    return noise + ((noise - 0.8) * 14).clamp(0, 2.5)  # stars where the texture peaks


_GROUND = {2: _water, 3: _brick, 4: _night}


def _texture(scenes: Scenes) -> Tensor:
    """(B, n + 1, n + 1) in about [-1, 1]: octaves of smooth noise, coarse strongest; the last row and column repeat the first."""
    size = 4 * LATTICES[len(scenes.texture) - 1]
    total = torch.zeros(len(scenes), size, size, device=scenes.background.device)
    weight = 0.0
    for octave, lattice in enumerate(scenes.texture):
        wrapped = F.pad(lattice[:, None], (2, 2, 2, 2), mode="circular")
        scale = size // lattice.shape[-1]
        smooth = F.interpolate(wrapped, scale_factor=scale, mode="bicubic", align_corners=False)[:, 0]
        total += 0.75**octave * smooth[:, 2 * scale : -2 * scale, 2 * scale : -2 * scale]
        weight += 0.75 ** (2 * octave)
    return F.pad(1.1 * total[:, None] / weight**0.5, (0, 1, 0, 1), mode="circular")[:, 0].clamp(-1, 1)


def _look_up(texture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The texture at points in units; it repeats for ever. texture (B, n + 1, n + 1), points (B, ...) -> (B, ...)."""
    grid = torch.stack([x, y], -1).flatten(1, -2)[:, None]
    grid = 2 * torch.remainder(grid / TEXTURE_PERIOD, 1) - 1
    return F.grid_sample(texture[:, None], grid, mode="bilinear", align_corners=True).reshape(x.shape)


def _grain(scenes: Scenes, size: tuple[int, int], t: Tensor) -> Tensor:
    """(B, T, 3, H, W) standard normal, drawn by scene and time."""
    noise = torch.empty(len(scenes), len(t), 3, *size)
    for b, seed in enumerate(scenes.grain.tolist()):
        for i, time in enumerate(t.tolist()):
            generator = torch.Generator().manual_seed(seed * 100_003 + round(time * 16))
            noise[b, i] = torch.randn(3, *size, generator=generator)
    return noise
