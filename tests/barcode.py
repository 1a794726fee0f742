"""Long or large drawn clips, drawn fast: for browser tests and benches.

The barcode is the one of `tests/media_fixtures.py`. Frames are put together in YUV by copying from textures drawn once,
so that a frame of 1920×1080 costs about a millisecond and the encoder sets the pace.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from tests.drawn import texture
from tests.media_fixtures import draw_frame

# Long groups with B-frames and arithmetic coding, as phones write: a seek has to decode its way. Else as fast as it goes.
LONG_GOP = {"preset": "ultrafast", "crf": "23", "g": "60", "bf": "2", "coder": "1"}
LENS = 1.0  # px of blur: drawn detail then costs as many bytes in a JPEG as filmed detail does
WANDER = 64  # px that the camera may move each way
Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


def cell_of(height: int) -> int:
    """Side of a barcode cell in px for clips of this height; also for the picture of the clip scaled to this height."""
    return 2 * round(height / 90)


class Scene:
    """A textured disc (the subject) crosses a textured ground under a wandering camera; the barcode lies on top.

    All motion is smooth, up to 4 px a frame, in steps of 2 px: chroma planes are copied too.
    """

    def __init__(self, size: tuple[int, int], seed: int = 0) -> None:
        """`size` (height, width), both even."""
        self.size = size
        height, width = size
        self.radius = 2 * (height // 9)
        ground = texture((height + 2 * WANDER, width + 2 * WANDER), seed)
        self._ground = _planes(cv2.GaussianBlur(ground, (0, 0), LENS))
        skin = texture((2 * self.radius, 2 * self.radius), seed + 1, base=(170, 110, 80))
        self._skin = _planes(skin)
        y, x = np.mgrid[: 2 * self.radius, : 2 * self.radius] - (self.radius - 0.5)
        self._inside = np.hypot(x, y) < self.radius
        self._cell = cell_of(height)

    def corner(self, number: int) -> tuple[int, int]:
        """(x, y) of the subject's bounding box; its side is `2 * radius`."""
        height, width = self.size
        x = width * (0.5 + 0.28 * np.sin(number / 97)) - self.radius
        y = height * (0.55 + 0.15 * np.sin(number / 61)) - self.radius
        return 2 * round(x / 2), 2 * round(y / 2)

    def mask(self, number: int) -> np.ndarray:
        """(H, W) uint8: 255 on the subject."""
        mask = np.zeros(self.size, np.uint8)
        x, y = self.corner(number)
        mask[y : y + 2 * self.radius, x : x + 2 * self.radius] = np.where(self._inside, 255, 0)
        return mask

    def frame(self, number: int) -> np.ndarray:
        """(H * 3 / 2, W) uint8: the picture as planes of yuv420p, one below the other."""
        height, width = self.size
        left = 2 * round(WANDER * (1 + np.sin(number / 43)) / 2)
        top = 2 * round(WANDER * (1 + np.sin(number / 71)) / 2)
        whole = np.empty((height * 3 // 2, width), np.uint8)
        for at, plane in enumerate(_split(whole, height)):
            step = 2 if at else 1
            x, y = left // step, top // step
            plane[:] = self._ground[at][y : y + height // step, x : x + width // step]
            x, y = (side // step for side in self.corner(number))
            side = 2 * self.radius // step
            np.copyto(plane[y : y + side, x : x + side], self._skin[at], where=self._inside[::step, ::step])
        self._stamp(whole, number)
        return whole

    def _stamp(self, whole: np.ndarray, number: int) -> None:
        height, cell = self.size[0], self._cell
        bars = draw_frame(number, 18 * cell, 3 * cell, cell)[..., 0]
        luma, *chroma = _split(whole, height)
        luma[: 3 * cell, : 18 * cell] = 16 + bars // 255 * 219
        for plane in chroma:
            plane[: 3 * cell // 2, : 9 * cell] = 128


def _planes(picture: np.ndarray) -> Planes:
    """Planes of an RGB picture as contiguous arrays."""
    return _split(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), picture.shape[0])


def _split(whole: np.ndarray, height: int) -> Planes:
    """Views of the planes in a yuv420p array (height * 3 / 2, width)."""
    half, width = height // 2, whole.shape[1]
    blue, red = whole[height:].reshape(2, half, width // 2)
    return whole[:height], blue, red


def write_scene(path: Path, scene: Scene, frames: int, rate: int = 30, options: dict[str, str] | None = None) -> Path:
    """Writes frames 0 … `frames` − 1 of the scene as H.264 without sound."""
    with av.open("file:" + str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate, options=LONG_GOP if options is None else options)
        stream.height, stream.width = scene.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        for packet in _encoded(stream, scene, frames, rate):
            container.mux(packet)
    return path


def _encoded(stream: Any, scene: Scene, frames: int, rate: int) -> Iterator[Any]:
    for number in range(frames):
        frame = av.VideoFrame.from_ndarray(scene.frame(number), format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)
