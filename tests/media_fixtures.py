"""Drawn clips for tests: every frame carries its own number as a barcode of 16 bits in its pixels.

The barcode is 18 cells wide and 3 high: a black frame around 16 bits, white = 1, lowest bit first. It survives
encoding, scaling of colours and JPEG, so a test reads which frame a picture really is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

CELL = 8
WIDTH, HEIGHT = 192, 112
X264 = {"preset": "veryfast", "crf": "20", "g": "12", "bf": "3"}


def draw_frame(number: int, width: int = WIDTH, height: int = HEIGHT, cell: int = CELL) -> np.ndarray:
    """(height, width, 3) uint8 RGB: a moving pattern with a moving disc and the barcode of `number` at the top left."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    red = 128 + 90 * np.sin((x + 2 * number) / 17)
    green = 128 + 90 * np.sin((y - number) / 13)
    blue = 128 + 60 * np.sin((x + y) / 29)
    picture = np.stack([red, green, blue], -1).astype(np.uint8)
    centre = (int(width * (0.2 + 0.6 * (number % 40) / 40)), int(height * 0.65))
    cv2.circle(picture, centre, height // 8, (230, 60, 40), -1)
    picture[: 3 * cell, : 18 * cell] = 0
    for bit in range(16):
        if number >> bit & 1:
            picture[cell : 2 * cell, (bit + 1) * cell : (bit + 2) * cell] = 255
    return picture


def read_barcode(picture: np.ndarray, cell: int = CELL) -> int:
    """The frame number in the pixels of a picture drawn by `draw_frame`."""
    cells = picture[cell + cell // 4 : 2 * cell - cell // 4, cell : 17 * cell].mean(axis=(0, 2)).reshape(16, cell).mean(axis=1)
    return int(sum(1 << bit for bit in range(16) if cells[bit] > 127))


@dataclass
class Clip:
    """What to write: `times` are PTS in `time_base`; `rotation` counter-clockwise degrees in the display matrix."""

    frames: int = 48
    codec: str = "libx264"
    pixels: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: dict(X264))
    rate: Fraction = Fraction(24)
    time_base: Fraction | None = None
    times: Iterable[int] | None = None
    size: tuple[int, int] = (HEIGHT, WIDTH)
    rotation: int = 0
    mirrored: bool = False
    audio: tuple[str, ...] = ()
    audio_seconds: float | None = None
    container: dict[str, str] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)
    draw: Callable[[int], np.ndarray] | None = None


def write_drawn_clip(path: Path, clip: Clip | None = None) -> Path:
    """Writes a barcode clip with PyAV alone, so that tests of the engine's writer do not rest on it."""
    clip = clip or Clip()
    base = clip.time_base or 1 / clip.rate
    times = list(clip.times) if clip.times is not None else list(range(clip.frames))
    height, width = clip.size
    with av.open("file:" + str(path), "w", options=clip.container) as container:
        stream: Any = container.add_stream(clip.codec, rate=clip.rate, options=clip.options)
        stream.width, stream.height, stream.pix_fmt = width, height, clip.pixels
        stream.codec_context.time_base = base
        for name, value in clip.tags.items():
            setattr(stream.codec_context, name, value)
        if clip.rotation or clip.mirrored:
            stream.set_display_rotation(clip.rotation, hflip=clip.mirrored)
        sounds = [container.add_stream(codec, rate=48000) for codec in clip.audio]
        for number, time in enumerate(times):
            picture = clip.draw(number) if clip.draw else draw_frame(number, width, height)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        seconds = clip.audio_seconds or float((times[-1] - times[0] + 1) * base)
        for at, sound in enumerate(sounds):
            _write_tone(container, sound, seconds, 330.0 * (at + 1))
    return path


def _write_tone(container: Any, stream: Any, seconds: float, pitch: float) -> None:
    context = stream.codec_context
    kind = context.format.name
    block = 1024
    for start in range(0, int(seconds * 48000), block):
        wave = np.sin(2 * np.pi * pitch * (start + np.arange(block)) / 48000).astype(np.float32) * 0.3
        stereo = np.stack([wave, wave])
        if kind == "fltp":
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(stereo), format="fltp", layout="stereo")
        else:
            samples = (stereo.T.reshape(1, -1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_drawn_stills(folder: Path, frames: int = 12, first: int = 1001, suffix: str = ".png") -> Path:
    """A folder of numbered stills; still `first + i` carries barcode i."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(frames):
        done, blob = cv2.imencode(suffix, draw_frame(number)[..., ::-1])
        assert done
        (folder / f"shot_{first + number:04d}{suffix}").write_bytes(blob.tobytes())
    return folder


def copy_packets(source: Path, target: Path, skip: int = 0, shift: int = 0, container: dict[str, str] | None = None) -> Path:
    """Copies the picture packets of a clip without encoding: `skip` leaves out the first ones, `shift` moves all times."""
    with av.open("file:" + str(source)) as given, av.open("file:" + str(target), "w", options=container or {}) as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(given.demux(video=0)):
            if packet.size and number >= skip:
                packet.stream = stream
                packet.pts = None if packet.pts is None else packet.pts + shift
                packet.dts = None if packet.dts is None else packet.dts + shift
                made.mux(packet)
    return target
