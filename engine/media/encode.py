"""Encoding pictures into one track of a container: RGB in, H.264 or ProRes out."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
from av.codec.context import ThreadType
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from engine.media.colour import swscale_matrix, tags_in_force, yuv_from_rgb
from engine.media.convert import EXACT
from engine.types import Video

CRF = 18
PRESET = "fast"
PRORES_4444 = "4"
# our choice: equal frames give equal files. x264's macroblock tree gave other bytes from run to run (seen at 854×480:
# its vector code reads past a row), and its result depends on the number of threads. Costs about a tenth in size.
SAME_BYTES = "mbtree=0"
THREADS = 4
PIXELS = {"h264": "yuv420p", "prores": "yuv444p10le"}


class PictureTrack:
    """One picture track. `write` in display order, then `finish`. `warnings` says what had to be changed."""

    def __init__(self, container: OutputContainer, video: Video, codec: str, quality: int | None) -> None:
        self.warnings: list[str] = []
        self._container = container
        self._video = video
        self._tags = tags_in_force(video.colour, video.size)
        self._range = ColorRange.JPEG if self._tags.full_range else ColorRange.MPEG
        self._pixels = PIXELS[codec]
        self._pad = (video.size[0] % 2, video.size[1] % 2) if codec == "h264" else (0, 0)
        if any(self._pad):
            self.warnings.append("H.264 needs even sizes; the last row or column is repeated once.")
        self._to_yuv = yuv_from_rgb(self._tags.matrix, self._tags.full_range)
        self._scaler = VideoReformatter()
        self._stream = self._add(codec, quality)

    def write(self, picture: np.ndarray, pts: int) -> None:
        """Encodes one (H, W, 3) uint8 RGB picture, shown at `pts` in the clip's time base."""
        if any(self._pad):
            picture = np.pad(picture, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        frame = self._planes(picture) if self._pixels == "yuv420p" else self._scaled(picture)
        frame.pts = pts
        frame.time_base = self._video.time_base
        frame.colorspace, frame.color_range = self._tags.matrix, self._range
        frame.color_primaries, frame.color_trc = self._tags.primaries, self._tags.transfer
        self._container.mux(self._stream.encode(frame))

    def _planes(self, picture: np.ndarray) -> VideoFrame:
        """4:2:0 with exact rounding; a chroma value is the mean of its four pixels."""
        height, width = picture.shape[:2]
        yuv = cv2.transform(picture, self._to_yuv)
        half = cv2.resize(yuv, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        planes = np.empty((height * 3 // 2, width), np.uint8)
        planes[:height] = yuv[..., 0]
        planes[height:].reshape(2, height // 2, width // 2)[:] = half[..., 1:].transpose(2, 0, 1)
        return VideoFrame.from_ndarray(planes, format="yuv420p")

    def _scaled(self, picture: np.ndarray) -> VideoFrame:
        rgb = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        matrix = swscale_matrix(self._tags.matrix)
        return self._scaler.reformat(
            rgb, format=self._pixels, dst_colorspace=matrix, dst_color_range=self._range, interpolation=EXACT
        )

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        self._container.mux(self._stream.encode(None))

    def _add(self, codec: str, quality: int | None) -> VideoStream:
        height, width = (side + pad for side, pad in zip(self._video.size, self._pad, strict=True))
        options: dict[str, Any] = {"preset": PRESET, "crf": str(CRF if quality is None else quality), "x264-params": SAME_BYTES}
        if codec == "prores":
            options = {"profile": PRORES_4444, "vendor": "apl0"}
        name = "libx264" if codec == "h264" else "prores_ks"
        added = self._container.add_stream(
            name, rate=self._video.rate, options=options, width=width, height=height, time_base=self._video.time_base
        )
        stream = cast(VideoStream, added)
        stream.pix_fmt = self._pixels
        context = stream.codec_context
        context.time_base = self._video.time_base
        context.thread_type, context.thread_count = ThreadType.AUTO, THREADS
        context.color_range = self._range
        context.colorspace = self._tags.matrix
        context.color_primaries = self._tags.primaries
        context.color_trc = self._tags.transfer
        return stream
