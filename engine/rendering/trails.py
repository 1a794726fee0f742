"""Solved stretches of tracked points on disk, and what of them is missing.

A stretch has a content key over the clip, its frames and the spots at its ends. What one run solves is one entry of the
cache: a record a stretch, and their keys in `meta`. A spot that is moved asks for the two stretches beside it and no other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from engine.errors import MediaError
from engine.interchange.tracks import TrackSet
from engine.media.records import RecordWriter
from engine.progress import Progress, Step
from engine.rendering.material import Material
from engine.rendering.segments import shots
from engine.store.entries import Entry, seal
from engine.store.workspace import Workspace, content_key, touch
from engine.tracking.by_models import point_model, solve_by
from engine.tracking.choice import AUTO, key_part
from engine.tracking.points import Stretch, Trail, gathered, solve, stretches_of
from engine.types import Spot, TrackPoint

VALUES = 4  # x, y, visible, confidence


def stretch_key(digest: str, stretch: Stretch, by: str = AUTO) -> str:
    """Content key over everything that decides a stretch's trail in the clip with this digest, followed `by` a tracker."""
    ends = [None if spot is None else list(spot) for spot in (stretch.left, stretch.right)]
    span = [stretch.range.start, stretch.range.stop]
    return content_key(what="points", clip=digest, range=span, ends=ends, **key_part(by))


