"""Segmenters, by name, and what makes a keyframe's mask out of everything said on it.

A new segmenter is one file here and one line below.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

import numpy as np

from engine.errors import MethodError
from engine.segmentation.strokes import draw_strokes
from engine.types import Keyframe, Point

Box = tuple[float, float, float, float]


class Segmenter(Protocol):
    """Clicks, a box or an earlier mask → a mask."""

    def segment(
        self, image: np.ndarray, points: Sequence[Point], box: Box | None = None, prior: np.ndarray | None = None
    ) -> np.ndarray:
        """(H, W) uint8 alpha of what the user means in image (H, W, 3) uint8.

        Positive clicks are inside and negative ones outside, whatever else is found.
        """
        ...


SEGMENTERS = {"graphcut": "engine.segmentation.graphcut:GraphCut"}
BY_MODELS = {
    **dict.fromkeys(("sam-b", "sam-l", "sam-h"), "engine.segmentation.sam:Sam"),
    **dict.fromkeys(("sam2.1-tiny", "sam2.1-base-plus", "sam2.1-large", "sam3"), "engine.segmentation.sam2:Sam2"),
}
"""Segmenters that need a model of the same name from the catalogue (engine/models)."""
FINDERS = ("grounding-dino-base", "grounding-dino-tiny")
"""Models that find subjects by words (engine/segmentation/grounding.py), the better one first."""
AUTO = "graphcut"


def segmenter(name: str = "auto") -> Segmenter:
    """The segmenter of that name; "auto" takes the best one without weights. One by a model runs in a process of its own.

    Raises MethodError for an unknown name, and for a model that is not on this machine.
    """
    chosen = AUTO if name == "auto" else name
    if chosen in BY_MODELS:
        from engine.segmentation.remote import Remote

        return Remote(chosen)
    if chosen not in SEGMENTERS:
        raise MethodError(f'There is no segmenter "{name}"; there are: {", ".join(segmenter_names())}.')
    module, _, attribute = SEGMENTERS[chosen].partition(":")
    made: Segmenter = getattr(import_module(module), attribute)()
    return made


def segmenter_names() -> tuple[str, ...]:
    return ("auto", *SEGMENTERS, *BY_MODELS)


def local_segmenter(name: str) -> Segmenter:
    """A segmenter by a model, in this very process, which loads torch. Raises MethodError."""
    module, _, attribute = BY_MODELS[name].partition(":")
    made: Segmenter = getattr(import_module(module), attribute)(name)
    return made


def keyframe_mask(
    image: np.ndarray, keyframe: Keyframe, imported: np.ndarray | None, prior: np.ndarray | None, segmenter: Segmenter
) -> np.ndarray:
    """(H, W) uint8: the mask that follows from a keyframe.

    First the imported mask, else what clicks and box say (starting from `prior`, a mask carried here, if there is
    one), else `prior` or nothing; then the strokes in order.
    """
    if imported is not None:
        base = imported
    elif keyframe.points or keyframe.box:
        base = segmenter.segment(image, keyframe.points, keyframe.box, prior)
    else:
        base = prior if prior is not None else np.zeros(image.shape[:2], np.uint8)
    return draw_strokes(base, keyframe.strokes)
