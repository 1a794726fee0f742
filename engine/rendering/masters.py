"""The frames of an export, streamed: the clip with its edit laid in, as deep as the clip, with transparency or the matte beside.

Outside the edit the frames are the source's to the bit, also where the source has more than 8 bits: the edit is made with
8 bits, and pixels that it changes take the bits that it lacks from the source, as far as the edit follows a rule of colour.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np

from engine.composite import deepened
from engine.media.convert import narrow, widen
from engine.media.formats import Format
from engine.rendering.material import Material
from engine.types import FrameRange


def exported_frames(material: Material, span: FrameRange, form: Format) -> Iterator[np.ndarray]:
    """What `media.writer.write_clip` gets for a format: (H, W, 3), (H, W, 4) or, for the matte alone, (H, W)."""
    if not form.picture:
        return mattes(material, span)
    deep = form.deep and material.reader.video.bits > 8
    pictures = finished_frames(material, span, deep=deep)
    if form.alpha == "matte":
        alphas = mattes(material, span)
        return _with_alpha(pictures, map(widen, alphas) if deep else alphas)
    if form.alpha == "source" and material.reader.has_alpha:
        opacities = material.reader.alphas(span)
        return _with_alpha(pictures, opacities if deep else map(narrow, opacities))
    return pictures


def finished_frames(material: Material, span: FrameRange, *, deep: bool = False) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8, or with `deep` uint16, frames of the span with the material's edit and those below, as far as they are
    rendered; the source elsewhere."""
    for frame, source in zip(span, material.reader.frames(span, deep=deep), strict=True):
        shown = narrow(source) if deep else source
        edited = material.best(frame, shown)
        if edited is shown:
            yield source
        else:
            yield deepened(source, shown, edited) if deep else edited


def mattes(material: Material, span: FrameRange) -> Iterator[np.ndarray]:
    """(H, W) uint8: the edit region of each frame, of all edits up to the material's, 255 where an edit is whole."""
    return (reduce(np.maximum, [layer.region(frame) for layer in material.layers]) for frame in span)


def _with_alpha(pictures: Iterator[np.ndarray], alphas: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    return (np.dstack([picture, alpha]) for picture, alpha in zip(pictures, alphas, strict=True))
