"""A picture placed in perspective: on a screen, a poster, a wall. It sticks to the subject because motion carries the take.

Its corners are those of the mask, or of the four-sided figure nearest to it, each moved by the settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from engine.composite import inside
from engine.media.images import read_image

CARD = (360, 480)  # height, width of the test card
SMALLER = 0.85  # of the upright rectangle's area, from which on a turned one is the better figure
LIGHT = 24.0  # px over which the light on the subject is smoothed
CORNERS = ("top left", "top right", "bottom right", "bottom left")


def _moved(corner: int, axis: str) -> float:
    along = "to the right" if axis == "x" else "down"
    label = f"{CORNERS[corner].capitalize()} corner, {along}"
    about = {"min": -150.0, "max": 150.0, "step": 0.5, "label": label, "help": "In percent of the figure's size."}
    return field(default=0.0, metadata=about)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Perspective:
    file: str = field(default="", metadata={"kind": "picture", "label": "Picture", "help": "Without one, a test card is placed."})
    fit: str = field(
        default="fill",
        metadata={"kind": "choice", "choices": ("fill", "whole"), "help": "Fill the figure to its corners, or keep the shape."},
    )
    light: float = field(default=0.5, metadata={"min": 0.0, "max": 1.0, "help": "How much of the subject's light falls on it."})
    strength: float = field(default=1.0, metadata={"min": 0.0, "max": 1.0, "help": "1 covers, less lets the subject through."})
    x1: float = _moved(0, "x")
    y1: float = _moved(0, "y")
    x2: float = _moved(1, "x")
    y2: float = _moved(1, "y")
    x3: float = _moved(2, "x")
    y3: float = _moved(2, "y")
    x4: float = _moved(3, "x")
    y4: float = _moved(3, "y")


def apply(image: np.ndarray, alpha: np.ndarray, config: Perspective) -> np.ndarray:
    """The picture laid on the mask's figure, inside the mask alone. Raises MediaError where it cannot be read."""
    if not alpha.any():
        return image.copy()
    picture = read_image(config.file) if config.file else test_card()
    corners = quad_of(alpha) + _offsets(config, alpha)
    height, width = picture.shape[:2]
    edge = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    plane = cv2.getPerspectiveTransform(edge, _kept_shape(corners, width / height) if config.fit == "whole" else corners)
    size = image.shape[1::-1]
    laid = cv2.warpPerspective(_shrunk(picture, corners), plane @ _unshrunk(picture, corners), size, flags=cv2.INTER_CUBIC)
    cover = _cover(cv2.perspectiveTransform(edge[None], plane)[0], image.shape[:2])
    lit = np.clip(laid.astype(np.float32) * _light(image, alpha, config.light)[..., None], 0, 255)
    share = (config.strength * cover)[..., None]
    edited = np.rint(image + share * (lit - image)).astype(np.uint8)
    return inside(image, edited, alpha)


