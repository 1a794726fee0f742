"""Removal: what lies behind the subject, as other frames show it; only what no frame shows is made up.

Each frame that is looked at is laid over this one by the camera's motion: points around the subject are followed from frame to
frame (pyramidal Lucas–Kanade) and a homography is fitted to them (RANSAC). Of what the frames show of a pixel the median is
taken, so a passer-by does not stay. A membrane at the region's edge takes the difference in light away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from engine.composite import inside
from engine.effects.nearby import Nearby
from engine.errors import ProjectError
from engine.motion.ground import cloned, widened

STEP = 3  # frames from one that is looked at to the next
AWAY = 5  # px around a region that still show the subject's edge, shadow or blur
SAMPLES = 5  # pictures of a pixel that are enough
POINTS, FEWEST = 600, 12  # points that are followed; fewer than so many that fit tell nothing
AGREE = 1.0  # px: points that miss the homography by more do not belong to the ground
RIM = 24  # px around the region whose light is compared
PAINTED = 5.0  # px: radius of OpenCV's inpainting (Telea, 2004)


@dataclass(frozen=True)
class Background:
    reach: int = field(
        default=45, metadata={"min": 0, "max": 300, "help": "So many frames before and after are looked at; 0 makes it all up."}
    )


def apply(image: np.ndarray, alpha: np.ndarray, config: Background, nearby: Nearby | None = None) -> np.ndarray:
    """The image with the region shown as other frames show what is behind it.

    Raises:
        ProjectError: the mask is on no other frame yet.
    """
    if not alpha.any():
        return image.copy()
    window = _window(alpha)
    seen = _seen(image, alpha, window, config.reach, nearby) if nearby is not None and config.reach else []
    picture, known = _median(seen, image[window].shape)
    outside = alpha[window] == 0
    if known.any():
        picture = cloned(picture, image[window].astype(np.float32), alpha[window], known)
    result = np.where((known & ~outside)[..., None], np.clip(np.rint(picture), 0, 255).astype(np.uint8), image[window])
    missing = (~known & ~outside).astype(np.uint8)
    if missing.any():
        result = cv2.inpaint(result, missing, PAINTED, cv2.INPAINT_TELEA)
    edited = image.copy()
    edited[window] = result
    return inside(image, edited, alpha)


def _window(alpha: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    exact = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return widened(exact, alpha.shape, RIM)


def _median(seen: list[tuple[np.ndarray, np.ndarray]], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Of what the frames show of each pixel: (h, w, 3) float32, and where there is anything (h, w) bool."""
    if not seen:
        return np.zeros(shape, np.float32), np.zeros(shape[:2], bool)
    pictures, there = (np.stack(parts) for parts in zip(*seen, strict=True))
    known = np.asarray(there.any(axis=0))
    values = np.where(there[..., None], pictures.astype(np.float32), np.nan)
    values[:, ~known] = 0
    return np.nanmedian(values, axis=0).astype(np.float32), known


def _seen(
    image: np.ndarray, alpha: np.ndarray, window: tuple[slice, slice], reach: int, nearby: Nearby
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures of other frames laid over a window of this one, and where they show what is behind; the nearest first."""
    counts = np.zeros(image[window].shape[:2], int)
    wanted, found, usable = alpha[window] > 0, [], False
    ways = [_along(image, alpha, step, reach, nearby) for step in (STEP, -STEP)]
    while ways and (counts[wanted] < SAMPLES).any():
        for way in list(ways):
            one = next(way, None)
            if one is None:
                ways.remove(way)
                continue
            usable = True
            picture, free, lay = one
            laid = cv2.warpPerspective(picture, lay, image.shape[1::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)[window]
            there = cv2.warpPerspective(free, lay, image.shape[1::-1], flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)[window] > 0
            counts += there
            if (there & wanted).any():
                found.append((laid, there))
    if not usable and len(nearby.span) > 1:
        raise ProjectError("The mask is on no frame around this one yet: carry it (T), so that other frames can be looked at.")
    return found


def _along(
    image: np.ndarray, alpha: np.ndarray, step: int, reach: int, nearby: Nearby
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Frames one way, until the ground is lost: picture, where it is free (H, W) uint8, and this frame's pixels -> its own."""
    frame, lay = nearby.frame, np.eye(3)
    before, gray = _free(alpha), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    first, first_free = gray, before
    while abs(frame + step - nearby.frame) <= reach and frame + step in nearby.span:
        frame += step
        region = nearby.region(frame)
        if region is None:
            return
        picture = nearby.picture(frame)
        now, free = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), _free(region)
        moved = _homography(gray, now, before, np.eye(3))
        if moved is None:
            return
        # Once more against this very frame, so that errors do not add up.
        direct = _homography(first, now, first_free, moved @ lay)
        lay = moved @ lay if direct is None else direct
        yield picture, free, lay
        gray, before = now, free


def _free(region: np.ndarray) -> np.ndarray:
    """(H, W) uint8: 1 beyond the region and its surroundings."""
    return 1 - cv2.dilate((region > 0).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=AWAY)


def _homography(a: np.ndarray, b: np.ndarray, where: np.ndarray, guess: np.ndarray) -> np.ndarray | None:
    """(3, 3): places in a (h, w) uint8 -> places in b, from points in a `where` it is not 0; None where too little can be
    followed. `guess`: about where."""
    points = cv2.goodFeaturesToTrack(a, POINTS, 0.005, 6, mask=where)
    if points is None or len(points) < FEWEST:
        return None
    start = cv2.perspectiveTransform(points.astype(np.float64), guess).astype(np.float32)
    moved, there, _ = cv2.calcOpticalFlowPyrLK(
        a, b, points, start.copy(), winSize=(21, 21), maxLevel=3, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
    )
    good = there.ravel() > 0
    if good.sum() < FEWEST:
        return None
    cv2.setRNGSeed(0)
    found, fits = cv2.findHomography(points[good], moved[good], cv2.RANSAC, AGREE)
    if found is None or int(fits.sum()) < max(FEWEST, 0.2 * len(points)):
        return None
    return np.asarray(found)
