"""Readers: random access equals sequential decoding, and the barcode says that frame i is frame i."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engine.errors import MediaError
from engine.media import index
from engine.media.reader import VideoFileReader, open_video
from engine.media.walk import Step
from engine.types import FrameRange
from tests.media_fixtures import (
    X264,
    Clip,
    copy_packets,
    draw_frame,
    read_barcode,
    write_drawn_clip,
    write_drawn_stills,
)

VFR = [0, 500, 1120, 1500, 2000, 2620, *range(11400, 11400 + 500 * 42, 500)]
VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "12"}
REAL_CLIPS = Path(__file__).parents[2] / "shared" / "clips"


def _mp4(folder: Path) -> Path:
    return write_drawn_clip(folder / "b frames.mp4")


def _mov(folder: Path) -> Path:
    return write_drawn_clip(folder / "a.mov", Clip(frames=20, codec="prores_ks", pixels="yuv422p10le", options={}))


def _mkv(folder: Path) -> Path:
    return write_drawn_clip(folder / "a.mkv")


def _webm(folder: Path) -> Path:
    return write_drawn_clip(folder / "a.webm", Clip(codec="libvpx-vp9", options=VP9))


def _vp8(folder: Path) -> Path:
    return write_drawn_clip(
        folder / "vp8.webm", Clip(codec="libvpx", options={**VP9, "auto-alt-ref": "1", "lag-in-frames": "16"})
    )


def _vfr(folder: Path) -> Path:
    return write_drawn_clip(folder / "vfr.mp4", Clip(time_base=Fraction(1, 12000), times=VFR))


def _rotated(folder: Path) -> Path:
    return write_drawn_clip(folder / "rot.mp4", Clip(rotation=90, draw=lambda i: np.rot90(draw_frame(i, 112, 192, 5), -1).copy()))


def _late(folder: Path) -> Path:
    return copy_packets(write_drawn_clip(folder / "zero.mkv"), folder / "late.mkv", shift=5000)


def _ts(folder: Path) -> Path:
    return write_drawn_clip(folder / "a.ts")


def _open_gop(folder: Path) -> Path:
    options = {**X264, "x264-params": "open-gop=1:keyint=12:bframes=4:scenecut=0"}
    return write_drawn_clip(folder / "open.mp4", Clip(options=options))


def _hevc(folder: Path) -> Path:
    options = {"preset": "ultrafast", "x265-params": "open-gop=1:keyint=12:bframes=4:log-level=error"}
    return write_drawn_clip(folder / "hevc.mp4", Clip(codec="libx265", options=options))


def _intra_refresh(folder: Path) -> Path:
    return write_drawn_clip(folder / "refresh.mp4", Clip(options={**X264, "x264-params": "intra-refresh=1:keyint=12"}))


def _avi(folder: Path) -> Path:
    return write_drawn_clip(folder / "a.avi", Clip(codec="mpeg4", options={"g": "12", "bf": "2"}))


def _avi_b_frames(folder: Path) -> Path:
    return write_drawn_clip(folder / "b.avi")


def _ten_bits(folder: Path) -> Path:
    options = {"preset": "ultrafast", "x265-params": "log-level=error"}
    return write_drawn_clip(folder / "ten.mp4", Clip(frames=20, codec="libx265", pixels="yuv420p10le", options=options))


def _gif(folder: Path) -> Path:
    return write_drawn_clip(folder / "a.gif", Clip(frames=20, codec="gif", pixels="rgb8", options={}, rate=Fraction(10)))


def _one_frame(folder: Path) -> Path:
    return write_drawn_clip(folder / "one.mp4", Clip(frames=1))


def _raw(folder: Path) -> Path:
    return write_drawn_clip(folder / "raw.h264")


def _stills(folder: Path) -> Path:
    return write_drawn_stills(folder / "frames")


SOURCES = [
    _mp4, _mov, _mkv, _webm, _vp8, _vfr, _rotated, _late, _ts, _open_gop, _hevc, _intra_refresh, _avi, _gif, _one_frame, _raw,
    _stills, _avi_b_frames, _ten_bits,
]  # fmt: skip


@pytest.mark.parametrize("make", SOURCES, ids=lambda make: make.__name__[1:])
def test_random_access_equals_sequential(make: Callable[[Path], Path], tmp_path: Path) -> None:
    cell = 5 if make is _rotated else 8
    with open_video(make(tmp_path)) as reader:
        whole = list(reader.frames(reader.video.span))
        assert len(whole) == reader.video.frames
        assert [read_barcode(picture, cell) for picture in whole] == list(range(len(whole)))
        order = list(range(len(whole))) * 2
        random.Random(1).shuffle(order)
        for frame in order:
            assert np.array_equal(reader.get(frame), whole[frame]), f"frame {frame} differs after a seek"
        assert whole[0].shape == (*reader.video.size, 3)
        assert not whole[0].flags.writeable
        assert not reader.damaged
        assert (np.diff(reader.video.pts) > 0).all()


@pytest.mark.parametrize("make", [_mp4, _vfr, _late, _open_gop, _ts, _raw], ids=lambda make: make.__name__[1:])
def test_spans_start_anywhere(make: Callable[[Path], Path], tmp_path: Path) -> None:
    with open_video(make(tmp_path)) as reader:
        for start in (0, 1, 11, 12, 13, 30, 47):
            stop = min(start + 5, reader.video.frames)
            assert [read_barcode(picture) for picture in reader.frames(FrameRange(start, stop))] == list(range(start, stop))
        assert list(reader.frames(FrameRange(4, 4))) == []


def test_times_are_the_source_times(tmp_path: Path) -> None:
    with open_video(_vfr(tmp_path)) as reader:
        seconds = (np.array(VFR) - VFR[0]) / 12000
        assert np.allclose(reader.video.seconds(), seconds, atol=0.5 / 12000)
    with open_video(_late(tmp_path)) as reader:
        assert int(reader.video.pts[0]) * reader.video.time_base == 5
        assert reader.video.rate == 24


def test_edit_list_frames_before_the_start_are_left_out(tmp_path: Path) -> None:
    clip = write_drawn_clip(tmp_path / "all.mp4")
    cut = copy_packets(clip, tmp_path / "cut.mp4", shift=-5 * 512, container={"avoid_negative_ts": "disabled"})
    with open_video(cut) as reader:
        first = read_barcode(reader.get(0))
        assert first == 5
        order = [(frame * 29) % reader.video.frames for frame in range(reader.video.frames)]
        assert [read_barcode(reader.get(frame)) for frame in order] == [frame + first for frame in order]


def test_stream_that_starts_inside_a_group_of_pictures(tmp_path: Path) -> None:
    whole = _ts(tmp_path).read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole[188 * 20 :])
    with open_video(cut) as reader:
        pictures = list(reader.frames(reader.video.span))
        assert 0 < len(pictures) < 48
        for frame in random.Random(2).sample(range(len(pictures)), len(pictures)):
            assert np.array_equal(reader.get(frame), pictures[frame])


def test_rotation_and_mirror_are_applied(tmp_path: Path) -> None:
    with open_video(_rotated(tmp_path)) as reader:
        assert reader.video.size == (192, 112)
        assert reader.video.rotation == 90
        assert np.abs(reader.get(3).astype(int) - draw_frame(3, 112, 192, 5)).mean() < 6
    mirrored = write_drawn_clip(tmp_path / "m.mp4", Clip(frames=4, mirrored=True, draw=lambda i: draw_frame(i)[:, ::-1].copy()))
    with open_video(mirrored) as reader:
        assert read_barcode(reader.get(3)) == 3


@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p"])
@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("wide", [False, True])
def test_the_colour_matrix_of_the_tags_is_used(tmp_path: Path, matrix: int, wide: bool, pixels: str) -> None:
    luma, u, v = 120, 100, 160
    path = tmp_path / "c.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 2 if wide else 1
        frame = av.VideoFrame(64, 48, pixels)
        for plane, value in zip(frame.planes, (luma, u, v), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    red, blue = (0.2126, 0.0722) if matrix == 1 else (0.299, 0.114)
    y = luma / 255 if wide else (luma - 16) / 219
    pb, pr = ((u - 128) / 255, (v - 128) / 255) if wide else ((u - 128) / 224, (v - 128) / 224)
    r, b = y + 2 * (1 - red) * pr, y + 2 * (1 - blue) * pb
    expected = np.array([r, (y - red * r - blue * b) / (1 - red - blue), b]) * 255
    with open_video(path) as reader:
        assert reader.video.colour.matrix == matrix
        assert reader.video.colour.full_range == wide
        assert np.abs(reader.get(0)[20, 30] - expected).max() <= 1


def test_known_video_is_trusted_and_checked(tmp_path: Path) -> None:
    path = _raw(tmp_path)
    with open_video(path, rate=Fraction(30)) as first:
        assert first.video.rate == 30
        with open_video(path, first.video) as again:
            assert np.array_equal(again.video.pts, first.video.pts)
            assert again.video.time_base == first.video.time_base
            assert read_barcode(again.get(17)) == 17
    write_drawn_clip(path, Clip(frames=10))
    with pytest.raises(MediaError, match="has changed"):
        open_video(path, first.video)


@pytest.mark.parametrize("name", ["a:b.mp4", "http:x.mp4", "ü 🎬 \"q'&<b>.mp4", "%05d.mp4"])
def test_odd_names_open(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_drawn_clip(tmp_path / "plain.mp4", Clip(frames=3)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_video(name) as reader:
        assert reader.video.frames == 3
        assert Path(reader.video.path).is_absolute()


def test_frames_outside_the_clip_are_refused(tmp_path: Path) -> None:
    with open_video(_mp4(tmp_path)) as reader:
        for frame in (-1, 48):
            with pytest.raises(MediaError, match="0 to 47"):
                reader.get(frame)
        with pytest.raises(MediaError, match="0 to 47"):
            list(reader.frames(FrameRange(40, 49)))


def test_stills_open_by_folder_or_by_one_of_them(tmp_path: Path) -> None:
    folder = write_drawn_stills(tmp_path / "frames")
    with open_video(folder) as reader, open_video(folder / "shot_1004.png") as same:
        assert reader.video.kind == "sequence"
        assert same.video.digest == reader.video.digest
        assert np.array_equal(same.get(7), draw_frame(7))
    (folder / "shot_1005.png").unlink()
    with open_video(folder) as reader:
        assert reader.video.frames == 11
        assert "1 numbers are missing" in reader.video.warnings[0]


def test_the_decoder_is_not_restarted_for_the_next_frame(tmp_path: Path) -> None:
    with open_video(_mp4(tmp_path)) as reader:
        assert isinstance(reader, VideoFileReader)
        starts: list[int] = []
        steps = reader._walk.steps

        def counted(start: int, hurry: bool = False) -> Iterator[Step]:
            starts.append(start)
            return steps(start, hurry)

        reader._walk.steps = counted  # type: ignore[method-assign]
        for frame in range(20, 40):
            reader.get(frame)
        assert starts == [20]


@pytest.mark.parametrize("make", [_mp4, _vp8, _ts, _hevc], ids=lambda make: make.__name__[1:])
def test_the_index_needs_no_full_decode(make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make(tmp_path)
    if make is _ts:
        clip.write_bytes(clip.read_bytes()[188 * 20 :])  # begins inside a group of pictures
    monkeypatch.setattr(index, "_decode_times", lambda *_: pytest.fail("everything was decoded"))
    with open_video(clip) as reader:
        pictures = list(reader.frames(reader.video.span))
        numbers = [read_barcode(picture) for picture in pictures]
        assert numbers == list(range(numbers[0], 48))
        assert not reader.damaged


def test_a_clip_that_hides_its_times_is_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "DECODE_SECONDS", -1.0)
    monkeypatch.setattr(index, "DECODE_BYTES", 10**12)
    with open_video(_raw(tmp_path)) as reader:
        assert reader.video.frames == 48, "packets of a stream without any times are taken for its frames"
    early = copy_packets(_mkv(tmp_path), tmp_path / "n.mkv", shift=-500, container={"avoid_negative_ts": "disabled"})
    with pytest.raises(MediaError, match="convert it to MP4 first"):
        open_video(early)


@pytest.mark.clips
@pytest.mark.parametrize("name", ["bees", "camel", "dogs_jump"])
def test_real_clips_seek_exactly(name: str) -> None:
    path = REAL_CLIPS / name / "video.mp4"
    if not path.exists():
        pytest.skip("the real clips are not here")
    with open_video(path) as reader:
        order = random.Random(3).sample(range(reader.video.frames), 12)
        wanted = {frame: picture for frame, picture in enumerate(reader.frames(reader.video.span)) if frame in order}
        for frame in order:
            assert np.array_equal(reader.get(frame), wanted[frame])
