"""Files that are not what they seem: one sentence each, at once, and nothing opened that should not be."""

from __future__ import annotations

import os
import random
import socket
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engine.errors import MediaError
from engine.media.images import decode_png, encode_png, fit_image, read_image, read_mask
from engine.media.reader import open_video
from tests.media_fixtures import X264, Clip, draw_frame, write_drawn_clip, write_drawn_stills

SIZE = (96, 160)


def _zero(folder: Path) -> Path:
    (folder / "zero.mp4").touch()
    return folder / "zero.mp4"


def _no_moov(folder: Path) -> Path:
    content = write_drawn_clip(folder / "good.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(content[: content.rfind(b"moov") - 4])
    return folder / "cut.mp4"


def _text(folder: Path) -> Path:
    (folder / "page.mp4").write_text("<html>not a video</html>" * 50)
    return folder / "page.mp4"


def _noise(folder: Path) -> Path:
    (folder / "noise.mp4").write_bytes(random.Random(5).randbytes(20_000))
    return folder / "noise.mp4"


def _picture(folder: Path) -> Path:
    (folder / "still.mp4").write_bytes(encode_png(draw_frame(0)))
    return folder / "still.mp4"


def _lone_still(folder: Path) -> Path:
    (folder / "photo.png").write_bytes(encode_png(draw_frame(0)))
    return folder / "photo.png"


def _sound_only(folder: Path) -> Path:
    with av.open(str(folder / "song.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder / "song.mp4"


def _huge(folder: Path) -> Path:
    """A small clip whose header says 16384×8192."""
    path = write_drawn_clip(folder / "huge.avi", Clip(frames=3, codec="rawvideo", options={}))
    content = bytearray(path.read_bytes())
    at = content.find(b"strf") + 8
    content[at + 4 : at + 12] = struct.pack("<ii", 16384, 8192)
    path.write_bytes(content)
    return path


def _tiny(folder: Path) -> Path:
    clip = Clip(frames=3, size=(8, 8), codec="ffv1", options={}, draw=lambda _: np.zeros((8, 8, 3), np.uint8))
    return write_drawn_clip(folder / "tiny.mkv", clip)


def _folder_without_pictures(folder: Path) -> Path:
    (folder / "notes.txt").write_text("nothing")
    return folder


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


def _link_to_device(folder: Path) -> Path:
    (folder / "link.mp4").symlink_to("/dev/zero")
    return folder / "link.mp4"


def _playlist(folder: Path) -> Path:
    (folder / "list.mp4").write_text("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\nother.ts\n#EXT-X-ENDLIST\n")
    return folder / "list.mp4"


def _concat_list(folder: Path) -> Path:
    write_drawn_clip(folder / "good.mp4", Clip(frames=3))
    (folder / "list.txt").write_text("ffconcat version 1.0\nfile good.mp4\n")
    return folder / "list.txt"


def _vanished(folder: Path) -> Path:
    return folder / "gone.mp4"


def _two_sequences(folder: Path) -> Path:
    write_drawn_stills(folder / "mixed", frames=3)
    for number in range(3):
        (folder / "mixed" / f"mask_{number}.png").write_bytes(encode_png(draw_frame(number)))
    return folder / "mixed"


BAD: list[tuple[Callable[[Path], Path], str]] = [
    (_zero, "is empty"),
    (_no_moov, "cut off"),
    (_text, "not a clip"),
    (_noise, "not a clip"),
    (_picture, "is a picture"),
    (_lone_still, "is a picture"),
    (_sound_only, "no picture track"),
    (_huge, "over the limit"),
    (_tiny, "smallest side"),
    (_folder_without_pictures, "no numbered pictures"),
    (_fifo, "pipe or a device"),
    (_link_to_device, "pipe or a device"),
    (_playlist, "playlist"),
    (_concat_list, "playlist"),
    (_vanished, "cannot be opened"),
    (_two_sequences, "several sequences"),
]


@pytest.mark.parametrize(("make", "reason"), BAD, ids=[make.__name__[1:] for make, _ in BAD])
def test_one_sentence_says_what_is_wrong(make: Callable[[Path], Path], reason: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(MediaError, match=reason) as caught:
        open_video(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(tmp_path) not in text, "names, not places"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/a.mp4",
        "concat:a.mp4|b.mp4",
        "subfile,,start,0,end,9,,:a.mp4",
        "data:video/mp4;base64,AAAA",
        "rtsp://x/y",
    ],
)
def test_addresses_are_refused_without_a_call(address: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        with pytest.raises(MediaError, match="is an address"):
            open_video(address.format(port=listener.getsockname()[1]))
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_path_with_a_null_byte_is_refused() -> None:
    with pytest.raises(MediaError):
        open_video("a\0b.mp4")


def test_a_pattern_reads_only_itself(tmp_path: Path) -> None:
    write_drawn_stills(tmp_path, frames=3, first=1)
    with pytest.raises(MediaError, match="cannot be opened"):
        open_video(tmp_path / "shot_%04d.png")


def test_a_link_to_a_clip_opens(tmp_path: Path) -> None:
    clip = write_drawn_clip(tmp_path / "real.mp4", Clip(frames=3))
    (tmp_path / "link.mp4").symlink_to(clip)
    with open_video(tmp_path / "link.mp4") as reader:
        assert reader.video.frames == 3


def test_a_clip_that_is_cut_off_opens_with_what_is_there(tmp_path: Path) -> None:
    whole = write_drawn_clip(tmp_path / "whole.mp4", Clip(container={"movflags": "+faststart"}))
    content = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: int(len(content) * 0.6)])
    with open_video(tmp_path / "cut.mp4") as reader:
        assert 10 < reader.video.frames < 48
        assert "cut off" in reader.video.warnings[0]
        pictures = list(reader.frames(reader.video.span))
        assert len(pictures) == reader.video.frames
        for frame in (reader.video.frames - 1, 0, 5):
            reader.get(frame)


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bytes_never_stop_half_way(tmp_path: Path, seed: int) -> None:
    content = bytearray(write_drawn_clip(tmp_path / "good.mp4").read_bytes())
    start, stop = content.find(b"mdat") + 1000, content.rfind(b"moov") - 100
    noise = random.Random(seed)
    for _ in range(60):
        content[noise.randrange(start, stop)] ^= noise.randrange(1, 255)
    (tmp_path / "bad.mp4").write_bytes(content)
    try:
        reader = open_video(tmp_path / "bad.mp4")
    except MediaError:
        return
    with reader:
        pictures = list(reader.frames(reader.video.span))
        assert len(pictures) == reader.video.frames
        for frame in noise.sample(range(len(pictures)), 10):
            assert reader.get(frame).shape == pictures[frame].shape


@pytest.mark.parametrize("seed", range(40))
def test_mutated_headers_end_in_a_sentence_or_a_clip(tmp_path: Path, seed: int) -> None:
    content = bytearray(write_drawn_clip(tmp_path / "good.mp4", Clip(frames=6)).read_bytes())
    noise = random.Random(seed)
    start = content.rfind(b"moov")
    for _ in range(6):
        content[noise.randrange(start, len(content))] = noise.randrange(256)
    (tmp_path / "bad.mp4").write_bytes(content)
    try:
        with open_video(tmp_path / "bad.mp4") as reader:
            assert len(list(reader.frames(reader.video.span))) == reader.video.frames
    except MediaError as error:
        assert "\n" not in str(error)


def test_remarks_name_what_is_not_kept(tmp_path: Path) -> None:
    cases = [
        (
            Clip(frames=3, codec="prores_ks", pixels="yuva444p10le", options={"profile": "4444"}),
            "a.mov",
            ["bits per colour", "transparency"],
        ),
        (Clip(frames=3, options={**X264, "flags": "+ildct+ilme"}), "i.mp4", ["interlaced"]),
        (Clip(frames=3, tags={"color_trc": 16, "color_primaries": 9, "colorspace": 9}), "h.mp4", ["HDR (PQ)"]),
    ]
    for clip, name, words in cases:
        with open_video(write_drawn_clip(tmp_path / name, clip)) as reader:
            remarks = " ".join(reader.video.warnings)
            assert all(word in remarks for word in words), remarks
    with open_video(write_drawn_clip(tmp_path / "plain.mp4", Clip(frames=3))) as reader:
        assert reader.video.warnings == ()


def test_a_size_that_changes_is_brought_to_the_first(tmp_path: Path) -> None:
    parts = []
    for name, size in (("a", (112, 192)), ("b", (192, 112))):
        parts.append(write_drawn_clip(tmp_path / f"{name}.h264", Clip(frames=12, size=size)).read_bytes())
    (tmp_path / "both.h264").write_bytes(b"".join(parts))
    with open_video(tmp_path / "both.h264") as reader:
        assert {picture.shape for picture in reader.frames(reader.video.span)} == {(112, 192, 3)}
        assert reader.video.frames == 24


# --- stills and masks ----------------------------------------------------------------------------------------------


def _inside() -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[20:60, 30:80] = 255
    return mask


def _save_palette(path: Path, mask: np.ndarray) -> None:
    picture = Image.fromarray(mask // 255).convert("P")
    picture.putpalette([0, 0, 0, 128, 0, 0] + [0] * 762)
    picture.save(path)


def _save_rotated(path: Path, mask: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.stack([np.rot90(mask)] * 3, -1)).save(path, exif=exif)


MASKS: dict[str, Callable[[Path, np.ndarray], object]] = {
    "plain.png": lambda path, mask: Image.fromarray(mask).save(path),
    "ones.png": lambda path, mask: Image.fromarray(mask // 255).save(path),
    "deep.png": lambda path, mask: Image.fromarray(mask.astype(np.uint16) * 257).save(path),
    "float.tiff": lambda path, mask: Image.fromarray((mask / 255).astype(np.float32)).save(path),
    "palette.png": _save_palette,
    "bits.png": lambda path, mask: Image.fromarray(mask > 0).save(path),
    "rgb.png": lambda path, mask: Image.fromarray(np.stack([mask] * 3, -1)).save(path),
    "alpha.png": lambda path, mask: Image.fromarray(np.dstack([np.zeros((*SIZE, 3), np.uint8), mask])).save(path),
    "white_alpha.png": lambda path, mask: Image.fromarray(np.dstack([np.full((*SIZE, 3), 255, np.uint8), mask])).save(path),
    "opaque.png": lambda path, mask: Image.fromarray(np.dstack([mask, mask, mask, np.full(SIZE, 255, np.uint8)])).save(path),
    "rotated.png": _save_rotated,
    "bool.npy": lambda path, mask: np.save(path, mask > 0),
    "float.npy": lambda path, mask: np.save(path, mask / 255),
    "uint8.npy": lambda path, mask: np.save(path, mask),
}


@pytest.mark.parametrize("name", MASKS)
def test_every_way_to_write_a_mask_reads_the_same(tmp_path: Path, name: str) -> None:
    MASKS[name](tmp_path / name, _inside())
    assert np.array_equal(read_mask(tmp_path / name, SIZE), _inside())


def test_empty_full_and_soft_masks_are_read_as_they_are(tmp_path: Path) -> None:
    for name, mask in [("empty", _inside() * 0), ("full", _inside() * 0 + 255), ("soft", _inside() // 2)]:
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
        assert np.array_equal(read_mask(tmp_path / f"{name}.png", SIZE), mask)


def test_masks_that_cannot_be_read(tmp_path: Path) -> None:
    Image.fromarray(_inside()[:50, :70]).save(tmp_path / "small.png")
    np.save(tmp_path / "nan.npy", np.full(SIZE, np.nan))
    np.save(tmp_path / "object.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "cut.png").write_bytes(encode_png(draw_frame(0))[:900])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "zero.png").touch()
    reasons = {
        "small.png": "70×50 px and the clip is 160×96",
        "nan.npy": "not numbers",
        "object.npy": "plain numbers",
        "cut.png": "damaged or cut off",
        "text.png": "not a picture",
        "zero.png": "is empty",
        "gone.png": "cannot be opened",
    }
    for name, reason in reasons.items():
        with pytest.raises(MediaError, match=reason):
            read_mask(tmp_path / name, SIZE)


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(65000, 65000), (14000, 13000)])
def test_picture_bombs_are_refused_from_the_header(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "bomb.png").write_bytes(_png_header(*size))
    with pytest.raises(MediaError, match="megapixels"):
        read_image(tmp_path / "bomb.png")


def test_pictures_of_every_depth_are_rgb(tmp_path: Path) -> None:
    picture = draw_frame(9)
    Image.fromarray(picture).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([picture, np.full(picture.shape[:2], 7, np.uint8)])).save(tmp_path / "rgba.png")
    Image.fromarray(picture[..., 0].astype(np.uint16) * 257).save(tmp_path / "grey16.png")
    assert np.array_equal(read_image(tmp_path / "rgb.png"), picture)
    assert np.array_equal(read_image(tmp_path / "rgba.png"), picture)
    grey = read_image(tmp_path / "grey16.png")
    assert np.array_equal(grey, np.stack([picture[..., 0]] * 3, -1))


def test_png_round_trip() -> None:
    picture = draw_frame(3)
    assert np.array_equal(decode_png(encode_png(picture)), picture)
    assert np.array_equal(decode_png(encode_png(picture[..., 0])), picture[..., 0])
    for blob in (b"", b"garbage"):
        with pytest.raises(MediaError):
            decode_png(blob)


def test_fitting_covers_the_frame_and_keeps_proportions() -> None:
    assert fit_image(draw_frame(0), (96, 160)).shape == (96, 160, 3)
    square = np.zeros((100, 100, 3), np.uint8)
    square[:, 40:60] = 255
    fitted = fit_image(square, (100, 200))
    assert fitted.shape == (100, 200, 3)
    assert abs(int((fitted[50, :, 0] > 127).sum()) - 40) <= 2


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_a_folder_with_a_still_that_is_cut_off_is_one_sentence(tmp_path, share):
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for index in range(3):
        Image.fromarray(picture).save(tmp_path / f"{index:03d}.png")
    data = (tmp_path / "000.png").read_bytes()
    (tmp_path / "000.png").write_bytes(data[: max(60, int(share * len(data)))])
    with pytest.raises(MediaError, match=r"000\.png"):
        open_video(tmp_path)