class TrailStore:
    """The solved stretches of one project, as far as they are on disk when it is made."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._places: dict[str, tuple[Entry, int]] = {}
        for done in sorted(workspace.points("any").parent.glob("*/done.json")):
            try:
                keys = json.loads(done.read_text(encoding="utf-8"))["meta"]["stretches"]
                entry = Entry(done.parent)
            except (OSError, ValueError, KeyError, TypeError):  # thrown away just now, or damaged: solved again
                continue
            self._places.update({key: (entry, row) for row, key in enumerate(keys)})

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str) -> Trail | None:
        """None where it is not there, or was damaged on the disk."""
        entry, row = self._places.get(key, (None, 0))
        blob = entry.get(row) if entry else None
        if entry is None or blob is None:
            return None
        touch(entry.folder)
        values = np.frombuffer(blob, "<f4").reshape(-1, VALUES)
        return Trail(values[:, :2].copy(), values[:, 2] > 0, values[:, 3].copy())

    def put(self, keys: Sequence[str], trails: Sequence[Trail]) -> None:
        """Writes what one run has solved. Raises MediaError when the disk does not take it."""
        folder = self._workspace.points(content_key(what="solved", stretches=sorted(keys)))
        with RecordWriter(folder, resume=False) as records:
            for row, trail in enumerate(trails):
                values = np.column_stack([trail.xy, trail.visible, trail.confidence]).astype("<f4")
                records.append(row, seal(row, values.tobytes()))
            records.finish({"stretches": list(keys)})
        self._places.update({key: (Entry(folder), row) for row, key in enumerate(keys)})

    def close(self) -> None:
        for entry, _ in self._places.values():
            entry.close()


# --- of a project -----------------------------------------------------------------------------------------


def point_stretches(material: Material, point: TrackPoint) -> dict[str, Stretch]:
    """The stretches of a point over the project's range that have to be solved, by key: not what lies in one frame or two
    spots side by side."""
    project = material.project
    found = stretches_of(point.spots, project.range, shots(project, material.cuts))
    between = [one for one in found if len(one.range) > (2 if one.left and one.right else 1)]
    return {stretch_key(project.video.digest, one, project.points_by): one for one in between}


def points_to_follow(material: Material) -> dict[str, Stretch]:
    """Stretches that are not solved yet, by key."""
    points = [point for subject in material.project.subjects for point in subject.track_points]
    if not points:
        return {}
    store = TrailStore(material.workspace)
    try:
        wanted = {key: one for point in points for key, one in point_stretches(material, point).items()}
        return {key: one for key, one in wanted.items() if key not in store}
    finally:
        store.close()


def follow_points(material: Material, progress: Progress) -> int:
    """Solves what is missing; returns how many stretches that were.

    Raises:
        Cancelled: nothing of the run is kept.
        MediaError: the clip is not prepared, or the disk is full.
    """
    missing = points_to_follow(material)
    if not missing:
        return 0
    frames = len({frame for one in missing.values() for frame in one.range})
    progress.total += 2 * frames
    stretches = list(missing.values())
    trails = _solved(material, stretches, progress.part("Tracking points", 2 * frames))
    store = TrailStore(material.workspace)
    try:
        store.put(list(missing), trails)
    finally:
        store.close()
    return len(missing)


def _solved(material: Material, stretches: Sequence[Stretch], step: Step) -> list[Trail]:
    """By whom the project says. Raises MethodError where that model is not here."""
    project, pictures = material.project, material.ready_pack
    if project.points_by == AUTO:
        return solve(pictures, project.video.size, stretches, step)
    return solve_by(point_model(project.points_by), pictures, project.video.size, stretches, step)


def found_tracks(material: Material, only: int | None = None) -> TrackSet | None:
    """The tracks of all tracked points, or of those of one subject, over the project's range; None where there are none.
    What is not solved yet is not visible: `follow_points` first."""
    project = material.project
    chosen = [one for one in project.subjects if only is None or one.id == only]
    points = [(subject.id, point) for subject in chosen for point in subject.track_points]
    if not points:
        return None
    store = TrailStore(material.workspace)
    try:
        solved: list[tuple[Sequence[Spot], list[tuple[Stretch, Trail]]]] = []
        for _, point in points:
            trails = [(one, store.get(key)) for key, one in point_stretches(material, point).items()]
            solved.append((point.spots, [(one, trail) for one, trail in trails if trail is not None]))
    finally:
        store.close()
    subjects = np.array([subject for subject, _ in points], np.int32)
    return TrackSet(gathered(solved, project.range), subjects, project.video.size, project.video.rate)


def all_tracks(material: Material, progress: Progress) -> TrackSet:
    """The tracks of all tracked points, solved where they are not yet. Raises MediaError where there is no point."""
    follow_points(material, progress)
    found = found_tracks(material)
    if found is None:
        raise MediaError("There is no tracked point in this project; put one on a subject (R), then try again.")
    return found


def tracks_key(material: Material, subject: int) -> tuple[str, bool]:
    """Changes with what is known of a subject's tracked points; and whether some of it is still to be solved."""
    points = material.project.subject(subject).track_points
    store = TrailStore(material.workspace)
    try:
        wanted = [key for point in points for key in point_stretches(material, point)]
        solved = [key for key in wanted if key in store]
    finally:
        store.close()
    said = [[point.id, [list(spot) for spot in point.spots]] for point in points]
    span = material.project.range
    return content_key(what="tracks", said=said, solved=solved, span=[span.start, span.stop])[:20], len(solved) < len(wanted)


def track_values(material: Material, subject: int) -> np.ndarray:
    """(P, T, 3) float32 over the project's range: x, y, confidence of a subject's tracked points; confidence 0 = hidden,
    NaN where nothing is known yet."""
    span, points = material.project.range, material.project.subject(subject).track_points
    found = found_tracks(material, subject)
    if found is None:
        return np.zeros((0, len(span), 3), np.float32)
    tracks = found.tracks
    values = np.dstack([tracks.xy, np.where(tracks.visible, np.maximum(tracks.confidence, 0.01), 0)]).astype(np.float32)
    store = TrailStore(material.workspace)
    try:
        for column, point in enumerate(points):
            known = np.zeros(len(span), bool)
            for key, stretch in point_stretches(material, point).items():
                if key in store:
                    known[stretch.range.start - span.start : stretch.range.stop - span.start] = True
            known[[spot.frame - span.start for spot in point.spots if spot.frame in span]] = True
            values[~known, column] = np.nan
    finally:
        store.close()
    return np.ascontiguousarray(values.swapaxes(0, 1))
