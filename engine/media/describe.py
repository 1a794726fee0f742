"""What a clip is: size, rate, colour, sound, and everything about it that the user should know."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from fractions import Fraction
from itertools import islice
from pathlib import Path

from av.container import InputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import MediaError
from engine.media.colour import HDR_TRANSFERS, STANDARD, SWSCALE, matrix_in_force, tags_of
from engine.media.convert import Form, orientation_of
from engine.media.decode import Decoder
from engine.media.examine import Look
from engine.media.index import FrameTable
from engine.media.probe import check_size
from engine.types import AudioStream, FrameIndex, FrameRange, Video

RATES = (Fraction(1, 100), Fraction(1000))
ASPECTS = (Fraction(1, 4), Fraction(4))
"""Pixels that are longer than this are a mistake in the file (our choice)."""
DAMAGE = "Damaged frames: "
RANGES_TOLD = 8


def describe(
    path: Path, table: FrameTable, look: Look, *, digest: str, rate: Fraction | None = None, deinterlace: bool = False
) -> tuple[Video, Form]:
    """The `Video` and how its pictures are stored. `digest` is that of the file.

    Raises:
        MediaError: nothing can be decoded.
    """
    decoder = Decoder(path)
    try:
        first, stream = _first_frame(decoder, path), decoder.stream
        form = form_of(stream, first)
        check_size(*form.size, path.name)
        damaged = damaged_in(look, table)
        remarks = [*table.warnings, *_about_pictures(stream, form), *_about_frames(look, damaged, deinterlace)]
        video = Video(
            path=str(path),
            digest=digest_as_read(digest, deinterlace),
            kind="file",
            size=form.size,
            rate=rate or _rate(stream, table),
            time_base=table.time_base,
            pts=table.pts,
            rotation=round(first.rotation) % 360,
            bits=form.bits,
            codec=stream.codec_context.name,
            colour=STANDARD if form.hdr else tags_of(stream),
            audio=tuple(_audio(sound) for sound in decoder.container.streams.audio if sound.codec_context is not None),
            warnings=(*remarks, *_about_tracks(decoder.container)),
            interlaced=look.interlaced,
            deinterlaced=deinterlace,
            damaged=tuple((one.start, one.stop) for one in ranges_of(damaged)),
        )
        return video, form
    finally:
        decoder.close()


def form_of_file(path: Path) -> Form:
    """How the pictures of a clip that is known are stored. Raises MediaError when nothing can be decoded."""
    decoder = Decoder(path)
    try:
        return form_of(decoder.stream, _first_frame(decoder, path))
    finally:
        decoder.close()


def digest_as_read(digest: str, deinterlaced: bool) -> str:
    """The digest that everything made from a clip is kept under: another one when the same file is read in another way."""
    return hashlib.sha256(f"{digest} bwdif".encode()).hexdigest() if deinterlaced else digest


def form_of(stream: VideoStream, first: VideoFrame) -> Form:
    """How pictures like the `first` are stored."""
    stored, tags, orientation = (first.height, first.width), tags_of(stream), orientation_of(first)
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    upright = stored[::-1] if orientation.transpose else stored
    return Form(
        stored,
        orientation,
        aspect if ASPECTS[0] <= aspect <= ASPECTS[1] else Fraction(1),
        matrix_in_force(tags, upright),
        tags.transfer,
        tags.full_range,
        max((part.bits for part in first.format.components), default=8),
        any(part.is_alpha for part in first.format.components) and not _opaque_gif(stream, first),
    )


def _opaque_gif(stream: VideoStream, first: VideoFrame) -> bool:
    """Every GIF is decoded with transparency, nearly none has any."""
    return stream.codec_context.name == "gif" and bool(first.to_ndarray(format="rgba")[..., 3].min() == 255)


def _first_frame(decoder: Decoder, path: Path) -> VideoFrame:
    for frame in islice(decoder.from_start(), 1):
        check_size(frame.height, frame.width, path.name)
        return frame
    raise MediaError(f"“{path.name}” has no frame that can be decoded; it is damaged: get it again.")


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


# --- what the user should know ----------------------------------------------------------------------------


def _about_pictures(stream: VideoStream, form: Form) -> list[str]:
    """One sentence for each thing about the pictures that is not kept as it is or may surprise."""
    remarks = []
    if form.bits > 8 and not form.hdr:
        remarks.append(
            f"The clip has {form.bits} bits per colour; it is edited with 8, and what no edit touches keeps its bits in exports "
            "other than H.264."
        )
    if form.hdr:
        remarks.append(
            f"The clip is HDR ({HDR_TRANSFERS[form.transfer]}); it is shown, edited and exported tone-mapped to standard range "
            "(BT.709)."
        )
    if form.alpha:
        remarks.append("The clip has transparency; it is shown opaque and kept in exports other than H.264.")
    elif stream.metadata.get("alpha_mode") == "1":
        remarks.append("The clip has transparency of a kind that cannot be read here; it is dropped.")
    said = stream.sample_aspect_ratio
    if form.aspect != 1:
        height, width = form.size
        remarks.append(f"The clip has non-square pixels ({said}); it is shown, edited and exported square, as {width}×{height}.")
    elif said not in (None, 0, 1):
        remarks.append(f"The clip says that its pixels are {said} times as wide as high; that is a mistake and is not followed.")
    matrix = int(stream.codec_context.colorspace)
    if matrix not in SWSCALE and matrix not in (0, 2):
        remarks.append(f"The clip uses an uncommon colour matrix (number {matrix}); its colours may be slightly off.")
    return remarks


def _about_frames(look: Look, damaged: list[FrameIndex], deinterlace: bool) -> list[str]:
    remarks = []
    if deinterlace and look.interlaced:
        remarks.append("The clip is interlaced; it is deinterlaced (bwdif, one frame for each stored one).")
    elif deinterlace:
        remarks.append("The clip does not say that it is interlaced; it is deinterlaced because you chose that.")
    elif look.interlaced:
        remarks.append("The clip is interlaced; it is edited as it is: choose “Deinterlace” and open it again for whole frames.")
    if len(look.sizes) > 1:
        remarks.append("The picture size changes inside the clip; all frames are scaled to the size of the first.")
    if damaged:
        remarks.append(damage_sentence(damaged))
    return remarks


def damaged_in(look: Look, table: FrameTable) -> list[FrameIndex]:
    """The frames, of those looked at, that were decoded with errors or not at all."""
    if not table.seekable or any(time is None for time in look.times):
        return [number for number in look.damaged if number < len(table.pts)]
    broken = {look.times[number] for number in look.damaged}
    whole = {time for time in look.times if time not in broken}
    # A decoder holds a few frames back: what comes after the last one delivered was not looked at, except at the end.
    last = len(table.pts) - 1 if look.whole else table.frame_at(max(time for time in look.times if time is not None))
    return [frame for frame in range(min(last + 1, len(table.pts))) if int(table.pts[frame]) not in whole]


def ranges_of(frames: Iterable[FrameIndex]) -> list[FrameRange]:
    """Frame numbers as ranges, in order."""
    ranges: list[FrameRange] = []
    for frame in sorted(set(frames)):
        if ranges and ranges[-1].stop == frame:
            ranges[-1] = FrameRange(ranges[-1].start, frame + 1)
        else:
            ranges.append(FrameRange(frame, frame + 1))
    return ranges


def clip_remarks(video: Video, damaged: list[FrameIndex]) -> list[str]:
    """All that the user should know about a clip; `damaged` are the frames found since it was opened, when it was prepared."""
    if not damaged:
        return list(video.warnings)
    return [*(one for one in video.warnings if not one.startswith(DAMAGE)), damage_sentence(damaged)]


def damage_sentence(frames: Iterable[FrameIndex]) -> str:
    """Which frames are damaged, and what is shown for them."""
    ranges = ranges_of(frames)
    told = [f"{one.start}–{one.stop - 1}" if len(one) > 1 else f"{one.start}" for one in ranges[:RANGES_TOLD]]
    more = f" and {len(ranges) - RANGES_TOLD} more places" if len(ranges) > RANGES_TOLD else ""
    return f"{DAMAGE}{', '.join(told)}{more}; they show what could be decoded, or the frame before."


def _about_tracks(container: InputContainer) -> list[str]:
    remarks = []
    if container.streams.subtitles:
        remarks.append("The clip has subtitles; they are not exported.")
    if len(container.streams.video) > 1:
        remarks.append("The clip has several picture tracks; only the main one is edited and exported.")
    return remarks
