"""Exports: source times, source sound, and a target that is always whole."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.errors import Cancelled, MediaError
from engine.media.reader import open_video
from engine.media.writer import ExportSettings, settings_for, write_clip
from engine.types import FrameRange
from tests.media_fixtures import Clip, copy_packets, read_barcode, write_drawn_clip, write_drawn_stills

VFR = [0, 500, 1120, 1500, 2000, 2620, *range(11400, 11400 + 500 * 24, 500)]
REAL_CLIPS = Path(__file__).parents[2] / "shared" / "clips"


def _times(path: Path) -> list[Fraction]:
    """Shown times of all frames, by PyAV alone."""
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base or Fraction(0)
        return [(frame.pts or 0) * base for frame in container.decode(video=0)]


def _sound_packets(path: Path) -> list[list[tuple[Fraction, bytes]]]:
    with av.open(str(path)) as container:
        count = len(container.streams.audio)
    found = []
    for number in range(count):
        with av.open(str(path)) as container:
            found.append([(p.pts * p.time_base, bytes(p)) for p in container.demux(audio=number) if p.size and p.pts is not None])
    return found


def _export(source: Path, out: Path, span: FrameRange | None = None, force: bool = False) -> list[str]:
    with open_video(source) as reader:
        span = span or reader.video.span
        return write_clip(out, reader.frames(span), reader, span, settings_for(out), force=force)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize(
    "clip",
    [Clip(frames=30), Clip(time_base=Fraction(1, 12000), times=VFR), Clip(frames=30, rate=Fraction(30000, 1001)), Clip(frames=1)],
    ids=["steady", "vfr", "ntsc", "one"],
)
def test_every_source_time_is_kept(tmp_path: Path, clip: Clip, suffix: str) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", clip)
    out = tmp_path / f"out{suffix}"
    assert _export(source, out) == []
    assert _times(out) == _times(source)
    with open_video(out) as reader:
        assert [read_barcode(reader.get(frame)) for frame in range(reader.video.frames)] == list(range(reader.video.frames))


def test_a_late_start_is_kept_and_a_range_starts_at_zero(tmp_path: Path) -> None:
    source = copy_packets(write_drawn_clip(tmp_path / "zero.mkv"), tmp_path / "late.mkv", shift=5000)
    _export(source, tmp_path / "whole.mp4")
    assert _times(tmp_path / "whole.mp4") == _times(source)
    _export(source, tmp_path / "part.mp4", FrameRange(10, 30))
    times = _times(source)[10:30]
    assert _times(tmp_path / "part.mp4") == [time - times[0] for time in times]


def test_all_sound_is_copied_packet_by_packet(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(audio=("aac", "aac"), audio_seconds=2.5))
    assert _export(source, tmp_path / "out.mp4") == []
    given, made = _sound_packets(source), _sound_packets(tmp_path / "out.mp4")
    assert len(made) == 2
    assert given[0] != given[1]
    assert made == given


def test_sound_of_a_range_is_cut_to_it(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=72, audio=("aac",)))
    _export(source, tmp_path / "part.mp4", FrameRange(24, 48))
    sound = _sound_packets(tmp_path / "part.mp4")[0]
    packet = Fraction(1024, 48000)
    assert -packet <= sound[0][0] <= 0
    assert 1 - packet <= sound[-1][0] < 1
    whole = _sound_packets(source)[0]
    at = next(number for number, (time, _) in enumerate(whole) if time + packet > 1)
    for (time, content), (source_time, source_content) in zip(sound, whole[at:], strict=False):
        assert content == source_content
        assert abs(source_time - time - 1) < Fraction(1, 1000)


def test_sound_that_does_not_fit_becomes_aac_with_a_remark(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.avi", Clip(codec="mpeg4", options={}, audio=("adpcm_ms",)))
    remarks = _export(source, tmp_path / "out.mp4")
    assert len(remarks) == 1
    assert "converted to AAC" in remarks[0]
    with av.open(str(tmp_path / "out.mp4")) as container:
        sound = container.streams.audio[0]
        assert sound.codec_context.name == "aac"
        seconds = sum(frame.samples for frame in container.decode(audio=0)) / 48000
        assert abs(seconds - 2) < 0.1


def test_png_frames_are_exact_and_named_by_absolute_frame(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4")
    out = tmp_path / "frames"
    _export(source, out, FrameRange(7, 12))
    assert sorted(path.name for path in out.iterdir()) == [f"{frame:05d}.png" for frame in range(7, 12)]
    with open_video(source) as reader, open_video(out) as stills:
        for number in range(5):
            assert np.array_equal(stills.get(number), reader.get(7 + number))
    with pytest.raises(MediaError, match="exists already"):
        _export(source, out)
    _export(source, out, FrameRange(0, 3), force=True)
    assert sorted(path.name for path in out.iterdir()) == ["00000.png", "00001.png", "00002.png"]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(MediaError, match="more than exported frames"):
        _export(source, out, force=True)
    assert (out / "notes.txt").exists()


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("wide", [False, True])
def test_colours_survive_the_round_trip_with_their_tags(tmp_path: Path, matrix: int, wide: bool) -> None:
    tags = {"colorspace": matrix, "color_range": 2 if wide else 1, "color_primaries": 1, "color_trc": 1}
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=5, tags=tags))
    out = tmp_path / "out.mp4"
    with open_video(source) as reader:
        write_clip(out, reader.frames(reader.video.span), reader, reader.video.span, settings_for(out, quality=4))
    with open_video(source) as given, open_video(out) as made:
        assert made.video.colour == given.video.colour
        assert made.video.colour.matrix == matrix
        means = [np.abs(given.get(i).mean(axis=(0, 1)) - made.get(i).mean(axis=(0, 1))).max() for i in range(5)]
        assert max(means) < 0.5


def test_an_untagged_clip_gets_the_matrix_that_was_used(tmp_path: Path) -> None:
    _export(write_drawn_clip(tmp_path / "in.mp4", Clip(frames=3)), tmp_path / "out.mp4")
    with open_video(tmp_path / "out.mp4") as made:
        assert made.video.colour.matrix == 6


def test_odd_sizes_are_padded_with_a_remark(tmp_path: Path) -> None:
    clip = Clip(frames=3, size=(97, 161), codec="ffv1", options={})
    source = write_drawn_clip(tmp_path / "in.mkv", clip)
    remarks = _export(source, tmp_path / "out.mp4")
    assert "even sizes" in remarks[0]
    with open_video(tmp_path / "out.mp4") as made:
        assert made.video.size == (98, 162)


def test_stills_export_as_a_clip(tmp_path: Path) -> None:
    _export(write_drawn_stills(tmp_path / "stills"), tmp_path / "out.mp4")
    assert _times(tmp_path / "out.mp4") == [Fraction(frame, 24) for frame in range(12)]


def test_an_existing_target_is_refused_then_replaced(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=6))
    out = tmp_path / "out.mp4"
    out.write_bytes(b"precious")
    with pytest.raises(MediaError, match="exists already"):
        _export(source, out)
    assert out.read_bytes() == b"precious"
    _export(source, out, force=True)
    assert len(_times(out)) == 6


@pytest.mark.parametrize("name", ["out.mp4", "frames"])
def test_cancelling_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(audio=("aac",)))
    out = tmp_path / name

    def stopped() -> Iterator[np.ndarray]:
        for frame in range(20):
            yield reader.get(frame)
        raise Cancelled

    with open_video(source) as reader, pytest.raises(Cancelled):
        write_clip(out, stopped(), reader, reader.video.span, settings_for(out))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_what_a_killed_export_left_is_swept(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=2))
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    (tmp_path / f".out.part-{child.pid}.mp4").write_bytes(b"half")
    alive = tmp_path / ".out.part-1.mp4"
    alive.write_bytes(b"another process is at work")
    _export(source, tmp_path / "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == [alive.name, "in.mp4", "out.mp4"]


def test_sound_without_speaker_names_is_kept(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.avi", Clip(frames=24, codec="mpeg4", options={}, audio=("pcm_s16le",)))
    assert "converted to AAC" in _export(source, tmp_path / "out.mp4")[0]
    assert _sound_packets(tmp_path / "out.mp4")[0]


def test_wrong_frames_are_refused(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=6))
    out = tmp_path / "out.mp4"
    with open_video(source) as reader:
        pictures = list(reader.frames(reader.video.span))
        wrong = [
            (pictures[:-1], "Only 5 of the 6"),
            ([*pictures, pictures[0]], "More than the 6"),
            ([pictures[0][:-2]] * 6, "Frame 0 has shape"),
            ([pictures[0].astype(np.float32)] * 6, "float32"),
        ]
        for frames, reason in wrong:
            with pytest.raises(MediaError, match=reason):
                write_clip(out, frames, reader, reader.video.span, settings_for(out))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=2))
    for name, reason in [("out.avi", ".mp4 or .mov"), ("missing/out.mp4", "does not exist"), ("out.mp4/x.mp4", "does not exist")]:
        with pytest.raises(MediaError, match=reason):
            _export(source, tmp_path / name)
    with pytest.raises(MediaError, match="does not go into"):
        settings_for("a.mp4", "prores")
    with pytest.raises(MediaError, match="between 0"):
        settings_for("a.mp4", quality=70)
    assert settings_for("a.mov", "h264") == ExportSettings("h264")


def test_quality_changes_the_size(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=12))
    with open_video(source) as reader:
        for crf in (10, 40):
            out = tmp_path / f"{crf}.mp4"
            write_clip(out, reader.frames(reader.video.span), reader, reader.video.span, settings_for(out, quality=crf))
    assert (tmp_path / "10.mp4").stat().st_size > 2 * (tmp_path / "40.mp4").stat().st_size


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=6))
    seen: list[tuple[int, int]] = []
    out = tmp_path / "out.mp4"
    with open_video(source) as reader:
        span = reader.video.span
        write_clip(out, reader.frames(span), reader, span, settings_for(out), progress=lambda done, of: seen.append((done, of)))
    assert seen == [(frame + 1, 6) for frame in range(6)]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from engine.errors import MediaError
from engine.media.reader import open_video
from engine.media.writer import settings_for, write_clip

source, out, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
noise = np.random.default_rng(0)
with open_video(source) as reader:
    frames = [noise.integers(0, 255, (*reader.video.size, 3), np.uint8) for _ in range(reader.video.frames)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        write_clip(out, frames, reader, reader.video.span, settings_for(out), force=True)
    except MediaError as error:
        print(error)
        sys.exit(7)
"""


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "frames"])
def test_a_full_disk_leaves_the_old_export_and_no_stub(tmp_path: Path, name: str) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=24))
    out = tmp_path / name
    _export(source, out)
    before = sorted(path.name for path in tmp_path.iterdir())
    old = out.read_bytes() if out.is_file() else len(list(out.iterdir()))
    limit = 40_000 if out.is_file() else 20_000
    command = [sys.executable, "-c", FULL_DISK, str(source), str(out), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=Path(__file__).parents[1])
    assert done.returncode == 7, done.stderr
    assert "MB are free" in done.stdout
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (out.read_bytes() if out.is_file() else len(list(out.iterdir()))) == old
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit


@pytest.mark.clips
@pytest.mark.parametrize("name", ["bees", "cars"])
def test_real_clips_keep_times_and_sound(tmp_path: Path, name: str) -> None:
    source = REAL_CLIPS / name / "video.mp4"
    if not source.exists():
        pytest.skip("the real clips are not here")
    out = tmp_path / "out.mp4"
    _export(source, out, FrameRange(0, 30))
    assert _times(out) == _times(source)[:30]
    given, made = _sound_packets(source)[0], _sound_packets(out)[0]
    assert len(made) > 10
    assert made == given[: len(made)]
