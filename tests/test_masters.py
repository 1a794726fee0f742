"""Masters: lossless to the bit, transparency and matte beside the picture, tags right, 10 bits kept where nothing is edited."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from engine.composite import deepened
from engine.document import acts
from engine.editor import Editor
from engine.errors import MediaError
from engine.media.convert import narrow, widen
from engine.media.examine import ROOT
from engine.media.formats import FORMATS, ExportSettings, settings_for
from engine.media.reader import open_video
from engine.media.target import beside
from engine.media.writer import write_clip
from engine.progress import Progress
from engine.rendering.masters import exported_frames, finished_frames, mattes
from engine.rendering.render import export, prepare_clip, propagate
from engine.types import FrameRange
from tests.corpus import hdr, subtitled, transparent
from tests.media_fixtures import HEIGHT, WIDTH, Clip, draw_frame, write_drawn_clip

BOX = (20, 50, 90, 100)


def _ten_bits(folder: Path, frames: int = 8) -> Path:
    """A clip whose 10 bits say more than 8 could: a slow ramp over the drawn picture."""

    def draw(number: int) -> np.ndarray:
        ramp = np.linspace(0, 700, WIDTH)[None, :, None]
        return np.clip(draw_frame(number).astype(np.float64) * 250 + ramp, 0, 65535).astype(np.uint16)

    with av.open(str(folder / "ten.mov"), "w") as container:
        stream: Any = container.add_stream("prores_ks", rate=24, options={"profile": "3"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv422p10le"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number), format="rgb48le").reformat(format="yuv422p10le")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder / "ten.mov"


def _edited(folder: Path, clip: Path) -> Editor:
    """A project with one recoloured box, rendered."""
    editor = Editor.create(folder / "project", clip)
    editor.act(acts.set_box, "Box", frame=0, subject=1, box=BOX)
    prepare_clip(editor.material, Progress())
    editor.approve(0, editor.effect_take(0, "recolour", {"colour": "#2050ff"}).key)
    propagate(editor.material, Progress())
    return editor


@pytest.fixture(scope="module")
def deep_editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    folder = tmp_path_factory.mktemp("deep")
    editor = _edited(folder, _ten_bits(folder))
    yield editor
    editor.close()


def _write(source: Path, out: Path, codec: str | None = None) -> list[str]:
    with open_video(source) as reader:
        settings, span = settings_for(out, codec), reader.video.span
        deep = settings.format.deep and reader.video.bits > 8
        frames: Iterator[np.ndarray] = reader.frames(span, deep=deep)
        if reader.has_alpha and settings.format.alpha == "source":
            frames = (np.dstack([a, b if deep else narrow(b)]) for a, b in zip(frames, reader.alphas(span), strict=True))
        return write_clip(out, frames, reader, span, settings)


# --- lossless -------------------------------------------------------------------------------------------------------


def test_ffv1_of_8_bits_is_lossless_and_keeps_sound_and_tags(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=6, audio=("aac",), tags={"colorspace": 1, "color_trc": 1}))
    assert _write(source, tmp_path / "out.mkv") == []
    with open_video(source) as given, open_video(tmp_path / "out.mkv") as made:
        assert made.video.codec == "ffv1"
        assert [stream.codec for stream in made.video.audio] == ["aac"]
        assert (made.video.colour.primaries, made.video.colour.transfer) == (1, 1)
        for frame in range(6):
            assert np.array_equal(made.get(frame), given.get(frame))


@pytest.mark.parametrize("name", ["out.mkv", "frames"])
def test_deep_masters_hold_every_bit_that_was_read(tmp_path: Path, name: str) -> None:
    source = _ten_bits(tmp_path, 3)
    _write(source, tmp_path / name)
    with open_video(source) as reader:
        given = list(reader.frames(reader.video.span, deep=True))
    if name == "frames":
        made = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1] for path in sorted((tmp_path / name).iterdir())]
    else:
        with open_video(tmp_path / name) as reader:
            assert reader.video.bits == 16
            made = list(reader.frames(reader.video.span, deep=True))
    assert all(np.array_equal(a, b) for a, b in zip(given, made, strict=True))


def test_exported_stills_come_back_as_deep_as_they_went(tmp_path: Path) -> None:
    source = _ten_bits(tmp_path, 3)
    _write(source, tmp_path / "frames")
    with open_video(source) as given, open_video(tmp_path / "frames") as made:
        assert made.video.bits == 16
        for a, b in zip(given.frames(given.video.span, deep=True), made.frames(made.video.span, deep=True), strict=True):
            assert np.array_equal(a, b)
        assert np.array_equal(given.get(1), made.get(1))
    _write(transparent(tmp_path, "in.mov"), tmp_path / "see")
    with open_video(tmp_path / "in.mov") as given, open_video(tmp_path / "see") as made:
        assert made.has_alpha
        assert "transparency" in " ".join(made.video.warnings)
        for a, b in zip(given.alphas(given.video.span), made.alphas(made.video.span), strict=True):
            assert np.array_equal(a, b)


def test_prores_keeps_ten_bits_close(tmp_path: Path) -> None:
    source = _ten_bits(tmp_path, 3)
    _write(source, tmp_path / "out.mov")
    with open_video(source) as given, open_video(tmp_path / "out.mov") as made:
        a, b = (next(reader.frames(FrameRange(1, 2), deep=True)).astype(np.float64) for reader in (given, made))
        assert abs((a - b).mean()) < 20, "no shift of levels (one of 10 bits is 64)"
        assert np.abs(a - b).mean() < 200
        assert len(np.unique(narrow(b.astype(np.uint16)))) < len(np.unique(b // 64))


# --- transparency and matte -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.mov", "out.mkv"])
def test_the_clips_own_transparency_is_kept(tmp_path: Path, name: str) -> None:
    source = transparent(tmp_path, "in.mov")
    _write(source, tmp_path / name)
    with open_video(source) as given, open_video(tmp_path / name) as made:
        assert made.has_alpha
        for a, b in zip(given.alphas(given.video.span), made.alphas(made.video.span), strict=True):
            assert np.abs(a.astype(int) - b).max() < 200


def test_stills_keep_transparency(tmp_path: Path) -> None:
    source = transparent(tmp_path, "in.mov")
    _write(source, tmp_path / "frames")
    still = cv2.imread(str(tmp_path / "frames" / "00002.png"), cv2.IMREAD_UNCHANGED)
    assert still.shape == (HEIGHT, WIDTH, 4)
    assert still.dtype == np.uint16
    assert abs(still[50, 20, 3] / 65535 - 0.5) < 0.01
    assert still[50, 170, 3] > 65000


def _matte_of(path: Path) -> np.ndarray:
    with open_video(path) as reader:
        return reader.get(0)[..., 1]


def test_the_matte_is_written_alone_and_as_alpha(deep_editor: Editor, tmp_path: Path) -> None:
    material = deep_editor.material
    region = material.region(0)
    assert 0 < (region == 255).mean() < 0.5
    for name in ("matte.mp4", "matte.mov", "matte.mkv", "matte"):
        export(material, tmp_path / name, ExportSettings("matte"), Progress())
        found = cv2.imread(str(tmp_path / name / "00000.png"), -1) if name == "matte" else _matte_of(tmp_path / name)
        assert np.abs(found.astype(int) - region).mean() < 2, name
        if name in ("matte.mkv", "matte"):
            assert np.array_equal(found, region), name
    export(material, tmp_path / "alpha.mov", ExportSettings("prores-matte"), Progress())
    with open_video(tmp_path / "alpha.mov") as reader:
        assert reader.has_alpha
        alpha = next(reader.alphas(FrameRange(0, 1)))
        assert np.abs(alpha / 257 - region).mean() < 1
        assert not reader.video.audio


# --- ten bits in, ten bits out --------------------------------------------------------------------------------------


def test_outside_the_edit_a_deep_source_survives_to_the_bit(deep_editor: Editor) -> None:
    material = deep_editor.material
    span = material.project.range
    reader = material.reader
    changed = 0
    for frame, source, made in zip(
        span, reader.frames(span, deep=True), exported_frames(material, span, FORMATS["ffv1"]), strict=True
    ):
        assert made.dtype == np.uint16
        outside = material.region(frame) == 0
        assert np.array_equal(made[outside], source[outside])
        changed += int((made != source).any(axis=2).sum())
        assert len(np.unique(source)) > 400, "the source has more than 8 bits to lose"
    assert changed > 1000
    anchor = next(finished_frames(material, FrameRange(0, 1), deep=True))
    take = material.take(0)
    assert np.array_equal(narrow(anchor), take), "the approved picture is law"


def test_an_8_bit_edit_is_scaled_up_where_it_changes_something() -> None:
    source = np.full((2, 2, 3), 25_801, np.uint16)
    shown = narrow(source)
    edited = shown.copy()
    edited[0, 0] = (255, 0, 7)
    made = deepened(source, shown, edited)
    assert made[0, 0].tolist() == [65535, 0, 7 * 257]
    assert (made[1] == source[1]).all()


def test_a_grade_keeps_the_bits_of_a_deep_source() -> None:
    y, x = np.mgrid[:80, :120]
    true = 60 + 0.11 * x + 0.07 * y + 3 * np.sin(x / 9)  # a smooth sky, in levels
    source = np.rint(np.dstack([true, 0.8 * true, 0.5 * true + 40]) * 257).astype(np.uint16)
    shown = narrow(source)

    def graded(levels: np.ndarray) -> np.ndarray:
        return 1.4 * levels - 20

    edited = np.clip(np.rint(graded(shown.astype(np.float64))), 0, 255).astype(np.uint8)
    edited[:10] = shown[:10]
    made, wanted = deepened(source, shown, edited), graded(source / 257.0)
    assert np.array_equal(made[:10], source[:10]) and np.array_equal(narrow(made), edited)
    off, plain = (np.abs(one - wanted)[14:-4, 4:-4].mean() for one in (made / 257.0, edited.astype(np.float64)))
    assert off < 0.55 * plain, "the rest is what a take with 8 bits does not know"
    stripes = np.where((x // 4 % 2)[..., None] > 0, 200, shown).astype(np.uint8)
    assert np.array_equal(narrow(deepened(source, shown, stripes)), stripes)


def test_h264_of_a_deep_clip_has_8_bits(deep_editor: Editor, tmp_path: Path) -> None:
    export(deep_editor.material, tmp_path / "out.mp4", settings_for("out.mp4"), Progress())
    with open_video(tmp_path / "out.mp4") as reader:
        assert (reader.video.bits, reader.video.codec) == (8, "h264")


def test_mattes_follow_the_frames(deep_editor: Editor) -> None:
    span = deep_editor.project.range
    assert sum(1 for _ in mattes(deep_editor.material, span)) == len(span)


# --- EXR, tags, subtitles -------------------------------------------------------------------------------------------


def _exr(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).reformat(format="gbrapf32le").to_ndarray()


def test_exr_frames_are_linear_half_floats(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=3, tags={"color_trc": 1}))
    _write(source, tmp_path / "frames", "exr")
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["00000.exr", "00001.exr", "00002.exr"]
    with open_video(source) as reader:
        signal_ = reader.get(1) / 255
    light = np.where(signal_ < 0.081, signal_ / 4.5, ((signal_ + 0.099) / 1.099) ** (1 / 0.45))
    assert np.abs(_exr(tmp_path / "frames" / "00001.exr")[..., :3] - light).max() < 0.001


def test_exr_frames_have_their_alpha_multiplied_in(tmp_path: Path) -> None:
    _write(transparent(tmp_path, "in.mov"), tmp_path / "frames", "exr")
    picture = _exr(tmp_path / "frames" / "00000.exr")
    assert abs(picture[50, 20, 3] - 0.5) < 0.01
    assert abs(picture[50, 170, 3] - 1) < 0.01


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_no_colour_tag_is_left_open(tmp_path: Path, suffix: str) -> None:
    small = write_drawn_clip(tmp_path / "small.mp4", Clip(frames=2))
    large = write_drawn_clip(tmp_path / "large.mp4", Clip(frames=2, size=(720, 1280)))
    wide = write_drawn_clip(
        tmp_path / "wide.mp4", Clip(frames=2, tags={"colorspace": 9, "color_primaries": 9, "color_trc": 14, "color_range": 1})
    )
    for source, tags in ((small, (6, 6, 6)), (large, (1, 1, 1)), (wide, (9, 9, 14)), (hdr(tmp_path, 16), (1, 1, 1))):
        out = tmp_path / f"{source.stem}-out{suffix}"
        _write(source, out)
        with av.open(str(out)) as container:
            codec = container.streams.video[0].codec_context
            matrix = 0 if suffix == ".mkv" else tags[0]
            assert (codec.colorspace, codec.color_primaries, codec.color_trc) == (matrix, *tags[1:]), source.stem


@pytest.mark.parametrize(("name", "codec"), [("s.mkv", "subrip"), ("s.mp4", "mov_text")])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_subtitles_go_along(tmp_path: Path, name: str, codec: str, suffix: str) -> None:
    source, out = subtitled(tmp_path, name, codec), tmp_path / f"out{suffix}"
    assert _write(source, out) == []
    with av.open(str(out)) as container:
        packets = [packet for packet in container.demux(subtitles=0) if packet.pts is not None and b"world" in bytes(packet)]
        assert [float(packet.pts * packet.time_base) for packet in packets] == [0.25]
        assert [float(packet.duration * packet.time_base) for packet in packets] == [0.5]
    with open_video(source) as reader:
        part = tmp_path / f"part{suffix}"
        span = FrameRange(12, 24)
        write_clip(part, reader.frames(span), reader, span, settings_for(part, "h264"))
    with av.open(str(part)) as container:
        packets = [packet for packet in container.demux(subtitles=0) if packet.pts is not None and b"world" in bytes(packet)]
        assert [(float(p.pts * p.time_base), float(p.duration * p.time_base)) for p in packets] == [(0.0, 0.25)]


# --- formats and targets --------------------------------------------------------------------------------------------


def test_every_format_goes_where_it_says() -> None:
    for name, form in FORMATS.items():
        for suffix in form.suffixes:
            assert settings_for(f"out{suffix}", name).codec == name
    for out, codec in (("a.mp4", "ffv1"), ("a.mkv", "prores"), ("folder", "h264"), ("a.mov", "exr")):
        with pytest.raises(MediaError, match="does not go into"):
            settings_for(out, codec)
    with pytest.raises(MediaError, match="no export format"):
        settings_for("a.mov", "cinepak")


def test_wrong_kinds_of_frames_are_refused(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=2))
    picture = draw_frame(0)
    opaque = np.dstack([picture, picture[..., 0]])
    wrong = [("a.mp4", "h264", [opaque] * 2), ("b.mp4", "h264", [widen(picture)] * 2), ("c.mp4", "matte", [picture] * 2)]
    with open_video(source) as reader:
        for name, codec, frames in [*wrong, ("d.mov", "prores", [picture, opaque])]:
            with pytest.raises(MediaError, match="has shape"):
                write_clip(tmp_path / name, frames, reader, reader.video.span, ExportSettings(codec))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def _kill_while_writing(folder: Path, name: str) -> None:
    """Exports to `name` in a process of its own, and kills it when the hidden file has grown."""
    code = (
        "import sys, itertools, numpy as np\n"
        "from engine.media.reader import open_video\n"
        "from engine.media.writer import settings_for, write_clip\n"
        "reader = open_video(sys.argv[1])\n"
        "def slowly():\n"
        "    import time\n"
        "    for number in range(reader.video.frames):\n"
        "        yield reader.get(number); time.sleep(0.02)\n"
        "write_clip(sys.argv[2], slowly(), reader, reader.video.span, settings_for(sys.argv[2]), force=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(folder / "in.mp4"), str(folder / name)], cwd=ROOT)
    until = time.monotonic() + 30
    while time.monotonic() < until and not list(folder.glob(".*part*")):
        time.sleep(0.01)
    time.sleep(0.15)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "frames"])
def test_a_killed_export_leaves_the_earlier_one_and_its_rest_is_swept(tmp_path: Path, name: str) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=48))
    out = tmp_path / name
    _write(source, out)
    before = out.read_bytes() if out.is_file() else sorted(path.read_bytes() for path in out.iterdir())
    _kill_while_writing(tmp_path, name)
    after = out.read_bytes() if out.is_file() else sorted(path.read_bytes() for path in out.iterdir())
    assert after == before
    with open_video(source) as reader:
        write_clip(out, reader.frames(reader.video.span), reader, reader.video.span, settings_for(out), force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.mp4", name])


def test_a_folder_that_was_moved_aside_comes_back(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    (tmp_path / f".frames.aside-{child.pid}").mkdir()
    (tmp_path / f".frames.aside-{child.pid}" / "00000.png").write_bytes(b"the earlier export")
    with pytest.raises(RuntimeError), beside(tmp_path / "frames"):
        assert (tmp_path / "frames" / "00000.png").read_bytes() == b"the earlier export"
        raise RuntimeError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames"]
