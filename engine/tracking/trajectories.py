"""Trajectories of everything on a coarse grid, from flow between neighbouring frames: candidates for anchor tokens.

From each keyframe every cell of the grid is followed forward and back. A trajectory ends where going there and coming back
do not agree: it is hidden from then on. What two keyframes both found is kept once.

Places are source px, as everywhere; only where trajectories begin belongs to the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from engine.motion.flow import grid, sample

APART = 0.5
"""Cells: trajectories that are nearer to each other on all common frames are one (our choice)."""
PER_LENGTH, SLACK = 0.01, 0.5
"""|f + b∘f|² > PER_LENGTH (|f|² + |b|²) + SLACK source px²: hidden (Sundaram et al., ECCV 2010, as is usual)."""
INSIDE = 0.9
"""Share of its visible frames that a trajectory has to be inside the mask (our choice). Those that stay behind at an edge move
like nothing else, so sampling the farthest would pick them first."""
NEIGHBOURS = 12
"""Trajectories that say how a dragged place turns and grows."""


@dataclass(frozen=True, eq=False, slots=True)
class Trajectories:
    """xy (T, N, 2) float32 source px; visible (T, N) bool; origin (N,) int32: the frame, of the T, that each begins on."""

    xy: np.ndarray
    visible: np.ndarray
    origin: np.ndarray

    def __len__(self) -> int:
        return self.xy.shape[1]

    def __getitem__(self, chosen: np.ndarray) -> Trajectories:
        return Trajectories(self.xy[:, chosen], self.visible[:, chosen], self.origin[chosen])

    def starts(self) -> np.ndarray:
        """(N, 2): where each is on the frame that it begins on."""
        return self.xy[self.origin, np.arange(len(self))]

    def lengths(self) -> np.ndarray:
        """(N,): way in px over the frames on which it is seen."""
        both = self.visible[1:] & self.visible[:-1]
        return (np.linalg.norm(np.diff(self.xy, axis=0), axis=-1) * both).sum(0)


def keyframes(frames: int, count: int) -> list[int]:
    """`count` frames, evenly spread from the first to the last; one is the middle frame."""
    if count == 1 or frames == 1:
        return [(frames - 1) // 2]
    return sorted({round(i * (frames - 1) / (count - 1)) for i in range(count)})


def trajectories(flow: Callable[[int, int], np.ndarray], frames: int, size: tuple[int, int], keys: Sequence[int]) -> Trajectories:
    """All trajectories over `frames` frames, from the keyframes, without duplicates.

    `flow(a, b)` (h, w, 2): from frame a to its neighbour b on the grid, in cells; `size` (H, W) of the clip.
    """
    shape = flow(0, 1).shape[:2] if frames > 1 else (1, 1)
    scale = np.array([size[1] / shape[1], size[0] / shape[0]], np.float32)
    found: list[Trajectories] = []
    for key in keys:
        one = _followed(flow, frames, shape, key, scale)
        for before in found:
            one = one[~_twins(one, before, shape, scale)]
        found.append(one)
    return joined(found)


def joined(parts: Sequence[Trajectories]) -> Trajectories:
    return Trajectories(
        np.concatenate([one.xy for one in parts], 1),
        np.concatenate([one.visible for one in parts], 1),
        np.concatenate([one.origin for one in parts]),
    )


def _followed(
    flow: Callable[[int, int], np.ndarray], frames: int, shape: tuple[int, int], key: int, scale: np.ndarray
) -> Trajectories:
    begin = grid(shape).reshape(1, -1, 2)
    xy = np.repeat(begin, frames, 0)
    visible = np.ones(xy.shape[:2], bool)
    for way, last in ((1, frames - 1), (-1, 0)):
        for a in range(key, last, way):
            b = a + way
            there = sample(flow(a, b), xy[a][None])[0]
            xy[b] = xy[a] + there
            back = sample(flow(b, a), xy[b][None])[0]
            visible[b] = visible[a] & _agree(there * scale, back * scale) & _within(xy[b], shape)
    origin = np.full(xy.shape[1], key, np.int32)
    return Trajectories((xy + 0.5) * scale - 0.5, visible, origin)


def _agree(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """(N,) bool of flows (N, 2) in source px."""
    apart = ((there + back) ** 2).sum(-1)
    return np.asarray(apart <= PER_LENGTH * ((there**2).sum(-1) + (back**2).sum(-1)) + SLACK)


def _within(xy: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    x, y = xy[:, 0], xy[:, 1]
    return np.asarray((x > -0.5) & (x < shape[1] - 0.5) & (y > -0.5) & (y < shape[0] - 0.5))


def _twins(new: Trajectories, old: Trajectories, shape: tuple[int, int], scale: np.ndarray) -> np.ndarray:
    """(N,) bool: those of `new` that one of `old`, which begin in all cells of one frame or some of them, already is.

    Compared with the one that begins nearest to where the new one is on that frame: any other is farther away there.
    """
    if not len(old) or not len(new):
        return np.zeros(len(new), bool)
    frame = int(old.origin[0])
    cells = np.full(shape, -1)
    at = np.rint((old.starts() + 0.5) / scale - 0.5).astype(int)
    cells[at[:, 1], at[:, 0]] = np.arange(len(old))
    here = np.rint((new.xy[frame] + 0.5) / scale - 0.5).astype(int)
    nearest = cells[np.clip(here[:, 1], 0, shape[0] - 1), np.clip(here[:, 0], 0, shape[1] - 1)]
    common = new.visible & old.visible[:, nearest]
    apart = np.linalg.norm((new.xy - old.xy[:, nearest]) / scale, axis=-1)
    return np.asarray((nearest >= 0) & common[frame] & (np.where(common, apart, 0).max(0) < APART))


def inside(found: Trajectories, mask: Callable[[int], np.ndarray | None]) -> np.ndarray:
    """(N,) bool: in the mask where it begins, and on INSIDE of the frames on which it is seen; on two of them at least, of
    several. `mask(i)` (H, W) uint8 of frame i of the T, None where there is none."""
    hits = np.zeros(found.visible.shape, bool)
    for i in range(len(hits)):
        alpha = mask(i)
        if alpha is not None:
            x, y = (np.rint(found.xy[i]).astype(int)).T
            hits[i] = alpha[np.clip(y, 0, alpha.shape[0] - 1), np.clip(x, 0, alpha.shape[1] - 1)] > 127
    seen = found.visible.sum(0)
    kept = (hits & found.visible).sum(0) >= INSIDE * seen
    return np.asarray(hits[found.origin, np.arange(len(found))] & kept & (seen >= min(2, len(hits))))


def carried_drag(around: Trajectories, place: np.ndarray, at: int, shift: tuple[float, float]) -> np.ndarray:
    """(T, 2): a shift in px of a place (2,) on frame `at`, carried to all frames: turned and scaled as its surroundings are.

    The turn is that of the similarity which takes the nearest trajectories of frame `at` to each frame; where fewer than three
    of them are seen, the shift stays as it was on the frame before.
    """
    moved = np.zeros((len(around.xy), 2), np.float32)
    seen = np.flatnonzero(around.visible[at])
    near = seen[np.argsort(((around.xy[at, seen] - place) ** 2).sum(-1), kind="stable")[:NEIGHBOURS]]
    points = around.xy[..., 0] + 1j * around.xy[..., 1]
    for frames in (range(at, len(moved)), range(at - 1, -1, -1)):
        turn = 1.0 + 0j
        for i in frames:
            both = near[around.visible[i, near]]
            if len(both) >= 3:
                before, after = (points[t, both] - points[t, both].mean() for t in (at, i))
                size = float((np.abs(before) ** 2).sum())
                turn = complex((after * before.conj()).sum() / size) if size > 1e-6 else turn
            whole = turn * complex(*shift)
            moved[i] = whole.real, whole.imag
    return moved


def latent_trajectories(xy: np.ndarray, visible: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """xy (T, N, 2), visible (T, N) of frames -> (F, N, 2), (F, N) of latent frames, which hold the first frame and then
    `stride` each: the mean place over the frames on which it is seen."""
    edges = [0, *range(1, len(xy), stride), len(xy)] if len(xy) > 1 else [0, 1]
    places, seen = [], []
    for start, stop in pairwise(edges):
        weight = visible[start:stop, :, None].astype(np.float32)
        count = weight.sum(0)
        places.append(np.where(count > 0, (xy[start:stop] * weight).sum(0) / np.maximum(count, 1), xy[start]))
        seen.append(count[:, 0] > 0)
    return np.stack(places).astype(np.float32), np.stack(seen)


# --- on disk ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """Anchor tokens of a shot as the page shows them: xy (T, P, 2) float32 px, visible (T, P), from frame `frame0` of the clip;
    `origin` (P, 3) float32: frame, x, y where each begins, which names it; `owner` (P,) int32: its subject's number, 0 = none."""

    xy: np.ndarray
    visible: np.ndarray
    origin: np.ndarray
    owner: np.ndarray
    frame0: int


FOUND = "tokens.npz"


def write_found(folder: Path, found: Found) -> None:
    """Written beside and renamed."""
    part = folder / f"{FOUND}.part"
    with part.open("wb") as file:
        np.savez(file, xy=found.xy, visible=found.visible, origin=found.origin, owner=found.owner, frame0=np.array(found.frame0))
    part.replace(folder / FOUND)


def read_found(folder: Path) -> Found | None:
    """None where there are none, or the file was damaged."""
    try:
        with np.load(folder / FOUND, allow_pickle=False) as kept:
            return Found(kept["xy"], kept["visible"], kept["origin"], kept["owner"], int(kept["frame0"]))
    except (OSError, ValueError, KeyError, EOFError):
        return None
