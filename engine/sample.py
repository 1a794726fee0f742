"""The sample project: a clip that is drawn here (a balloon over hills), two anchors already edited, one click from done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from engine.document import acts
from engine.document.project import Project
from engine.editor import Editor

SIZE = (360, 640)
FRAMES = 72
RATE = 24
SOUND_RATE = 48_000
SEED = 7
RADIUS = 62.0
Stripes = tuple[tuple[int, int, int], ...]
STRIPES: Stripes = ((226, 60, 48), (244, 240, 228), (250, 190, 40), (244, 240, 228), (40, 120, 220), (244, 240, 228))
EDITED: Stripes = ((60, 160, 72), (244, 240, 228), (30, 110, 90), (244, 240, 228), (120, 190, 60), (244, 240, 228))
OVERSAMPLE = 3


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the balloon is: centre in px, tilt in radians."""

    x: float
    y: float
    tilt: float


def draw_sample(folder: Path) -> None:
    """Makes the sample project in `folder`."""
    media = folder / "media"
    media.mkdir(parents=True)
    clip = media / "balloon.mp4"
    write_clip(clip)
    editor = Editor.create(folder, clip, "Sample: balloon")
    try:
        editor.act(_name_balloon, "Name the balloon")
        backdrop = draw_backdrop()
        for frame in (0, FRAMES - 1):
            pose = pose_at(frame)
            editor.import_mask(frame, 1, balloon_mask(pose))
            # The take must equal what the decoder gives outside the balloon, so only the balloon is drawn again.
            source, drawn = editor.picture(frame), draw_frame(backdrop, frame, EDITED, star=True)
            share = balloon_mask(pose)[..., None] / np.float32(255)
            image = np.rint(source + share * (drawn.astype(np.float32) - source)).astype(np.uint8)
            take = editor.picture_take(frame, image, "painted", "Green with a star")
            editor.approve(frame, take.key)
    finally:
        editor.close()


def _name_balloon(project: Project) -> Project:
    return acts.shape_subject(project, subject=1, name="Balloon", feather=1.0, grow=1)


# --- drawing ----------------------------------------------------------------------------------------------


def pose_at(frame: int) -> Pose:
    """The balloon drifts from left to right, rises and sinks a little, and sways."""
    seconds = frame / RATE
    return Pose(128 + 118 * seconds, 140 - 34 * float(np.sin(1.3 * seconds)), 0.3 * float(np.sin(2.1 * seconds)))


