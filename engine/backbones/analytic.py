"""A diffusion backbone without weights whose every part is real: closed-form noise prediction, two attention layers.

The clip is taken to be drawn from the Gaussian N(mu, s² I). For z = a·x0 + b·noise, whatever the schedule (a, b), the best
prediction is then known in closed form:

    x0    = mu + a s² / (a² s² + b²) · (z − a mu)
    noise =         b / (a² s² + b²) · (z − a mu)

With a = 1 − t, b = t this is rectified flow: noise − x0 = (t − (1 − t) s²) / ((1 − t)² s² + t²) · (z − (1 − t) mu) − mu.
With a = √ᾱ, b = √(1 − ᾱ) it is DDPM: eps = √(1 − ᾱ) (z − √ᾱ mu) / (ᾱ s² + 1 − ᾱ). With s = 0 sampling lands on mu, and
flow editing (FlowEdit, Kulikov et al., arXiv 2412.08629) on X + mu_target − mu_source, in any number of steps.

mu = X + D: X is the clip to edit (`Condition.source`), or mid-grey (latents 0) without one; D comes from two attention
layers with the usual hooks, each of one head:

    layer 0, cross  video tokens look for words: queries are the mean colours of the patches, keys the looks of the nouns.
                    A word's value is a change of colour (3 × 3): none but for colour words.
    layer 1, self   video tokens of all frames share those changes: queries and keys are descriptors of the patches.

The change that a token ends up with is applied to its own pixels, so texture and shading stay. Our choice: changes of
colour are shared, not finished pixels, which a weighted mean would blur.

Sites of `features` and `inject`, with B = the batch of z:

    descriptors  (B, 6, F, h, w)     of the source's patches: mean RGB in [0, 1], gradient energy, 0.5 · (row, column) in [0, 0.5]
    words        (B, 9, F, h, w)     what layer 0 made of it: the change of colour, a 3 × 3 matrix by rows
    shared       (B, 9, F, h, w)     the same after layer 1
    mean         (B, 3p², F, h, w)   mu
    clean        (B, 3p², F, h, w)   x0; the only state that depends on z. Above level 0 the noise follows what is put there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones.analytic_text import KEY, RGB, VALUE, TextEncoder, colour_space, near, query, widen
from engine.backbones.hooks import Hooks
from engine.diffusion.attention import AttentionSite, attend
from engine.diffusion.backbone import Condition, Prediction, Text
from engine.diffusion.ddpm import DdpmSchedule
from engine.diffusion.flow import shifted_levels
from engine.errors import MethodError

SITES = ("descriptors", "words", "shared", "mean", "clean")
POSITION = 0.5
"""How much the place in the frame, from 0 to 1, counts in a descriptor beside colours from 0 to 1."""
BANDWIDTH = 0.02
"""of the self-attention exp(−‖q − k‖² / BANDWIDTH) over descriptors."""
SHIFT = 5.0
"""of the flow's noise levels, as in Wan."""


