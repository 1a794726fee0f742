"""A drawn ball on grass, for tests of text-driven editing: the same scene in any colour and material."""

from dataclasses import replace
from functools import cache
from math import log10

import torch
from torch import Tensor

from engine.world.scene import Lot, Scenes, sample
from engine.world.words import BACKGROUND_RGB, BACKGROUNDS, COLOUR_RGB, COLOURS, SHAPES

Rgb = tuple[float, float, float]


def look(table: Tensor, index: int) -> Rgb:
    red, green, blue = table[index].tolist()
    return red, green, blue


LOOKS = {
    "ball": look(COLOUR_RGB, COLOURS.index("red")),
    "grass": look(BACKGROUND_RGB.mean(1), BACKGROUNDS.index("grass")),
}


@cache
def ball(colour: str = "red", material: int = 0, number: int = 0) -> Scenes:
    """One ball on grass."""
    scene = sample(7, [number], "test", Lot(subjects=1, width=1.5))
    subjects = replace(
        scene.subjects,
        shape=torch.full_like(scene.subjects.shape, SHAPES.index("ball")),
        colour=torch.full_like(scene.subjects.colour, COLOURS.index(colour)),
        material=torch.full_like(scene.subjects.material, material),
    )
    return replace(scene, subjects=subjects, background=torch.full_like(scene.background, BACKGROUNDS.index("grass")))


def psnr(a: Tensor, b: Tensor, where: Tensor | None = None) -> float:
    """dB, peak 1 for pictures in [−1, 1]; `where` (T, H, W) weighs pixels."""
    error = (a - b).square().mean(1) / 4
    mean = error.mean() if where is None else (error * where).sum() / where.sum()
    return -10 * log10(float(mean) + 1e-12)
