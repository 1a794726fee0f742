"""Real clips with masks: no truth, so what is measured is flicker. A take on frame 0 is carried; along the source's own motion
each result is compared with the next one, and so is the source with itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from engine.composite import edit_region, inside
from engine.media.images import read_image
from engine.media.reader import open_video
from engine.types import FrameRange
from tests.bench.harness import BenchError
from tests.bench.propagation_clips import TrueClip
from tests.bench.propagation_rivals import Layout, plain_chain
from tests.bench.propagation_run import Run

FRAMES = 40
LINES = 480
AGREE = 1.0
"""px of forward–backward disagreement beyond which a pixel is not compared."""


@dataclass(frozen=True, slots=True)
class Flicker:
    """Mean absolute difference (levels) between a frame and its follower along the source's motion, inside the region."""

    ours: float
    chain: float
    source: float


def real_clips(folder: Path) -> list[TrueClip]:
    """Those that have a mask for every frame; the first FRAMES frames, at most LINES lines.

    Raises:
        BenchError: there is none.
    """
    found = [clip for path in sorted(folder.iterdir()) if path.is_dir() and (clip := _read(path)) is not None]
    if not found:
        raise BenchError(f"No clip in {folder.name} has masks for all its frames.")
    return found


def _read(folder: Path) -> TrueClip | None:
    masks = sorted(path for path in folder.glob("masks/*") if path.suffix.lower() in (".png", ".jpg"))
    source = _frames(folder)[: len(masks)]
    if len(source) < 3:
        return None
    height, width = source[0].shape[:2]
    scale = min(1.0, LINES / height)
    size = (round(height * scale / 2) * 2, round(width * scale / 2) * 2)
    pictures = np.stack([cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA) for frame in source])
    region = np.stack([_region(path, size) for path in masks[: len(source)]])
    edited = pictures.copy()
    edited[0] = inside(pictures[0], _painted(pictures[0]), region[0])
    return TrueClip(folder.name, 0, True, pictures, edited, region)


def _frames(folder: Path) -> list[np.ndarray]:
    stills = sorted(folder.glob("frames/*"))
    if stills:
        return [read_image(path) for path in stills[:FRAMES]]
    video = folder / "video.mp4"
    if not video.exists():
        return []
    with open_video(video) as reader:
        return list(reader.frames(FrameRange(0, min(FRAMES, reader.video.frames))))


def _region(path: Path, size: tuple[int, int]) -> np.ndarray:
    mask = np.array(Image.open(path))  # with a palette: the subjects' numbers
    marked = mask.max(axis=-1) if mask.ndim == 3 else mask
    return edit_region(cv2.resize((marked > 0).astype(np.uint8) * 255, size[::-1], interpolation=cv2.INTER_NEAREST), 1, 2)


def _painted(picture: np.ndarray) -> np.ndarray:
    """Another colour with diagonal stripes, on the picture's own shading."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    stripe = 0.5 + 0.5 * np.clip(2.5 * np.sin((x + y) * (2 * np.pi / 16)), -1, 1)
    shade = picture.mean(axis=-1, keepdims=True)
    return np.clip(shade * np.array([0.5, 0.8, 1.5]) * (0.55 + 0.45 * stripe[..., None]), 0, 255).astype(np.uint8)


def flicker(clip: TrueClip, folder: Path) -> Flicker:
    """Of the method, of the plain chain, and of the source itself. Raises BenchError where nothing can be compared."""
    layout = Layout("a", (0,), clip.frames, tuple(range(clip.frames)))
    ours = Run(clip, folder).render(layout).pictures
    chain = plain_chain(clip, [layout]).pictures["a"]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    pixels = np.stack(np.meshgrid(np.arange(clip.size[1]), np.arange(clip.size[0])), -1).astype(np.float32)
    sums: list[tuple[float, float, float]] = []
    for frame in range(1, clip.frames - 1, 2):
        a, b = (cv2.cvtColor(clip.source[one], cv2.COLOR_RGB2GRAY) for one in (frame, frame + 1))
        there, back = (dis.calc(one, other, np.zeros((*a.shape, 2), np.float32)) for one, other in ((a, b), (b, a)))
        at = pixels + there
        returned = there + cv2.remap(back, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
        compared = (np.abs(returned).max(axis=-1) < AGREE) & (clip.region[frame] == 255)
        compared &= cv2.remap(clip.region[frame + 1], at[..., 0], at[..., 1], cv2.INTER_NEAREST) == 255
        if compared.sum() > 100:
            sums.append(tuple(_step(one, frame, at, compared) for one in (ours, chain, clip.source)))  # type: ignore[arg-type]
    if not sums:
        raise BenchError(f"Nothing of {clip.name} can be compared from frame to frame.")
    return Flicker(*np.mean(sums, axis=0).tolist())


def _step(pictures: dict[int, np.ndarray] | np.ndarray, frame: int, at: np.ndarray, compared: np.ndarray) -> float:
    following = cv2.remap(pictures[frame + 1], at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    return float(np.abs(following[compared].astype(np.float64) - pictures[frame][compared]).mean())
