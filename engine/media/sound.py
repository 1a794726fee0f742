"""Sound on its way from the source to the export: copied packet by packet, re-encoded only where it must be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Discard

from engine.media.probe import open_container

AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)


@dataclass(eq=False, slots=True)
class _Track:
    source: AudioStream
    target: AudioStream
    resampler: AudioResampler | None
    """None: packets are copied."""


class SoundTrack:
    """All audio streams of a clip, cut to [start, stop) seconds of the source's clock and moved by `-origin` seconds.

    `stop` None = to the end. `warnings` holds one sentence for each stream that could not be copied.

    Raises:
        MediaError: the source can no longer be opened.
    """

    def __init__(
        self, source: Path, out: OutputContainer, span: tuple[Fraction | None, Fraction | None], origin: Fraction
    ) -> None:
        self.warnings: list[str] = []
        self._source = open_container(source)
        self._out = out
        self._start, self._stop = span
        self._origin = origin
        self._tracks = {
            stream.index: self._add(number, stream)
            for number, stream in enumerate(self._source.streams.audio, start=1)
            if stream.codec_context is not None
        }
        for stream in self._source.streams:
            if stream.index not in self._tracks:
                stream.discard = Discard.all
        self._packets = self._wanted()
        self._next = next(self._packets, None)

    def write_until(self, seconds: Fraction | None) -> None:
        """Writes what sounds before `seconds` of the source's clock; None = everything that is left."""
        while self._next is not None and (seconds is None or _time(self._next) < seconds):
            self._write(self._next)
            self._next = next(self._packets, None)
        if self._next is None and seconds is None:
            for track in self._tracks.values():
                self._flush(track)

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> SoundTrack:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _add(self, number: int, source: AudioStream) -> _Track:
        codec = source.codec_context
        try:
            # MP4 takes PCM only with named speakers, which AVI and others leave out.
            if codec.name.startswith("pcm_") and "channels" in codec.layout.name:
                raise ValueError("no speaker layout")
            target = self._out.add_stream_from_template(source)
            resampler = None
        except ValueError:
            self.warnings.append(f"Sound {number} ({codec.name}) does not fit the file type and was converted to AAC.")
            rate = min(AAC_RATES, key=lambda known: (abs(known - codec.sample_rate), -known))
            layout = "mono" if codec.channels == 1 else "stereo"
            target = self._out.add_stream("aac", rate=rate)
            target.codec_context.layout = layout
            target.codec_context.bit_rate = 96_000 * (1 if layout == "mono" else 2)
            resampler = AudioResampler(format=target.codec_context.format.name, layout=layout, rate=rate)
        target.disposition = source.disposition  # which track plays by default
        target.metadata.update({key: source.metadata[key] for key in ("language", "title") if key in source.metadata})
        return _Track(source, target, resampler)

    def _wanted(self) -> Iterator[Packet]:
        """Packets that sound inside the span, in file order."""
        streams = [track.source for track in self._tracks.values()]
        if not streams:
            return
        if self._start is not None:
            self._source.seek(int(max(Fraction(0), self._start - 1) * av.time_base))
        ended: set[int] = set()
        try:
            for packet in self._source.demux(streams):
                if packet.pts is None:
                    continue
                begin = _time(packet)
                if self._stop is not None and begin >= self._stop:
                    ended.add(packet.stream_index)
                    if len(ended) == len(streams):
                        return
                elif self._start is None or begin + (packet.duration or 0) * packet.time_base > self._start:
                    yield packet
        except av.error.FFmpegError:
            self.warnings.append("The sound of the source is damaged or cut off; what could be read is there.")

    def _write(self, packet: Packet) -> None:
        track = self._tracks[packet.stream_index]
        if track.resampler is not None:
            self._convert(track, packet)
            return
        shift = round(self._origin / packet.time_base)
        assert packet.pts is not None
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        packet.stream = track.target
        self._out.mux(packet)

    def _convert(self, track: _Track, packet: Packet) -> None:
        assert track.resampler is not None
        for frame in track.source.decode(packet):
            if frame.pts is not None and frame.time_base:
                frame.pts -= round(self._origin / frame.time_base)
            for piece in track.resampler.resample(frame):
                self._out.mux(track.target.encode(piece))

    def _flush(self, track: _Track) -> None:
        if track.resampler is None:
            return
        for piece in track.resampler.resample(None):
            self._out.mux(track.target.encode(piece))
        self._out.mux(track.target.encode(None))


def _time(packet: Packet) -> Fraction:
    """Seconds on the source's clock."""
    return (packet.pts or 0) * packet.time_base
