"""How good a mask is after one, three and six clicks of a scripted user, and how long a click takes.

The user clicks the middle of the subject, then each time the middle of the largest wrong part. The baseline is one plain
GrabCut call at full size, with a box around the first click and the later clicks as sure pixels. Pictures: drawn scenes,
and frames of clips that have masks (`--clips`, folders with video.mp4 or frames/, and masks/ or mask_00000.png).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from engine.media.reader import open_video
from engine.segmentation import segmenter
from engine.types import Point
from engine.world.draw import PHOTO, Painter
from engine.world.scene import Lot, sample
from tests.bench.harness import BenchError, Figure, Report, percentile, say

CLICKS = (1, 3, 6)
SIZES = {"480p": (480, 854), "720p": (720, 1280)}
SCENES = 6  # of each size
LEAST = 0.008  # of the picture: smaller subjects are left out
Answer = Callable[[np.ndarray, Sequence[Point]], np.ndarray]
Case = tuple[np.ndarray, np.ndarray]
"""A picture (H, W, 3) uint8 and the true mask (H, W) bool."""


def _figures(key: str, label: str) -> tuple[Figure, ...]:
    ours = [Figure(f"clicks_{key}_j{n}", f"{label}: J after {n} click(s)", "", better="higher") for n in CLICKS]
    plain = [Figure(f"clicks_{key}_grabcut_j{n}", f"{label}: the same, plain GrabCut", "", better="higher") for n in CLICKS]
    return (*ours, *plain)


FIGURES = (
    *_figures("drawn", "drawn scenes"),
    *_figures("real", "frames of clips"),
    Figure("clicks_first_p95_s", "720p: first click to mask, p95", "s", 0.7),
    Figure("clicks_next_p95_ms", "720p: next click to mask, p95", "ms", 300.0),
    Figure("clicks_grabcut_p95_s", "720p: plain GrabCut, p95", "s"),
)


def run(report: Report, options: argparse.Namespace) -> None:
    cv2.setNumThreads(2)
    first, following, plain = [], [], []
    for key, cases in (("drawn", drawn_cases(options.seed)), ("real", clip_cases(options.clips))):
        reached: dict[str, list[list[float]]] = {"": [], "_grabcut": []}
        for number, case in enumerate(cases):
            say(f"{key} {number}")
            scores, seconds = corrected(segmenter().segment, case, range(1, CLICKS[-1] + 1))
            reached[""].append([scores[n - 1] for n in CLICKS])
            base, base_seconds = corrected(grabcut, case, CLICKS)
            reached["_grabcut"].append(base)
            if case[0].shape[0] == SIZES["720p"][0]:
                first.append(seconds[0])
                following.extend(seconds[1:])
                plain.extend(base_seconds)
        for name, rows in reached.items():
            for n, mean in zip(CLICKS, np.mean(rows, axis=0) if rows else [], strict=bool(rows)):
                report.reach(f"clicks_{key}{name}_j{n}", float(mean))
        if key == "real" and not cases:
            report.lack("Give clips with masks: --clips DIR.", "clicks_real")
    report.reach("clicks_first_p95_s", percentile(first, 0.95))
    report.reach("clicks_next_p95_ms", 1000 * percentile(following, 0.95))
    report.reach("clicks_grabcut_p95_s", percentile(plain, 0.95))


# --- the user ---------------------------------------------------------------------------------------------


def corrected(answer: Answer, case: Case, counts: Sequence[int]) -> tuple[list[float], list[float]]:
    """J and seconds of the answers after these numbers of clicks; clicks between two answers go by the earlier one."""
    image, truth = case
    mask, points = np.zeros(truth.shape, bool), list[Point]()
    scores, seconds = [], []
    for count in counts:
        guess = mask.copy()
        while len(points) < count and (guess != truth).any():
            points.append(correction(truth, guess))
            settle(guess, points[-1], truth)
        started = time.perf_counter()
        mask = answer(image, points) >= 128
        seconds.append(time.perf_counter() - started)
        scores.append(float((mask & truth).sum() / max(1, (mask | truth).sum())))
    return scores, seconds


def correction(truth: np.ndarray, mask: np.ndarray) -> Point:
    """A click in the middle of the largest wrong part: inside where it is missing, outside where it is too much."""
    area, part, label = 0, truth, 1
    for wrong, sign in ((truth & ~mask, 1), (mask & ~truth, -1)):
        count, parts, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=4)
        if count > 1 and stats[1:, cv2.CC_STAT_AREA].max() > area:
            number = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            area, part, label = int(stats[number, cv2.CC_STAT_AREA]), parts == number, sign
    depth = cv2.distanceTransform(np.pad(part, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return Point(float(x), float(y), label)


def settle(guess: np.ndarray, point: Point, truth: np.ndarray) -> None:
    """What the user takes as settled by a click: the wrong part around it."""
    wrong = (truth != guess).astype(np.uint8)
    _, parts = cv2.connectedComponents(wrong, connectivity=4)
    part = parts == parts[round(point.y), round(point.x)]
    guess[part] = truth[part]


def grabcut(image: np.ndarray, points: Sequence[Point]) -> np.ndarray:
    """The baseline: (H, W) uint8. The box is half the picture's height, around the first click."""
    height, width = image.shape[:2]
    half, click = height // 4, points[0]
    labels = np.zeros((height, width), np.uint8)
    labels[max(0, int(click.y - half)) : int(click.y + half), max(0, int(click.x - half)) : int(click.x + half)] = cv2.GC_PR_FGD
    for point in points:
        sure = cv2.GC_FGD if point.label > 0 else cv2.GC_BGD
        cv2.circle(labels, (round(point.x), round(point.y)), max(2, height // 120), int(sure), -1)
    cv2.setRNGSeed(0)
    bgr, outer, inner = cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(bgr, labels, (0, 0, width, height), outer, inner, 5, cv2.GC_INIT_WITH_MASK)
    return np.where((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), 255, 0).astype(np.uint8)


# --- the pictures -----------------------------------------------------------------------------------------


def drawn_cases(seed: int) -> list[Case]:
    """One subject of each of SCENES scenes of each size, like photographs."""
    import torch

    cases = []
    for size in SIZES.values():
        for number in range(SCENES):
            scene = sample(seed, [number], "test", Lot(subjects=3, width=size[1] / size[0], octaves=6))
            drawing = Painter(scene, size, PHOTO).draw(torch.tensor([7 * number]))
            image = (drawing.video[0, 0] * 255).round().byte().permute(1, 2, 0).numpy()
            masks = [mask for mask in (drawing.visible[0, :, 0] > 0.5).numpy() if mask.mean() >= LEAST]
            cases.extend([(image, masks[number % len(masks)])] if masks else [])
    return cases


def clip_cases(folder: Path | None) -> list[Case]:
    """Every subject on the first, the middle and the last frame that has a mask of its own size."""
    cases: list[Case] = []
    for clip in sorted(path for path in folder.iterdir() if path.is_dir()) if folder else []:
        masks = sorted((clip / "masks").glob("*.png")) or sorted(clip.glob("mask_*.png"))
        source = clip / "video.mp4" if (clip / "video.mp4").exists() else clip / "frames"
        if not masks or not source.exists():
            continue
        picked = sorted({0, len(masks) // 2, len(masks) - 1})
        for image, place in zip(_pictures(source, picked), picked, strict=True):
            cases.extend((image, mask) for mask in _subjects(masks[place]) if mask.shape == image.shape[:2])
    if folder and not cases:
        raise BenchError(f"There are no clips with masks in {folder.name}.")
    return cases


def _pictures(source: Path, frames: Sequence[int]) -> Iterator[np.ndarray]:
    if source.is_dir():
        files = sorted(source.iterdir())
        yield from (np.array(Image.open(files[frame]).convert("RGB")) for frame in frames)
        return
    with open_video(source) as reader:
        yield from (reader.get(frame) for frame in frames)


def _subjects(path: Path) -> list[np.ndarray]:
    """A mask file's subjects: by palette index, or what is brighter than half."""
    with Image.open(path) as picture:
        values = np.array(picture if picture.mode in ("P", "L") else picture.convert("L"))
    found = [values > 127] if values.max() > 16 else [values == k for k in np.unique(values) if k]
    return [mask for mask in found if mask.mean() >= LEAST]
