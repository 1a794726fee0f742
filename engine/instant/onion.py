"""Onion skin: a neighbouring anchor's take, warped to the frame that is looked at, to draw or judge another anchor by.

Pixels follow the flows of neighbouring frames one by one (chains.py), so it needs no rendering and no masks in between; where
the clip's motion is not computed yet it is read roughly on the spot, and said to be so. What the chain has lost, and where the
anchor's source does not look like the frame, fades out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np

from engine.composite import region_of_difference
from engine.errors import MethodError
from engine.instant.chains import Chains
from engine.instant.pictures import Proxies, alike
from engine.media.images import decode_png
from engine.motion.flow import sample, upsample, upsample_positions
from engine.types import FrameIndex

FARTHEST = 240
"""Frames from an anchor beyond which nothing is shown: a chain that long says little."""
KEPT = 8
"""Takes."""
OUTLINES = ((86, 180, 233), (230, 159, 0))
"""RGB round what comes from an anchor before, and from one after: apart for colour-blind eyes."""


@dataclass(frozen=True, eq=False, slots=True)
class Skin:
    """`picture` (h, w, 4) uint8 RGBA at preview size; `rough`: motion on the way was read on the spot; `seen` 0–1: how much of
    the anchor's edit the chain has not lost."""

    picture: np.ndarray
    rough: bool
    seen: float


class OnionSkins:
    """Of one clip; takes that were looked at are kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[FrameIndex, str], tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def skin(self, proxies: Proxies, chains: Chains, anchor: FrameIndex, key: str, frame: FrameIndex) -> Skin | None:
        """The take `key` of an anchor on another frame; None where the frame is too far away or the take changes nothing.

        The two frames have to lie in one shot. Raises MediaError where the clip or the take's picture is gone.
        """
        if anchor == frame or abs(frame - anchor) > FARTHEST:
            return None
        take, changed = self._layer(proxies, anchor, key)
        if not changed.any():
            return None
        marked = proxies.region(anchor)
        region = changed if marked is None else np.maximum(changed, marked)
        positions, sure = chains.field(anchor, frame)
        at = upsample_positions(positions, proxies.size)
        there = sample(region, at)
        whole = (slice(0, proxies.size[0]), slice(0, proxies.size[1]))
        certain = upsample(sure, proxies.size, whole) * (there > 0) * alike(proxies, anchor, frame, at, whole)
        alpha = np.clip(there.astype(np.float32) * np.clip(2 * certain - 0.4, 0, 1), 0, 255).astype(np.uint8)
        inside = certain[there > 127]
        seen = round(float((inside > 0.5).mean()), 3) if inside.size else 0.0
        return Skin(_outlined(sample(take, at), alpha, OUTLINES[int(anchor > frame)]), chains.on_the_spot(anchor, frame), seen)

    def _layer(self, proxies: Proxies, anchor: FrameIndex, key: str) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) the take and (h, w) where it changes something, from the clip itself: the pack's pictures are lossy."""
        if (anchor, key) not in self._kept:
            material = proxies.material
            take = decode_png(material.objects.get(key))
            changed = region_of_difference(material.picture(anchor), take)
            self._kept[anchor, key] = (proxies.small(take), proxies.small(changed))
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[anchor, key]


def _outlined(picture: np.ndarray, alpha: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(h, w, 4): the picture with its alpha, and a line round what is shown."""
    core = cv2.morphologyEx((alpha > 127).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))  # no slivers
    edge = cv2.morphologyEx(core, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    found = np.dstack([picture, np.where(cv2.dilate(core, np.ones((5, 5), np.uint8)) > 0, alpha, 0)])
    found[edge] = (*colour, 255)
    return found


def as_png(skin: Skin) -> bytes:
    """The picture for the page. Raises MethodError where it cannot be encoded."""
    done, blob = cv2.imencode(".png", cv2.cvtColor(skin.picture, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise MethodError("An onion skin could not be encoded; reload the page.")
    return blob.tobytes()
