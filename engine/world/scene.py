"""What a scene of the drawn world is, and how scenes are drawn by lot.

`Scenes` describes B scenes at once by tensors whose first axis is the scene and whose second, where there is one, is the
subject. Everything else (video, masks, tracks, flow, words, edits) follows from it, at any size and length: lengths are
in *units*, the height of the frame; times are frames.

A scene is named by (seed, split, number) and by nothing else: the batch it comes in, the machine and the device do not
matter. The streams of random numbers of the three splits never meet, and some pairs of shape and colour
(`words.held_out`) are seen in the test split alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from math import pi
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from engine.world.words import BACKGROUNDS, CAMOUFLAGE, COLOURS, MATERIALS, SHAPES, held_out

SPLITS = ("train", "validation", "test")
LATTICES = (8, 16, 32, 64, 128, 256)
"""Cells along one side of the texture's octaves; a texture repeats after TEXTURE_PERIOD units."""
TEXTURE_PERIOD = 2.0

Tree = TypeVar("Tree")


@dataclass(frozen=True, eq=False, slots=True)
class Wave:
    """amplitude · sin(pace · t + phase): how anything in a scene changes with time t, in frames."""

    amplitude: Tensor
    pace: Tensor
    phase: Tensor

    def at(self, t: Tensor) -> Tensor:
        """t (T,) -> (..., T)."""
        return self.amplitude[..., None] * torch.sin(self.pace[..., None] * t + self.phase[..., None])


@dataclass(frozen=True, eq=False, slots=True)
class Subjects:
    """(B, K, ...) tensors. Later subjects lie on top of earlier ones. Angles are in radians, lengths in units."""

    present: Tensor  # bool
    shape: Tensor  # index into SHAPES
    colour: Tensor  # into COLOURS
    material: Tensor  # into MATERIALS
    size: Tensor  # radius
    middle: Tensor  # (B, K, 2) x, y: the middle of the path
    sway: Wave  # (B, K, 2): the path about it
    angle: Tensor
    spin: Tensor  # per frame
    rock: Wave  # added to the angle
    swell: Wave  # relative change of the size
    bend: Wave  # (B, K, 2): deformation, in radii
    tint: Tensor  # (B, K, 3): added to the colour
    patch: Tensor  # (B, K, 2): where in the texture the surface is cut out


@dataclass(frozen=True, eq=False, slots=True)
class Camera:
    """What it does to the background: pan (B, 2) in units, roll (B,) in radians, zoom (B,) relative."""

    start: Tensor
    pan: Wave
    roll: Wave
    zoom: Wave


@dataclass(frozen=True, eq=False, slots=True)
class Scenes:
    """B scenes. `width` in units is the aspect ratio; `grain` seeds the sensor noise; `phrase` (B, 8) chooses words."""

    subjects: Subjects
    camera: Camera
    background: Tensor
    light: Wave  # (B,) relative brightness
    texture: tuple[Tensor, ...]  # one (B, n, n) lattice of values in [-1, 1] per octave
    grain: Tensor
    phrase: Tensor
    width: float

    def __len__(self) -> int:
        return len(self.background)

    def to(self, device: torch.device | str) -> Scenes:
        return _map(self, lambda tensor: tensor.to(device))

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> Scenes:
        """The scenes at `index`, as a batch."""
        return _map(self, lambda tensor: tensor[index])


def _map(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same value with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_map(item, change) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _map(getattr(value, field.name), change) for field in fields(value)})
    return value


