"""Small clips whose truth is known: a textured subject that moves, turns and grows over a moving textured background.

The edit recolours the subject and paints diagonal stripes attached to it, so its true picture is known in every frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class Drawn:
    """source, edited (T, H, W, 3) uint8; masks (T, H, W) uint8 0 or 255.

    to_subject (T, 2, 3): pixels to the subject's own plane.
    """

    source: np.ndarray
    edited: np.ndarray
    masks: np.ndarray
    to_subject: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.masks.shape[1], self.masks.shape[2]


class DrawnPictures:
    """The in-memory twin of a frame pack."""

    def __init__(self, source: np.ndarray) -> None:
        self._source = source
        self.frames = len(source)
        self.size = source.shape[1:3]
        self.cuts: list[int] = []

    def gray(self, frame: int, size: tuple[int, int] | None = None) -> np.ndarray:
        gray = cv2.cvtColor(self._source[frame], cv2.COLOR_RGB2GRAY)
        if size is None or size == gray.shape:
            return gray
        return cv2.resize(gray, (size[1], size[0]), interpolation=cv2.INTER_AREA)

    def rgb(self, frame: int) -> np.ndarray:
        return self._source[frame]


def texture(size: tuple[int, int], seed: int, base: tuple[float, float, float] = (120, 120, 120)) -> np.ndarray:
    """(H, W, 3) uint8: noise of all scales, coarse strongest, like a photograph's spectrum, with a few discs for edges."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((*size, 3), np.float32)
    for octave in range(2, 8):
        cells = (max(2, size[0] >> (8 - octave)), max(2, size[1] >> (8 - octave)))
        noise = rng.normal(0, 1, (*cells, 3)).astype(np.float32)
        noise[..., 1:] = 0.6 * noise[..., :1] + 0.4 * noise[..., 1:]
        picture += cv2.resize(noise, (size[1], size[0]), interpolation=cv2.INTER_CUBIC) * (34 / (octave - 1))
    picture += np.array(base, np.float32)
    for _ in range(24):
        centre = tuple(int(v) for v in rng.integers(0, (size[1], size[0])))
        colour = tuple(float(v) for v in rng.integers(30, 226, 3))
        cv2.circle(picture, centre, int(rng.integers(3, 4 + size[0] // 16)), colour, -1, cv2.LINE_AA)
    return np.clip(picture, 0, 255).astype(np.uint8)


def subject_motion(frames: int, size: tuple[int, int], turn: float, growth: float) -> np.ndarray:
    """(T, 2, 3) affine maps from pixels to the subject's plane (unit = pixels at frame 0, origin = its centre)."""
    height, width = size
    maps = np.empty((frames, 2, 3))
    for frame in range(frames):
        t = frame / max(1, frames - 1)
        angle, scale = turn * t, 1 + growth * np.sin(np.pi * t)
        centre = np.array([width * (0.32 + 0.36 * t), height * (0.5 + 0.12 * np.sin(2 * np.pi * t))])
        linear = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / scale
        maps[frame] = np.column_stack([linear, -linear @ centre])
    return maps


def _plane(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    xs, ys = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    return np.stack([maps[0, 0] * xs + maps[0, 1] * ys + maps[0, 2], maps[1, 0] * xs + maps[1, 1] * ys + maps[1, 2]], -1)


def drawn_clip(
    frames: int = 12,
    size: tuple[int, int] = (120, 200),
    seed: int = 0,
    *,
    turn: float = 0.6,
    growth: float = 0.2,
    light: float = 0.0,
) -> Drawn:
    """`turn` radians and `growth` (share of the size) over the clip; `light` = amplitude of a global change of light."""
    height, width = size
    pan = max(8, width // 8)
    backdrop = texture((height + 16, width + 2 * pan), seed + 1)
    skin = texture((2 * height, 2 * height), seed + 2, base=(150, 110, 90))
    maps = subject_motion(frames, size, turn, growth)
    radius = 0.26 * height
    source, edited, masks = [], [], []
    for frame in range(frames):
        plane = _plane(maps[frame], size)
        angle = np.arctan2(plane[..., 1], plane[..., 0])
        distance = np.hypot(plane[..., 0], plane[..., 1]) - radius * (1 + 0.18 * np.cos(3 * angle) + 0.08 * np.sin(5 * angle))
        cover = np.clip(0.5 - distance, 0, 1)[..., None]
        at = (plane + height).astype(np.float32)
        body = cv2.remap(skin, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT).astype(np.float64)
        stripes = 0.5 + 0.5 * np.clip(2.5 * np.sin((plane[..., 0] + plane[..., 1]) * (2 * np.pi / (12 * np.sqrt(2)))), -1, 1)
        shade = body.mean(-1, keepdims=True)
        painted = np.clip(shade * np.array([0.5, 0.8, 1.5]) * (0.55 + 0.45 * stripes[..., None]), 0, 255)
        offset = pan * frame / max(1, frames - 1)
        shift = np.array([[1, 0, offset], [0, 1, 4 + 3 * np.sin(frame / 9)]], np.float32)
        under = cv2.warpAffine(backdrop, shift, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP).astype(np.float64)
        gain = 1 + light * np.sin(2 * np.pi * frame / 24)
        source.append(np.clip((under + cover * (body - under)) * gain, 0, 255).round().astype(np.uint8))
        edited.append(np.clip((under + cover * (painted - under)) * gain, 0, 255).round().astype(np.uint8))
        masks.append(np.where(distance <= 0, 255, 0).astype(np.uint8))
    return Drawn(np.stack(source), np.stack(edited), np.stack(masks), maps)


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two alphas at the middle."""
    inside, other = a >= 128, b >= 128
    union = np.count_nonzero(inside | other)
    return 1.0 if union == 0 else np.count_nonzero(inside & other) / union


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """dB over the pixels inside the mask."""
    error = np.square(a.astype(np.float64) - b.astype(np.float64)).mean(-1)[mask >= 128].mean()
    return 10 * np.log10(255**2 / max(error, 1e-9))
