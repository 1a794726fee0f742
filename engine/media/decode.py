"""Decoding one picture track in order, from the start or from a keyframe, as FFmpeg delivers it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple, cast

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import MediaError
from engine.media.probe import MAX_PIXELS, open_container, picture_stream

SEEK_BACK_SECONDS = (0, 1, 4, 16)
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders of these leave transparency out; libvpx does not."""


class Key(NamedTuple):
    """A packet that decoding can start from; times in units of the stream's time base."""

    pts: int
    dts: int | None


class Decoder:
    """One container opened for decoding one picture track. Damaged packets are skipped.

    `errors` counts what could not be decoded so far. With `one_thread`, damaged pictures come out the same each time: with
    several, what a damaged picture is patched from depends on which thread is first.

    Raises:
        MediaError: as `probe.open_container` and `probe.picture_stream`.
    """

    def __init__(self, path: Path, *, one_thread: bool = False) -> None:
        self.container = open_container(path)
        self.errors = 0
        try:
            self.stream = picture_stream(self.container, path.name)
        except MediaError:
            self.container.close()
            raise
        if one_thread:
            self.stream.thread_type = "NONE"
        self._see_through = _decoder_of_alpha(self.stream)

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
        if self._see_through is not None:
            self._see_through.flush_buffers()
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
            if self._see_through is not None:
                return self._see_through.decode(packet if packet.size else None)
            return [frame for frame in packet.decode() if isinstance(frame, VideoFrame)]
        except (av.error.FFmpegError, ValueError):
            self.errors += 1
            return []

    def close(self) -> None:
        self.container.close()


def _decoder_of_alpha(stream: VideoStream) -> VideoCodecContext | None:
    """A decoder for a clip whose transparency the usual one drops; None where the usual one does, or libvpx is missing."""
    name = ALPHA_DECODERS.get(stream.codec_context.name, "")
    if stream.metadata.get("alpha_mode") != "1" or name not in av.codecs_available:
        return None
    context = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    context.options = {"max_pixels": str(MAX_PIXELS)}
    return context
