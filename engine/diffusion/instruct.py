"""Editors of pictures by an instruction, guided as InstructPix2Pix is (Brooks et al., arXiv 2211.09800, §3.2.1).

    ε = u + s_I (i − u) + s_T (t − i)        t with text and picture, i with the picture alone, u with neither

Where s_I = 1 the branch u drops out. x0 is combined alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from engine.diffusion.backbone import Condition, DiffusionBackbone, Text

Scales = tuple[float, float]
"""(s_T, s_I)."""
Branch = tuple[Text, Condition | None]

_OWN: dict[str, Scales] = {"instruct-pix2pix": (7.5, 1.5), "instruct-pix2pix-xl": (5.0, 1.5)}
_SMALL: Scales = (1.5, 1.0)
"""Of the bundled and the analytic model, which have no branch without the picture."""


def scales_of(model: DiffusionBackbone, text: float, image: float) -> Scales:
    """What is asked, or, for 0, what suits the model."""
    own = _OWN.get(model.name, _SMALL)
    return text or own[0], image or own[1]


def area_of(model: DiffusionBackbone) -> int:
    """Pixels of the pictures that it was trained on."""
    return 512 * 512 if model.name in _OWN else 64 * 64


def branches(texts: tuple[Text, Text], source: Tensor, scales: Scales) -> list[Branch]:
    """What to predict with: texts = the instruction and the empty one, source (B, C, F, h, w)."""
    told = Condition(source)
    return [(texts[0], told), (texts[1], told), (texts[1], None)][: count(scales)]


def count(scales: Scales) -> int:
    """How many branches there are."""
    return 2 if scales[1] == 1 else 3


def weighed(said: Sequence[Tensor], scales: Scales) -> Tensor:
    """The branches' predictions combined."""
    base = said[1] if len(said) == 2 else said[2] + scales[1] * (said[1] - said[2])
    return base + scales[0] * (said[0] - said[1])
