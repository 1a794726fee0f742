"""Which frames a clip has: one table of presentation times (PTS), made on import without decoding.

The table comes from one pass over the packets. It is then checked against what the decoder really delivers; where
the two disagree (times missing, transport stream cut in the middle, raw H.264) a full decode makes the table.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream

from engine.errors import MediaError
from engine.media.decode import Decoder, Key
from engine.types import Video

CHECK_HEAD = 12
CHECK_RUN = 3
DECODE_SECONDS = 10.0
DECODE_BYTES = 2 * 2**20
"""A clip whose times only a full decode tells is given 10 s, and another one for every 2 MB: a small file that holds hours is
refused, a film is not (our choice)."""


@dataclass(frozen=True, eq=False, slots=True)
class FrameTable:
    """`pts` (T,) int64, strictly increasing, in `time_base` seconds; `keys` sorted by pts.

    `seekable`: a frame can be told by its PTS after a seek. Otherwise frames are counted from the start. `damaged` are frames
    known to be decoded with errors, sorted.
    """

    pts: np.ndarray
    time_base: Fraction
    keys: tuple[Key, ...]
    seekable: bool
    warnings: tuple[str, ...] = ()
    damaged: tuple[int, ...] = ()

    def key_before(self, frame: int) -> int:
        """Index in `keys` of the keyframe to decode `frame` from; −1 when decoding must start at the start.

        It is the last one shown at or before `frame`, or where damage follows it an earlier one: a decoder patches damaged
        pictures from what it decoded before, so it must have decoded the same as when reading in order.
        """
        at = bisect_left(self.keys, (int(self.pts[frame]) + 1,)) - 1
        while at >= 0 and self._is_damaged(at):
            at -= 1
        return at

    def _is_damaged(self, key: int) -> bool:
        """Whether a frame between this keyframe and the next one is damaged."""
        first = self.frame_at(self.keys[key].pts)
        stop = self.frame_at(self.keys[key + 1].pts) if key + 1 < len(self.keys) else len(self.pts)
        at = bisect_left(self.damaged, first)
        return at < len(self.damaged) and self.damaged[at] < stop

    def hurries(self, frame: int) -> bool:
        """Whether decoding towards `frame` may leave frames out: not over damage."""
        at = bisect_left(self.keys, (int(self.pts[frame]) + 1,)) - 1
        return self.key_before(frame) == at

    def frame_at(self, pts: int) -> int:
        """Index of the first frame shown at or after `pts`."""
        return int(np.searchsorted(self.pts, pts))


@dataclass(frozen=True, slots=True)
class _Packets:
    pts: list[int]
    keys: list[Key]
    untimed: int
    cut_off: bool
    promised: int


def build_table(path: Path, rate: Fraction | None = None, known: Video | None = None) -> FrameTable:
    """The frame table of a clip. `rate` is used where the file has no times; `known`, what was found
    before in the same file, saves the full decode.

    Raises:
        MediaError: no frame can be decoded.
    """
    packets, time_base, guessed = _scan(path)
    warnings = []
    if packets.cut_off:
        of = f" of {packets.promised}" if packets.promised > len(packets.pts) else ""
        warnings.append(f"The file is cut off: {len(packets.pts)}{of} frames are there.")
    pts = sorted(set(packets.pts))
    keys = tuple(sorted(packets.keys))
    trusted = not packets.untimed and len(pts) == len(packets.pts) > 0
    if trusted:
        begins = known.pts[0] if known is not None and _ends_with(pts, known.pts) else _first_delivered(path, pts)
        pts = [one for one in pts if begins is not None and one >= begins]
        if pts and _seeks_agree(path, pts, keys):
            return FrameTable(np.array(pts, np.int64), time_base, keys, True, tuple(warnings))
    if known is not None:
        seekable = known.time_base == time_base and not packets.untimed and _seeks_agree(path, known.pts.tolist(), keys)
        return FrameTable(known.pts, known.time_base, keys, seekable, known.warnings)
    return _decoded_table(path, packets, rate or guessed, time_base, warnings)


def _decoded_table(path: Path, packets: _Packets, rate: Fraction, time_base: Fraction, warnings: list[str]) -> FrameTable:
    """The table by decoding everything; times that are missing follow from `rate`."""
    decoded = _decode_times(path, len(packets.pts) + packets.untimed if not packets.pts else None)
    if all(value is None for value in decoded):
        assumed = f"{float(rate):g} frames per second are assumed"
        warnings.append(f"The file has no frame times; {assumed} (a recipe can give another rate as fps).")
        return FrameTable(np.arange(len(decoded), dtype=np.int64), 1 / rate, (), False, tuple(warnings))
    times = _mend(decoded, step=max(1, round(1 / (rate * time_base))))
    if times != decoded:
        warnings.append("Some frame times were missing or out of order and were worked out from the frame rate.")
    keys = tuple(sorted(packets.keys))
    seekable = times == decoded and not packets.untimed and _seeks_agree(path, times, keys)
    return FrameTable(np.array(times, np.int64), time_base, keys, seekable, tuple(warnings))


def _scan(path: Path) -> tuple[_Packets, Fraction, Fraction]:
    """Packets that are shown, in decode order; time base; frame rate as the container guesses it."""
    pts: list[int] = []
    keys: list[Key] = []
    untimed = 0
    decoder = Decoder(path)
    try:
        hides = decoder.stream.codec_context.name == "vp8"
        for packet in decoder.packets():
            shown = packet.pts
            if packet.size == 0 and shown is None:
                continue
            if shown is None:
                untimed += 1
                continue
            if packet.is_keyframe:
                keys.append(Key(shown, packet.dts))
            if not packet.is_discard and not (hides and _is_hidden(packet)):
                pts.append(shown)
        stream = decoder.stream
        guessed = stream.average_rate or stream.guessed_rate or Fraction(25)
        cut_off = decoder.errors > 0 or _ends_early(stream, path.stat().st_size)
        found = _Packets(pts, keys, untimed, cut_off, stream.frames)
        return found, stream.time_base or Fraction(1, 90000), Fraction(guessed)
    finally:
        decoder.close()


def _ends_early(stream: VideoStream, file_size: int) -> bool:
    """Whether the container's own index (complete in MP4 and MOV) points past the end of the file."""
    entries = stream.index_entries
    return len(entries) > 0 and entries[-1].size > 0 and entries[-1].pos + entries[-1].size > file_size


