"""Clips that cameras, phones, editors, broken downloads and bad intentions produce: small ones, drawn when they are needed.

Each case says how it is made and what must come of it: it opens, with so many frames of such a size and these words among
the remarks; or it is refused with one sentence that holds these words.
"""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.media_fixtures import HEIGHT, WIDTH, X264, Clip, copy_packets, draw_frame, write_drawn_clip

SIZE = (HEIGHT, WIDTH)
VFR = [0, 500, 1120, 1500, 2000, 2620, *range(11400, 11400 + 500 * 18, 500)]
X265 = {"preset": "ultrafast", "x265-params": "log-level=error"}
NAMES = (
    "ünïcødé 🎬 \"quote' &<b>.mp4",
    "L" * 245 + ".mp4",
    "a:b.mp4",
    "http:x.mp4",
    "rtl\u202e4pm.mp4",
    "-i.mp4",
    "new\nline.mp4",
)


@dataclass(frozen=True)
class Opens:
    """`frames` exactly, or at least and at most; `codes` the barcodes that the frames must carry, in order (None: not looked at);
    `says` words among the remarks, and none if there are none."""

    frames: int | tuple[int, int] = 24
    size: tuple[int, int] = SIZE
    says: tuple[str, ...] = ()
    codes: bool = True


@dataclass(frozen=True)
class Refused:
    reason: str


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[Path], Path]
    comes: Opens | Refused


def good(folder: Path, name: str = "good.mp4", **change: Any) -> Path:
    return write_drawn_clip(folder / name, Clip(**{"frames": 24, **change}))


def _bytes(folder: Path, name: str, content: bytes | bytearray) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def _patched(path: Path, box: bytes, offset: int, value: int) -> Path:
    """Writes a 32-bit number at `offset` behind the name of an MP4 box, wherever the box is."""
    content = bytearray(path.read_bytes())
    at = content.find(box)
    while at >= 0:
        content[at + 4 + offset : at + 8 + offset] = struct.pack(">I", value)
        at = content.find(box, at + 4)
    path.write_bytes(content)
    return path


# --- broken ---------------------------------------------------------------------------------------------------------


def _no_index(folder: Path) -> Path:
    content = good(folder).read_bytes()
    return _bytes(folder, "cut.mp4", content[: content.rfind(b"moov") - 4])


def _cut_off(folder: Path) -> Path:
    content = good(folder, frames=48, container={"movflags": "+faststart"}).read_bytes()
    return _bytes(folder, "cut.mp4", content[: int(len(content) * 0.55)])


def _cut_off_fragments(folder: Path) -> Path:
    content = good(folder, frames=48, container={"movflags": "frag_keyframe+empty_moov"}).read_bytes()
    return _bytes(folder, "cut.mp4", content[: int(len(content) * 0.6)])


def _flipped_bytes(folder: Path) -> Path:
    content = bytearray(good(folder, frames=48).read_bytes())
    start, stop = content.find(b"mdat") + 3000, content.rfind(b"moov") - 2000
    noise = random.Random(0)
    for _ in range(60):
        content[noise.randrange(start, stop)] ^= noise.randrange(1, 255)
    return _bytes(folder, "flipped.mp4", content)


def _sound_only(folder: Path) -> Path:
    with av.open(str(folder / "song.mp4"), "w") as container:
        stream: Any = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder / "song.mp4"


# --- not a clip, or too much of one ---------------------------------------------------------------------------------


