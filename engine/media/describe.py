"""What a clip is: size, rate, colour, sound, and everything about it that the user should know."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

from av.container import InputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import MediaError
from engine.media.colour import HDR_TRANSFERS, SWSCALE, tags_of
from engine.media.decode import Decoder, Orientation, orientation_of
from engine.media.index import FrameTable
from engine.media.probe import check_size
from engine.types import AudioStream, Video

LOOK_AT = 8
RATES = (Fraction(1, 100), Fraction(1000))


def describe(path: Path, table: FrameTable, digest: str, rate: Fraction | None) -> tuple[Video, Orientation, tuple[int, int]]:
    """The `Video`, how its stored pictures become upright, and their stored (height, width).

    Raises:
        MediaError: nothing can be decoded.
    """
    decoder = Decoder(path)
    try:
        frames = list(islice(decoder.from_start(), LOOK_AT))
        if not frames:
            raise MediaError(f"“{path.name}” has no frame that can be decoded; it is damaged: get it again.")
        first, stream = frames[0], decoder.stream
        stored = (first.height, first.width)
        check_size(*stored, path.name)
        orientation = orientation_of(first)
        video = Video(
            path=str(path),
            digest=digest,
            kind="file",
            size=stored[::-1] if orientation.transpose else stored,
            rate=rate or _rate(stream, table),
            time_base=table.time_base,
            pts=table.pts,
            rotation=round(first.rotation) % 360,
            bits=max((part.bits for part in first.format.components), default=8),
            codec=stream.codec_context.name,
            colour=tags_of(stream),
            audio=tuple(_audio(sound) for sound in decoder.container.streams.audio if sound.codec_context is not None),
            warnings=table.warnings + tuple(_remarks(stream, frames)) + tuple(_other_tracks(decoder.container)),
        )
        return video, orientation, stored
    finally:
        decoder.close()


def _rate(stream: VideoStream, table: FrameTable) -> Fraction:
    """Mean frames per second: what the file says if it is sane, else from the frame times."""
    if len(table.pts) > 1:
        mean = (len(table.pts) - 1) / (int(table.pts[-1] - table.pts[0]) * table.time_base)
    else:
        mean = Fraction(25)
    for said in (stream.average_rate, stream.guessed_rate):
        if said and RATES[0] <= said <= RATES[1] and abs(said / mean - 1) < Fraction(1, 50):
            return Fraction(said)
    return mean.limit_denominator(1001)


def _audio(stream: Stream) -> AudioStream:
    codec = stream.codec_context
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    return AudioStream(codec.name, getattr(codec, "channels", 0), getattr(codec, "sample_rate", 0), seconds)


def _remarks(stream: VideoStream, frames: list[VideoFrame]) -> list[str]:
    """One sentence for each thing about the pictures that is not kept or may surprise."""
    first, codec = frames[0], stream.codec_context
    remarks = []
    bits = max((part.bits for part in first.format.components), default=8)
    if bits > 8:
        remarks.append(f"The clip has {bits} bits per colour; it is edited and exported with 8.")
    if int(codec.color_trc) in HDR_TRANSFERS:
        remarks.append(f"The clip is HDR ({HDR_TRANSFERS[int(codec.color_trc)]}); it is shown without tone mapping.")
    if any(frame.interlaced_frame for frame in frames):
        remarks.append("The clip is interlaced; it is edited as it is, so deinterlace it first for clean edges.")
    if any(part.is_alpha for part in first.format.components) or stream.metadata.get("alpha_mode") == "1":
        remarks.append("The clip has transparency; it is dropped.")
    aspect = stream.sample_aspect_ratio
    if aspect not in (None, 0, 1):
        remarks.append(f"The clip has non-square pixels ({aspect}); they are shown and exported square.")
    if len({(frame.height, frame.width) for frame in frames}) > 1:
        remarks.append("The picture size changes inside the clip; all frames are scaled to the size of the first.")
    if any(frame.is_corrupt for frame in frames):
        remarks.append("The clip is damaged at its start; damaged frames show what could be decoded.")
    matrix = int(codec.colorspace)
    if matrix not in SWSCALE and matrix not in (0, 2) and not first.format.is_rgb:
        remarks.append(f"The clip uses an uncommon colour matrix (number {matrix}); its colours may be slightly off.")
    return remarks


def _other_tracks(container: InputContainer) -> list[str]:
    remarks = []
    if container.streams.subtitles:
        remarks.append("The clip has subtitles; they are not exported.")
    if len(container.streams.video) > 1:
        remarks.append("The clip has several picture tracks; only the main one is edited and exported.")
    return remarks
