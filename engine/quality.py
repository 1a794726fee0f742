"""How far a rendered frame can be believed, and which frame should be the next anchor.

A method notes for each frame which share of its region no anchor saw (`unseen`) and how well what it carried fits the rest
(`confidence`). From these follows a frame's doubt, 0 to 1. Another anchor is worth what doubt it takes away: around it frames
are as sure as frames at that distance from the present anchors are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.media.records import RecordReader
from engine.rendering.material import Material
from engine.types import FrameIndex, FrameRange

WORTH = 0.02
"""Mean doubt that an anchor must take away to be worth making (our choice)."""
LEVELS = 9
"""Doubt is drawn in so many steps, and none."""

HIDDEN = 2.0
"""Errors that a method does not notice grow with distance: twice as much of them as of those it notices (our choice)."""
SEEN = 0.5
"""Of the usual region: less of the subject makes no anchor."""
DRIFT = 30.0
"""Frames over which they grow."""

Measures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Overview:
    """Doubt of all frames as text (see `levels`), and the best next anchor."""

    levels: str
    next: Suggestion | None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A frame that should become an anchor, and the doubt (mean over the frames looked at, 0–1) that it would take away."""

    frame: FrameIndex
    gain: float


def doubt(measures: Measures) -> float | None:
    """0 = carried as from the anchor itself … 1 = made up; None where nothing was noted."""
    if "confidence" not in measures:
        return None
    unseen = float(measures.get("unseen", 0.0))
    return min(1.0, max(0.0, unseen + (1 - unseen) * (1 - float(measures["confidence"]))))


def overview(material: Material, previewed: Callable[[str], Mapping[FrameIndex, Measures]]) -> Overview:
    """Of a version of a project. `previewed(key)`: what was noted about frames of a segment that is not rendered yet."""
    found = noted_of(material, previewed)
    known = doubts(found)
    spans = sorted({segment.shot for segment in material.segments}, key=lambda shot: shot.start)
    ranked = suggestions(found, [anchor.frame for anchor in material.project.edit.approved], spans)
    best = ranked[0] if ranked and ranked[0].gain >= WORTH else None
    return Overview(levels(known, material.project.video.frames), best)


def noted_of(material: Material, previewed: Callable[[str], Mapping[FrameIndex, Measures]]) -> dict[FrameIndex, Measures]:
    """What was noted about every frame: of rendered segments by them, of the others by their previews."""
    found: dict[FrameIndex, Measures] = {}
    for segment in material.segments:
        key = material.key_of(segment)
        found.update(measures_of(material, key) if material.is_done(segment) else previewed(key))
    return found


def measures_of(material: Material, key: str) -> dict[FrameIndex, Measures]:
    """What was noted about the frames of the finished segment with this key."""
    meta = RecordReader(material.workspace.segment(key)).meta
    return {one["frame"]: one for one in meta.get("quality", [])}


def doubts(measures: Mapping[FrameIndex, Measures]) -> dict[FrameIndex, float]:
    """Doubt by frame, where it is known."""
    known = {frame: doubt(one) for frame, one in measures.items()}
    return {frame: value for frame, value in known.items() if value is not None}


def suggestions(
    measures: Mapping[FrameIndex, Measures], anchors: Iterable[FrameIndex], spans: Sequence[FrameRange]
) -> list[Suggestion]:
    """Frames in the order in which they should become anchors, best first; `spans` are the shots, each judged on its own.

    Frames on which the subject is hardly seen count less, and become no anchors: an anchor that does not see it has little to
    carry.
    """
    known, present = doubts(measures), sorted(anchors)
    found: list[Suggestion] = []
    for span in spans:
        frames = np.array(sorted(frame for frame in known if frame in span))
        here = np.array([anchor for anchor in present if anchor in span])
        if len(frames) and len(here):
            region = np.array([float(measures[frame].get("region", 1.0)) for frame in frames.tolist()])
            seen = np.minimum(1, region / max(float(np.median(region)), 1e-9))
            ranked = _ranked(frames, np.array([known[frame] for frame in frames.tolist()]), seen / len(known), here)
            found += [one for one, share in zip(ranked, seen, strict=True) if one.gain > 0 and share >= SEEN]
    return sorted(found, key=lambda one: -one.gain)


def _ranked(frames: np.ndarray, doubted: np.ndarray, weight: np.ndarray, anchors: np.ndarray) -> list[Suggestion]:
    """The frames (n,) of a shot, each with the doubt that an anchor there takes away."""
    distance = np.abs(frames[:, None] - anchors[None]).min(axis=1)
    mean = float(doubted @ weight / max(float(weight.sum()), 1e-9))
    usual, beyond = usual_doubt(distance, doubted), HIDDEN * mean
    apart = np.abs(frames[:, None] - frames[None])  # (candidate, frame)
    after = usual[np.minimum(apart, len(usual) - 1)] + beyond * _drift(apart)
    before = doubted + beyond * _drift(distance)
    gains = np.maximum(0, before[None] - after) @ weight / (1 + HIDDEN)
    gains[distance == 0] = 0
    return [Suggestion(int(frame), float(gain)) for frame, gain in zip(frames, gains, strict=True)]


def _drift(distance: np.ndarray) -> np.ndarray:
    """0 at an anchor … 1 far from it."""
    return 1 - np.exp(-distance / DRIFT)


def usual_doubt(distance: np.ndarray, doubted: np.ndarray) -> np.ndarray:
    """(farthest + 1,) doubt by distance from an anchor: the increasing curve that fits the frames best (pool adjacent violators).

    distance (n,) frames, doubted (n,). An anchor's own doubt is 0.
    """
    farthest = int(distance.max(initial=0))
    count = np.bincount(distance, minlength=farthest + 1).astype(float)
    total = np.bincount(distance, doubted, minlength=farthest + 1)
    total[0], count[0] = 0.0, max(1.0, count[0])
    pools: list[list[float]] = []  # sum, count, distances
    for sum_, n in zip(total.tolist(), count.tolist(), strict=True):
        pools.append([sum_, n, 1])
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            last = pools.pop()
            pools[-1] = [before + more for before, more in zip(pools[-1], last, strict=True)]
    return np.concatenate([np.full(int(length), sum_ / max(n, 1.0)) for sum_, n, length in pools])


def levels(known: Mapping[FrameIndex, float], frames: int) -> str:
    """Doubt of all frames of a clip as text, one character each: 0 … 9, or - where it is not known."""
    text = ["-"] * frames
    for frame, value in known.items():
        if 0 <= frame < frames:
            text[frame] = str(round(LEVELS * value))
    return "".join(text)
