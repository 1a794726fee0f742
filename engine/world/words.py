"""The words of the drawn world and what they look like.

Colours are RGB in [0, 1]. A background is drawn between two colours by its own pattern (`draw.py`).
"""

from __future__ import annotations

import torch

SHAPES = ("ball", "box", "triangle", "star", "cross", "ring")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "cyan", "white")
MATERIALS = ("plain", "striped", "checkered")
BACKGROUNDS = ("grass", "sand", "water", "brick", "night", "snow")
SIZES = ("small", "", "big")  # the middle size goes without saying
SIDES = ("left", "right")
KINDS = ("colour", "material", "shape", "background", "removal", "addition")  # of edits

COLOUR_RGB = torch.tensor(
    [
        [0.86, 0.12, 0.12],
        [0.12, 0.68, 0.16],
        [0.14, 0.22, 0.90],
        [0.95, 0.88, 0.15],
        [0.55, 0.12, 0.70],
        [0.98, 0.52, 0.08],
        [0.15, 0.85, 0.90],
        [0.96, 0.96, 0.96],
    ]
)
"""(8, 3): the colour that each of `COLOURS` names."""

BACKGROUND_RGB = torch.tensor(
    [
        [[0.18, 0.34, 0.12], [0.32, 0.50, 0.22]],
        [[0.74, 0.64, 0.42], [0.85, 0.76, 0.55]],
        [[0.08, 0.28, 0.48], [0.18, 0.42, 0.62]],
        [[0.48, 0.24, 0.18], [0.64, 0.38, 0.30]],
        [[0.05, 0.05, 0.13], [0.13, 0.13, 0.26]],
        [[0.78, 0.82, 0.86], [0.92, 0.95, 0.98]],
    ]
)
"""(6, 2, 3): the two colours between which each of `BACKGROUNDS` is drawn."""

CAMOUFLAGE = ((0, 1), (1, 3), (2, 2), (3, 0), (5, 7))
"""(background, colour) pairs that hardly show: a subject never wears the colour of its background."""


def held_out(shape: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
    """Whether a pair of indices into `SHAPES` and `COLOURS` is kept out of training and validation: one colour a shape."""
    return (3 * shape + colour) % 8 == 0


_GLUE = (
    "a",
    "an",
    "and",
    "on",
    "the",
    "make",
    "paint",
    "turn",
    "into",
    "replace",
    "with",
    "change",
    "background",
    "to",
    "put",
    "everything",
    "remove",
    "delete",
    "add",
    "one",
    "edit",
)
VOCABULARY = tuple(dict.fromkeys([*_GLUE, *SHAPES, *COLOURS, *MATERIALS, *BACKGROUNDS, *filter(None, SIZES), *SIDES]))
"""Every word that captions and instructions are made of."""