def draw_backdrop() -> np.ndarray:
    """(H, W + 160, 3) uint8: sky, hills and grass, wider than the frame so that the camera can pan."""
    height, width = SIZE[0], SIZE[1] + 160
    random = np.random.default_rng(SEED)
    y = np.linspace(0, 1, height)[:, None, None]
    picture = (1 - y) * np.array([92, 156, 222.0]) + y * np.array([206, 226, 236.0])
    picture = np.repeat(picture, width, axis=1) + 14 * _noise(random, (height, width), 90)[..., None]
    columns = np.arange(width)
    for base, swing, colour, grain in ((205, 26, (96, 132, 110), 20), (246, 16, (84, 142, 70), 9)):
        ridge = base + swing * _noise(random, (1, width), 130)[0] + 5 * _noise(random, (1, width), 24)[0]
        below = np.arange(height)[:, None] > ridge[columns][None]
        texture = np.array(colour, np.float64) + 22 * _noise(random, (height, width), grain)[..., None]
        picture = np.where(below[..., None], texture, picture)
    blades = cv2.GaussianBlur(random.normal(0, 60, (height, width)).astype(np.float32), (0, 0), 0.8, sigmaY=3.0)
    grass = np.array([70, 128, 52.0]) + blades[..., None] + 16 * _noise(random, (height, width), 40)[..., None]
    picture = np.where((np.arange(height) > 318)[:, None, None], grass, picture)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _noise(random: np.random.Generator, size: tuple[int, int], scale: int) -> np.ndarray:
    """Smooth noise of about unit size, features of `scale` px."""
    height, width = size
    coarse = random.normal(0, 1, (max(4, height // scale + 3), max(4, width // scale + 3))).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def draw_frame(backdrop: np.ndarray, frame: int, stripes: Stripes = STRIPES, *, star: bool = False) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    pan = round(80 + 70 * np.sin(frame / 40))
    picture = backdrop[:, pan : pan + SIZE[1]].astype(np.float32)
    pose = pose_at(frame)
    _draw_basket(picture, pose)
    window = _window(pose)
    share = balloon_mask(pose)[window][..., None] / np.float32(255)
    picture[window] += share * (_balloon(pose, stripes, star) - picture[window])
    return np.clip(picture, 0, 255).astype(np.uint8)


def _draw_basket(picture: np.ndarray, pose: Pose) -> None:
    """Ropes and basket under the balloon, on the picture."""
    turn = np.array([[np.cos(pose.tilt), np.sin(pose.tilt)], [-np.sin(pose.tilt), np.cos(pose.tilt)]])

    def at(u: float, v: float) -> tuple[int, int]:
        x, y = np.array([u, v]) * RADIUS @ turn + (pose.x, pose.y)
        return round(float(x) * 16), round(float(y) * 16)

    for side in (-1, 1):
        cv2.line(picture, at(0.7 * side, 0.7), at(0.2 * side, 1.5), (70, 60, 50), 1, cv2.LINE_AA, shift=4)
    basket = np.array([at(-0.24, 1.5), at(0.24, 1.5), at(0.2, 1.82), at(-0.2, 1.82)])
    cv2.fillConvexPoly(picture, basket, (140, 98, 56), cv2.LINE_AA, shift=4)


def balloon_mask(pose: Pose) -> np.ndarray:
    """(H, W) uint8 coverage of the balloon."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.clip((RADIUS + 0.5 - np.hypot(x - pose.x, y - pose.y)) * 255, 0, 255).astype(np.uint8)


def _window(pose: Pose) -> tuple[slice, slice]:
    """Rows and columns of the frame that hold the balloon."""
    reach = RADIUS + 2
    x0, y0 = max(0, int(pose.x - reach)), max(0, int(pose.y - reach))
    return slice(y0, min(SIZE[0], int(pose.y + reach) + 1)), slice(x0, min(SIZE[1], int(pose.x + reach) + 1))


def _balloon(pose: Pose, stripes: Stripes, star: bool) -> np.ndarray:
    """(h, w, 3) float32: the balloon's surface in its window, lit from the upper left; only right inside its mask."""
    rows, columns = _window(pose)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    y, x = (np.mgrid[: height * OVERSAMPLE, : width * OVERSAMPLE].astype(np.float32) + 0.5) / OVERSAMPLE - 0.5
    u, v = (x + columns.start - pose.x) / RADIUS, (y + rows.start - pose.y) / RADIUS
    turn_u = u * np.cos(pose.tilt) + v * np.sin(pose.tilt)
    turn_v = v * np.cos(pose.tilt) - u * np.sin(pose.tilt)
    sector = np.floor((np.arctan2(turn_v, turn_u) / (2 * np.pi) + 0.5) * len(stripes)).astype(int) % len(stripes)
    colour = np.array(stripes, np.float32)[sector]
    colour[np.hypot(turn_u, turn_v) < 0.16] = (236, 228, 210)
    # Weathered cloth: plain stripes would give dense motion nothing to hold on to.
    cloth = np.random.default_rng(SEED).normal(0, 1, (20, 20)).astype(np.float32)
    where = (np.stack([turn_u, turn_v], axis=-1) * 8 + 9.5).astype(np.float32)
    colour += 20 * cv2.remap(cloth, where[..., 0], where[..., 1], cv2.INTER_CUBIC)[..., None]
    if star:
        colour[_in_star(turn_u - 0.5, turn_v, 0.30)] = (255, 226, 40)
    depth = np.sqrt(np.clip(1 - u**2 - v**2, 0, 1))
    light = np.clip(-0.45 * u - 0.6 * v + 0.66 * depth, 0, 1)
    shine = np.clip(light, 0, 1) ** 24
    surface = np.clip(colour, 0, 255) * (0.45 + 0.65 * light)[..., None] + 70 * shine[..., None]
    return cv2.resize(surface, (width, height), interpolation=cv2.INTER_AREA)


def _in_star(u: np.ndarray, v: np.ndarray, size: float) -> np.ndarray:
    """Points inside a five-pointed star."""
    angle = np.arctan2(v, u) % (2 * np.pi / 5) - np.pi / 5
    reach = size * 0.42 / np.maximum(np.cos(np.pi / 5 - np.abs(angle)) * 0.55 + 0.45 * (np.abs(angle) / (np.pi / 5)), 0.2)
    return np.hypot(u, v) < np.minimum(reach, size)


# --- the file ---------------------------------------------------------------------------------------------


def write_clip(path: Path) -> None:
    """The clip with its sound as H.264 and AAC, written beside and renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    backdrop = draw_backdrop()
    with av.open(str(temporary), "w", format="mp4") as out:
        picture = out.add_stream("libx264", rate=RATE, options={"crf": "16", "preset": "veryfast"})
        picture.height, picture.width, picture.pix_fmt = *SIZE, "yuv420p"
        sound = out.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for frame in range(FRAMES):
            out.mux(picture.encode(av.VideoFrame.from_ndarray(draw_frame(backdrop, frame), format="rgb24")))
        out.mux(picture.encode())
        for piece in _sound_frames():
            out.mux(sound.encode(piece))
        out.mux(sound.encode())
    os.replace(temporary, path)


def _sound_frames() -> Iterator[av.AudioFrame]:
    """Wind, and the burner now and then."""
    time = np.arange(round(FRAMES / RATE * SOUND_RATE)) / SOUND_RATE
    random = np.random.default_rng(SEED)
    wind = cv2.GaussianBlur(random.normal(0, 1, (1, len(time))).astype(np.float32), (0, 0), 24)[0]
    burner = cv2.GaussianBlur(random.normal(0, 1, (1, len(time))).astype(np.float32), (0, 0), 3)[0]
    fire = np.clip(np.sin(2 * np.pi * time / 1.5 - 1.2) * 4 - 2, 0, 1)
    wave = 0.4 * wind + 0.25 * fire * burner
    for start in range(0, len(wave), 1024):
        piece = av.AudioFrame.from_ndarray(wave[None, start : start + 1024].astype(np.float32), format="fltp", layout="mono")
        piece.sample_rate, piece.pts, piece.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
        yield piece
