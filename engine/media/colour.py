"""Which YUV↔RGB matrix a clip uses: one rule for reader and writer, so that a frame survives the round trip.

Numbers are those of ITU-T H.273 (the ones FFmpeg stores): matrix 1 = BT.709, 5 and 6 = BT.601, 9 = BT.2020.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from engine.types import ColourTags

UNSPECIFIED = 2
BT709 = 1
BT601 = 6
BT2020 = 9
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
SWSCALE = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}

LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Weights of red and blue in luma; green has the rest."""


STANDARD = ColourTags(matrix=BT709, primaries=1, transfer=1)
"""What tone-mapped pictures are."""


def tags_of(stream: VideoStream) -> ColourTags:
    """The colour description written in the stream; 2 where it says nothing. RGB has no range and no matrix of its own."""
    codec = stream.codec_context
    if codec.format is not None and codec.format.is_rgb:
        return ColourTags(primaries=int(codec.color_primaries), transfer=int(codec.color_trc))
    full = int(codec.color_range or 0) == ColorRange.JPEG or (codec.pix_fmt or "").startswith("yuvj")
    return ColourTags(
        matrix=int(codec.colorspace), primaries=int(codec.color_primaries), transfer=int(codec.color_trc), full_range=full
    )


def matrix_in_force(tags: ColourTags, size: tuple[int, int]) -> int:
    """The matrix that is really used: the tagged one, else BT.709 from 720 lines on and BT.601 below, as players do.

    `size` is the upright (height, width) in pixels.
    """
    if tags.matrix in SWSCALE:
        return tags.matrix
    return BT709 if size[0] >= 720 else BT601


def tags_in_force(tags: ColourTags, size: tuple[int, int]) -> ColourTags:
    """The tags to write: copied; what the source leaves open is what players take it for, and nothing stays open.

    Primaries and transfer follow from the matrix: BT.709; for BT.601 those of 625 or 525 lines; for BT.2020 its own.
    """
    matrix = matrix_in_force(tags, size)
    usual = {BT709: (1, 1), BT2020: (9, 14)}.get(matrix, (5 if size[0] == 576 else 6, 6))
    primaries, transfer = (
        said if said not in (UNSPECIFIED, 0) else other
        for said, other in zip((tags.primaries, tags.transfer), usual, strict=True)
    )
    return replace(tags, matrix=matrix, primaries=primaries, transfer=transfer)


def swscale_matrix(matrix: int) -> Colorspace:
    """The swscale name of an H.273 matrix that `matrix_in_force` gave."""
    return SWSCALE[matrix]


def yuv_from_rgb(matrix: int, full_range: bool, bits: int = 8, white: int = 255) -> np.ndarray:
    """(3, 4) float64: RGB of which `white` is the largest value (and 1) → Y′CbCr code values of `bits` bits.

    H.273 equations 38–40 with its quantization; a full-range chroma centre of 8 bits is 128.
    """
    red, blue = LUMA_WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    cb = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    cr = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    step = 2 ** (bits - 8)
    scale = np.array([2**bits - 1] * 3 if full_range else [219 * step, 224 * step, 224 * step]) / white
    offset = np.array([0 if full_range else 16 * step, 128 * step, 128 * step])
    return np.column_stack([np.stack([luma, cb, cr]) * scale[:, None], offset])


def rgb_from_yuv(matrix: int, full_range: bool, bits: int = 8, white: int = 255) -> np.ndarray:
    """(3, 4) float64: the inverse of `yuv_from_rgb`."""
    forward = yuv_from_rgb(matrix, full_range, bits, white)
    inverse = np.linalg.inv(forward[:, :3])
    return np.column_stack([inverse, -inverse @ forward[:, 3]])
