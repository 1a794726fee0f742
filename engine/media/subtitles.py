"""Subtitles on their way from the source to the export: lines of text, cut to the range; what is no text stays behind."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Discard
from av.subtitles.stream import SubtitleStream

from engine.media.probe import open_container

UNIT = Fraction(1, 1000)
KINDS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip"}
HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, "
    b"OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, "
    b"Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\nStyle: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,"
    b"100,0,0,1,1,0,2,10,10,10,1\n"
)
TAG = re.compile(r"<[^<>]{1,40}>")


@dataclass(frozen=True, slots=True)
class _Line:
    begin: Fraction
    end: Fraction
    text: str
    target: SubtitleStream


class SubtitleTracks:
    """The text subtitles of a clip, cut to [start, stop) seconds of the source's clock and moved by `-origin` seconds.

    `stop` None = to the end. `warnings` holds one sentence for each track that is not text.

    Raises:
        MediaError: the source can no longer be opened.
    """

    def __init__(
        self, source: Path, out: OutputContainer, span: tuple[Fraction | None, Fraction | None], origin: Fraction
    ) -> None:
        self.warnings: list[str] = []
        self._source, self._out, self._span, self._origin = open_container(source), out, span, origin
        kind = KINDS.get(out.format.name)
        self._targets: dict[int, tuple[SubtitleStream, Callable[[bytes], str]]] = {}
        for number, stream in enumerate(self._source.streams.subtitles, start=1):
            name = stream.codec_context.name if stream.codec_context is not None else "unknown"
            if kind is None or name not in TEXTS:
                self.warnings.append(f"Subtitles {number} ({name}) are not plain text and are not exported.")
                continue
            self._targets[stream.index] = (self._add(kind, stream), TEXTS[name])
        for other in self._source.streams:
            if other.index not in self._targets:
                other.discard = Discard.all
        self._lines = self._wanted()
        self._next = next(self._lines, None)

    def write_until(self, seconds: Fraction | None) -> None:
        """Writes the lines that begin before `seconds` of the source's clock; None = all that are left."""
        while self._next is not None and (seconds is None or self._next.begin < seconds):
            self._write(self._next)
            self._next = next(self._lines, None)

    def close(self) -> None:
        self._source.close()

    def _add(self, kind: str, source: SubtitleStream) -> SubtitleStream:
        target = cast(SubtitleStream, self._out.add_stream(kind))
        target.codec_context.subtitle_header = HEADER
        target.time_base = UNIT
        target.metadata.update({key: source.metadata[key] for key in ("language", "title") if key in source.metadata})
        return target

    def _wanted(self) -> Iterator[_Line]:
        start, stop = self._span
        if not self._targets:
            return
        try:
            for packet in self._source.demux([self._source.streams[index] for index in self._targets]):
                if packet.pts is None or not packet.size:
                    continue
                target, text_of = self._targets[packet.stream_index]
                begin, length = packet.pts * packet.time_base, (packet.duration or 0) * packet.time_base
                end = min(begin + length, stop) if stop is not None else begin + length
                begin = max(begin, start) if start is not None else begin
                text = text_of(bytes(packet))
                if begin < end and text:
                    yield _Line(begin, end, text, target)
        except av.error.FFmpegError:
            self.warnings.append("The subtitles of the source are damaged or cut off; what could be read is there.")

    def _write(self, line: _Line) -> None:
        words = line.text.encode()
        plain = TAG.sub("", line.text).encode()
        packet = Packet(words if line.target.codec_context.name == "subrip" else struct.pack(">H", len(plain)) + plain)
        packet.stream, packet.time_base = line.target, UNIT
        packet.pts = packet.dts = round((line.begin - self._origin) / UNIT)
        packet.duration = max(1, round((line.end - line.begin) / UNIT))
        self._out.mux(packet)


def _plain(content: bytes) -> str:
    return content.decode("utf-8", "replace").strip("\0\r\n")


def _of_mov(content: bytes) -> str:
    """The text of a 3GPP timed text sample; its style boxes are left behind."""
    length = struct.unpack(">H", content[:2])[0] if len(content) >= 2 else 0
    return _plain(content[2 : 2 + length])


# How the text is read from packets of each kind.
TEXTS: dict[str, Callable[[bytes], str]] = {"mov_text": _of_mov, **dict.fromkeys(("subrip", "srt", "text", "webvtt"), _plain)}
