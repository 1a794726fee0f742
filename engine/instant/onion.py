"""Onion skin: a neighbouring anchor's take, warped to the frame that is looked at, to draw or judge another anchor by.

Nothing has to be rendered. Where masks and motion are computed, marked subjects are followed as surfaces, as the motion method
does; else, and around them, pixels follow the flows of neighbouring frames one by one (chains.py), and what is lost on the way,
or does not look like the anchor's source, fades out. Motion that is not computed yet is read roughly on the spot, and said so.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np

from engine.composite import region_of_difference
from engine.errors import MethodError
from engine.instant.pictures import Proxies, QuickPictures, alike
from engine.media.images import decode_png
from engine.methods.base import Segment
from engine.motion.flow import grid, sample, upsample, upsample_positions
from engine.motion.parts import Parts
from engine.motion.sight import Sight
from engine.motion.surface import Looks, Surface
from engine.types import FrameIndex, FrameRange

FARTHEST = 240
"""Frames from an anchor beyond which nothing is shown: a chain that long says little."""
LONGEST_WALK = 60
"""Frames over which surfaces are followed: they have to be walked frame by frame, and somebody waits."""
KEPT, WALKS_KEPT = 8, 4
SHOWN = 80  # alpha from which on something counts as shown
AROUND = 9  # px round a subject that still go by its surface
STILL_SHOWN = 0.6
"""Belief in what a surface shows where it misfits: its place is known from the rest of the subject."""
OUTLINES = ((86, 180, 233), (230, 159, 0))
"""RGB round what comes from an anchor before, and from one after: apart for colour-blind eyes."""


@dataclass(frozen=True, eq=False, slots=True)
class Skin:
    """`picture` (h, w, 4) uint8 RGBA at preview size; `rough`: motion on the way was read on the spot; `seen` 0–1: how much of
    the anchor's edit is shown, by area: the rest is hidden here, or was lost on the way."""

    picture: np.ndarray
    rough: bool
    seen: float


class Walk:
    """The surfaces of an anchor's subjects, followed from it in one direction; what was seen on the way is kept."""

    def __init__(self, pictures: QuickPictures, around: Segment, anchor: FrameIndex) -> None:
        shot = pictures.shot(around)
        self._parts = Parts(shot.region, shot.alpha, shot.subjects)
        looks = Looks(shot.steps, shot.size)
        self._surfaces = [Surface(looks, anchor, self._parts.part(number, anchor)) for number in range(len(self._parts))]
        self._at = anchor
        self._seen: dict[FrameIndex, list[Sight]] = {}

    def __contains__(self, frame: FrameIndex) -> bool:
        return frame in self._seen

    def to(self, frame: FrameIndex) -> list[tuple[np.ndarray, Sight]]:
        """Each subject's part of the region on a frame (h, w) uint8, and what of the anchor it shows."""
        while frame not in self._seen:
            self._at += 1 if frame > self._at else -1
            for number, surface in enumerate(self._surfaces):
                surface.advance(self._at, self._parts.part(number, self._at))
            self._seen[self._at] = [surface.sight() for surface in self._surfaces]
        return [(self._parts.part(number, frame), sight) for number, sight in enumerate(self._seen[frame])]


class OnionSkins:
    """Of one clip; takes and ways that were looked at are kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[FrameIndex, str], tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._walks: OrderedDict[tuple[FrameIndex, bool], Walk] = OrderedDict()
        self._walked: QuickPictures | None = None

    def skin(self, pictures: QuickPictures, anchor: FrameIndex, key: str, frame: FrameIndex) -> Skin | None:
        """The take `key` of an anchor on another frame; None where the frame is too far away or the take changes nothing.

        The two frames have to lie in one shot. Raises MediaError where the clip or the take's picture is gone.
        """
        proxies = pictures.proxies
        if anchor == frame or abs(frame - anchor) > FARTHEST:
            return None
        take, changed = self._layer(proxies, anchor, key)
        if not changed.any():
            return None
        marked = proxies.region(anchor)
        region = changed if marked is None else np.maximum(changed, marked)
        beyond = marked is None or bool((changed[cv2.dilate(marked, np.ones((AROUND, AROUND), np.uint8)) == 0] > 0).any())
        at, certain, rough = self._places(pictures, anchor, frame, beyond=beyond)
        there = sample(region, at)
        alpha = np.clip(there.astype(np.float32) * np.clip(2 * certain - 0.4, 0, 1), 0, 255).astype(np.uint8)
        shown = int(np.count_nonzero((there > 127) & (alpha >= SHOWN)))
        seen = round(min(1.0, shown / max(1, int(np.count_nonzero(region > 127)))), 3)
        return Skin(_outlined(sample(take, at), alpha, OUTLINES[int(anchor > frame)]), rough, seen)

    def _places(
        self, pictures: QuickPictures, anchor: FrameIndex, frame: FrameIndex, *, beyond: bool
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """Where a frame's pixels lie in the anchor's picture (h, w, 2), how far that is believed (h, w) 0–1, and whether motion
        was read roughly for it. Marked subjects go by their surfaces, where masks are carried; each other pixel goes by itself,
        where something was edited `beyond` the marks."""
        proxies, size = pictures.proxies, pictures.proxies.size
        walk = self._walk(pictures, anchor, frame)
        if walk is not None and not beyond:
            at, certain = grid(size), np.zeros(size, np.float32)
        else:
            whole = (slice(0, size[0]), slice(0, size[1]))
            positions, sure = pictures.chains.field(anchor, frame)
            at = upsample_positions(positions, size)
            certain = upsample(sure, size, whole) * alike(proxies, anchor, frame, at, whole)
        if walk is None:
            return at, certain, pictures.chains.on_the_spot(anchor, frame)
        for part, sight in walk.to(frame):
            near = cv2.dilate((part > 0).astype(np.uint8), np.ones((AROUND, AROUND), np.uint8)) > 0
            there, known, _ = sight.at(np.arange(size[0]), np.arange(size[1]))
            at[near], certain[near] = there[near], np.maximum(known, STILL_SHOWN)[near]
        return at, certain, False

    def _walk(self, pictures: QuickPictures, anchor: FrameIndex, frame: FrameIndex) -> Walk | None:
        """The way from the anchor in the frame's direction; None where it is too long, or masks or motion on it are not there."""
        if self._walked is not pictures:
            self._walked = pictures
            self._walks.clear()
        name = (anchor, frame > anchor)
        if name in self._walks and frame in self._walks[name]:
            return self._walks[name]
        low, high = min(anchor, frame), max(anchor, frame)
        around = pictures.stretch(low, high)
        if high - low > LONGEST_WALK or around is None or pictures.material.project.whole_frame:
            return None
        if pictures.material.steps.missing([FrameRange(low, high + 1)]) or not pictures.can_refine(around):
            return None
        if name not in self._walks:
            self._walks[name] = Walk(pictures, around, anchor)
            if len(self._walks) > WALKS_KEPT:
                self._walks.popitem(last=False)
        self._walks.move_to_end(name)
        return self._walks[name]

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
    core = cv2.morphologyEx((alpha >= SHOWN).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))  # no slivers
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
