"""Masks carried from one mask on frame 0: against exact truth on drawn, photo-like clips, and on real clips that have masks.

Baseline: the first mask warped from frame to frame by DIS flow at full size. J is region similarity, F that of outlines, both
as in DAVIS, over all frames but the first, mean over subjects. The scripted user of "clicks to done" marks frame 0 by clicks,
then corrects the worst frame by clicks, until every frame has J ≥ 0.9. Seconds are CPU seconds, so that other work on the
machine counts little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from engine.media.pack import FramePack, build_pack
from engine.media.reader import open_video
from engine.motion import flow as motion
from engine.motion.steps import Steps
from engine.segmentation import segmenter
from engine.tracking.masks import carry_masks
from engine.types import FrameRange, Point
from engine.world.draw import PHOTO, frames
from engine.world.scene import Lot, sample
from tests.bench.harness import BenchError, Figure, Report, say
from tests.bench.marks_clicks import correction

SCENES, FRAMES, EARLY = 3, 60, 20
LONG = 40  # frames: shorter clips have a target of their own
SIZES = {"480p": (480, 854), "720p": (720, 1280)}
SPEED_FRAMES = 24
DONE, ROUNDS, TRIES = 0.9, 8, 6  # J of every frame; corrected frames, and clicks on one, after which the user gives up
DONE_FRAMES = 30
LEAST = 0.002  # of the picture: smaller subjects are left out

FIGURES = (
    Figure("masks_j_early", f"drawn: J at frame {EARLY}, one mask on frame 0", "", 0.90, "higher"),
    Figure("masks_j", f"drawn: J over {FRAMES} frames", "", 0.80, "higher"),
    Figure("masks_f", f"drawn: F over {FRAMES} frames", "", better="higher"),
    Figure("masks_j_corrected", "drawn: J with one correction at the worst frame", "", better="higher"),
    Figure("masks_f_corrected", "drawn: F with one correction at the worst frame", "", better="higher"),
    Figure("masks_dis_j", "drawn: J of the first mask warped by DIS flow", "", better="higher"),
    Figure("masks_real_long", f"clips of {LONG} frames and more: 1 − J over that of DIS, worst clip", "×", 0.6),
    Figure("masks_real_long_mean", "the same, mean over clips", "×"),
    Figure("masks_real_short", "shorter clips: J less that of DIS, worst clip", "", -0.01, "higher"),
    Figure("masks_480p_decode", "480p: carrying one subject, motion included, over decoding alone", "×"),
    Figure("masks_720p_decode", "720p: the same", "×"),
    Figure("masks_clicks_done", f"clicks until J ≥ {DONE} on all of {DONE_FRAMES} frames, mean", ""),
    Figure("masks_dis_clicks_done", "the same, masks warped by DIS flow", ""),
)

Truth = dict[int, np.ndarray]
"""By subject: (T, H, W) bool."""


@dataclass(frozen=True, eq=False, slots=True)
class Clip:
    """A clip's pack with true masks; `decoding`: CPU seconds of decoding it alone."""

    name: str
    pack: FramePack
    folder: Path
    size: tuple[int, int]
    truth: Truth
    decoding: float

    @property
    def frames(self) -> int:
        return len(next(iter(self.truth.values())))


