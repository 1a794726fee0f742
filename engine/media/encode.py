"""Encoding pictures into one track of a container: H.264, ProRes 4444, FFV1."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import cv2
import numpy as np
from av.codec.context import ThreadType
from av.container import OutputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from engine.media.colour import tags_in_force, yuv_from_rgb
from engine.media.formats import ExportSettings
from engine.types import Video

CRF = 18
PRESET = "fast"
PRORES_4444 = "4"
PRORES_BITS = 10
# our choice: equal frames give equal files. x264's macroblock tree gave other bytes from run to run (seen at 854×480:
# its vector code reads past a row), and its result depends on the number of threads. Costs about a tenth in size.
SAME_BYTES = "mbtree=0"
THREADS = 4
RGB = 0  # matrix of H.273
LOSSLESS = {(3, 8): "bgr0", (4, 8): "bgra", (3, 16): "rgb48le", (4, 16): "rgba64le", (1, 8): "gray"}
"""Pixel formats of FFV1 by channels and bits."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoder of FFmpeg, the pixels it gets and its options."""

    encoder: str
    pixels: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def rgb(self) -> bool:
        return self.encoder == "ffv1"


def encoding_for(settings: ExportSettings, suffix: str, picture: np.ndarray) -> Encoding:
    """How pictures like this one are encoded into a file with that suffix."""
    channels = 1 if picture.ndim == 2 else picture.shape[2]
    codec = settings.codec.partition("-")[0]
    if codec == "matte":
        codec = {".mp4": "h264", ".mov": "prores", ".mkv": "ffv1"}[suffix]
    if codec == "h264":
        crf = CRF if settings.quality is None else settings.quality
        return Encoding("libx264", "yuv420p", {"preset": PRESET, "crf": str(crf), "x264-params": SAME_BYTES})
    if codec == "prores":
        pixels = "yuva444p10le" if channels == 4 else "yuv444p10le"
        return Encoding("prores_ks", pixels, {"profile": PRORES_4444, "vendor": "apl0"})
    pixels = LOSSLESS[channels, 8 * picture.dtype.itemsize]
    return Encoding("ffv1", pixels, {"level": "3", "g": "1", "slicecrc": "1"})


class PictureTrack:
    """One picture track. `write` in display order, then `finish`. `warnings` says what had to be changed."""

    def __init__(self, container: OutputContainer, video: Video, encoding: Encoding) -> None:
        self.warnings: list[str] = []
        self._container, self._video, self._encoding = container, video, encoding
        self._tags = tags_in_force(video.colour, video.size)
        full = encoding.rgb or self._tags.full_range
        self._range = ColorRange.JPEG if full else ColorRange.MPEG
        self._matrix = RGB if encoding.rgb else self._tags.matrix
        self._pad = (video.size[0] % 2, video.size[1] % 2) if encoding.pixels == "yuv420p" else (0, 0)
        if any(self._pad):
            self.warnings.append("H.264 needs even sizes; the last row or column is repeated once.")
        self._stream = self._add()

    def write(self, picture: np.ndarray, pts: int) -> None:
        """Encodes one picture, (H, W) or (H, W, 3 or 4) of uint8 or uint16, shown at `pts` in the clip's time base."""
        if picture.ndim == 2 and not self._encoding.rgb:
            picture = np.repeat(picture[..., None], 3, axis=2)
        if any(self._pad):
            picture = np.pad(picture, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        frame = self._frame(np.ascontiguousarray(picture))
        frame.pts = pts
        frame.time_base = self._video.time_base
        frame.colorspace, frame.color_range = self._matrix, self._range
        frame.color_primaries, frame.color_trc = self._tags.primaries, self._tags.transfer
        self._container.mux(self._stream.encode(frame))

    def _frame(self, picture: np.ndarray) -> VideoFrame:
        if self._encoding.pixels == "yuv420p":
            return self._halved(picture)
        if self._encoding.encoder == "prores_ks":
            return self._ten_bits(picture)
        given = {"bgr0": "rgb24", "bgra": "rgba"}.get(self._encoding.pixels, self._encoding.pixels)
        frame = VideoFrame.from_ndarray(picture, format=given)
        return frame if given == self._encoding.pixels else frame.reformat(format=self._encoding.pixels)

    def _halved(self, picture: np.ndarray) -> VideoFrame:
        """4:2:0 with exact rounding; a chroma value is the mean of its four pixels."""
        height, width = picture.shape[:2]
        yuv = cv2.transform(picture, yuv_from_rgb(self._tags.matrix, self._tags.full_range))
        half = cv2.resize(yuv, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        planes = np.empty((height * 3 // 2, width), np.uint8)
        planes[:height] = yuv[..., 0]
        planes[height:].reshape(2, height // 2, width // 2)[:] = half[..., 1:].transpose(2, 0, 1)
        return VideoFrame.from_ndarray(planes, format="yuv420p")

    def _ten_bits(self, picture: np.ndarray) -> VideoFrame:
        """4:4:4 with 10 bits, and alpha where the picture has it."""
        height, width = picture.shape[:2]
        white = np.iinfo(picture.dtype).max
        deep = picture.astype(np.uint16, copy=False)
        yuv = cv2.transform(deep[..., :3], yuv_from_rgb(self._tags.matrix, self._tags.full_range, PRORES_BITS, white))
        planes = list(cv2.split(yuv))
        if self._encoding.pixels.startswith("yuva"):
            planes.append(np.rint(deep[..., 3] * ((2**PRORES_BITS - 1) / white)).astype(np.uint16))
        frame = VideoFrame(width, height, self._encoding.pixels)
        for plane, values in zip(frame.planes, planes, strict=True):
            rows = np.zeros((height, plane.line_size // 2), np.uint16)
            rows[:, :width] = values
            plane.update(rows.tobytes())
        return frame

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        self._container.mux(self._stream.encode(None))

    def _add(self) -> VideoStream:
        height, width = (side + pad for side, pad in zip(self._video.size, self._pad, strict=True))
        added = self._container.add_stream(
            self._encoding.encoder,
            rate=self._video.rate,
            options=self._encoding.options,
            width=width,
            height=height,
            time_base=self._video.time_base,
        )
        stream = cast(VideoStream, added)
        stream.pix_fmt = self._encoding.pixels
        stream.disposition = Disposition.default
        context = stream.codec_context
        context.time_base = self._video.time_base
        context.thread_type, context.thread_count = ThreadType.AUTO, THREADS
        context.color_range = self._range
        context.colorspace = self._matrix
        context.color_primaries = self._tags.primaries
        context.color_trc = self._tags.transfer
        return stream
