"""What lies behind a subject that was taken away: it moves with its surroundings, not with the subject.

The field is that of engine/motion/surface.py over everything around the region, continued into it. What the anchor's take shows
in the region, or beside it, is laid in as a picture; at the region's edge it is fitted to what the frame shows outside, so no
seam is left (a membrane, as in gradient-domain cloning: Pérez et al., 2003; Farbman et al., 2009).
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.motion.align import SPACING, blurred, eroded, fit_affine, to_nodes, to_pixels
from engine.motion.blend import fill
from engine.motion.flow import grid, sample
from engine.motion.sight import Sight, Window
from engine.motion.surface import Looks, Surface, around, node_places
from engine.types import FrameIndex, FrameRange

AWAY = 5  # px around a region that still show the subject's edge, shadow or blur
MARGIN = 18  # nodes around a region that are looked at
HELD = 600.0  # nodes of sight up to which turning and growing are held back
OTHER = 1.0  # px a frame by which something moves differently: it is not ground
BETTER = 3.0  # levels by which its own motion must explain it better than the ground's
RING = 8  # px inside a region's edge that are compared with what lies outside
LIKE_OUTSIDE, LIKE_SOURCE = 0.5, 0.5  # how near to its surroundings, and how unlike the source, a take with nothing in it is
SEAM = 40.0  # levels beyond which a difference at the edge is another thing and not the same ground in other light
CLONE_CELL = 4  # px: the membrane is worked out on cells of this size


def shows_ground(source: np.ndarray, take: np.ndarray, region: np.ndarray) -> bool:
    """Whether a take shows what is behind: it goes on with what lies around the region, and has nothing of the source in it.

    source, take (H, W, 3) uint8, region (H, W) uint8.
    """
    inside = (region >= 254).astype(np.float32)
    ring, deep = (inside - eroded(inside, RING)) > 0, eroded(inside, 3) > 0
    if not ring.any() or not deep.any() or not (region == 0).any():
        return False
    predicted = fill(source.astype(np.float32), region == 0)
    off_take, off_source = (np.abs(picture[ring] - predicted[ring]).mean() for picture in (take, source))
    a, b = (_detail(picture)[deep] for picture in (take, source))
    alike = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-6))
    return bool(off_take < LIKE_OUTSIDE * off_source and alike < LIKE_SOURCE)


def _detail(picture: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return gray - cv2.GaussianBlur(gray, (0, 0), 3)


class Ground:
    """The surroundings of a region on their way from an anchor."""

    def __init__(self, looks: Looks, frame: FrameIndex, region: np.ndarray, span: FrameRange) -> None:
        """`region` (H, W) uint8 in that frame; `span`: frames whose motion is known."""
        self._looks = looks
        self._surface = Surface(looks, frame, _away(region), area=HELD, outlined=False)
        self.others = self._others(frame, region, span)

    def _others(self, frame: FrameIndex, region: np.ndarray, span: FrameRange) -> np.ndarray:
        """(H, W) float32 0–1: what in the anchor moves by itself; carried as ground it would appear twice."""
        neighbour = frame + 1 if frame + 1 in span else frame - 1
        height, width = region.shape
        if neighbour not in span:
            return np.zeros((height, width), np.float32)
        everywhere = (slice(0, self._looks.nodes[0]), slice(0, self._looks.nodes[1]))
        flow, sure = self._looks.motion(frame, neighbour, everywhere)
        places = node_places(everywhere)
        free = self._looks.cells(_away(region))
        whole = fit_affine(places, flow, sure * free).shift(places)
        off_ground, off_own = (self._misses(frame, neighbour, shift) for shift in (whole, flow))
        moved = np.sqrt(((flow - whole) ** 2).sum(axis=-1)) > OTHER
        apart = (moved & (off_ground - off_own > BETTER) & (eroded(free, 2) > 0.99)).astype(np.uint8)
        apart = cv2.dilate(cv2.morphologyEx(apart, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)), np.ones((3, 3), np.uint8))
        padded = (self._looks.nodes[1] * SPACING, self._looks.nodes[0] * SPACING)
        fine = cv2.resize(apart.astype(np.float32), padded, interpolation=cv2.INTER_LINEAR)
        fine = fine[: self._looks.size[0], : self._looks.size[1]]
        fine = cv2.resize(fine, (width, height), interpolation=cv2.INTER_LINEAR)
        fine[region > 0] = 0  # the take says what is there
        return fine

    def _misses(self, frame: FrameIndex, neighbour: FrameIndex, shift: np.ndarray) -> np.ndarray:
        """(n, m) levels by which the neighbour, fetched along a field over all nodes, misses the frame."""
        there, here = self._looks.gray(neighbour), self._looks.gray(frame)
        return blurred(to_nodes(np.abs(here - sample(there, grid(here.shape) + to_pixels(shift)))), 1.5)

    def advance(self, frame: FrameIndex, region: np.ndarray) -> None:
        """Goes on to the neighbouring frame."""
        window = around(self._looks.cells(region), MARGIN)
        self._surface.advance(frame, _away(region), window)

    def sight(self) -> Sight:
        """What of the anchor the current frame shows, in the region too."""
        return self._surface.sight()


def _away(region: np.ndarray) -> np.ndarray:
    """(H, W) uint8: 255 beyond a region and its surroundings."""
    return 255 - 255 * cv2.dilate((region > 0).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=AWAY)


def widened(window: Window, size: tuple[int, int], by: int) -> Window:
    """The window with `by` px around it, inside a picture of size (H, W)."""
    rows, columns = window
    return slice(max(0, rows.start - by), min(size[0], rows.stop + by)), slice(
        max(0, columns.start - by), min(size[1], columns.stop + by)
    )


def cloned(picture: np.ndarray, source: np.ndarray, region: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The picture (h, w, 3) float32, its broad light fitted to the source's (h, w, 3) outside the region (h, w) uint8.

    known (h, w) bool: where the picture shows anything; elsewhere in the region it is filled from around.
    """
    difference = source - picture
    outside = region == 0
    same = outside & known & (np.abs(difference).max(axis=-1) < SEAM)
    small = (max(1, picture.shape[1] // CLONE_CELL), max(1, picture.shape[0] // CLONE_CELL))
    mass = cv2.resize(same.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    if (mass > 0.5).any():
        mean = cv2.resize(difference * same[..., None], small, interpolation=cv2.INTER_AREA) / np.maximum(mass, 1e-3)[..., None]
        picture = picture + cv2.resize(fill(mean, mass > 0.5), picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    if known.all() or not (known | outside).any():
        return picture
    return fill(np.where(outside[..., None], source, picture), known | outside)
