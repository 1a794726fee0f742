"""Aligning a picture with another one by a smooth deformation, to a few hundredths of a pixel.

Dense Lucas–Kanade with windows of several sizes: the gradients of both pictures (symmetric, Benhimane & Malis, 2004) give
every node of a lattice a 2×2 equation A δ = b; summed over the whole subject they give its affine motion, over Gaussian
windows from wide to narrow what it deviates from that. Each window is held to the one before it where there is nothing to
see (Tikhonov), and pixels that do not fit are weighed down (Cauchy), so what is hidden does not pull.

Symbols: nodes lie SPACING px apart, each the middle of its cell of pixels; A (n, m, 3) = (xx, xy, yy), b, δ (n, m, 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SPACING = 4  # px between nodes
WINDOWS = (8.0, 3.5, 1.6)  # nodes: standard deviations of the Gaussian windows, from wide to narrow
HOLD = 0.03  # of the mean of A: how strongly a window is held to the wider one
ROUNDS = 4  # of reweighting in a robust fit
FARTHEST = 3.0  # px a single round may move a node
CAUCHY = 2.4  # robust standard deviations at which a pixel counts half
NOTHING = 1e-4  # weight of a node below which it is left out of a fit
MANY = 1500  # nodes of which an affine motion needs no more
LEAST_NOISE = 1.5  # levels: residuals below this are never outliers
DARK = 8.0  # levels added to both sides of a ratio of brightness
LIGHT_WINDOW = 4.0  # nodes over which brightness is compared
LIGHT_LIMITS = (0.5, 2.0)
STEPPED = 1.5  # px over which an outline is smoothed: a mask's own goes in steps of a pixel
NEAR = 5.0  # px from an outline up to which it counts
PER_PIXEL = 1.5  # levels: what a px between two outlines weighs beside differences of brightness


@dataclass(frozen=True, eq=False, slots=True)
class Compared:
    """Two pictures over a window after warping: weight, residual (h, w) float32, gradient x and y (h, w), light (n, m)."""

    weight: np.ndarray
    residual: np.ndarray
    gradient: tuple[np.ndarray, np.ndarray]
    light: np.ndarray


def eroded(alpha: np.ndarray, px: int) -> np.ndarray:
    """The mask (h, w) with its outline moved inwards."""
    return cv2.erode(alpha, np.ones((3, 3), np.uint8), iterations=px)


def to_nodes(values: np.ndarray) -> np.ndarray:
    """Means over cells: (h, w, …) → (h / SPACING, w / SPACING, …)."""
    return cv2.resize(values, (values.shape[1] // SPACING, values.shape[0] // SPACING), interpolation=cv2.INTER_AREA)


def to_pixels(values: np.ndarray) -> np.ndarray:
    """The inverse, linearly between nodes."""
    return cv2.resize(values, (values.shape[1] * SPACING, values.shape[0] * SPACING), interpolation=cv2.INTER_LINEAR)


def blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian over nodes; beyond the window there is nothing."""
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)


def spread(values: np.ndarray, weight: np.ndarray, sigma: float, hold: float = 0.0) -> np.ndarray:
    """Weighted Gaussian mean of values (n, m) or (n, m, 2), held to 0 by a weight of `hold`; fills where weight is 0."""
    around = blurred(weight, sigma) + max(hold, 1e-6)
    if values.ndim == 3:
        return blurred(values * weight[..., None], sigma) / around[..., None]
    return blurred(values * weight, sigma) / around


def compare(target: np.ndarray, warped: np.ndarray, weight: np.ndarray) -> Compared:
    """target, warped (h, w) float32 levels; weight (h, w) float32 0–1: where both show the subject.

    The warped picture is given the target's local brightness first.
    """
    mass = to_nodes(weight)
    dark = DARK * blurred(mass, LIGHT_WINDOW) + 1e-4
    seen, there = (blurred(to_nodes(picture * weight), LIGHT_WINDOW) + dark for picture in (target, warped))
    light = np.clip(seen / there, *LIGHT_LIMITS)
    relit = (warped + DARK) * to_pixels(light) - DARK
    residual = target - relit
    noise = max(LEAST_NOISE, 1.48 * _median(np.abs(residual), weight))
    return Compared(weight / (1 + (residual / (CAUCHY * noise)) ** 2), residual, _gradient(0.5 * (target + relit)), light)


