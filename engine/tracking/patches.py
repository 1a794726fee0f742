"""Small patches of pictures: cut out under an affine pose, aligned with a template, compared, searched for.

A pose is a place (x, y) and a 2 × 2 matrix: the patch's pixel u is seen at `xy + matrix @ u`. Alignment is the inverse
compositional form of Lucas and Kanade's (Baker & Matthews 2004): the template's derivatives are made once and every step
solves for what is left. Brightness and contrast are taken out each time; pixels that do not fit (another surface behind
an edge, something in front) lose their weight, and so do those that a window says belong to something else.

Shapes: `P` points, `S` pixels of a patch. A patch has the same pixels at every level, twice as far apart at each. All
points are worked on at once. Pixel (x, y) of level 0 lies at (x, y) / 2ⁿ of level n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

RADIUS = 7  # pixels of a patch to each side of its middle
SIDE = 2 * RADIUS + 1
APART = 1.4  # px between them at level 0
REACH = RADIUS * APART
SPREAD = 6.3  # px: standard deviation of the pixels' weights about the middle
LEVELS = 3
NOISE = 5.0  # grey levels that aligned patches differ by
TUKEY = 4.0  # residuals beyond this many times the usual one count for nothing
SHIFT = (1.5, 1.5, 3.0)  # px of its level that a place is expected to be away from where it is looked for
STRIDE = 3.0  # px of its level that one step goes at most
BEND = 0.8  # px at the patch's border that its shape is
SEARCH = 12  # pixels of level 1 to each side that a lost patch is looked for
LIGHT = (0.6, 1.6)  # what contrast may change by


def offsets(radius: int = RADIUS) -> np.ndarray:
    """(S, 2) float32: (x, y) of a patch's pixels from its middle at level 0."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    return APART * np.stack([x.ravel(), y.ravel()], axis=-1)


OFFSETS, WIDE, FAR = offsets(), offsets(RADIUS + 1), offsets(RADIUS + SEARCH)
WINDOW = np.exp(-(OFFSETS**2).sum(axis=1) / (2 * SPREAD**2)).astype(np.float32)
HARDLY = 1e-7  # keeps weights from being all zero
_TEXTURELESS = NOISE**2 / len(OFFSETS)


class Pose(NamedTuple):
    """Places xy (P, 2) float32 and matrices (P, 2, 2) float32."""

    xy: np.ndarray
    matrix: np.ndarray

    def where(self, choose: np.ndarray, other: Pose) -> Pose:
        """These where `choose` (P,) bool, the others elsewhere."""
        xy = np.where(choose[:, None], self.xy, other.xy)
        return Pose(xy.astype(np.float32), np.where(choose[:, None, None], self.matrix, other.matrix).astype(np.float32))

    def at(self, which: np.ndarray) -> Pose:
        return Pose(self.xy[which], self.matrix[which])


def pyramid(picture: np.ndarray) -> list[np.ndarray]:
    """(h, w) uint8 -> LEVELS float32 pictures, each half as large."""
    levels = [cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.7)]
    for _ in range(LEVELS - 1):
        levels.append(cv2.pyrDown(levels[-1]))
    return levels


