"""How far a rendered frame can be believed, and which frame should be the next anchor.

A method notes for each frame which share of its region no anchor saw (`unseen`) and how well what it carried fits the rest
(`confidence`). From these follows a frame's doubt, 0 to 1. Another anchor is worth what doubt it takes away from all frames up
to the next anchors: it stands in for the farther one of those on its side, so a frame has two anchors to go by where it had one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.media.records import RecordReader
from engine.rendering.material import Material
from engine.types import FrameIndex, FrameRange

WORTH = 0.005
"""Mean doubt that an anchor must take away to be worth making (our choice)."""
LEVELS = 9
"""Doubt is drawn in so many steps, and none."""

HIDDEN = 0.2
"""Errors that a method does not notice grow with distance, up to what so much doubt means (fitted, like the next three)."""
ALIKE = 0.7
"""How much doubt a difference in doubt means between two frames."""
SPARED = 0.25
"""A frame may show so much less of the subject than another before it counts."""
SEEN = 0.5
"""Of the usual region: less of the subject makes no anchor."""
DRIFT = 16.0
"""Frames over which unnoticed errors grow."""

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
    ranked = suggestions(found, [anchor.frame for anchor in material.project.edit.carried], spans)
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
    """The frames (n,) of a shot, each with the doubt that an anchor there takes away; `weight` (n,): how much each counts."""
    left, right = (_of_anchor(frames, doubted, anchors, side) for side in (-1, 1))
    before = _together(left, right)[None]
    candidate = _of_candidate(frames, doubted, weight)
    earlier = frames[None] < frames[:, None]  # (candidate, frame)
    after = _together(candidate, np.where(earlier, left[None], right[None]))
    taken = np.maximum(0, (before - after) @ weight) / max(float((before @ weight)[0]), 1e-9)
    gains = taken * float(doubted @ weight)
    gains[np.isin(frames, anchors)] = 0
    return [Suggestion(int(frame), float(gain)) for frame, gain in zip(frames, gains, strict=True)]


def _together(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Error of what two anchors say together: that of two independent ones, mixed by their errors. Infinite where neither is."""
    with np.errstate(divide="ignore"):
        return 1 / np.maximum(1 / np.maximum(one, 1e-6) + 1 / np.maximum(other, 1e-6), 1e-6)


def _of_anchor(frames: np.ndarray, doubted: np.ndarray, anchors: np.ndarray, side: int) -> np.ndarray:
    """(n,) error of what the nearest anchor before (side −1) or after (1) a frame says of it alone; infinite where none is."""
    away = side * (anchors[None] - frames[:, None])
    away = np.where(away >= 0, away, np.inf).min(axis=1)
    return np.where(np.isfinite(away), doubted + HIDDEN * _drift(away), np.inf)


def _of_candidate(frames: np.ndarray, doubted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(candidate, frame) error of what an anchor at a frame would say of the others.

    Two frames that are doubted alike show alike, as far as is known; what one shows much less of than the other it lacks.
    """
    unlike = ALIKE * np.abs(doubted[:, None] - doubted[None])
    lacks = np.clip(1 - weight[:, None] / np.maximum(weight[None], 1e-12) - SPARED, 0, 1)
    return 1 - (1 - unlike) * (1 - lacks) + HIDDEN * _drift(np.abs(frames[:, None] - frames[None]))


def _drift(distance: np.ndarray) -> np.ndarray:
    """0 at an anchor … 1 far from it."""
    return np.asarray(1 - np.exp(-distance / DRIFT))


def levels(known: Mapping[FrameIndex, float], frames: int) -> str:
    """Doubt of all frames of a clip as text, one character each: 0 … 9, or - where it is not known."""
    text = ["-"] * frames
    for frame, value in known.items():
        if 0 <= frame < frames:
            text[frame] = str(round(LEVELS * value))
    return "".join(text)
