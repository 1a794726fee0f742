"""Point tracks on drawn, photo-like clips whose motion is exactly known, and what they cost against decoding alone.

Half of the points lie on subjects, half on the background, all on pixels drawn by lot: what a user picks is easier. The
pictures are H.264 as a clip's are. Baseline: pyramidal Lucas–Kanade from frame to frame, checked forward and back.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from engine.media.pack import FramePack, build_pack
from engine.media.pictures import Pictures
from engine.media.reader import open_video
from engine.tracking.points import track_points
from engine.types import FrameRange, Tracks
from engine.world.draw import PHOTO, frames
from engine.world.scene import Lot, sample
from engine.world.truth import tracks
from tests.bench.harness import Figure, Report, say

SCENES, FRAMES, POINTS = 4, 60, 60
SIZES = {"480p": (480, 854), "720p": (720, 1280)}
SPEED_SCENES = {"480p": SCENES, "720p": 1}

FIGURES = (
    Figure("points_2px", "480p: visible points within 2 px", "", 0.90, "higher"),
    Figure("points_4px", "480p: visible points within 4 px", "", 0.97, "higher"),
    Figure("points_visibility_f1", "480p: visibility, F1", "", 0.90, "higher"),
    Figure("points_subjects_2px", "480p: of those on subjects, within 2 px", "", better="higher"),
    Figure("points_inner_2px", "480p: of those farther than 6 px from an outline at first, within 2 px", "", better="higher"),
    Figure("points_inner_4px", "480p: … within 4 px", "", better="higher"),
    Figure("points_lk_2px", "480p: plain Lucas–Kanade, within 2 px", "", better="higher"),
    Figure("points_lk_visibility_f1", "480p: plain Lucas–Kanade, visibility, F1", "", better="higher"),
    Figure("points_480p_decode", "480p: tracking 60 points over decoding alone", "×"),
    Figure("points_720p_decode", "720p: the same", "×"),
    Figure("points_480p_ms", "480p: tracking 60 points, a frame", "ms"),
)
INNER = 6.0  # px


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """xy (T, P, 2) and visible (T, P) are true; `subject` (P,) bool; `inner` (P,) bool: no outline is near at first."""

    queries: np.ndarray
    xy: np.ndarray
    visible: np.ndarray
    subject: np.ndarray
    inner: np.ndarray


def run(report: Report, options: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    count = getattr(options, "scenes", None) or SCENES
    found: dict[str, list[tuple[Case, Tracks]]] = {"": [], "lk_": []}
    for key, size in SIZES.items():
        spent, decoding = 0.0, 0.0
        for number in range(count if key == "480p" else SPEED_SCENES[key]):
            say(f"points {key} {number}")
            with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
                case, pack, seconds = _drawn(Path(folder), options.seed, number, size)
                decoding += seconds
                started = time.perf_counter()
                tracked = track_points(pack, size, case.queries, FrameRange(0, FRAMES), lambda done, total: None)
                spent += time.perf_counter() - started
                if key == "480p":
                    found[""].append((case, tracked))
                    found["lk_"].append((case, lucas_kanade(pack, size, case.queries)))
                pack.close()
        report.reach(f"points_{key}_decode", spent / decoding)
        if key == "480p":
            report.reach("points_480p_ms", 1000 * spent / FRAMES / count)
    _reach(report, found)


def _reach(report: Report, found: dict[str, list[tuple[Case, Tracks]]]) -> None:
    ours = found[""]
    report.reach("points_2px", within(ours, 2.0))
    report.reach("points_4px", within(ours, 4.0))
    report.reach("points_visibility_f1", visibility(ours))
    report.reach("points_subjects_2px", within(ours, 2.0, "subject"))
    report.reach("points_inner_2px", within(ours, 2.0, "inner"))
    report.reach("points_inner_4px", within(ours, 4.0, "inner"))
    report.reach("points_lk_2px", within(found["lk_"], 2.0))
    report.reach("points_lk_visibility_f1", visibility(found["lk_"]))
    report.note(
        f"{POINTS} points on frame 0 of {len(ours)} scenes of {FRAMES} frames; positions while truly visible, frame 0 aside."
    )


def within(found: list[tuple[Case, Tracks]], reach: float, only: str = "") -> float:
    """Share of the true positions of visible points that are found within `reach` px, over all scenes."""
    hits = []
    for case, tracked in found:
        wanted = case.visible[1:] & (getattr(case, only) if only else True)
        hits.append((np.linalg.norm(tracked.xy - case.xy, axis=2)[1:] <= reach)[wanted])
    return float(np.concatenate(hits).mean())


def visibility(found: list[tuple[Case, Tracks]]) -> float:
    both = sum(int((case.visible & tracked.visible)[1:].sum()) for case, tracked in found)
    either = sum(int(case.visible[1:].sum() + tracked.visible[1:].sum()) for case, tracked in found)
    return 2 * both / either


def lucas_kanade(pictures: Pictures, size: tuple[int, int], queries: np.ndarray) -> Tracks:
    """The baseline: a lost point stays where it was, not visible."""
    xy = np.repeat(queries[None, :, 1:].astype(np.float32), FRAMES, axis=0)
    visible = np.zeros((FRAMES, len(queries)), bool)
    visible[0] = True
    before = pictures.gray(0, size)
    for frame in range(1, FRAMES):
        after, start = pictures.gray(frame, size), np.ascontiguousarray(xy[frame - 1][:, None])
        there, fine, _ = cv2.calcOpticalFlowPyrLK(before, after, start, start.copy(), winSize=(21, 21), maxLevel=4)
        back, fine_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, there.copy(), winSize=(21, 21), maxLevel=4)
        agrees = (np.linalg.norm((back - start)[:, 0], axis=1) < 1) & (fine[:, 0] > 0) & (fine_back[:, 0] > 0)
        visible[frame] = visible[frame - 1] & agrees
        xy[frame] = np.where(visible[frame][:, None], there[:, 0], xy[frame - 1])
        before = after
    return Tracks(xy, visible, visible.astype(np.float32), queries, 0)


# --- the clips --------------------------------------------------------------------------------------------


def _drawn(folder: Path, seed: int, number: int, size: tuple[int, int]) -> tuple[Case, FramePack, float]:
    """A scene as a clip's frame pack, with true tracks; and the seconds that decoding the clip alone takes."""
    import torch

    scene = sample(seed, [number], "test", Lot(subjects=3, width=size[1] / size[0], octaves=6))
    clip, masks = folder / "clip.mp4", None
    with av.open(str(clip), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "18", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for picture, seen in frames(scene, size, FRAMES, PHOTO):
            masks = seen if masks is None else masks
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
        out.mux(stream.encode(None))
    assert masks is not None, "a scene without frames"
    with open_video(clip) as reader:
        started = time.perf_counter()
        for _ in reader.frames(FrameRange(0, FRAMES)):
            pass
        seconds = time.perf_counter() - started
        pack = build_pack(reader, folder / "pack")
    points = _picked(masks, np.random.default_rng([seed, number]))
    true = tracks(scene, size, torch.arange(FRAMES), torch.from_numpy(points))
    queries = np.column_stack([np.zeros(len(points), np.float32), points])
    subject = true.subject.numpy() >= 0
    return Case(queries, true.xy.numpy(), true.visible.numpy(), subject, _inner(masks, points)), pack, seconds


def _picked(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(P, 2) float32: pixels by lot, half on subjects (masks (K, H, W) uint8), half beside them."""
    on = masks.max(axis=0) >= 128
    chosen = []
    for part in (on, ~on):
        y, x = np.nonzero(part)
        picked = rng.choice(len(y), POINTS // 2, replace=False)
        chosen.append(np.stack([x[picked], y[picked]], axis=1))
    return np.concatenate(chosen).astype(np.float32)


def _inner(masks: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(P,) bool: farther than INNER px from all outlines."""
    edges = np.zeros(masks.shape[1:], np.uint8)
    for mask in masks:
        inside = (mask >= 128).astype(np.uint8)
        edges |= cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    away = cv2.distanceTransform(1 - edges, cv2.DIST_L2, 5)
    x, y = points.astype(int).T
    return np.asarray(away[y, x] > INNER)