def places(xy: np.ndarray, matrix: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(P, S, 2) float32: where the offsets `at` (S, 2) lie under poses (P, 2), (P, 2, 2)."""
    found: np.ndarray = xy[:, None].astype(np.float32) + at @ matrix.transpose(0, 2, 1).astype(np.float32)
    return found


def look(picture: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(P, S) float32: the picture at places (P, S, 2); beyond its border the nearest pixel."""
    x, y = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def within(picture: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(P, S) bool: whether places (P, S, 2) lie in the picture."""
    height, width = picture.shape[:2]
    return np.asarray(((at >= 0) & (at <= np.array([width - 1, height - 1], np.float32))).all(axis=2))


class Templates:
    """Patches of points as they were seen once, with a border of one pixel for derivatives."""

    def __init__(self, count: int) -> None:
        self._seen = [np.zeros((count, SIDE + 2, SIDE + 2), np.float32) for _ in range(LEVELS)]
        self._known = [np.zeros((count, len(OFFSETS)), bool) for _ in range(LEVELS)]

    def learn(self, which: np.ndarray, levels: list[np.ndarray], pose: Pose) -> None:
        """Takes the patches of the points `which` (n,) int from pictures at their poses."""
        xy, matrix = pose
        for level, picture in enumerate(levels):
            self._seen[level][which] = look(picture, places(xy / 2**level, matrix, WIDE)).reshape(-1, SIDE + 2, SIDE + 2)
            self._known[level][which] = within(picture, places(xy / 2**level, matrix, OFFSETS))

    def at(self, which: np.ndarray, level: int) -> Template:
        """The templates of the points `which` at one level."""
        return Template(self._seen[level][which], self._known[level][which], level)


class Template:
    """Templates of one level: values (P, S) grey, known (P, S) bool, slopes (P, S, 6) grey per px (see `align`)."""

    def __init__(self, seen: np.ndarray, known: np.ndarray, level: int) -> None:
        self._seen, self.known, self.level = seen, known, level
        self.values = np.ascontiguousarray(seen[:, 1:-1, 1:-1]).reshape(len(seen), -1)

    def slopes(self) -> np.ndarray:
        u, v = OFFSETS[:, 0] / REACH, OFFSETS[:, 1] / REACH
        across = (self._seen[:, 1:-1, 2:] - self._seen[:, 1:-1, :-2]).reshape(len(self.values), -1) / (2 * APART)
        down = (self._seen[:, 2:, 1:-1] - self._seen[:, :-2, 1:-1]).reshape(len(self.values), -1) / (2 * APART)
        return np.stack([across, down, across * u, across * v, down * u, down * v], axis=-1)

    def brighter(self, levels: list[np.ndarray], pose: Pose) -> np.ndarray:
        """(P,) grey levels by which the pictures differ at poses in px of level 0, on the whole."""
        seen = look(levels[self.level], places(pose.xy / 2**self.level, pose.matrix, OFFSETS))
        return np.asarray(np.abs(seen.mean(axis=1) - self.values.mean(axis=1)))

    def contrast(self) -> np.ndarray:
        """(P,) standard deviation in grey levels."""
        spread: np.ndarray = self.values.std(axis=1)
        return spread


@dataclass(frozen=True, eq=False, slots=True)
class Aligned:
    """What was found: poses of P points and their likeness (P,) −1–1."""

    pose: Pose
    likeness: np.ndarray

    def at(self, which: np.ndarray) -> Aligned:
        return Aligned(self.pose.at(which), self.likeness[which])

    def where(self, choose: np.ndarray, other: Aligned) -> Aligned:
        """These where `choose` (P,) bool, the others elsewhere."""
        return Aligned(self.pose.where(choose, other.pose), np.where(choose, self.likeness, other.likeness))


def align(levels: list[np.ndarray], template: Template, pose: Pose, window: np.ndarray, rounds: tuple[int, int]) -> Aligned:
    """Poses at which templates fit best at their level, near those given. Poses are in px of level 0.

    The less there is in a patch to hold on to, the closer its place stays to the given one.

    `window` (S,) or (P, S) weighs pixels; `rounds`: steps of shift alone, then of shift and shape.
    """
    picture, values, slopes, scale = levels[template.level], template.values, template.slopes(), np.float32(2**template.level)
    xy, matrix = pose.xy / scale, pose.matrix
    base, start = template.known * window, xy
    prior = _TEXTURELESS / np.array([SHIFT[template.level] ** 2] * 2 + [BEND**2] * 4, np.float32)
    for step in range(sum(rounds)):
        free = 2 if step < rounds[0] else 6
        at = places(xy, matrix, OFFSETS)
        weights = _weights(base * within(picture, at))
        rest = relit(look(picture, at), values, weights) - values
        heavy = slopes[..., :free] * (weights * _fitting(rest, weights))[..., None]
        normal = heavy.transpose(0, 2, 1) @ slopes[..., :free] + np.diag(prior[:free])
        wanted = heavy.transpose(0, 2, 1) @ rest[..., None]
        wanted[:, :2] += prior[0] * np.linalg.solve(matrix, (xy - start)[..., None])
        change = np.linalg.solve(normal, wanted)[..., 0]
        xy, matrix = _composed(xy, matrix, change)
    at = places(xy, matrix, OFFSETS)
    weights = _weights(base * within(picture, at))
    return Aligned(Pose(xy * scale, matrix), likeness(look(picture, at), values, weights))


def likeness(seen: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(P,) correlation −1–1 of patches (P, S) and templates (P, S) under weights (P, S) whose sums are 1."""
    a = seen - (seen * weights).sum(axis=1)[:, None]
    b = values - (values * weights).sum(axis=1)[:, None]
    spread = np.sqrt((a * a * weights).sum(axis=1) * (b * b * weights).sum(axis=1))
    found: np.ndarray = (a * b * weights).sum(axis=1) / np.maximum(spread, 1e-3)
    return found


def relit(seen: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Patches (P, S) with the brightness and contrast of their templates (P, S), under weights (P, S) whose sums are 1."""
    mean, wanted = (seen * weights).sum(axis=1)[:, None], (values * weights).sum(axis=1)[:, None]
    had = ((seen - mean) ** 2 * weights).sum(axis=1)
    gain = np.sqrt(((values - wanted) ** 2 * weights).sum(axis=1) / np.maximum(had, 1.0))
    return (seen - mean) * np.clip(gain, *LIGHT)[:, None] + wanted


def search(levels: list[np.ndarray], template: Template, pose: Pose) -> np.ndarray:
    """(P, 2) float32: where templates of level 1 are seen best within SEARCH pixels around poses, to one such pixel."""
    xy, matrix = pose
    wide = look(levels[1], places(xy / 2, matrix, FAR)).reshape(-1, SIDE + 2 * SEARCH, SIDE + 2 * SEARCH)
    found = np.empty_like(xy)
    for point, window in enumerate(wide):
        score = cv2.matchTemplate(window, template.values[point].reshape(SIDE, SIDE), cv2.TM_CCOEFF_NORMED)
        y, x = np.unravel_index(int(score.argmax()), score.shape)
        found[point] = xy[point] + 2 * APART * (matrix[point] @ np.array([x - SEARCH, y - SEARCH], np.float32))
    return found


def _weights(raw: np.ndarray) -> np.ndarray:
    raw = raw + np.float32(HARDLY)
    weights: np.ndarray = raw / raw.sum(axis=1, keepdims=True)
    return weights


def _fitting(rest: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(P, S) Tukey weights of residuals."""
    usual = np.maximum(1.2 * (np.abs(rest) * weights).sum(axis=1), 0.6 * NOISE)[:, None]
    fitting: np.ndarray = np.maximum(0, 1 - (rest / (TUKEY * usual)) ** 2) ** 2
    return fitting


def _composed(xy: np.ndarray, matrix: np.ndarray, change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Poses after taking back `change` (P, 2 or 6) within the patch."""
    length = np.sqrt((change[:, :2] ** 2).sum(axis=1, keepdims=True))
    shift = change[:, :2] * np.minimum(1, STRIDE / np.maximum(length, 1e-6))
    if change.shape[1] == 6:
        bend = np.clip(change[:, 2:] / REACH, -0.2, 0.2).reshape(-1, 2, 2)
        matrix = matrix @ np.linalg.inv(np.eye(2, dtype=np.float32) + bend)
    return xy - (matrix @ shift[..., None])[..., 0], matrix
