"""Decoded frame → upright RGB with square pixels, as the page shows it and the engine edits it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, cast

import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from engine.media.colour import HDR_TRANSFERS, rgb_from_yuv, swscale_matrix
from engine.media.tone import to_standard_range

PLANAR_420 = ("yuv420p", "yuvj420p")
EXACT = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
PLANE_BITS = (8, 9, 10, 12, 14, 16)
RGB_FROM_GBR = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
DEEP = 257
"""16-bit levels in one 8-bit level: 65535 = 255 · 257."""


class Orientation(NamedTuple):
    """How the stored picture becomes upright: transpose first, then flip rows (up–down) and columns (left–right)."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """(H, W) or (H, W, C) stored → upright, contiguous."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        if self.flip_rows:
            picture = picture[::-1]
        if self.flip_columns:
            picture = picture[:, ::-1]
        return np.ascontiguousarray(picture)


UPRIGHT = Orientation()


def orientation_of(frame: VideoFrame) -> Orientation:
    """Reads the display matrix, mirrors included: x' = a·x + c·y, y' = b·x + d·y."""
    # The type stubs take this container for a plain dictionary.
    parts = cast(SideDataContainer, frame.side_data)
    matrix = next((part for part in parts if part.type == SideDataType.DISPLAYMATRIX), None)
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d = struct.unpack("=9i", bytes(matrix)[:36])[:5]
    if abs(b) > abs(a):
        return Orientation(transpose=True, flip_rows=b < 0, flip_columns=c < 0)
    return Orientation(transpose=False, flip_rows=d < 0, flip_columns=a < 0)


