"""The frame pack and the cuts found while it is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import Cancelled, MediaError
from engine.media.pack import FramePack, build_pack, view_size
from engine.media.reader import open_video
from engine.media.shots import CutDetector
from tests.media_fixtures import Clip, draw_frame, read_barcode, write_drawn_clip

REAL_CLIPS = Path(__file__).parents[2] / "shared" / "clips"


def _cuts(frames: list[np.ndarray]) -> list[int]:
    detector = CutDetector()
    return [number for number, frame in enumerate(frames) if detector.push(frame)]


def _scene(seed: int, frames: int, speed: float = 2.0) -> list[np.ndarray]:
    """A textured landscape of its own colours through which the camera pans."""
    random = np.random.default_rng(seed)
    wide = np.zeros((120, 800, 3), np.float32)
    for grain in (4, 12, 40):
        rough = random.normal(0, 30, (120 // grain + 2, 800 // grain + 2, 3)).astype(np.float32)
        wide += cv2.resize(rough, (800, 120), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(wide + random.uniform(50, 200, 3), 0, 255).astype(np.uint8)
    return [picture[:, int(i * speed) % 600 : int(i * speed) % 600 + 200].copy() for i in range(frames)]


def test_a_pack_holds_every_frame(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=30))
    seen: list[tuple[int, int]] = []
    with open_video(source) as reader:
        pack = build_pack(reader, tmp_path / "pack", lambda done, total: seen.append((done, total)))
        assert pack.complete
        assert pack.ready == pack.frames == 30
        assert pack.size == reader.video.size
        assert seen[-1] == (30, 30)
        for frame in range(30):
            assert read_barcode(pack.rgb(frame)) == frame
            assert np.abs(pack.rgb(frame).astype(int) - reader.get(frame)).mean() < 6
        assert pack.jpeg(3)[:2] == b"\xff\xd8"


def test_grey_pictures_have_the_size_asked_for(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=3))
    with open_video(source) as reader:
        pack = build_pack(reader, tmp_path / "pack")
        whole = cv2.cvtColor(reader.get(2), cv2.COLOR_RGB2GRAY)
    for size in [None, (112, 192), (56, 96), (50, 90), (20, 36), (14, 24), (200, 300)]:
        grey = pack.gray(2, size)
        assert grey.shape == (size or (112, 192))
        wanted = cv2.resize(whole, grey.shape[::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(grey.astype(int) - wanted).mean() < 6


def test_large_clips_are_scaled_down_and_small_ones_left() -> None:
    assert view_size((1080, 1920)) == (720, 1280)
    assert view_size((1920, 1080)) == (720, 405)
    assert view_size((480, 854)) == (480, 854)
    assert view_size((720, 1280)) == (720, 1280)


def test_a_growing_pack_can_be_read_and_is_resumed(tmp_path: Path) -> None:
    source = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=40))
    folder = tmp_path / "pack"

    def stop_at_20(done: int, total: int) -> None:
        if done == 20:
            raise Cancelled

    with open_video(source) as reader:
        with pytest.raises(Cancelled):
            build_pack(reader, folder, stop_at_20)
        growing = FramePack.open(folder)
        before = growing.ready
        assert not growing.complete
        assert growing.frames == 40
        assert 10 < before < 40
        with pytest.raises(MediaError, match="frame 39 is not ready"):
            growing.jpeg(39)
        first = growing.jpeg(0)
        asked: list[int] = []
        frames = reader.frames
        reader.frames = lambda span: (asked.append(span.start), frames(span))[-1]  # type: ignore
        build_pack(reader, folder)
        assert asked == [before]
        assert growing.refresh() == 40
        assert growing.complete
        assert growing.jpeg(0) == first
        assert [read_barcode(growing.rgb(frame)) for frame in range(40)] == list(range(40))
        build_pack(reader, folder)
        assert asked == [before], "a complete pack is not made again"


def test_a_pack_of_another_clip_is_replaced(tmp_path: Path) -> None:
    for frames in (12, 7):
        with open_video(write_drawn_clip(tmp_path / "in.mp4", Clip(frames=frames))) as reader:
            pack = build_pack(reader, tmp_path / "pack")
            assert (pack.frames, pack.ready) == (frames, frames)


def test_there_is_no_pack(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="missing"):
        FramePack.open(tmp_path)


def test_cuts_are_written_into_the_pack_also_after_a_resume(tmp_path: Path) -> None:
    shots = [*_scene(1, 15), *_scene(2, 12), *_scene(3, 13)]
    source = write_drawn_clip(tmp_path / "in.mkv", Clip(frames=40, size=(120, 200), draw=lambda i: shots[i]))

    def stop_at_20(done: int, total: int) -> None:
        if done == 20:
            raise Cancelled

    with open_video(source) as reader:
        assert build_pack(reader, tmp_path / "once").cuts == [15, 27]
        with pytest.raises(Cancelled):
            build_pack(reader, tmp_path / "twice", stop_at_20)
        assert build_pack(reader, tmp_path / "twice").cuts == [15, 27]


@pytest.mark.parametrize("seed", range(6))
def test_known_cuts_are_found(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(8, 30, 5)
    shots = [frame for shot, length in enumerate(lengths) for frame in _scene(100 * seed + shot, int(length))]
    assert _cuts(shots) == np.cumsum(lengths)[:-1].tolist()


def _flash(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [
        np.clip(frame.astype(int) + (140 if number in (10, 11) else 0), 0, 255).astype(np.uint8)
        for number, frame in enumerate(frames)
    ]


def _fade(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [(frame * max(0.05, 1 - number / 20)).astype(np.uint8) for number, frame in enumerate(frames)]


def _white(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [np.full_like(frame, 255) if number == 12 else frame for number, frame in enumerate(frames)]


@pytest.mark.parametrize("change", [_flash, _fade, _white, list], ids=["flash", "fade", "white", "none"])
@pytest.mark.parametrize("speed", [0.0, 3.0, 12.0])
def test_flashes_fades_and_pans_are_no_cuts(change: Callable[[list[np.ndarray]], list[np.ndarray]], speed: float) -> None:
    assert _cuts(change(_scene(7, 30, speed))) == []


def test_a_moving_subject_is_no_cut() -> None:
    assert _cuts([draw_frame(number) for number in range(60)]) == []


@pytest.mark.clips
@pytest.mark.slow
@pytest.mark.parametrize("name", ["bees", "blackswan", "camel", "dogs_jump", "wolf"])
def test_real_shots_have_no_cuts(name: str) -> None:
    path = REAL_CLIPS / name / "video.mp4"
    if not path.exists():
        pytest.skip("the real clips are not here")
    with open_video(path) as reader:
        assert _cuts([cv2.resize(frame, (256, 144)) for frame in reader.frames(reader.video.span)]) == []