def png_of(width: int, height: int, bits: int = 8, kind: int = 2, pixels: bytes = zlib.compress(b"\0" * 1000)) -> bytes:
    """A PNG with this header, whatever its pixels are."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def png_bomb(side: int = 30_000) -> bytes:
    """A hundred kilobytes that unpack to `side`² pixels."""
    packer = zlib.compressobj(9)
    rows = (b"\0" + b"\0" * (side // 8)) * 1000
    return png_of(side, side, 1, 0, b"".join([packer.compress(rows) for _ in range(side // 1000)]) + packer.flush())


def _large_header(folder: Path) -> Path:
    path = write_drawn_clip(folder / "huge.avi", Clip(frames=3, codec="rawvideo", options={}))
    content = bytearray(path.read_bytes())
    at = content.find(b"strf") + 8
    content[at + 4 : at + 12] = struct.pack("<ii", 16384, 8192)
    return _bytes(folder, "huge.avi", content)


def _large_stream(folder: Path) -> Path:
    """A container that says 192×112 around a picture of 12000×8000 in a few kilobytes."""
    inner = png_of(12_000, 8_000, 1, 0, zlib.compress((b"\0" * 1501) * 8000, 9))
    with av.open(str(folder / "large.mov"), "w") as container:
        stream: Any = container.add_stream("png", rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb24"
        for number in range(3):
            packet = av.Packet(inner)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 24)
            packet.is_keyframe = True
            container.mux(packet)
    return folder / "large.mov"


def _folder(folder: Path) -> Path:
    (folder / "d.mp4").mkdir()
    return folder / "d.mp4"


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


def _link(folder: Path, to: str) -> Path:
    (folder / "link.mp4").symlink_to(to)
    return folder / "link.mp4"


def _playlist_of_local_files(folder: Path) -> Path:
    good(folder, "part.ts", frames=6)
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\npart.ts\n#EXT-X-ENDLIST\n"
    return _bytes(folder, "list.m3u8", text.encode())


def _hidden_playlist(folder: Path) -> Path:
    good(folder, "part.ts", frames=6)
    return _bytes(folder, "list.mp4", b"\n\n#EXTM3U\n#EXTINF:1.0,\nhttp://127.0.0.1:9/secret\n")


def _list_of_files(folder: Path) -> Path:
    good(folder, frames=3)
    return _bytes(folder, "list.txt", b"ffconcat version 1.0\nfile good.mp4\n")


def _unknown_codec(folder: Path) -> Path:
    path = good(folder, "odd.avi", codec="mpeg4", options={})
    content = path.read_bytes().replace(b"FMP4", b"ZZZZ")
    return _bytes(folder, "odd.avi", content)


# --- odd but honest -------------------------------------------------------------------------------------------------


def _woven(number: int) -> np.ndarray:
    """Two moments in one frame; the barcode is that of the frame."""
    picture, later = draw_frame(number), draw_frame(number)
    later[30:] = np.roll(later[30:], 6, axis=1)
    picture[1::2] = later[1::2]
    return picture


def interlaced(folder: Path, name: str = "i.mp4", codec: str = "libx264", pixels: str = "yuv420p") -> Path:
    options = {**(X264 if codec == "libx264" else {}), "flags": "+ildct+ilme"}
    return good(folder, name, codec=codec, pixels=pixels, options=options, rate=Fraction(25), draw=_woven)


def transparent(folder: Path, name: str = "a.mov", codec: str = "prores_ks", pixels: str = "yuva444p10le") -> Path:
    """A clip whose left half is half transparent."""
    options = {"profile": "4444"} if codec == "prores_ks" else {"deadline": "realtime", "cpu-used": "8"}
    with av.open(str(folder / name), "w") as container:
        stream: Any = container.add_stream(codec, rate=24, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        for number in range(6):
            rgba = np.dstack([draw_frame(number), np.full(SIZE, 255, np.uint8)])
            rgba[:, : WIDTH // 2, 3] = 128
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder / name


def hdr(folder: Path, transfer: int) -> Path:
    tags = {"color_trc": transfer, "color_primaries": 9, "colorspace": 9, "color_range": 1}
    return good(folder, "hdr.mp4", frames=6, codec="libx265", pixels="yuv420p10le", options=X265, tags=tags)


def anamorphic(folder: Path, aspect: Fraction = Fraction(2), rotation: int = 0) -> Path:
    return good(folder, "sar.mp4", rotation=rotation, tags={"sample_aspect_ratio": aspect})


def subtitled(folder: Path, name: str = "s.mkv", codec: str = "subrip") -> Path:
    """A clip of one second with one line of text from 0.25 to 0.75 s."""
    with av.open(str(folder / name), "w") as container:
        stream: Any = container.add_stream("libx264", rate=24, options=X264)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        words: Any = container.add_stream(codec)
        words.codec_context.subtitle_header = b"[Script Info]\n"
        for number in range(24):
            frame = av.VideoFrame.from_ndarray(draw_frame(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        line = b"Hello, <i>world</i>"
        packet = av.Packet(line if codec == "subrip" else struct.pack(">H", len(line)) + line)
        packet.stream, packet.pts, packet.dts, packet.duration, packet.time_base = words, 250, 250, 500, Fraction(1, 1000)
        container.mux(packet)
    return folder / name


def _starts_in_the_middle(folder: Path) -> Path:
    options = {**X264, "x264-params": "open-gop=1:keyint=12:bframes=4:scenecut=0"}
    return _bytes(folder, "cut.ts", good(folder, "whole.ts", frames=48, options=options).read_bytes()[188 * 60 :])


def _changes_size(folder: Path) -> Path:
    first, second = good(folder, "a.h264"), good(folder, "b.h264", size=(WIDTH, HEIGHT), draw=_sideways)
    return _bytes(folder, "both.h264", first.read_bytes() + second.read_bytes())


def _sideways(number: int) -> np.ndarray:
    return draw_frame(number, HEIGHT, WIDTH, 5)


def _shifted(folder: Path, name: str, by: int, **container: str) -> Path:
    return copy_packets(good(folder, "plain" + Path(name).suffix), folder / name, shift=by, container=container)


def _named(name: str) -> Callable[[Path], Path]:
    return lambda folder: good(folder, "plain.mp4", frames=3).rename(folder / name)


CASES = [
    Case("good", good, Opens()),
    Case("empty file", lambda f: _bytes(f, "zero.mp4", b""), Refused("is empty")),
    Case("index cut off", _no_index, Refused("cut off or is still being written")),
    Case("cut off", _cut_off, Opens((10, 40), says=("cut off", " of 48 frames"), codes=False)),
    Case("cut off between fragments", _cut_off_fragments, Opens((10, 40), says=("cut off",), codes=False)),
    Case("flipped bytes", _flipped_bytes, Opens((40, 48), says=("Damaged frames: ",), codes=False)),
    Case("a web page", lambda f: _bytes(f, "page.mp4", b"<html>not a video</html>" * 50), Refused("not a clip")),
    Case("noise", lambda f: _bytes(f, "noise.mp4", random.Random(5).randbytes(20_000)), Refused("not a clip")),
    Case("picture named as a clip", lambda f: _bytes(f, "p.mp4", png_of(64, 64)), Refused("is a picture")),
    Case("MKV named MP4", lambda f: good(f, "a.mkv").rename(f / "a.mp4"), Opens()),
    Case("MP4 named PNG", lambda f: good(f, "a.mp4").rename(f / "a.png"), Opens()),
    Case("large header", _large_header, Refused("over the limit")),
    Case("large pictures in a small container", _large_stream, Refused("over the limit|no frame that can be decoded")),
    Case("picture bomb", lambda f: _bytes(f, "bomb.mp4", png_bomb()), Refused("is a picture")),
    Case("picture with a lying header", lambda f: _bytes(f, "p.png", png_of(65_000, 65_000)), Refused("is a picture")),
    Case("sample count of 2³¹", lambda f: _patched(good(f), b"stsz", 8, 0x7FFFFFFF), Refused("cut off|no frame|not a clip")),
    Case("lying duration", lambda f: _patched(_patched(good(f), b"mvhd", 16, 2**31 - 1), b"mdhd", 16, 2**31 - 1), Opens()),
    Case("variable frame rate", lambda f: good(f, time_base=Fraction(1, 12000), times=VFR), Opens()),
    Case("turned", lambda f: good(f, rotation=90, codec="libx264"), Opens(size=SIZE[::-1], codes=False)),
    Case("mirrored", lambda f: good(f, mirrored=True, draw=lambda i: draw_frame(i)[:, ::-1].copy()), Opens()),
    Case("odd size", lambda f: good(f, pixels="yuv444p", size=(97, 161)), Opens(size=(97, 161))),
    Case(
        "two pixels",
        lambda f: good(f, "t.mkv", codec="ffv1", options={}, size=(2, 2), draw=lambda _: np.zeros((2, 2, 3), np.uint8)),
        Refused("smallest side"),
    ),
    Case("ProRes with alpha", transparent, Opens(6, says=("10 bits|12 bits", "transparency"))),
    Case(
        "VP9 with alpha",
        lambda f: transparent(f, "a.webm", "libvpx-vp9", "yuva420p"),
        Opens(6, says=("transparency; it is shown opaque and kept",)),
    ),
    Case("HDR10", lambda f: hdr(f, 16), Opens(6, says=(r"HDR \(PQ\)", "tone-mapped"))),
    Case("HLG", lambda f: hdr(f, 18), Opens(6, says=(r"HDR \(HLG\)", "tone-mapped"))),
    Case("interlaced H.264", interlaced, Opens(says=("interlaced",))),
    Case("interlaced MPEG-2", lambda f: interlaced(f, "i.mpg", "mpeg2video"), Opens(says=("interlaced",))),
    Case(
        "interlaced ProRes",
        lambda f: interlaced(f, "i.mov", "prores_ks", "yuv422p10le"),
        Opens(says=("10 bits", "interlaced")),
    ),
    Case("edit list", lambda f: _shifted(f, "e.mp4", -5 * 512, avoid_negative_ts="disabled"), Opens(19, codes=False)),
    Case("times below zero", lambda f: _shifted(f, "n.mkv", -500, avoid_negative_ts="disabled"), Opens(says=("worked out",))),
    Case("starts at five seconds", lambda f: _shifted(f, "l.mkv", 5000), Opens()),
    Case("raw stream without times", lambda f: good(f, "r.h264"), Opens(says=("25 frames per second are assumed",))),
    Case("transport stream from the middle", _starts_in_the_middle, Opens((20, 47), codes=False)),
    Case("changing size", _changes_size, Opens(48, says=("picture size changes",), codes=False)),
    Case("pixels twice as wide", anamorphic, Opens(size=(HEIGHT, 2 * WIDTH), says=("non-square",), codes=False)),
    Case(
        "pixels twice as high, turned",
        lambda f: anamorphic(f, Fraction(1, 2), 90),
        Opens(size=(WIDTH, 2 * HEIGHT), says=("non-square",), codes=False),
    ),
    Case("pixels fifty times as wide", lambda f: anamorphic(f, Fraction(50)), Opens(says=("a mistake",))),
    Case("full range", lambda f: good(f, pixels="yuvj420p", tags={"color_range": 2}), Opens()),
    Case("grey", lambda f: good(f, pixels="gray"), Opens()),
    Case("motion JPEG", lambda f: good(f, "m.avi", codec="mjpeg", pixels="yuvj420p", options={"qmax": "4"}), Opens()),
    Case("GIF", lambda f: good(f, "a.gif", codec="gif", pixels="rgb8", options={}, rate=Fraction(10)), Opens()),
    Case("one frame", lambda f: good(f, frames=1), Opens(1)),
    Case("a thousand frames a second", lambda f: good(f, rate=Fraction(1000)), Opens()),
    Case("30000/1001", lambda f: good(f, rate=Fraction(30000, 1001)), Opens()),
    Case("unknown codec", _unknown_codec, Refused("codec")),
    Case(
        "16-bit RGB in AVI",
        lambda f: good(f, "deep.avi", frames=3, codec="rawvideo", pixels="rgb48le", options={}),
        Refused("no frame that can be decoded"),
    ),
    Case("sound longer", lambda f: good(f, audio=("aac",), audio_seconds=3), Opens()),
    Case("sound shorter", lambda f: good(f, frames=48, audio=("aac",), audio_seconds=1), Opens(48)),
    Case("two sound tracks", lambda f: good(f, "t.mkv", audio=("aac", "aac")), Opens()),
    Case("subtitles", subtitled, Opens(says=("subtitles",))),
    Case("sound only", _sound_only, Refused("no picture track")),
    Case("folder named as a clip", _folder, Refused("no numbered pictures")),
    Case("pipe", _fifo, Refused("pipe or a device")),
    Case("link to a text file", lambda f: _link(f, __file__), Refused("not a clip")),
    Case("link to a device", lambda f: _link(f, "/dev/zero"), Refused("pipe or a device")),
    Case("link to nothing", lambda f: _link(f, "nowhere"), Refused("cannot be opened")),
    Case("playlist of local files", _playlist_of_local_files, Refused("playlist")),
    Case("playlist behind blank lines", _hidden_playlist, Refused("not a clip|playlist")),
    Case("list of files", _list_of_files, Refused("playlist")),
    *(Case(f"name {name[:12]!r}", _named(name), Opens(3)) for name in NAMES),
]
