"""How well a take carries out what was asked, as a model with a dual encoder can say it: takes are ranked by it before the user
picks (VIA's root edits).

The measure is CLIP's directional one (Gal et al., arXiv 2108.00946): from source to take, a picture should move as its caption
does. our choice: the cosine of both ways, times how much of the caption's way was gone, so that a take that hardly changes
does not win.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

TELLS = 0.33
"""Captions that are nearer than this are alike to the encoder: it can say nothing then (our choice: of the drawn world's edits
those of a subject's pattern and outline lie under it, all others over it)."""


@runtime_checkable
class Judge(Protocol):
    """A model that can compare pictures with words."""

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (h, w) at which the model is shown frames of `size`."""
        ...

    def fit(self, before: Tensor, after: Tensor, instruction: str, prompts: tuple[str, str]) -> float | None:
        """0–1: how far the way from one picture (3, H, W) in [−1, 1] to the other goes where the words ask for; None where that
        cannot be told.

        `prompts`: captions of what is and of what shall be; without them the instruction says it. Raises UnknownWord.
        """
        ...


def directional(before: Tensor, after: Tensor, was: Tensor, shall: Tensor) -> float | None:
    """The measure for features (D,) of length 1: two pictures, two captions."""
    asked, gone = shall - was, after - before
    if float(asked.norm()) < TELLS:
        return None
    along = float(gone @ asked / asked.norm())
    return max(0.0, along / max(float(gone.norm()), 1e-6)) * min(1.0, max(0.0, along / float(asked.norm())))
