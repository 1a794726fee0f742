"""What the bench of propagation compares with: the plain chain of optical flow, and EbSynth's program.

Both are given the same anchors, exact regions and sources as the method, and their results are laid into the region alone.
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.composite import inside
from tests.bench.harness import BenchError
from tests.bench.propagation_clips import TrueClip

EBSYNTH_WITHIN = 1200.0
GUIDES = (("frame", 4.0), ("position", 2.0), ("mask", 1.0))
"""EbSynth's guides and their weights: the source, positions carried by the plain chain, the region."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which frames are anchors, up to where it is carried, which frames are read (each with its next one)."""

    name: str
    anchors: tuple[int, ...]
    stop: int
    reads: tuple[int, ...]

    @property
    def wanted(self) -> set[int]:
        return {frame for read in self.reads for frame in (read, read + 1) if frame < self.stop}

    def neighbours(self, frame: int) -> tuple[int | None, int | None]:
        """The last anchor at or before a frame, and the first one after it."""
        before = [anchor for anchor in self.anchors if anchor <= frame]
        after = [anchor for anchor in self.anchors if anchor > frame]
        return (before[-1] if before else None), (after[0] if after else None)


def shares(layout: Layout, frame: int) -> dict[int, float]:
    """Anchor -> its share in a frame, by nearness."""
    left, right = layout.neighbours(frame)
    if left is None or right is None:
        return {left if right is None else right: 1.0}  # type: ignore[dict-item]
    share = (frame - left) / (right - left)
    return {left: 1 - share, right: share} if share > 0 else {left: 1.0}


@dataclass(frozen=True, eq=False, slots=True)
class Chained:
    """Layout name -> frame -> (H, W, 3) uint8; positions (H, W, 2) in frame 0 of what is read of layout a; CPU s per frame."""

    pictures: dict[str, dict[int, np.ndarray]]
    positions: dict[int, np.ndarray]
    seconds: float


def plain_chain(clip: TrueClip, layouts: list[Layout]) -> Chained:
    """The edit's difference along neighbours' flows (DIS, medium, full size), one way or both blended by nearness."""
    wants: dict[tuple[int, int], dict[int, list[tuple[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for layout in layouts:
        for frame in layout.wanted:
            for anchor, share in shares(layout, frame).items():
                wants[anchor, 1 if frame >= anchor else -1][frame].append((layout.name, share))
    sums: dict[tuple[str, int], np.ndarray] = {}
    positions: dict[int, np.ndarray] = {}
    seconds = 0.0
    for way in (1, -1):
        chains = {anchor: frames for (anchor, direction), frames in wants.items() if direction == way}
        begun = time.process_time()
        walked = _walk(clip, way, chains, sums, positions)
        if way == 1:
            seconds = (time.process_time() - begun) / max(1, walked)
    pictures: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
    for (name, frame), change in sums.items():
        edited = np.clip(np.rint(clip.source[frame] + change), 0, 255).astype(np.uint8)
        pictures[name][frame] = np.where(clip.region[frame][..., None] > 0, edited, clip.source[frame])
    return Chained(dict(pictures), positions, seconds)


def _walk(
    clip: TrueClip,
    way: int,
    chains: dict[int, dict[int, list[tuple[str, float]]]],
    sums: dict[tuple[str, int], np.ndarray],
    positions: dict[int, np.ndarray],
) -> int:
    """Runs all chains of one direction side by side, adding what they bring to `sums`; the number of frames walked."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = clip.size
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    at: dict[int, np.ndarray] = {}
    if not chains:
        return 0
    first, last = (min(chains), max(map(max, chains.values()))) if way == 1 else (max(chains), min(map(min, chains.values())))
    before: np.ndarray | None = None
    for frame in range(first, last + way, way):
        gray = cv2.cvtColor(clip.source[frame], cv2.COLOR_RGB2GRAY)
        live = [anchor for anchor in at if way * (way * max(way * f for f in chains[anchor]) - frame) >= 0]
        if before is not None and live:
            back = pixels + dis.calc(gray, before, np.zeros((height, width, 2), np.float32))
            at = {anchor: _sample(at[anchor], back) for anchor in live}
        if frame in chains:
            at[frame] = pixels
        for anchor, where in at.items():
            for name, share in chains[anchor].get(frame, []):
                change = share * _sample(clip.edited[anchor].astype(np.float32) - clip.source[anchor], where, cv2.INTER_CUBIC)
                sums[name, frame] = sums.get((name, frame), 0) + change
                if name == "a":
                    positions[frame] = where
        before = gray
    return abs(last - first)


def _sample(picture: np.ndarray, at: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    return cv2.remap(picture, at[..., 0], at[..., 1], how, borderMode=cv2.BORDER_REPLICATE)


class EbSynth:
    """Its program with one thread: each frame made from the anchor at frame 0."""

    def __init__(self, program: Path) -> None:
        if not program.is_file():
            raise BenchError(f"There is no EbSynth program at {program.name}.")
        self._program = program

    def picture(self, clip: TrueClip, frame: int, positions: np.ndarray) -> tuple[np.ndarray, float]:
        """(H, W, 3) uint8 and the CPU seconds it took. positions (H, W, 2): where each pixel is in frame 0.

        Raises:
            BenchError: the program failed or took too long.
        """
        height, width = clip.size
        pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
        guides = {
            "frame": (clip.source[0], clip.source[frame]),
            "position": (_as_colours(pixels), _as_colours(positions)),
            "mask": (_as_gray(clip.region[0]), _as_gray(clip.region[frame])),
        }
        with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as place:
            folder = Path(place)
            command = [str(self._program), "-style", _write(folder / "style.png", clip.edited[0])]
            for name, weight in GUIDES:
                before, now = (_write(folder / f"{name}{i}.png", picture) for i, picture in enumerate(guides[name]))
                command += ["-guide", before, now, "-weight", str(weight)]
            command += ["-output", str(folder / "out.png"), "-backend", "cpu"]
            begun = _children_seconds()
            try:
                done = subprocess.run(command, capture_output=True, timeout=EBSYNTH_WITHIN, env={"OMP_NUM_THREADS": "1"})
            except (subprocess.TimeoutExpired, OSError) as error:
                raise BenchError(f"EbSynth did not make frame {frame}: {error.__class__.__name__}.") from error
            made = cv2.imread(str(folder / "out.png"))
            if done.returncode != 0 or made is None:
                raise BenchError(f"EbSynth ended with code {done.returncode} and no picture.")
            seconds = _children_seconds() - begun
        return inside(clip.source[frame], cv2.cvtColor(made, cv2.COLOR_BGR2RGB), clip.region[frame]), seconds


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _as_colours(positions: np.ndarray) -> np.ndarray:
    """Positions (H, W, 2) as red and green."""
    height, width = positions.shape[:2]
    scaled = np.clip(positions / [width - 1, height - 1], 0, 1) * 255
    return np.dstack([np.rint(scaled), np.zeros((height, width))]).astype(np.uint8)


def _as_gray(region: np.ndarray) -> np.ndarray:
    return np.repeat(region[..., None], 3, axis=2)


def _write(path: Path, picture: np.ndarray) -> str:
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return str(path)