def _is_hidden(packet: Packet) -> bool:
    """Whether a VP8 packet holds a picture that is only referred to (RFC 6386, 9.1: the show_frame bit)."""
    return packet.size > 0 and not bytes(packet)[0] & 0x10


def _ends_with(pts: list[int], known: np.ndarray) -> bool:
    """Whether the packets' times from the first known one on are the known ones."""
    return len(known) <= len(pts) and np.array_equal(np.array(pts[len(pts) - len(known) :], np.int64), known)


def _first_delivered(path: Path, pts: list[int]) -> int | None:
    """The time of the first frame that decoding gives; None when the frames after it are not those of the packets.

    A stream that was cut in the middle of a group of pictures begins with packets that cannot be decoded.
    """
    decoder = Decoder(path)
    try:
        delivered = [frame.pts for frame in islice(decoder.from_start(), CHECK_HEAD)]
    finally:
        decoder.close()
    first = delivered[0] if delivered else None
    if first is None:
        return None
    at = bisect_left(pts, first)
    agrees = delivered == pts[at : at + len(delivered)] and len(delivered) == min(CHECK_HEAD, len(pts) - at)
    return first if agrees else None


def _seeks_agree(path: Path, pts: Sequence[int | None], keys: tuple[Key, ...]) -> bool:
    """Whether decoding from a few keyframes delivers the frames that the table names."""
    times = [value for value in pts if value is not None]
    decoder = Decoder(path)
    try:
        for key in {keys[round(part * (len(keys) - 1))] for part in (0.0, 0.35, 0.7, 1.0)} if keys else ():
            frames = decoder.from_key(key)
            if frames is None:
                return False
            delivered = [frame.pts for frame in islice(frames, CHECK_RUN)]
            at = bisect_left(times, key.pts)
            if delivered != times[at : at + len(delivered)]:
                return False
    finally:
        decoder.close()
    return True


def _decode_times(path: Path, untimed: int | None) -> list[int | None]:
    """The times of all frames as decoded; `untimed` packets, if no packet has a time, are taken for frames when that is long."""
    until = time.monotonic() + DECODE_SECONDS + path.stat().st_size / DECODE_BYTES
    times: list[int | None] = []
    decoder = Decoder(path)
    try:
        for frame in decoder.from_start():
            times.append(frame.pts)
            if time.monotonic() > until:
                if untimed is not None:
                    return [None] * untimed
                raise MediaError(
                    f"“{path.name}” does not say when its frames are shown, and decoding all of them takes too long: "
                    "convert it to MP4 first."
                )
    finally:
        decoder.close()
    if not times:
        raise MediaError(
            f"“{path.name}” has no frame that can be decoded; it is damaged or uses an unknown codec: convert it first."
        )
    return times


def _mend(times: Sequence[int | None], step: int) -> list[int]:
    """Fills missing times from their neighbours, `step` apart, and makes them strictly increasing.

    Times that are only out of order (AVI numbers packets, not frames) are put in order.
    """
    given = [value for value in times if value is not None]
    if len(set(given)) == len(times):
        return sorted(given)
    first = next((i for i, value in enumerate(times) if value is not None), None)
    if first is None:
        return [i * step for i in range(len(times))]
    start = times[first]
    assert start is not None
    mended = [start - (first - i) * step for i in range(first)]
    for value in times[first:]:
        before = mended[-1] if mended else None
        if value is None or (before is not None and value <= before):
            value = start if before is None else before + step
        mended.append(value)
    return mended
