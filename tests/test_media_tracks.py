"""What goes along with the pictures: which sound plays by default, the shoot's timecode, equal bytes for equal exports."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from hypothesis import given
from hypothesis import strategies as st

from engine.media.reader import open_video
from engine.media.timecode import moved, timecode_of
from engine.media.writer import settings_for, write_clip
from engine.types import FrameRange
from tests.media_fixtures import Clip, write_drawn_clip

FRAMES = st.integers(0, 3_000_000)
NTSC, NTSC_60 = Fraction(30000, 1001), Fraction(60000, 1001)


def _second_sound_first(folder: Path, timecode: str = "") -> Path:
    """A clip with two sound tracks of which the second plays by default."""
    plain = write_drawn_clip(folder / "plain.mkv", Clip(frames=48, audio=("aac", "aac")))
    with av.open(str(plain)) as source, av.open(str(folder / "in.mkv"), "w") as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in source.streams}
        streams[1].disposition, streams[2].disposition = Disposition(0), Disposition.default
        if timecode:
            made.metadata["timecode"] = timecode
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                made.mux(packet)
    return folder / "in.mkv"


def _write(source: Path, out: Path, span: FrameRange | None = None, force: bool = False) -> None:
    with open_video(source) as reader:
        span = span or reader.video.span
        write_clip(out, reader.frames(span), reader, span, settings_for(out), force=force)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_sound_that_plays_by_default_stays_the_default(tmp_path: Path, suffix: str) -> None:
    _write(_second_sound_first(tmp_path), tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert [bool(stream.disposition & Disposition.default) for stream in container.streams.audio] == [False, True]


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_the_timecode_goes_along_and_is_moved_to_the_range(tmp_path: Path, suffix: str) -> None:
    source = _second_sound_first(tmp_path, "10:11:12:23")
    _write(source, tmp_path / f"whole{suffix}")
    _write(source, tmp_path / f"part{suffix}", FrameRange(25, 40))
    for name, timecode in (("whole", "10:11:12:23"), ("part", "10:11:14:00")):
        with av.open(str(tmp_path / f"{name}{suffix}")) as container:
            assert timecode_of(container) == timecode


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_equal_exports_are_equal_files(tmp_path: Path, suffix: str) -> None:
    source, out = _second_sound_first(tmp_path, "01:00:00:00"), tmp_path / f"out{suffix}"
    _write(source, out)
    first = out.read_bytes()
    _write(source, out, force=True)
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("timecode", "frames", "rate", "later"),
    [
        ("00:00:00:00", 24, Fraction(24), "00:00:01:00"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("00:00:59;29", 1, NTSC, "00:01:00;02"),
        ("00:09:59;29", 1, NTSC, "00:10:00;00"),
        ("00:01:00;02", 1798, NTSC, "00:02:00;02"),
        ("01:00:00;00", 107_892, NTSC, "02:00:00;00"),
        ("23:59:59;29", 1, NTSC, "00:00:00;00"),
        ("00:00:59;59", 1, NTSC_60, "00:01:00;04"),
        ("00:00:59:29", 1, NTSC, "00:01:00:00"),
    ],
)
def test_timecode_counts_as_the_standard_says(timecode: str, frames: int, rate: Fraction, later: str) -> None:
    assert moved(timecode, frames, rate) == later


@given(
    st.integers(0, 3_000_000), st.integers(0, 3_000_000), st.sampled_from([NTSC, NTSC_60, Fraction(25)]), st.sampled_from(";:")
)
def test_moving_twice_is_moving_once(first: int, second: int, rate: Fraction, mark: str) -> None:
    start = f"00:00:00{mark}00"
    assert moved(moved(start, first, rate), second, rate) == moved(start, first + second, rate)
