"""Frames as single pictures: PNG with 8 or 16 bits, and OpenEXR in linear light."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from engine.errors import MediaError
from engine.media.images import PNG_LEVEL
from engine.media.target import sync
from engine.types import ColourTags

SRGB, GAMMA_22, GAMMA_28 = 13, 4, 5
EXR_OPTIONS = {"format": "half", "compression": "zip16"}


def write_still(folder: Path, frame: int, picture: np.ndarray, codec: str, tags: ColourTags) -> None:
    """Writes one frame, named by its number: (H, W), (H, W, 3) or (H, W, 4), uint8 or uint16, as "png" or "exr"."""
    suffix, content = ("exr", _exr(picture, tags)) if codec == "exr" else ("png", _png(picture))
    path = folder / f"{frame:05d}.{suffix}"
    path.write_bytes(content)
    sync(path)


def _png(picture: np.ndarray) -> bytes:
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, order[picture.shape[2]])
    done, blob = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    if not done:
        raise MediaError(f"A picture of shape {picture.shape} could not be stored as PNG; report this clip.")
    return blob.tobytes()


def _exr(picture: np.ndarray, tags: ColourTags) -> bytes:
    """Half floats, 1 = white; colours are multiplied by their opacity, as the format wants it."""
    light = _light_table(tags.transfer, picture.dtype.name)[picture[..., :3]]
    kind = "gbrpf32le"
    if picture.shape[2] == 4:
        alpha = picture[..., 3:].astype(np.float32) / np.iinfo(picture.dtype).max
        light, kind = np.concatenate([light * alpha, alpha], axis=2), "gbrapf32le"
    context = cast(VideoCodecContext, av.CodecContext.create("exr", "w"))
    context.width, context.height, context.pix_fmt = picture.shape[1], picture.shape[0], kind
    context.time_base, context.options = Fraction(1), EXR_OPTIONS
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(light), format=kind)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


@cache
def _light_table(transfer: int, kind: str) -> np.ndarray:
    """(256 or 65536,) float32: signal → linear light, by the transfer that the clip is tagged with, else that of BT.709."""
    signal = np.linspace(0, 1, np.iinfo(kind).max + 1)
    if transfer in (GAMMA_22, GAMMA_28):
        light = signal ** (2.2 if transfer == GAMMA_22 else 2.8)
    elif transfer == SRGB:
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    else:
        light = np.where(signal < 0.081, signal / 4.5, ((signal + 0.099) / 1.099) ** (1 / 0.45))
    return light.astype(np.float32)
