"""How a picture that comes back lies on its frame: the shift, by phase correlation outside the mask, and the colours there.

Painting changes what is inside the mask; what is outside should be the source's. There it shows whether the other program
has moved, rounded or recoloured the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

NOISE = 2  # levels: smaller differences are no change (as for the region, engine/editor.py)
COARSE = 1024  # px of the longer side in which the shift is looked for
PEAKS = 6  # places of the correlation that are tried out
LEAST_SHARE = 0.02  # of the picture that must lie outside the mask
LEAST_OVERLAP = 0.5  # of what is outside that must be seen in both pictures
MOST = 12.0  # levels up to which a difference counts
LEAST_SHIFT = 0.3  # px; less is said to be none (our choice)
WHOLE = 0.08  # px within which a shift counts as whole pixels, and is undone without resampling
BETTER = 0.75  # a shift must leave so much of the difference at most
QUIET = 0.0005  # of the pixels outside that may differ before a shift is looked for
EVERYWHERE = 0.5  # of the pixels outside from which a change of colours counts as one of the whole picture
MARGIN = 0.01  # of the longer side around the mask that belongs to neither


@dataclass(frozen=True, slots=True)
class Registration:
    """`shift` (x, y) px: how far the picture lies right of and below the source; None where it cannot be measured.

    `changed` share 0–1 of the pixels outside the mask that differ from the source once the shift is undone; `levels` the median
    difference of red, green and blue there.
    """

    shift: tuple[float, float] | None
    changed: float
    levels: tuple[int, int, int]

    @property
    def is_shifted(self) -> bool:
        return self.shift is not None and self.shift != (0.0, 0.0)

    def sentences(self) -> list[str]:
        """What there is to say; nothing when all is well."""
        said = []
        if self.shift is None:
            said.append("The mask covers nearly everything, so a shift could not be measured.")
        elif self.is_shifted:
            said.append(f"The picture is shifted by {_direction(self.shift)}.")
        if self.changed > EVERYWHERE and any(self.levels):
            red, green, blue = self.levels
            said.append(f"Its colours differ outside the mask too: red {red:+d}, green {green:+d}, blue {blue:+d} levels.")
        elif self.changed >= 0.0005:
            said.append(f"{100 * self.changed:.1f} % of the pixels outside the mask differ.")
        return said


def _direction(shift: tuple[float, float]) -> str:
    across, down = (abs(round(value, 1)) for value in shift)
    parts = [f"{across:g} px {'to the right' if shift[0] > 0 else 'to the left'}"] if across else []
    parts += [f"{down:g} px {'down' if shift[1] > 0 else 'up'}"] if down else []
    return " and ".join(parts)


def measure(source: np.ndarray, picture: np.ndarray, region: np.ndarray) -> Registration:
    """How `picture` lies on `source`, both (H, W, 3) uint8; `region` (H, W) uint8 is where painting is meant to change it."""
    outside = _outside(region)
    if outside.mean() < LEAST_SHARE:
        return Registration(None, 0.0, (0, 0, 0))
    shift = (0.0, 0.0)
    if _changed(source, picture, outside)[0] > QUIET:
        shift = _shift(_light(source), _light(picture), outside)
    if shift != (0.0, 0.0):
        picture, outside = shifted_back(picture, shift, source), outside & _kept(shift, outside.shape)
    changed, levels = _changed(source, picture, outside)
    return Registration(shift, changed, levels)


def shifted_back(picture: np.ndarray, shift: tuple[float, float], source: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the picture moved by −`shift`; what comes in at the edges is the source's.

    A shift by whole pixels is undone without resampling.
    """
    across, down = shift
    near = max(abs(across - round(across)), abs(down - round(down))) <= WHOLE
    if near:
        across, down = float(round(across)), float(round(down))
    back = _moved(picture, (across, down), cv2.INTER_NEAREST if near else cv2.INTER_CUBIC)
    return np.where(_kept((across, down), picture.shape[:2])[..., None], back, source)


def _moved(picture: np.ndarray, shift: tuple[float, float], how: int) -> np.ndarray:
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    size = (picture.shape[1], picture.shape[0])
    return cv2.warpAffine(picture, matrix, size, flags=how | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)