class Dice:
    """Uniform numbers for B scenes, handed out in order: column j of a scene never depends on the other scenes."""

    def __init__(self, seed: int, split: str, numbers: Sequence[int], columns: int) -> None:
        keys = [(seed, (SPLITS.index(split) << 56) + number) for number in numbers]
        draws = [np.random.Generator(np.random.Philox(key=key)).random(columns, dtype=np.float32) for key in keys]
        self._draws = torch.from_numpy(np.stack(draws))
        self._next = 0

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(B, *shape) in [low, high)."""
        count = int(np.prod(shape, dtype=int))
        chosen = self._draws[:, self._next : self._next + count]
        if chosen.shape[1] < count:
            raise ValueError(f"a scene needs more than {self._draws.shape[1]} random numbers")
        self._next += count
        return (low + (high - low) * chosen).reshape(-1, *shape)

    def integer(self, count: int, *shape: int) -> Tensor:
        """(B, *shape) in 0 … count − 1."""
        return (self.uniform(0, count, *shape)).long().clamp_(max=count - 1)

    def wave(self, amplitude: tuple[float, float], period: tuple[float, float], *shape: int) -> Wave:
        """Amplitude and period (in frames) within the given limits."""
        return Wave(self.uniform(*amplitude, *shape), 2 * pi / self.uniform(*period, *shape), self.uniform(0, 2 * pi, *shape))


@dataclass(frozen=True, slots=True)
class Lot:
    """What scenes are drawn by lot: `subjects` at most (at least one), the frame's `width` in units, octaves of texture.

    `alone`: share of scenes with one subject. `radius`: the limits of sizes. Octaves: one more doubles the texture's
    detail; 3 are enough for 64 lines, 6 for 480.
    """

    subjects: int = 2
    width: float = 1.0
    octaves: int = 3
    alone: float = 0.25
    radius: tuple[float, float] = (0.13, 0.22)

    def columns(self) -> int:
        return 64 + 40 * self.subjects + sum(n * n for n in LATTICES[: self.octaves])


def sample(seed: int, numbers: Sequence[int], split: str = "train", lot: Lot | None = None) -> Scenes:
    """The scenes with these numbers of a split. Raises ValueError for an unknown split or a negative number."""
    if split not in SPLITS or any(number < 0 for number in numbers):
        raise ValueError(f"scenes are numbered from 0 in one of {', '.join(SPLITS)}; got {split!r}, {min(numbers)}")
    lot = lot or Lot()
    dice = Dice(seed, split, numbers, lot.columns())
    background = dice.integer(len(BACKGROUNDS))
    camera = Camera(
        start=dice.uniform(0, TEXTURE_PERIOD, 2),
        pan=dice.wave((0.02, 0.18), (24, 90), 2),
        roll=dice.wave((0.0, 0.06), (40, 120)),
        zoom=dice.wave((0.0, 0.08), (40, 120)),
    )
    light = dice.wave((0.0, 0.08), (20, 80))
    grain, phrase = dice.integer(2**31 - 1), dice.uniform(0, 1, 8)
    subjects = _subjects(dice, lot, background, split)
    texture = tuple(dice.uniform(-1, 1, n, n) for n in LATTICES[: lot.octaves])
    return Scenes(subjects, camera, background, light, texture, grain, phrase, lot.width)


def _subjects(dice: Dice, lot: Lot, background: Tensor, split: str) -> Subjects:
    count = lot.subjects
    shape, colour = _appearance(dice, count, background, split)
    plain = dice.uniform(0, 1, count) < 0.4
    material = torch.where(plain, 0, dice.integer(len(MATERIALS), count))
    present = torch.ones_like(plain)
    present[:, 1:] = (dice.uniform(0, 1) >= lot.alone)[:, None]
    # The frame is shared out in columns of equal width, in an order drawn by lot: starts are apart, paths may cross.
    order = dice.uniform(0, 1, count).argsort(1).argsort(1)
    x = (order + dice.uniform(0.35, 0.65, count)) / count * lot.width
    middle = torch.stack([x, dice.uniform(0.3, 0.7, count)], -1)
    return Subjects(
        present=present,
        shape=shape,
        colour=colour,
        material=material,
        size=dice.uniform(*lot.radius, count),
        middle=middle,
        sway=dice.wave((0.04, 0.15), (24, 70), count, 2),
        angle=dice.uniform(0, 2 * pi, count),
        spin=dice.uniform(-0.06, 0.06, count),
        rock=dice.wave((0.0, 0.25), (24, 70), count),
        swell=dice.wave((0.0, 0.15), (24, 70), count),
        bend=dice.wave((0.0, 0.14), (16, 50), count, 2),
        tint=dice.uniform(-0.05, 0.05, count, 3),
        patch=dice.uniform(0, TEXTURE_PERIOD, count, 2),
    )


def _appearance(dice: Dice, count: int, background: Tensor, split: str) -> tuple[Tensor, Tensor]:
    """Shapes and colours (B, K): no two subjects alike in both, often alike in one, none in its background's colour."""
    shape, colour = dice.integer(len(SHAPES), count), dice.integer(len(COLOURS), count)
    twin = dice.uniform(0, 1, count)
    for k in range(1, count):
        shape[:, k] = torch.where(twin[:, k] < 0.3, shape[:, k - 1], shape[:, k])
        colour[:, k] = torch.where((twin[:, k] >= 0.3) & (twin[:, k] < 0.5), colour[:, k - 1], colour[:, k])
    for k in range(count):
        for _ in range(len(COLOURS)):
            unfit = _unfit(shape, colour, k, background, split)
            colour[:, k] = torch.where(unfit, (colour[:, k] + 1) % len(COLOURS), colour[:, k])
    return shape, colour


def _unfit(shape: Tensor, colour: Tensor, k: int, background: Tensor, split: str) -> Tensor:
    """(B,) whether subject k cannot wear its colour."""
    bad = (shape[:, :k] == shape[:, k : k + 1]) & (colour[:, :k] == colour[:, k : k + 1])
    return bad.any(1) | ~can_wear(shape[:, k], colour[:, k], background, split)


def can_wear(shape: Tensor, colour: Tensor, background: Tensor, split: str) -> Tensor:
    """Whether a subject of this shape may have this colour on this background in this split."""
    good = torch.ones_like(shape, dtype=torch.bool)
    for place, hidden in CAMOUFLAGE:
        good &= ~((background == place) & (colour == hidden))
    return good if split == "test" else good & ~held_out(shape, colour)