def _median(values: np.ndarray, weight: np.ndarray) -> float:
    chosen = values[::3, ::3][weight[::3, ::3] > 0.5]
    return float(np.median(chosen)) if len(chosen) else 0.0


def outline(inside: np.ndarray) -> np.ndarray:
    """(h, w) float32: signed distance to the outline of a mask (h, w) bool, positive inside, within ±NEAR px, in levels."""
    filled = inside.astype(np.uint8)
    within = cv2.distanceTransform(filled, cv2.DIST_L2, 3) - cv2.distanceTransform(1 - filled, cv2.DIST_L2, 3)
    return PER_PIXEL * np.clip(cv2.GaussianBlur(within, (0, 0), STEPPED), -NEAR, NEAR)


def compare_outlines(target: np.ndarray, warped: np.ndarray) -> Compared:
    """Two outlines (see `outline`), the second one warped. Where one has none near the other's, they say nothing: there the
    subject goes on behind something else."""
    limit = (NEAR - 1) * PER_PIXEL
    weight = ((np.abs(target) < limit) & (np.abs(warped) < limit)).astype(np.float32)
    return Compared(weight, target - warped, _gradient(0.5 * (target + warped)), np.ones((0, 0), np.float32))


def correction(compared: list[Compared], *, affine: bool) -> np.ndarray:
    """δ (n, m, 2) px: how far each node's position in the warped picture must move. `affine`: first the subject as a whole."""
    matrix, vector, mass = (np.asarray(sum(parts)) for parts in zip(*map(_equations, compared), strict=True))
    floor = HOLD * float((matrix[..., 0] + matrix[..., 2]).sum() / 2 / max(float(mass.sum()), 1e-6)) + 1e-3
    delta = _affine(matrix, vector, floor) if affine else np.zeros_like(vector)
    for sigma in WINDOWS:
        left = vector - _times(matrix, delta)
        around = blurred(matrix, sigma)
        delta = delta + _solved(around, blurred(left, sigma), floor)
    length = np.sqrt((delta**2).sum(axis=-1, keepdims=True))
    return (delta * np.minimum(1, FARTHEST / np.maximum(length, 1e-6))).astype(np.float32)


