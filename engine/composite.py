"""Putting an edit into a picture: the region, what lies outside it, exact sources there.

A region is (H, W) uint8: 0 = the source stays to the bit, 255 = the edit is whole, between = a soft edge.
"""

from __future__ import annotations

import cv2
import numpy as np

INSIDE = 128
RULE = 7  # px, side of the neighbourhood in which an edit's rule is looked for
STEADY = 0.5  # levels²: a source that varies less tells nothing of the rule
STEEPEST = 4.0
OPEN = 0.498  # levels: what rounding to 8 bits leaves open
GROWN_BY = 2  # px around the pixels a take changes, so that carrying does not fray their edge


def edit_region(alpha: np.ndarray, grow: float = 0.0, feather: float = 0.0) -> np.ndarray:
    """The region of a mask: its outline moved by `grow` px (negative: inwards), then a ramp of `feather` px outside it.

    Exactly 255 inside the moved outline and exactly 0 beyond `grow + feather` px. With both 0 the mask itself,
    soft edge included.
    """
    if grow == 0 and feather == 0:
        return alpha
    inside = alpha >= INSIDE
    if not inside.any():
        return np.zeros_like(alpha)
    reach = int(np.ceil(max(0.0, grow) + feather)) + 2
    window = _window(inside, reach)
    distance = _signed_distance(inside[window]) - grow
    if feather == 0:
        ramp = (distance <= 0).astype(np.float32)
    else:
        ramp = np.clip(1 - distance / (feather + 1), 0, 1)
        ramp[distance > feather] = 0
        ramp = ramp * ramp * (3 - 2 * ramp)
    region = np.zeros_like(alpha)
    region[window] = np.rint(255 * ramp).astype(np.uint8)
    return region


def _window(inside: np.ndarray, reach: int) -> tuple[slice, slice]:
    """Bounding box of the mask with `reach` px around."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    height, width = inside.shape
    return (
        slice(max(0, rows[0] - reach), min(height, rows[-1] + reach + 1)),
        slice(max(0, columns[0] - reach), min(width, columns[-1] + reach + 1)),
    )


def _signed_distance(inside: np.ndarray) -> np.ndarray:
    """(h, w) float32 px from the outline: positive outside, ≤ 0 inside."""
    out = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    if inside.all():
        return np.full(inside.shape, -float(max(inside.shape)), np.float32)
    return out - np.maximum(cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5) - 1, 0)


def inside(source: np.ndarray, edited: np.ndarray, region: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the edit where the region is whole, the source to the bit where it is 0, a blend between."""
    share = region[..., None].astype(np.float32) / 255
    mixed = np.rint(source + share * (edited.astype(np.float32) - source)).astype(np.uint8)
    return np.where(region[..., None] == 0, source, np.where(region[..., None] == 255, edited, mixed))


def deepened(source: np.ndarray, shown: np.ndarray, edited: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint16: an edit made with 8 bits on a deeper source: where it changed nothing the source to the bit, elsewhere
    the edit, whose missing bits follow from the source's. `source` uint16 (65535 = white), `shown` the same with 8 bits,
    `edited` uint8. With 8 bits again it is `edited`, exactly.

    Around each pixel edited ≈ a·shown + b is fitted per channel (guided filter, He et al., 2013): a·source + b is what a grade
    or another colour would have been at full depth. It counts within the half level that rounding left open; where the edit
    follows no such rule, as at the edge of paint, it is scaled up as it is.
    """
    changed = (shown != edited).any(axis=2)
    if not changed.any():
        return source
    window = _window(changed, RULE // 2)
    there, made = changed[window].astype(np.float32), edited[window].astype(np.float32)
    weight = np.maximum(cv2.blur(there, (RULE, RULE)), 1e-6)[..., None]

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values * there[..., None], (RULE, RULE)) / weight

    seen = shown[window].astype(np.float32)
    mean_seen, mean_made = mean(seen), mean(made)
    together, spread = mean(seen * made) - mean_seen * mean_made, mean(seen * seen) - mean_seen**2
    gain = np.clip(together / (np.maximum(spread, 0) + STEADY), -STEEPEST, STEEPEST)
    off = mean_made + gain * (source[window].astype(np.float32) / 257 - mean_seen) - made
    off = np.where(np.abs(off) <= 1, np.clip(off, -OPEN, OPEN), 0)
    deep = np.clip(np.rint((made + off) * 257), 0, 65535).astype(np.uint16)
    result = source.copy()
    np.copyto(result[window], deep, where=changed[window][..., None])
    return result


def outside_difference(source: np.ndarray, take: np.ndarray, region: np.ndarray, tolerance: int = 2) -> np.ndarray | None:
    """(H, W) bool: where a take differs from the source outside the region by more than `tolerance` levels; None = nowhere."""
    differs = cv2.absdiff(source, take).max(axis=2) > tolerance
    differs &= region == 0
    return differs if differs.any() else None


def clip_to_region(source: np.ndarray, take: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The take inside the region, blended over its soft edge, the source outside."""
    return inside(source, take, region)


def region_of_difference(source: np.ndarray, take: np.ndarray, tolerance: int = 2) -> np.ndarray:
    """(H, W) uint8, 0 or 255: where the take differs from the source, and 2 px around."""
    differs = (cv2.absdiff(source, take).max(axis=2) > tolerance).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * GROWN_BY + 1, 2 * GROWN_BY + 1))
    return cv2.dilate(differs, kernel) * 255
