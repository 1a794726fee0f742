"""What was measured of every frame of one version of a project, gathered from where each part of the engine leaves it.

Methods note how well they carried and what no anchor saw, rendering notes how far a frame was changed, trackers of masks and
of points say how sure they are, the reader says which pictures of the source are damaged. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.quality import doubts, noted_of
from engine.rendering.material import Material
from engine.rendering.trails import track_values
from engine.types import FrameIndex

Noted = Mapping[FrameIndex, Mapping[str, Any]]
Previewed = Callable[[str], Noted]


@dataclass(frozen=True, eq=False, slots=True)
class FrameMeasures:
    """All by frame; a frame that is not there was not measured.

    `noted`: what methods and rendering noted (engine/quality.py, engine/rendering/changes.py). `doubt` 0–1 follows from it.
    `masks`: by subject, how sure its carried mask is, 0–1. `points`: by subject (P, T) float32 over the project's range, which
    begins at `first`: confidence of its tracked points, 0 = hidden, NaN = not known. `damaged`: frames of the source that were
    decoded with errors.
    """

    noted: Noted
    doubt: Mapping[FrameIndex, float]
    masks: Mapping[int, Mapping[FrameIndex, float]]
    points: Mapping[int, np.ndarray]
    first: FrameIndex
    damaged: frozenset[FrameIndex]

    def unseen(self) -> dict[FrameIndex, float]:
        """Share of the region that no anchor saw, where it was noted."""
        return {frame: float(one["unseen"]) for frame, one in self.noted.items() if "unseen" in one}

    def lost_points(self, subject: int) -> dict[FrameIndex, float]:
        """How little is known of the subject's least sure visible point on a frame: 0 = sure, 1 = nothing."""
        values = self.points[subject]
        seen = np.where(values > 0, values, np.nan)
        known = ~np.isnan(seen).all(axis=0)
        return {self.first + int(i): 1 - float(np.nanmin(seen[:, i])) for i in np.flatnonzero(known)}


def measures_of(material: Material, previewed: Previewed) -> FrameMeasures:
    """Of a version of a project. `previewed(key)`: what was noted of frames of a segment that is not rendered yet."""
    project = material.project
    noted = noted_of(material, previewed)
    masks: dict[int, dict[FrameIndex, float]] = {}
    for subject in project.subjects:
        sure: dict[FrameIndex, float] = {}
        for span in material.spans(subject.id):
            sure.update(material.confidence(subject.id, span))
        if sure:
            masks[subject.id] = sure
    points = {one.id: _sure_points(material, one.id) for one in project.subjects if one.track_points}
    return FrameMeasures(noted, doubts(noted), masks, points, project.range.start, damaged_frames(material))


def _sure_points(material: Material, subject: int) -> np.ndarray:
    values: np.ndarray = track_values(material, subject)[..., 2]
    return values


def damaged_frames(material: Material) -> frozenset[FrameIndex]:
    """Frames whose source picture was decoded with errors: found when the clip was opened, or when it was prepared."""
    ranges = material.project.video.damaged
    found = {frame for start, stop in ranges for frame in range(start, stop)}
    if material.pack is not None and material.pack.complete:
        found |= set(material.pack.damaged)
    return frozenset(found)