def _kept(shift: tuple[float, float], size: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool: where the moved picture has pixels of its own."""
    height, width = size
    x, y = np.arange(width) + shift[0], np.arange(height) + shift[1]
    return ((y >= 0) & (y <= height - 1))[:, None] & ((x >= 0) & (x <= width - 1))[None]


def _outside(region: np.ndarray) -> np.ndarray:
    """(H, W) bool: what is not in the region, nor close to it."""
    reach = 2 * max(1, round(MARGIN * max(region.shape))) + 1
    return cv2.dilate(region, np.ones((reach, reach), np.uint8)) == 0


def _changed(source: np.ndarray, picture: np.ndarray, outside: np.ndarray) -> tuple[float, tuple[int, int, int]]:
    difference = picture[outside].astype(np.int16) - source[outside]
    if not len(difference):
        return 0.0, (0, 0, 0)
    share = float((np.abs(difference).max(axis=1) > NOISE).mean())
    red, green, blue = (round(float(value)) for value in np.median(difference, axis=0))
    return share, (red, green, blue)


def _light(picture: np.ndarray) -> np.ndarray:
    """(H, W) float32."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)


# --- the shift --------------------------------------------------------------------------------------------


def _shift(source: np.ndarray, picture: np.ndarray, outside: np.ndarray) -> tuple[float, float]:
    """The shift in px, to a part of one; (0, 0) where none explains the difference."""
    scale = min(1.0, COARSE / max(source.shape))
    small = (max(16, round(source.shape[1] * scale)), max(16, round(source.shape[0] * scale)))
    one, other = (cv2.resize(p, small, interpolation=cv2.INTER_AREA) for p in (source, picture))
    free = cv2.resize(outside.astype(np.uint8), small, interpolation=cv2.INTER_NEAREST) > 0
    still = _error(one, other, free, (0, 0))
    tried = [(_error(one, other, free, place), place) for place in _peaks(one, other, free)]
    error, place = min(tried, default=(still, (0, 0)))
    begin = place if error < still else (0, 0)
    across, down = begin[0] * source.shape[1] / small[0], begin[1] * source.shape[0] / small[1]
    found = _refined(source, picture, outside, (across, down))
    if max(map(abs, found)) < LEAST_SHIFT:
        return (0.0, 0.0)
    left = _error(source, _moved(picture, found, cv2.INTER_LINEAR), outside & _kept(found, outside.shape), (0, 0))
    if left > BETTER * _error(source, picture, outside, (0, 0)):
        return (0.0, 0.0)
    return (round(found[0], 2) + 0.0, round(found[1], 2) + 0.0)  # no −0


def _peaks(source: np.ndarray, picture: np.ndarray, free: np.ndarray) -> list[tuple[int, int]]:
    """The whole-pixel shifts (x, y) at which the phases of both agree most, outside the mask."""
    weight = cv2.GaussianBlur(free.astype(np.float32), (0, 0), 3) * free
    weight *= cv2.createHanningWindow((free.shape[1], free.shape[0]), cv2.CV_32F)
    spectra = [np.fft.rfft2((light - np.average(light, weights=weight)) * weight) for light in (source, picture)]
    cross = np.conj(spectra[0]) * spectra[1]
    agreement = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-6), s=free.shape)
    surface = cv2.GaussianBlur(agreement.astype(np.float32), (0, 0), 0.8)
    found = []
    for _ in range(PEAKS):
        y, x = np.unravel_index(int(surface.argmax()), surface.shape)
        found.append(
            (int(x) - surface.shape[1] * (x > surface.shape[1] // 2), int(y) - surface.shape[0] * (y > surface.shape[0] // 2))
        )
        surface[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = -1
    return [(int(x), int(y)) for x, y in found]


def _error(source: np.ndarray, picture: np.ndarray, free: np.ndarray, shift: tuple[int, int]) -> float:
    """Mean absolute difference of light outside the mask once the picture is moved back, without a change of level.

    Differences count up to a limit, so that a stroke outside the mask does not look like a shift.
    """
    across, down = shift
    height, width = source.shape
    there = (slice(max(0, down), min(height, height + down)), slice(max(0, across), min(width, width + across)))
    here = (slice(max(0, -down), min(height, height - down)), slice(max(0, -across), min(width, width - across)))
    seen = free[here] & free[there]
    if seen.sum() < LEAST_OVERLAP * free.sum():
        return float("inf")
    difference = picture[there][seen] - source[here][seen]
    return float(np.minimum(np.abs(difference - np.median(difference)), MOST).mean())


def _refined(source: np.ndarray, picture: np.ndarray, outside: np.ndarray, shift: tuple[float, float]) -> tuple[float, float]:
    """Least squares on the slopes of the source, a few rounds (Lucas and Kanade), without the pixels that do not fit."""
    smooth = cv2.GaussianBlur(source, (0, 0), 1.2)
    slopes = np.stack([cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)], -1)
    for _ in range(8):
        moved = cv2.GaussianBlur(_moved(picture, shift, cv2.INTER_LINEAR), (0, 0), 1.2)
        seen = outside & _kept(shift, outside.shape)
        difference = (moved - smooth)[seen]
        difference -= np.median(difference)
        fits = np.abs(difference) <= 3 * max(1.0, float(np.median(np.abs(difference))))
        slope = slopes[seen][fits].astype(np.float64)
        square = slope.T @ slope
        if np.linalg.cond(square) > 1e6:
            return shift
        step = np.linalg.solve(square, slope.T @ difference[fits])
        shift = (shift[0] - float(np.clip(step[0], -2, 2)), shift[1] - float(np.clip(step[1], -2, 2)))
        if np.abs(step).max() < 0.01:
            break
    return shift
