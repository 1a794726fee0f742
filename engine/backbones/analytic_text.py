"""The words of the analytic backbone: prompts to keys and values, and nearness as a product of queries and keys.

A word is a key, where to look, and a value, which change of colour it asks for there. Only two kinds of words have more
than an empty one: nouns with a known look, and colour words bound to such a noun, the next one in their phrase.

    noun      key near its look, value 0; less sought for by MARGIN where a colour word stands for it
    colour    key near the look l of its noun, value (c − l) lᵀ / ‖l‖²: pixels shade · l + rest become shade · c + rest
    others    a key as though at the distance FAR from everything, value 0: what looks like no noun goes there

A position before the first word is of that last kind too, as the start token of other text encoders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.diffusion.backbone import Text
from engine.world.words import COLOUR_RGB, COLOURS

RGB = tuple[float, float, float]

WIDTH = 16
"""Of a head. 9 numbers would do; fused kernels want keys and values alike and a multiple of 8."""
KEY, VALUE = slice(0, WIDTH), slice(WIDTH, 2 * WIDTH)
"""Where the two are in an embedding (1, J, 2 · WIDTH)."""
BANDWIDTH = 0.02
"""of the cross-attention exp(−‖q − k‖² / BANDWIDTH) over colours."""
FAR = 0.45
"""Our choice: colours further apart than this are not the same thing. It is two thirds of the way from red to grass."""
MARGIN = 3.0
"""Our choice: a colour word is e³ = 20 times as sought for as its noun, so 95 % of the change comes by itself and the rest
is left to whoever strengthens the word's attention."""
SHADE = 0.5
"""Our choice: brightness counts half as much as hue when a colour is compared, since light and texture change it."""
PIECE = 6
"""Letters in a piece: longer words have several positions, as with other text encoders."""

BREAKS = frozenset(
    ("a", "an", "the", "and", "or", "with", "on", "in", "at", "of", "over", "under", "by", "is", "it", "to", "near", "behind")
)
"""Words that end a phrase: a colour word is not bound across them."""
WORD_RGB: dict[str, RGB] = {
    **{word: tuple(rgb) for word, rgb in zip(COLOURS, COLOUR_RGB.tolist(), strict=True)},
    "black": (0.04, 0.04, 0.04),
    "grey": (0.5, 0.5, 0.5),
    "gray": (0.5, 0.5, 0.5),
    "brown": (0.45, 0.27, 0.12),
    "pink": (0.98, 0.62, 0.75),
}
"""The colour words: the drawn world's, and a few more."""


class TextEncoder:
    """Prompts -> `Text`, for one clip. `looks`: noun -> RGB in [0, 1]. Raises ValueError for other values."""

    def __init__(self, looks: Mapping[str, RGB]) -> None:
        self.looks = {noun.lower(): torch.tensor(rgb, dtype=torch.float32) for noun, rgb in looks.items()}
        for noun, rgb in self.looks.items():
            if rgb.shape != (3,) or not 0 <= float(rgb.min()) <= float(rgb.max()) <= 1:
                raise ValueError(f'the look of "{noun}" must be three numbers within [0, 1]')

    def __call__(self, prompt: str) -> Text:
        """Words are in lower case, without marks. Position 0 belongs to no word."""
        words = tuple(re.findall(r"[^\W_]+(?:'[^\W_]+)*", prompt.lower()))
        bound = {at: noun for at in range(len(words)) if (noun := self._noun_of(words, at)) is not None}
        embeddings, pieces = [_embedding(_nowhere(), torch.zeros(3, 3))], []
        for at, word in enumerate(words):
            count = -(-len(word) // PIECE)
            pieces.append(tuple(range(len(embeddings), len(embeddings) + count)))
            embeddings += count * [self._word(words, at, bound, bias=-log(count))]
        return Text(prompt, words, tuple(pieces), torch.stack(embeddings)[None])

    def _noun_of(self, words: tuple[str, ...], at: int) -> int | None:
        """Where the noun is that the colour word at `at` is bound to."""
        if words[at] not in WORD_RGB or words[at] in self.looks:
            return None
        for following in range(at + 1, len(words)):
            if words[following] in self.looks:
                return following
            if words[following] in BREAKS:
                return None
        return None

    def _word(self, words: tuple[str, ...], at: int, bound: dict[int, int], bias: float) -> Tensor:
        """Embedding (2 · WIDTH) of one of the equal pieces of a word; `bias` shares its weight among them."""
        if at in bound:
            look = self.looks[words[bound[at]]]
            wanted = torch.tensor(WORD_RGB[words[at]])
            change = torch.outer(wanted - look, look) / look.square().sum().clamp_min(1e-4)
            return _embedding(near(colour_space(look), BANDWIDTH, bias), change)
        if words[at] in self.looks:
            bias -= MARGIN if at in bound.values() else 0
            return _embedding(near(colour_space(self.looks[words[at]]), BANDWIDTH, bias), torch.zeros(3, 3))
        return _embedding(_nowhere(bias), torch.zeros(3, 3))


def colour_space(rgb: Tensor) -> Tensor:
    """RGB (..., 3) -> the same with brightness, the mean, scaled by SHADE."""
    return rgb - (1 - SHADE) * rgb.mean(-1, keepdim=True)


def query(x: Tensor) -> Tensor:
    """Points (..., n) -> queries (..., WIDTH) for the keys that `near` makes."""
    return widen(torch.cat([x, x.square().sum(-1, keepdim=True), torch.ones_like(x[..., :1])], -1))


def near(points: Tensor, bandwidth: float, bias: float = 0.0) -> Tensor:
    """Keys (..., WIDTH) at points (..., n): query(x) · key / √WIDTH = bias − ‖x − point‖² / bandwidth."""
    constant = bandwidth * bias - points.square().sum(-1, keepdim=True)
    return WIDTH**0.5 / bandwidth * widen(torch.cat([2 * points, -torch.ones_like(constant), constant], -1))


def widen(x: Tensor) -> Tensor:
    """(..., n) -> (..., WIDTH), with zeros."""
    return F.pad(x, (0, WIDTH - x.shape[-1]))


def _nowhere(bias: float = 0.0) -> Tensor:
    """The key (WIDTH) of a word that looks like nothing: the logit of the distance FAR for every colour."""
    constant = torch.zeros(5)
    constant[4] = WIDTH**0.5 * (bias - FAR**2 / BANDWIDTH)
    return widen(constant)


def _embedding(key: Tensor, change: Tensor) -> Tensor:
    return torch.cat([key, widen(change.flatten())])