@dataclass(frozen=True, slots=True)
class Form:
    """How the pictures of a clip are stored, and so how they become the ones that are shown.

    `stored` is (height, width) before anything; `aspect` the width of a pixel over its height; `matrix`, `transfer` numbers
    of H.273; `bits` per colour.
    """

    stored: tuple[int, int]
    orientation: Orientation = UPRIGHT
    aspect: Fraction = Fraction(1)
    matrix: int = 1
    transfer: int = 2
    full_range: bool = False
    bits: int = 8
    alpha: bool = False

    @property
    def hdr(self) -> bool:
        return self.transfer in HDR_TRANSFERS

    @property
    def deep(self) -> bool:
        """Whether frames have more than 8 bits to give."""
        return self.bits > 8

    @property
    def square(self) -> tuple[int, int]:
        """(height, width) with square pixels, not yet turned: the side that has too few pixels grows, none is lost."""
        height, width = self.stored
        return (height, round(width * self.aspect)) if self.aspect >= 1 else (round(height / self.aspect), width)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) upright with square pixels."""
        return self.square[::-1] if self.orientation.transpose else self.square


class Converter:
    """Decoded frame → picture of one size.

    4:2:0 with 8 bits, which nearly every clip is, is converted here: swscale's quick way darkens by a level or more,
    its exact way takes twice as long. Other clips of 8 bits go through swscale's exact way. Deeper ones are converted here
    to 16 bits (swscale's white would be 65280) and rounded for the page; HDR is tone-mapped between.
    """

    def __init__(self, form: Form) -> None:
        self.form = form
        self._matrix = swscale_matrix(form.matrix)
        self._to_rgb = rgb_from_yuv(form.matrix, form.full_range)
        self._scaler = VideoReformatter()
        # Kept between frames: fresh memory for every frame costs more than the arithmetic.
        height, width = form.stored
        self._chroma = [np.empty((height + height % 2, width + width % 2), np.uint8) for _ in range(2)]
        self._merged = np.empty((height, width, 3), np.uint8)

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB, contiguous, owning its memory."""
        if self.form.deep or self.form.hdr:
            return narrow(self.deep(frame))
        if frame.format.name in PLANAR_420 and (frame.height, frame.width) == self.form.stored:
            return self._shaped(self._from_planes(frame))
        return self._shaped(np.array(self._scaled(frame, "rgb24")))

    def deep(self, frame: VideoFrame) -> np.ndarray:
        """(H, W, 3) uint16 RGB, 65535 = white. `rgb` is this, rounded."""
        if not (self.form.deep or self.form.hdr):
            return widen(self.rgb(frame))
        picture = self._deep_from_planes(frame)
        if self.form.hdr:
            picture = to_standard_range(picture, self.form.transfer)
        return self._shaped(picture)

    def alpha(self, frame: VideoFrame) -> np.ndarray:
        """(H, W) uint16 opacity, 65535 = opaque."""
        bits = self._plane_bits
        name = f"yuva444p{bits}le" if bits > 8 else "yuva444p"
        alpha = np.array(self._planes(frame, name if not frame.format.is_rgb else name.replace("yuva444p", "gbrap"))[3])
        return self._shaped(np.rint(alpha * (65535 / (2**bits - 1))).astype(np.uint16))

    def _scaled(self, frame: VideoFrame, to: str) -> np.ndarray:
        height, width = self.form.stored
        picture = self._scaler.reformat(frame, width, height, to, src_colorspace=self._matrix, interpolation=EXACT)
        return picture.to_ndarray()

    @property
    def _plane_bits(self) -> int:
        """Bits per value in the planes that a picture is taken apart into: as many as it has, where FFmpeg has such planes."""
        return next((bits for bits in PLANE_BITS if bits >= self.form.bits), PLANE_BITS[-1])

    def _planes(self, frame: VideoFrame, name: str) -> list[np.ndarray]:
        """The planes, each (h, w), of a frame in the planar format `name` with as many columns and rows in every plane."""
        height, width = self.form.stored
        if frame.format.name != name or (frame.height, frame.width) != self.form.stored:
            frame = self._scaler.reformat(frame, width, height, name, interpolation=EXACT)
        kind = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
        return [
            np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size).view(kind)[:, :width]
            for plane in frame.planes
        ]

    def _deep_from_planes(self, frame: VideoFrame) -> np.ndarray:
        """(h, w, 3) uint16 RGB of the stored size."""
        bits, rgb = self._plane_bits, frame.format.is_rgb
        base = "gbrp" if rgb else "yuv444p"
        planes = self._planes(frame, f"{base}{bits}le" if bits > 8 else base)
        merged = cv2.merge([plane.astype(np.uint16, copy=False) for plane in planes[:3]])
        if rgb:
            return cv2.transform(merged, RGB_FROM_GBR * (65535 / (2**bits - 1)))
        return cv2.transform(merged, rgb_from_yuv(self.form.matrix, self.form.full_range, bits, 65535))

    def _shaped(self, picture: np.ndarray) -> np.ndarray:
        """Square pixels, upright."""
        if picture.shape[:2] != self.form.square:
            picture = cv2.resize(picture, self.form.square[::-1], interpolation=cv2.INTER_CUBIC)
        return self.form.orientation.apply(picture)

    def _from_planes(self, frame: VideoFrame) -> np.ndarray:
        height, width = self.form.stored
        luma, *chroma = (
            np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:, : plane.width] for plane in frame.planes
        )
        double = (2 * chroma[0].shape[1], 2 * chroma[0].shape[0])
        large = [
            cv2.resize(plane, double, spare, interpolation=cv2.INTER_LINEAR)
            for plane, spare in zip(chroma, self._chroma, strict=True)
        ]
        merged = cv2.merge([luma[:height], *(plane[:height, :width] for plane in large)], self._merged)
        return cv2.transform(merged, self._to_rgb)


def narrow(picture: np.ndarray) -> np.ndarray:
    """uint16 (65535 = white) → uint8 (255 = white), rounded."""
    return cv2.convertScaleAbs(picture, alpha=1 / DEEP)


def widen(picture: np.ndarray) -> np.ndarray:
    """uint8 → uint16 of the same colours; `narrow` gives back the same."""
    return picture.astype(np.uint16) * DEEP
