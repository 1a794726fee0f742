"""What the user does with tracked points, as pure functions `Project -> Project` (see engine/document/acts.py).

A tracked point has spots: frames on which the user said where it is. Between them it is computed (engine/tracking/points.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.document.acts import check_frame, inside, is_int
from engine.document.project import Project
from engine.errors import ProjectError, RecipeError
from engine.types import FrameIndex, Spot, TrackPoint

MAX_TRACK_POINTS = 20_000
MAX_SPOTS = 1_000_000


def add_track_point(project: Project, *, frame: FrameIndex, subject: int, x: float, y: float) -> Project:
    """A point of the subject that is to be tracked, seen at (x, y) on a frame."""
    check_frame(project, frame)
    one = project.subject(subject)
    number = 1 + max((point.id for point in one.track_points), default=0)
    return with_track_points(project, subject, (*one.track_points, TrackPoint(number, (Spot(frame, *inside(project, x, y)),))))


def place_track_point(
    project: Project, *, frame: FrameIndex, subject: int, point: int, x: float, y: float, seen: bool = True
) -> Project:
    """Says where a tracked point is on a frame, or with `seen` False that it is hidden there."""
    check_frame(project, frame)
    if not isinstance(seen, bool):
        raise RecipeError("seen must be true or false.")
    old = _track_point(project, subject, point)
    spots = [spot for spot in old.spots if spot.frame != frame] + [Spot(frame, *inside(project, x, y), seen)]
    return _with_track_point(project, subject, TrackPoint(old.id, tuple(sorted(spots))))


def free_track_point(project: Project, *, frame: FrameIndex, subject: int, point: int) -> Project:
    """Forgets what was said about a tracked point on a frame; one of which nothing else was said goes."""
    check_frame(project, frame)
    old = _track_point(project, subject, point)
    if old.spot_at(frame) is None:
        raise ProjectError(f"Nothing was said about point {point} on frame {frame}; it follows from other frames there.")
    if len(old.spots) == 1:
        return remove_track_point(project, subject=subject, point=point)
    return _with_track_point(project, subject, TrackPoint(old.id, tuple(spot for spot in old.spots if spot.frame != frame)))


def remove_track_point(project: Project, *, subject: int, point: int) -> Project:
    gone = _track_point(project, subject, point)
    return with_track_points(project, subject, tuple(p for p in project.subject(subject).track_points if p is not gone))


def with_track_points(project: Project, subject: int, points: tuple[TrackPoint, ...]) -> Project:
    """The document with other tracked points of a subject. Raises RecipeError for more than can be worked with."""
    if len(points) > MAX_TRACK_POINTS or sum(len(point.spots) for point in points) > MAX_SPOTS:
        raise RecipeError(f"A subject has at most {MAX_TRACK_POINTS} tracked points with {MAX_SPOTS} places; leave some out.")
    new = replace(project.subject(subject), track_points=points)
    return replace(project, subjects=tuple(new if one.id == new.id else one for one in project.subjects))


def _track_point(project: Project, subject: int, point: Any) -> TrackPoint:
    for one in project.subject(subject).track_points:
        if one.id == point and is_int(point):
            return one
    raise ProjectError(f"The subject has no tracked point {str(point)[:20]}; it was deleted, or the page is old: reload it.")


def _with_track_point(project: Project, subject: int, point: TrackPoint) -> Project:
    points = project.subject(subject).track_points
    return with_track_points(project, subject, tuple(point if one.id == point.id else one for one in points))