def _equations(found: Compared) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A, b and the weight behind them, at each node."""
    gx, gy = found.gradient
    wx, wy = found.weight * gx, found.weight * gy
    matrix = [to_nodes(part) for part in (wx * gx, wx * gy, wy * gy)]
    vector = [to_nodes(part * found.residual) for part in (wx, wy)]
    return cv2.merge(matrix), cv2.merge(vector), to_nodes(found.weight)


def _gradient(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) each: central differences along x and y."""
    return cv2.Sobel(picture, cv2.CV_32F, 1, 0, ksize=1, scale=0.5), cv2.Sobel(picture, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    xx, xy, yy = matrix[..., 0], matrix[..., 1], matrix[..., 2]
    x, y = vector[..., 0], vector[..., 1]
    return np.stack([xx * x + xy * y, xy * x + yy * y], axis=-1)


def _solved(matrix: np.ndarray, vector: np.ndarray, floor: float) -> np.ndarray:
    """(A + floor·I)⁻¹ b at each node."""
    xx, xy, yy = matrix[..., 0] + floor, matrix[..., 1], matrix[..., 2] + floor
    x, y = vector[..., 0], vector[..., 1]
    determinant = xx * yy - xy * xy
    return np.stack([(yy * x - xy * y) / determinant, (xx * y - xy * x) / determinant], axis=-1)


def _affine(matrix: np.ndarray, vector: np.ndarray, floor: float) -> np.ndarray:
    """δ (n, m, 2) of the affine motion that fits all nodes together."""
    basis = _basis(matrix.shape[:2])
    xx, xy, yy = (basis.T @ (basis * matrix[..., part].reshape(-1, 1)) for part in range(3))
    normal = np.stack([np.stack([xx, xy], axis=-1), np.stack([xy, yy], axis=-1)], axis=1)  # (i, k, j, l)
    normal = normal.reshape(6, 6)
    right = (basis.T @ vector.reshape(-1, 2)).reshape(6)
    ridge = floor * 0.1 * len(basis) * np.eye(6)
    return (basis @ np.linalg.solve(normal + ridge, right).reshape(3, 2)).reshape(vector.shape)


def _basis(shape: tuple[int, int]) -> np.ndarray:
    """(n·m, 3) float64: 1, x, y of each node, x and y from −1 to 1."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    columns = [np.ones(x.shape), 2 * x / max(shape[1] - 1, 1) - 1, 2 * y / max(shape[0] - 1, 1) - 1]
    return np.stack(columns, axis=-1).reshape(-1, 3)


@dataclass(frozen=True, eq=False, slots=True)
class Affine:
    """x → x + matrix·(1, x, y): matrix (3, 2) float64, px."""

    matrix: np.ndarray

    def shift(self, places: np.ndarray) -> np.ndarray:
        """(n, m, 2) float32 px at places (n, m, 2)."""
        moved = self.matrix[0] + places.astype(np.float64) @ self.matrix[1:]
        return moved.astype(np.float32)

    def after(self, first: Affine) -> Affine:
        """`first`, then this one."""
        constant = first.matrix[0] + self.matrix[0] + first.matrix[0] @ self.matrix[1:]
        linear = first.matrix[1:] + self.matrix[1:] + first.matrix[1:] @ self.matrix[1:]
        return Affine(np.vstack([constant, linear]))


STILL = Affine(np.zeros((3, 2)))


def fit_affine(
    places: np.ndarray, values: np.ndarray, weight: np.ndarray, *, around: Affine = STILL, hold: float = 0.0, limit: float = 1.0
) -> Affine:
    """The affine motion that fits shifts `values` (n, m, 2) px at `places` (n, m, 2) where `weight` (n, m) says.

    Robust beyond `limit` px. Its turning and growing are held to `around`'s by `hold`, in nodes of full weight one radius away,
    where a radius is that of a disc of `hold` nodes: from a small sight of a subject only its shift is believed.
    """
    step = 2 if weight.size > MANY else 1  # every other node tells as much
    chosen = weight[::step, ::step] > NOTHING  # most nodes of a window see nothing of the subject
    xy = places[::step, ::step][chosen].astype(np.float64)
    start = step**2 * weight[::step, ::step][chosen].astype(np.float64)
    total = start.sum()
    if total < 1e-3:
        return around
    centre = start @ xy / total
    scale = SPACING * max(2.0, np.sqrt(max(hold, total) / np.pi))
    basis = np.column_stack([np.ones(len(xy)), (xy - centre) / scale])
    left = values[::step, ::step][chosen] - around.shift(xy)
    ridge = np.diag([1e-6 * total, 0.05 * hold + 1e-4 * total, 0.05 * hold + 1e-4 * total])
    mass, found = start, np.zeros((3, 2))
    for _ in range(ROUNDS):
        weighted = basis * mass[:, None]
        found = np.linalg.solve(weighted.T @ basis + ridge, weighted.T @ left)
        error = ((left - basis @ found) ** 2).sum(axis=-1)
        mass = start / (1 + error / limit**2)
    linear = found[1:] / scale
    return Affine(around.matrix + np.vstack([found[0] - centre @ linear, linear]))


def misfit(found: Compared, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(n, m) float32 from 0: the residual's energy over that of what can be seen there (noise and a share of the texture)."""
    sigma = 2.0
    error = spread(to_nodes(found.residual**2), to_nodes(weight), sigma)
    mean = spread(to_nodes(target), to_nodes(weight), sigma)
    contrast = np.maximum(0, spread(to_nodes(target**2), to_nodes(weight), sigma) - mean**2)
    return error / (LEAST_NOISE**2 * 4 + 0.3 * contrast)