def test_card() -> np.ndarray:
    """(360, 480, 3) uint8: squares and numbered corners, to see how a picture would lie."""
    y, x = np.mgrid[: CARD[0], : CARD[1]]
    dark = ((y // 40 + x // 40) % 2).astype(np.uint8)
    card = np.dstack([210 - 110 * dark, 210 - 90 * dark, 215 - 60 * dark]).astype(np.uint8)
    for number, (a, b) in enumerate(((55, 10), (55, 430), (345, 430), (345, 10)), start=1):
        cv2.putText(card, str(number), (b, a), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (200, 40, 30), 5, cv2.LINE_AA)
    return card


def quad_of(alpha: np.ndarray) -> np.ndarray:
    """(4, 2) float32 px, x and y: corners of the mask (h, w) uint8, from the top left one clockwise.

    Of a mask that is about four-sided its own corners, else those of the upright rectangle around it, or of a turned one that
    is clearly smaller.
    """
    contours, _ = cv2.findContours((alpha > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        contours, _ = cv2.findContours((alpha > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(contours))
    round_ = cv2.arcLength(hull, True)
    for share in (0.02, 0.03, 0.05, 0.08):
        figure = cv2.approxPolyDP(hull, share * round_, True).reshape(-1, 2).astype(np.float32)
        if len(figure) == 4 and cv2.contourArea(figure) > 0.85 * cv2.contourArea(hull):
            return _in_order(figure)
    x, y, width, height = cv2.boundingRect(hull)
    turned = cv2.boxPoints(cv2.minAreaRect(hull))
    if cv2.contourArea(turned) < SMALLER * width * height:
        return _in_order(turned)
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float32)


def _in_order(corners: np.ndarray) -> np.ndarray:
    """Clockwise from the one nearest to the top left."""
    away = corners - corners.mean(axis=0)
    corners = corners[np.argsort(np.arctan2(away[:, 1], away[:, 0]))]
    return np.roll(corners, -int(corners.sum(axis=1).argmin()), axis=0).astype(np.float32)


def _offsets(config: Perspective, alpha: np.ndarray) -> np.ndarray:
    quad = quad_of(alpha)
    extent = quad.max(axis=0) - quad.min(axis=0)
    moved = [[getattr(config, f"{axis}{corner}") for axis in "xy"] for corner in range(1, 5)]
    return (np.array(moved, np.float32) / 100 * extent).astype(np.float32)


def _kept_shape(corners: np.ndarray, ratio: float) -> np.ndarray:
    """Corners inside the figure between which a picture of this width over height keeps its shape."""
    tops, sides = _lengths(corners)
    share = ratio / (tops / sides)
    across, down = (1.0, 1 / share) if share > 1 else (share, 1.0)
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    plane = cv2.getPerspectiveTransform(square, corners)
    return cv2.perspectiveTransform((square * [across, down]).astype(np.float32)[None], plane)[0]


def _lengths(corners: np.ndarray) -> tuple[float, float]:
    """Mean width and height of a figure, px, at least one."""
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    return max(1.0, float(sides[0] + sides[2]) / 2), max(1.0, float(sides[1] + sides[3]) / 2)


def _scale(picture: np.ndarray, corners: np.ndarray) -> tuple[int, int]:
    """Width and height to which a picture that is much finer than its figure is scaled down, so that it does not alias."""
    across, down = _lengths(corners)
    height, width = picture.shape[:2]
    return max(1, min(width, round(1.5 * across))), max(1, min(height, round(1.5 * down)))


def _shrunk(picture: np.ndarray, corners: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, _scale(picture, corners), interpolation=cv2.INTER_AREA)
    return cv2.copyMakeBorder(small, 2, 2, 2, 2, cv2.BORDER_REPLICATE)


def _unshrunk(picture: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(3, 3): pixels of what `_shrunk` gives -> pixels of the picture."""
    width, height = _scale(picture, corners)
    x, y = picture.shape[1] / width, picture.shape[0] / height
    return np.array([[x, 0, x * (0.5 - 2) - 0.5], [0, y, y * (0.5 - 2) - 0.5], [0, 0, 1]])


def _cover(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) float32 0–1: the figure, its edge smooth."""
    drawn, fine = np.zeros(size, np.uint8), 16
    cv2.fillConvexPoly(drawn, np.rint(corners * fine).astype(np.int32), 255, cv2.LINE_AA, shift=4)
    return drawn.astype(np.float32) / 255


def _light(image: np.ndarray, alpha: np.ndarray, share: float) -> np.ndarray:
    """(H, W) float32: the subject's broad light over its mean, `share` of it."""
    gray, weight = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), alpha.astype(np.float32) / 255
    broad = cv2.GaussianBlur(gray * weight, (0, 0), LIGHT) / np.maximum(cv2.GaussianBlur(weight, (0, 0), LIGHT), 1e-3)
    mean = float((gray * weight).sum() / max(float(weight.sum()), 1e-6))
    return np.clip((broad + 8) / (mean + 8), 0.25, 2.0) ** share