def run(report: Report, options: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    count = getattr(options, "scenes", None) or SCENES
    _drawn(report, options.seed, count)
    _speed(report, options.seed)
    _clicks(report, options.seed, min(count, 2))
    if options.clips is None:
        report.lack("Give clips with masks: --clips DIR.", "masks_real")
    else:
        _real(report, options.clips)


def _drawn(report: Report, seed: int, count: int) -> None:
    rows = []
    for number in range(count):
        say(f"masks, drawn {number}")
        with DrawnClip(seed, number, SIZES["480p"], FRAMES) as clip:
            first = carried(clip, {0})
            j, f = scores(first, clip.truth)
            worst = 1 + int(j.min(axis=1).argmin())
            again = scores(carried(clip, {0, worst}), clip.truth)
            base, _ = scores(warped(clip, {0}), clip.truth)
            rows.append((j[EARLY - 1].mean(), j.mean(), f.mean(), again[0].mean(), again[1].mean(), base.mean()))
    keys = ("masks_j_early", "masks_j", "masks_f", "masks_j_corrected", "masks_f_corrected", "masks_dis_j")
    for key, mean in zip(keys, np.mean(rows, axis=0), strict=True):
        report.reach(key, float(mean))


def _real(report: Report, folder: Path) -> None:
    long, short = [], []
    for path in sorted(one for one in folder.iterdir() if one.is_dir()):
        with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as place:
            clip = _real_clip(path, Path(place))
            if clip is None:
                continue
            say(f"masks, {clip.name}")
            ours, base = (float(scores(found, clip.truth)[0].mean()) for found in (carried(clip, {0}), warped(clip, {0})))
            clip.pack.close()
            report.note(f"{clip.name}: {clip.frames} frames, {len(clip.truth)} subjects, J {ours:.3f}, DIS {base:.3f}")
            if clip.frames >= LONG:
                long.append((1 - ours) / max(1 - base, 1e-9))
            else:
                short.append(ours - base)
    if not long and not short:
        raise BenchError(f"No clip in {folder.name} has masks for all its frames.")
    if long:
        report.reach("masks_real_long", max(long))
        report.reach("masks_real_long_mean", float(np.mean(long)))
    if short:
        report.reach("masks_real_short", min(short))


def _speed(report: Report, seed: int) -> None:
    for key, size in SIZES.items():
        with DrawnClip(seed, 0, size, SPEED_FRAMES) as clip:
            chosen = next(iter(clip.truth))
            started = time.process_time()
            carried(clip, {0}, only=chosen)
            report.reach(f"masks_{key}_decode", (time.process_time() - started) / clip.decoding)


# --- masks ------------------------------------------------------------------------------------------------


def carried(clip: Clip, marks: set[int], only: int | None = None) -> Truth:
    """The engine's masks from true ones on the marked frames, of all subjects or of one."""
    chosen = clip.truth if only is None else {only: clip.truth[only]}
    given = {number: {frame: _alpha(masks[frame]) for frame in marks} for number, masks in chosen.items()}
    return carried_from(clip, given)


def carried_from(clip: Clip, given: dict[int, dict[int, np.ndarray]]) -> Truth:
    span = FrameRange(0, clip.frames)
    steps = Steps(clip.pack, clip.size, clip.folder / "motion")
    steps.ensure(steps.missing([span]), lambda done, total: None)
    found: dict[int, list[np.ndarray]] = {number: [] for number in given}
    marks = sorted({0, *(frame for masks in given.values() for frame in masks)})
    for start, stop in zip(marks, [*marks[1:], clip.frames], strict=True):
        # As the editor does: each stretch between two marks from these two alone.
        stretch = FrameRange(start, min(stop + 1, clip.frames))
        ends = {number: {frame: alpha for frame, alpha in masks.items() if frame in stretch} for number, masks in given.items()}
        with tempfile.TemporaryDirectory(dir=clip.folder) as scratch:
            done = carry_masks(steps, clip.size, ends, stretch, step=lambda done, total: None, scratch=Path(scratch))
            for frame, masks in done:
                if frame < stop:
                    for number in given:
                        found[number].append(masks[number].alpha >= 128)
    return {number: np.stack(masks) for number, masks in found.items()}


def warped(clip: Clip, marks: set[int]) -> Truth:
    """The baseline from true masks on the marked frames."""
    return warped_from(clip, {number: {frame: _alpha(masks[frame]) for frame in marks} for number, masks in clip.truth.items()})


def warped_from(clip: Clip, given: dict[int, dict[int, np.ndarray]]) -> Truth:
    """The nearest mark's mask, warped step by step by DIS flow."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    pixels = motion.grid(clip.size)
    found = {number: np.zeros((clip.frames, *clip.size), bool) for number in given}
    for number, masks in given.items():
        for mark, alpha in masks.items():
            for way in (1, -1):
                soft, before = alpha.astype(np.float32) / 255, clip.pack.gray(mark, clip.size)
                found[number][mark] = soft >= 0.5
                frame = mark + way
                while 0 <= frame < clip.frames and abs(frame - mark) <= min(abs(frame - one) for one in masks):
                    after = clip.pack.gray(frame, clip.size)
                    flow = dis.calc(after, before, np.zeros((*clip.size, 2), np.float32))
                    at = pixels + flow
                    soft = motion.sample(soft, at)
                    found[number][frame] = soft >= 0.5
                    before, frame = after, frame + way
    return found


def _alpha(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 255, 0).astype(np.uint8)


def scores(found: Truth, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """J and F (T − 1, subjects), without the first frame."""
    count = len(next(iter(truth.values())))
    pairs = [(found[number][frame], masks[frame]) for frame in range(1, count) for number, masks in truth.items()]
    j, f = ([measure(*pair) for pair in pairs] for measure in (region, outline))
    return np.array(j).reshape(-1, len(truth)), np.array(f).reshape(-1, len(truth))


def region(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union; 1 where both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def outline(a: np.ndarray, b: np.ndarray) -> float:
    """F of the outlines: a pixel of one counts as found within 0.8 % of the picture's diagonal of the other."""
    reach = int(np.ceil(0.008 * np.hypot(*a.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    edges = [cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) for mask in (a, b)]
    if not edges[0].any() or not edges[1].any():
        return float(edges[0].any() == edges[1].any())
    shares = [float(cv2.dilate(other, disc)[one > 0].mean()) for one, other in (edges, edges[::-1])]
    return 2 * shares[0] * shares[1] / max(sum(shares), 1e-9)


# --- the user ---------------------------------------------------------------------------------------------


def _clicks(report: Report, seed: int, count: int) -> None:
    spent: dict[str, list[int]] = {"masks_clicks_done": [], "masks_dis_clicks_done": []}
    for number in range(count):
        with DrawnClip(seed, number, SIZES["480p"], DONE_FRAMES) as clip:
            for key, carry in (("masks_clicks_done", carried_from), ("masks_dis_clicks_done", warped_from)):
                say(f"masks, clicks {number}: {key}")
                chosen = next(iter(clip.truth))
                truth, clicks, marks = clip.truth[chosen], 0, dict[int, np.ndarray]()
                frame, mask = 0, np.zeros(clip.size, bool)
                for _ in range(ROUNDS):
                    marks[frame], used = _clicked(clip.pack.rgb(frame), truth[frame], mask)
                    clicks += used
                    found = carry(clip, {chosen: marks})[chosen]
                    reached = [1.0 if one in marks else region(found[one], truth[one]) for one in range(clip.frames)]
                    frame = int(np.argmin(reached))
                    if reached[frame] >= DONE:
                        break
                    mask = found[frame]
                spent[key].append(clicks)
    for key, values in spent.items():
        report.reach(key, float(np.mean(values)))


def _clicked(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, int]:
    """The mask after as many clicks as it takes, and how many."""
    prior, points = _alpha(mask), list[Point]()
    alpha = prior
    while region(alpha >= 128, truth) < DONE and len(points) < TRIES:
        points.append(correction(truth, alpha >= 128))
        alpha = segmenter().segment(image, points, prior=prior if mask.any() else None)
    return alpha, len(points)


# --- the clips --------------------------------------------------------------------------------------------


class DrawnClip:
    """A scene as a clip, H.264 as a clip is, in a folder of its own that goes with it."""

    def __init__(self, seed: int, number: int, size: tuple[int, int], count: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="anchorline-bench-")
        scene = sample(seed, [number], "test", Lot(subjects=3, width=size[1] / size[0], octaves=6))
        path, seen = Path(self._folder.name) / "clip.mp4", []
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25, options={"crf": "18", "preset": "veryfast"})
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            for picture, masks in frames(scene, size, count, PHOTO):
                seen.append(masks >= 128)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
            out.mux(stream.encode(None))
        whole = np.stack(seen, axis=1)
        truth = {number + 1: masks for number, masks in enumerate(whole) if masks[0].mean() >= LEAST}
        self._clip = _opened(f"drawn {number}", path, Path(self._folder.name), truth)

    def __enter__(self) -> Clip:
        return self._clip

    def __exit__(self, *error: object) -> None:
        self._clip.pack.close()
        self._folder.cleanup()


def _opened(name: str, source: Path, folder: Path, truth: Truth) -> Clip:
    with open_video(source) as reader:
        started = time.process_time()
        for _ in reader.frames(FrameRange(0, reader.video.frames)):
            pass
        decoding = time.process_time() - started
        pack = build_pack(reader, folder / "pack")
        return Clip(name, pack, folder, reader.video.size, truth, decoding)


def _real_clip(path: Path, folder: Path) -> Clip | None:
    """None where not every frame has a mask."""
    files = sorted(one for one in path.glob("masks/*") if one.suffix.lower() in (".png", ".jpg"))
    source = path / "video.mp4" if (path / "video.mp4").exists() else path / "frames"
    if len(files) < 3 or not source.exists():
        return None
    with open_video(source) as reader:
        size, count = reader.video.size, reader.video.frames
    if count != len(files):
        return None
    labels = np.stack(list(_labels(files, size)))
    numbers = [int(number) for number in np.unique(labels[0]) if number]
    return _opened(path.name, source, folder, {number: labels == number for number in numbers})


def _labels(files: list[Path], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """(H, W) uint8 by file: a palette's indices, or 1 where it is brighter than half."""
    for file in files:
        with Image.open(file) as picture:
            values = np.array(picture if picture.mode in ("P", "L") else picture.convert("L"))
        if values.max() > 16:
            values = np.where(values > 127, 1, 0)
        yield cv2.resize(values.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