class AnalyticBackbone(Hooks):
    """The backbone of the module's docstring. Latents are the pixels themselves, p × p of them to a cell.

    `looks`: what the nouns of a prompt look like in this clip, RGB in [0, 1]: {"ball": (0.9, 0.1, 0.1)}. Only what has a
    look is found, so only it can be changed by a colour word before it. `patch`: p. `spread`: s, in latents' units: how
    much of the noise's own structure stays. `schedule`: rectified flow, or DDPM, where level n/1000 is its n-th step.
    `max_frames`: the time of a prediction grows with its square.
    """

    name: ClassVar[str] = "analytic"

    def __init__(
        self,
        looks: Mapping[str, RGB] = MappingProxyType({}),
        *,
        patch: int = 4,
        spread: float = 0.0,
        schedule: Literal["flow", "ddpm"] = "flow",
        max_frames: int = 128,
    ) -> None:
        super().__init__(SITES)
        if patch < 1 or spread < 0 or schedule not in ("flow", "ddpm"):
            raise ValueError(
                f"patch must be 1 or more, spread 0 or more, schedule flow or ddpm; got {patch}, {spread}, {schedule!r}"
            )
        self.patch, self.spread, self.schedule, self.max_frames = patch, spread, schedule, max_frames
        self.stride = (1, patch, patch)
        self._encode_text = TextEncoder(looks)
        self._ddpm = DdpmSchedule()

    def encode(self, frames: Tensor) -> Tensor:
        """frames (T, 3, H, W) in [−1, 1] -> latents (1, 3p², T, H/p, W/p), without loss.

        Raises MethodError where a side is not a multiple of p or the clip is longer than `max_frames`.
        """
        count, _, height, width = frames.shape
        if height % self.patch or width % self.patch:
            raise MethodError(
                f"The analytic model takes sides that are multiples of {self.patch}; got {width} × {height}: resize the clip."
            )
        if count > self.max_frames:
            raise MethodError(
                f"The analytic model takes {self.max_frames} frames at a time, not {count}: choose a shorter range."
            )
        return F.pixel_unshuffle(frames, self.patch).transpose(0, 1)[None]

    def decode(self, latents: Tensor, frames: int) -> Tensor:
        """latents (1, 3p², F, h, w) -> (frames, 3, ph, pw), cut to [−1, 1]."""
        return self._pixels(latents)[0, :frames].clamp(-1, 1)

    def encode_text(self, prompt: str) -> Text:
        """See `analytic_text`: words in lower case, position 0 belongs to none."""
        return self._encode_text(prompt)

    def levels(self, steps: int) -> list[float]:
        """flow: Wan's shifted grid; ddpm: even steps from 1 to 0, each n/1000. Raises ValueError for steps out of range."""
        return shifted_levels(steps, SHIFT) if self.schedule == "flow" else self._ddpm.levels(steps)

    def scales(self, level: float) -> tuple[float, float]:
        """(a, b) in z = a · x0 + b · noise. Raises ValueError outside [0, 1]."""
        if self.schedule == "ddpm":
            return self._ddpm.scales(level)
        if not 0 <= level <= 1:
            raise ValueError(f"noise levels are within [0, 1]; got {level}")
        return 1 - level, level

    def predict(self, z: Tensor, level: float, text: Text, condition: Condition | None = None) -> Prediction:
        """z (B, 3p², F, h, w) at a level from 1 to 0. Raises ValueError where the source is not as large as z.

        At level 0 nothing is left to predict: x0 = z and noise = 0, which is the limit for every s > 0.
        """
        self.accept(condition)
        a, b = self.scales(level)
        mean = self._mean(z, text, condition)
        if b == 0:
            return Prediction(self.passing("clean", z), torch.zeros_like(z))
        off = (z - a * mean) / (a * a * self.spread**2 + b * b)
        closed = mean + a * self.spread**2 * off
        clean = self.passing("clean", closed)
        return Prediction(clean, b * off if clean is closed else (z - a * clean) / b)

    def _mean(self, z: Tensor, text: Text, condition: Condition | None) -> Tensor:
        """mu = X + D, like z."""
        source = condition.source if condition else None
        if source is None:
            source = torch.zeros_like(z)
        if source.shape[1:] != z.shape[1:] or source.shape[0] not in (1, len(z)):
            raise ValueError(f"the source {tuple(source.shape)} must be as large as the noisy latents {tuple(z.shape)}")
        source = source.to(z).expand_as(z)
        pixels = (self._pixels(source).float() + 1) / 2
        described = self.passing("descriptors", _descriptors(pixels, self.patch))
        change = self._share(self._words(described, text), described)
        cells = (source.float().unflatten(1, (3, -1)) + 1) / 2
        recoloured = torch.einsum("bijfhw,bjpfhw->bipfhw", change.unflatten(1, (3, 3)), cells)
        return self.passing("mean", source + 2 * recoloured.flatten(1, 2).to(source))

    def _words(self, described: Tensor, text: Text) -> Tensor:
        """Layer 0: descriptors (B, 6, F, h, w) -> what the words change there, (B, 9, F, h, w)."""
        site = AttentionSite(0, "cross", _grid(described))
        embeddings = text.embeddings.to(described).expand(len(described), -1, -1)
        queries = query(colour_space(_tokens(described[:, :3])))
        return self.passing("words", self._attend(site, queries, embeddings[..., KEY], embeddings[..., VALUE]))

    def _share(self, change: Tensor, described: Tensor) -> Tensor:
        """Layer 1: the changes (B, 9, F, h, w) shared among tokens that look alike."""
        site = AttentionSite(1, "self", _grid(described))
        tokens = _tokens(described)
        return self.passing("shared", self._attend(site, query(tokens), near(tokens, BANDWIDTH), widen(_tokens(change))))

    def _attend(self, site: AttentionSite, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One head over (B, N or J, WIDTH) -> the first 9 channels as a state (B, 9, F, h, w)."""
        out = attend(q[:, None], k[:, None], v[:, None], site, self.installed)
        return out[:, 0, :, :9].transpose(1, 2).unflatten(-1, site.grid)

    def _pixels(self, latents: Tensor) -> Tensor:
        """(B, 3p², F, h, w) -> (B, F, 3, ph, pw)."""
        return F.pixel_shuffle(latents.transpose(1, 2), self.patch)


def _descriptors(pixels: Tensor, patch: int) -> Tensor:
    """pixels (B, F, 3, H, W) in [0, 1] -> (B, 6, F, h, w); gradient energy is the root mean square slope of the brightness."""
    mean = F.avg_pool2d(pixels.flatten(0, 1), patch).unflatten(0, pixels.shape[:2])
    brightness = F.pad(pixels.mean(2), (0, 1, 0, 1), mode="replicate")
    across, down = brightness[..., :-1, :].diff(dim=-1), brightness[..., :-1].diff(dim=-2)
    energy = F.avg_pool2d(across**2 + down**2, patch).sqrt()[:, :, None]
    rows, columns = (POSITION * (torch.arange(n, device=pixels.device) + 0.5) / n for n in mean.shape[-2:])
    place = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(*mean.shape[:2], -1, -1, -1)
    return torch.cat([mean, energy, place], 2).transpose(1, 2)


def _grid(state: Tensor) -> tuple[int, int, int]:
    frames, rows, columns = state.shape[-3:]
    return frames, rows, columns


def _tokens(state: Tensor) -> Tensor:
    """(B, C, F, h, w) -> (B, N, C)."""
    return state.flatten(2).transpose(1, 2)
