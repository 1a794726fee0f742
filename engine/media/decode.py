"""Decoding one picture track in order, from the start or from a keyframe, to upright RGB."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple, cast

import av
import cv2
import numpy as np
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from engine.errors import MediaError
from engine.media.colour import rgb_from_yuv, swscale_matrix
from engine.media.probe import open_container, picture_stream

SEEK_BACK_SECONDS = (0, 1, 4, 16)
PLANAR_420 = ("yuv420p", "yuvj420p")
EXACT = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND


class Key(NamedTuple):
    """A packet that decoding can start from; times in units of the stream's time base."""

    pts: int
    dts: int | None


class Decoder:
    """One container opened for decoding one picture track. Damaged packets are skipped.

    `errors` counts what could not be decoded so far.

    Raises:
        MediaError: as `probe.open_container` and `probe.picture_stream`.
    """

    def __init__(self, path: Path) -> None:
        self.container = open_container(path)
        self.errors = 0
        try:
            self.stream = picture_stream(self.container, path.name)
        except MediaError:
            self.container.close()
            raise

    def packets(self) -> Iterator[Packet]:
        """The packets from the current position on. A file that ends too early just ends; `errors` says so."""
        try:
            yield from self.container.demux(self.stream)
        except (av.error.FFmpegError, ValueError):
            self.errors += 1

    def from_start(self) -> Iterator[VideoFrame]:
        """All frames in display order. Only for a decoder that was not used yet: no container rewinds exactly."""
        return self._decode(self.packets())

    def from_key(self, key: Key, hurry_to: int | None = None) -> Iterator[VideoFrame] | None:
        """The frames that decoding gives from `key` on, or None when seeking cannot find it.

        The decoder is fed from the keyframe itself, never from wherever the container happened to land. Before the
        time `hurry_to` frames that no other frame needs are left out.
        """
        for seconds in SEEK_BACK_SECONDS:
            found = self._find(key, seconds, hurry_to)
            if found is not None:
                return found
        return None

    def _find(self, key: Key, seconds: int, hurry_to: int | None) -> Iterator[VideoFrame] | None:
        time = min(key.pts, key.pts if key.dts is None else key.dts)
        back = int(seconds / self.stream.time_base) if self.stream.time_base else 0
        try:
            self.container.seek(time - back, stream=self.stream)
        except av.error.FFmpegError:
            return None
        packets = self.packets()
        for packet in packets:
            if packet.pts == key.pts and packet.is_keyframe:
                return self._decode(chain([packet], packets), hurry_to)
            if packet.is_keyframe and packet.pts is not None and packet.pts > key.pts:
                return None
        return None

    def _decode(self, packets: Iterator[Packet], hurry_to: int | None = None) -> Iterator[VideoFrame]:
        for packet in packets:
            spare = hurry_to is not None and packet.pts is not None and packet.pts < hurry_to
            self.stream.codec_context.skip_frame = "NONREF" if spare else "DEFAULT"
            yield from self._frames_of(packet)

    def _frames_of(self, packet: Packet) -> list[VideoFrame]:
        try:
            return [frame for frame in packet.decode() if isinstance(frame, VideoFrame)]
        except (av.error.FFmpegError, ValueError):
            self.errors += 1
            return []

    def close(self) -> None:
        self.container.close()


class Orientation(NamedTuple):
    """How the stored picture becomes upright: transpose first, then flip rows (up–down) and columns (left–right)."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) stored → (H', W', 3) upright, contiguous."""
        if self.transpose:
            picture = picture.transpose(1, 0, 2)
        if self.flip_rows:
            picture = picture[::-1]
        if self.flip_columns:
            picture = picture[:, ::-1]
        return np.ascontiguousarray(picture)


def orientation_of(frame: VideoFrame) -> Orientation:
    """Reads the display matrix, mirrors included: x' = a·x + c·y, y' = b·x + d·y."""
    # The type stubs take this container for a plain dictionary.
    parts = cast(SideDataContainer, frame.side_data)
    matrix = next((part for part in parts if part.type == SideDataType.DISPLAYMATRIX), None)
    if matrix is None:
        return Orientation()
    a, b, _, c, d = struct.unpack("=9i", bytes(matrix)[:36])[:5]
    if abs(b) > abs(a):
        return Orientation(transpose=True, flip_rows=b < 0, flip_columns=c < 0)
    return Orientation(transpose=False, flip_rows=d < 0, flip_columns=a < 0)


class Converter:
    """Decoded frame → upright RGB of one size. `stored` is the (height, width) before turning.

    4:2:0 with 8 bits, which nearly every clip is, is converted here: swscale's quick way darkens by a level or more,
    its exact way takes twice as long. Everything else goes through swscale's exact way.
    """

    def __init__(self, stored: tuple[int, int], orientation: Orientation, matrix: int, full_range: bool) -> None:
        self.stored = stored
        self.orientation = orientation
        self._matrix = swscale_matrix(matrix)
        self._to_rgb = rgb_from_yuv(matrix, full_range)
        self._scaler = VideoReformatter()
        # Kept between frames: fresh memory for every frame costs more than the arithmetic.
        height, width = stored
        self._chroma = [np.empty((height + height % 2, width + width % 2), np.uint8) for _ in range(2)]
        self._merged = np.empty((height, width, 3), np.uint8)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) upright."""
        return (self.stored[1], self.stored[0]) if self.orientation.transpose else self.stored

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB, contiguous, owning its memory."""
        height, width = self.stored
        if frame.format.name in PLANAR_420 and (frame.height, frame.width) == self.stored:
            return self.orientation.apply(self._from_planes(frame))
        picture = self._scaler.reformat(frame, width, height, "rgb24", src_colorspace=self._matrix, interpolation=EXACT)
        return self.orientation.apply(np.array(picture.to_ndarray()))

    def _from_planes(self, frame: VideoFrame) -> np.ndarray:
        height, width = self.stored
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
