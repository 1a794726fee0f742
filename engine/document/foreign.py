"""Documents from others: what every act keeps to, checked over a whole document that somebody else has made."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Any

from engine.document.acts import (
    COLOUR,
    KEY,
    MAX_SUBJECTS,
    add_lasso,
    add_stroke,
    check_frame,
    checked_box,
    inside,
    is_int,
    set_range,
    shape_subject,
)
from engine.document.edit_acts import MAX_EDITS, checked_span
from engine.document.point_acts import with_track_points
from engine.document.project import Project
from engine.errors import ProjectError
from engine.types import Keyframe, Subject


def check_document(project: Project) -> None:
    """Checks a document.

    Raises:
        ProjectError, RecipeError: the first thing that no act could have made.
    """
    span, subjects = project.range, {subject.id for subject in project.subjects}
    height, width = project.video.size
    if not (is_int(height) and is_int(width) and height > 0 and width > 0 and project.video.frames > 0):
        raise ProjectError("The project's clip has no size or no frames.")
    set_range(project, start=span.start, stop=span.stop)
    if not isinstance(project.name, str) or len(subjects) < len(project.subjects) or not project.edits:
        raise ProjectError("The project's name, subjects or edits are not what they must be.")
    for subject in project.subjects:
        shape_subject(project, subject=subject.id, name=subject.name, feather=subject.feather, grow=subject.grow)
        if not is_int(subject.id) or not 1 <= subject.id <= MAX_SUBJECTS or not COLOUR.fullmatch(str(subject.colour)):
            raise ProjectError(f"Subject {str(subject.id)[:20]} has no right number or colour.")
        _check_track_points(project, subject)
    for key in project.keyframes:
        _check_marks(project, key)
    for anchor in (anchor for edit in project.edits for anchor in edit.anchors):
        check_frame(project, anchor.frame)
        _check_keys(*(take.key for take in anchor.takes), anchor.chosen, anchor.region)
        if not all(isinstance(take.label, str) and isinstance(take.config, dict) and _is_fit(take.fit) for take in anchor.takes):
            raise ProjectError(f"A take of anchor {anchor.frame} is not what it must be.")
    _check_edits(project)
    for change in (change for edit in project.edits for change in edit.tokens):
        check_frame(project, change.frame)
        check_frame(project, change.at)
        inside(project, change.x, change.y)
        if not isfinite(change.dx) or not isfinite(change.dy):
            raise ProjectError(f"A change of an anchor token on frame {change.frame} is not what it must be.")


def _is_fit(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1)


def _check_edits(project: Project) -> None:
    numbers = [edit.id for edit in project.edits]
    if len(set(numbers)) < len(numbers) or not all(is_int(one) and one > 0 for one in numbers) or len(numbers) > MAX_EDITS:
        raise ProjectError("The project's edits are too many, or have no right numbers.")
    project.on_edit(project.selected)
    for edit in project.edits:
        chosen = [(edit.method, edit.config), *((one.method, one.config) for one in edit.by_segment)]
        if not all(isinstance(method, str) and isinstance(config, dict) for method, config in chosen):
            raise ProjectError("An edit's method or config is not what it must be.")
        texts = (edit.name, edit.source_prompt, edit.target_prompt, edit.instruction, *edit.target_words)
        if not all(isinstance(text, str) for text in texts) or not isinstance(edit.on, bool) or not is_int(edit.seed):
            raise ProjectError(f"Edit {edit.id} is not what it must be.")
        for number in edit.subjects or ():
            project.subject(number)
        for one in edit.by_segment:
            checked_span(project, one.start, one.stop)
        frames = [frame for one in edit.by_segment for frame in (one.start, one.stop)]
        if frames != sorted(frames):
            raise ProjectError(f"The methods of edit {edit.id}'s segments overlap.")


def _check_marks(project: Project, key: Keyframe) -> None:
    check_frame(project, key.frame)
    project.subject(key.subject)
    _check_keys(key.mask, key.imported)
    for point in key.points:
        inside(project, point.x, point.y)
        if point.label not in (1, -1):
            raise ProjectError(f"A point on frame {key.frame} is neither inside nor outside.")
    if key.box is not None:
        checked_box(project, key.box)
    bare = replace(project, keyframes=())
    for stroke in key.strokes:
        at: dict[str, Any] = {"frame": key.frame, "subject": key.subject, "xy": stroke.xy, "mode": stroke.mode}
        _ = add_lasso(bare, **at) if stroke.filled else add_stroke(bare, **at, radius=stroke.radius)


def _check_keys(*keys: Any) -> None:
    if not all(key is None or (isinstance(key, str) and KEY.fullmatch(key)) for key in keys):
        raise ProjectError("A picture is named by what is not the key of a stored object.")


def _check_track_points(project: Project, subject: Subject) -> None:
    """Raises what the acts would for tracked points that none of them could have made."""
    if len({point.id for point in subject.track_points}) < len(subject.track_points):
        raise ProjectError(f"Two tracked points of subject {subject.id} have one number.")
    with_track_points(project, subject.id, subject.track_points)
    for point in subject.track_points:
        frames = [spot.frame for spot in point.spots]
        if not is_int(point.id) or not frames or frames != sorted(set(frames)):
            raise ProjectError(f"A tracked point of subject {subject.id} is not what it must be.")
        for spot in point.spots:
            check_frame(project, spot.frame)
            inside(project, spot.x, spot.y)
