"""What cameras, phones and editors put into clips: interlacing, HDR, deep colours, transparency, pixels that are not square."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from app.panels import source
from app.store import SessionStore
from engine.commands import batch
from engine.commands.recipe import Recipe, read_recipe
from engine.document.project import Project, from_json, to_json
from engine.editor import Editor
from engine.errors import RecipeError
from engine.media.convert import DEEP, narrow, widen
from engine.media.describe import clip_remarks, damage_sentence, ranges_of
from engine.media.pack import FramePack, build_pack
from engine.media.reader import open_video
from engine.media.tone import HLG, PEAK, PQ, WHITE, rolled_off, to_standard_range
from engine.types import FrameRange
from tests.corpus import CASES, anamorphic, hdr, interlaced, transparent
from tests.media_fixtures import HEIGHT, WIDTH, Clip, draw_frame, read_barcode, write_drawn_clip, write_drawn_stills


def _combing(picture: np.ndarray) -> float:
    """How much more neighbouring lines differ than lines of the same field."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)[30:]
    return float(np.abs(grey[1:] - grey[:-1]).mean() - np.abs(grey[2:] - grey[:-2]).mean() / 2)


# --- interlaced -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("i.mp4", "libx264", "yuv420p"), ("i.mpg", "mpeg2video", "yuv420p"), ("i.mov", "prores_ks", "yuv422p10le")],
)
def test_deinterlacing_takes_the_comb_away_and_keeps_frames_and_times(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    clip = interlaced(tmp_path, name, codec, pixels)
    with open_video(clip) as plain, open_video(clip, deinterlace=True) as whole:
        assert plain.video.interlaced
        assert np.array_equal(plain.video.pts, whole.video.pts)
        pictures = list(whole.frames(whole.video.span))
        assert [read_barcode(picture) for picture in pictures] == list(range(24))
        combed, clean = _combing(plain.get(9)), _combing(pictures[9])
        assert combed > 4 * max(clean, 0.1)
        order = list(range(24))
        random.Random(6).shuffle(order)
        for frame in order:
            assert np.array_equal(whole.get(frame), pictures[frame]), f"frame {frame} differs after a seek"
        for start, stop in ((0, 1), (5, 6), (23, 24), (7, 15)):
            again = list(whole.frames(FrameRange(start, stop)))
            assert all(np.array_equal(a, b) for a, b in zip(again, pictures[start:stop], strict=True))


def test_a_deinterlaced_clip_is_another_clip_to_the_caches_and_stays_deinterlaced(tmp_path: Path) -> None:
    clip = interlaced(tmp_path)
    with open_video(clip) as plain, open_video(clip, deinterlace=True) as whole:
        assert plain.video.digest != whole.video.digest
        assert "deinterlaced" in " ".join(whole.video.warnings)
        document = to_json(Project("p", whole.video, whole.video.span))
        video = from_json(document).video
        assert video.deinterlaced
        with open_video(clip, video) as again:
            assert again.video.digest == whole.video.digest
            assert np.array_equal(again.get(4), whole.get(4))


# --- HDR ------------------------------------------------------------------------------------------------------------


def _flat(signal: float) -> np.ndarray:
    return np.full((2, 2, 3), round(signal * 65535), np.uint16)


def _pq(light: float) -> float:
    """Signal of PQ for cd/m², SMPTE ST 2084."""
    power = (light / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def test_tone_mapping_keeps_the_middle_and_rolls_off_the_bright() -> None:
    for light in (1.0, 10.0, 50.0, 140.0):
        shown = to_standard_range(_flat(_pq(light)), PQ)[0, 0, 0] / 65535
        assert abs(shown**2.4 - light / WHITE) < 0.02, f"{light} cd/m² keeps its brightness"
    steps = [int(to_standard_range(_flat(_pq(light)), PQ)[0, 0, 0]) for light in (0.0, 100, 203, 400, 1000, 4000, 10_000)]
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[-1] == steps[-3] == 65535
    assert abs(int(to_standard_range(_flat(0.75), HLG)[0, 0, 0]) - steps[2]) < 700, "HLG at 75 % is reference white, 203 cd/m²"
    grey = to_standard_range(_flat(0.4), PQ)[0, 0]
    assert int(grey.max()) - int(grey.min()) <= 4 * DEEP // 16, "grey stays grey"


def test_the_tone_curve_is_smooth_and_ends_at_white() -> None:
    light = np.linspace(0, 2 * PEAK, 4000, dtype=np.float32)
    curve = rolled_off(light)
    assert (np.diff(curve) >= 0).all()
    assert np.isclose(curve[-1], 1)
    slope = np.diff(curve) / np.diff(light)
    assert np.abs(np.diff(slope))[: len(slope) // 2 - 10].max() < 0.02, "no kink at the knee"


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_is_read_as_standard_range(tmp_path: Path, transfer: int) -> None:
    with open_video(hdr(tmp_path, transfer)) as reader:
        assert (reader.video.colour.matrix, reader.video.colour.primaries, reader.video.colour.transfer) == (1, 1, 1)
        assert reader.video.bits == 10
        deep = next(reader.frames(FrameRange(2, 3), deep=True))
        assert np.array_equal(narrow(deep), reader.get(2))
        assert reader.get(2).mean() > 40


# --- deep colours, transparency -------------------------------------------------------------------------------------


def _ramp(folder: Path) -> Path:
    """Ten bits of grey, one level a column, lossless."""
    with av.open(str(folder / "ramp.mkv"), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 256, 32, "yuv444p10le"
        stream.codec_context.color_range, stream.codec_context.colorspace = 1, 1
        for number in range(3):
            frame = av.VideoFrame(256, 32, "yuv444p10le")
            luma = np.tile(np.arange(400, 656, dtype=np.uint16) + number, (32, 1))
            for plane, value in zip(frame.planes, (luma, luma * 0 + 512, luma * 0 + 512), strict=True):
                rows = np.zeros((32, plane.line_size // 2), np.uint16)
                rows[:, :256] = value
                plane.update(rows.tobytes())
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder / "ramp.mkv"


def test_ten_bits_are_read_in_full_and_rounded_for_the_page(tmp_path: Path) -> None:
    with open_video(_ramp(tmp_path)) as reader:
        assert reader.video.bits == 10
        pictures = list(reader.frames(reader.video.span, deep=True))
        assert pictures[0].dtype == np.uint16
        assert len(np.unique(pictures[0][..., 1])) == 256, "each of the 256 levels stays apart"
        expected = (np.arange(400, 656) - 64) / 876 * 65535
        assert np.abs(pictures[0][5, :, 1] - expected).max() < 65535 / 876 / 2
        for frame, picture in enumerate(pictures):
            assert np.array_equal(narrow(picture), reader.get(frame))


def test_widening_and_narrowing_are_inverse() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(narrow(widen(levels)), levels)
    assert widen(levels).max() == 65535


@pytest.mark.parametrize(
    ("name", "codec", "pixels"), [("a.mov", "prores_ks", "yuva444p10le"), ("a.webm", "libvpx-vp9", "yuva420p")]
)
def test_transparency_is_read_beside_the_picture(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    with open_video(transparent(tmp_path, name, codec, pixels)) as reader:
        assert reader.has_alpha
        alphas = list(reader.alphas(reader.video.span))
        assert len(alphas) == 6
        assert alphas[3].shape == (HEIGHT, WIDTH)
        assert abs(alphas[3][50, 20] / 65535 - 128 / 255) < 0.02
        assert alphas[3][50, 170] == 65535
    with open_video(write_drawn_clip(tmp_path / "plain.mp4", Clip(frames=2))) as reader:
        assert not reader.has_alpha


# --- shape ----------------------------------------------------------------------------------------------------------


def test_non_square_pixels_are_shown_square(tmp_path: Path) -> None:
    with open_video(anamorphic(tmp_path)) as reader:
        assert reader.video.size == (HEIGHT, 2 * WIDTH)
        wide = cv2.resize(draw_frame(5), (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        assert np.abs(reader.get(5).astype(int) - wide).mean() < 6


def test_a_project_from_before_square_pixels_keeps_its_size(tmp_path: Path) -> None:
    clip = anamorphic(tmp_path)
    with open_video(clip) as reader:
        older = replace(reader.video, size=(HEIGHT, WIDTH))
    with open_video(clip, older) as reader:
        assert reader.get(0).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_orientation_is_shown_as_players_show_it(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    """The display matrix turns first and mirrors then (av_display_matrix_flip negates what x' is made of)."""
    clip = write_drawn_clip(tmp_path / "t.mp4", Clip(frames=2, rotation=rotation, mirrored=mirrored))
    turned = np.rot90(draw_frame(1), rotation // 90)
    shown = turned[:, ::-1] if mirrored else turned
    with open_video(clip) as reader:
        assert reader.video.size == shown.shape[:2]
        assert np.abs(reader.get(1).astype(int) - shown).mean() < 6


# --- damage ---------------------------------------------------------------------------------------------------------


def test_damage_beyond_the_first_look_is_found_when_the_clip_is_prepared(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "flipped bytes")
    with open_video(case.make(tmp_path)) as reader:
        known = {frame for start, stop in reader.video.damaged for frame in range(start, stop)}

        def stop_half_way(done: int, total: int) -> None:
            if done == 30:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build_pack(reader, tmp_path / "pack", stop_half_way)
        reader.damaged.clear()
        build_pack(reader, tmp_path / "pack")
        pack = FramePack.open(tmp_path / "pack")
        # Decoding on from a keyframe, FFmpeg may call a frame or two more damaged than when reading from the start.
        assert known <= set(pack.damaged)
        assert len(pack.damaged) < 48


def test_damage_is_told_in_ranges() -> None:
    assert ranges_of([5, 3, 4, 9]) == [FrameRange(3, 6), FrameRange(9, 10)]
    assert damage_sentence([3, 4, 5, 9]).startswith("Damaged frames: 3–5, 9;")
    assert "and 12 more places" in damage_sentence(range(0, 40, 2))


def test_a_rate_that_was_given_stays(tmp_path: Path) -> None:
    raw = write_drawn_clip(tmp_path / "r.h264", Clip(frames=6))
    with open_video(raw, rate=Fraction(30)) as reader, open_video(raw, reader.video) as again:
        assert again.video.rate == 30
        assert again.video.warnings == reader.video.warnings


# --- chosen by the user ---------------------------------------------------------------------------------------------


def _recipe(clip: Path, **body: Any) -> Recipe:
    (clip.parent / "r.json").write_text(json.dumps({"clip": clip.name, **body}))
    return read_recipe(clip.parent / "r.json")


def test_a_recipe_deinterlaces_its_clip(tmp_path: Path) -> None:
    clip = interlaced(tmp_path)
    plain, whole = batch.look_at(_recipe(clip)), batch.look_at(_recipe(clip, deinterlace=True))
    assert (plain.deinterlaced, whole.deinterlaced) == (False, True)
    with pytest.raises(RecipeError, match="deinterlace must be true or false"):
        _recipe(clip, deinterlace="yes")
    write_drawn_stills(tmp_path / "stills", frames=3)
    with pytest.raises(RecipeError, match="deinterlace is for video files"):
        batch.look_at(_recipe(tmp_path / "stills", deinterlace=True))


def test_a_project_opened_with_deinterlace_is_read_so_again(tmp_path: Path) -> None:
    clip = interlaced(tmp_path)
    Editor.create(tmp_path / "project", clip, deinterlace=True).close()
    editor = Editor(tmp_path / "project")
    with open_video(clip, deinterlace=True) as reader:
        assert np.array_equal(editor.picture(6), reader.get(6))
    editor.close()


def test_the_page_opens_clips_deinterlaced_and_says_so(tmp_path: Path) -> None:
    clip = interlaced(tmp_path, "<b>.mp4")
    (tmp_path / "projects").mkdir()
    store = SessionStore(tmp_path / "projects")
    try:
        plain, whole = source.opened_by_path(store, str(clip)), source.opened_by_path(store, f'"{clip}"', True)
        assert "choose “Deinterlace”" in source._facts(plain)
        assert "it is deinterlaced" in source._facts(whole)
        upload = store.create(clip, keep=True, deinterlace=True)
        assert upload.editor.project.video.deinterlaced
        assert upload.editor.project.video.digest == whole.editor.project.video.digest
    finally:
        store.close()


def test_remarks_name_damage_once(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "flipped bytes")
    with open_video(case.make(tmp_path)) as reader:
        video = reader.video
    assert clip_remarks(video, []) == list(video.warnings)
    later = clip_remarks(video, [1, 2, 40])
    assert [one for one in later if one.startswith("Damaged frames")] == [damage_sentence([1, 2, 40])]
