"""What the user does with the stack of edits, as pure functions `Project -> Project`.

Edits stand in order: each edits the result of those before it that are on. The acts of engine/document/acts.py on anchors,
takes and texts are about the edit being worked on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.document.acts import clean_name, is_int
from engine.document.project import Project
from engine.errors import ProjectError, RecipeError
from engine.types import Edit, FrameIndex, SegmentMethod

MAX_EDITS = 16
"""Each edit decodes and lays one more patch a frame (our choice)."""


def add_edit(project: Project, *, name: str = "") -> Project:
    """A new edit right above the one being worked on, and work goes on with it."""
    if len(project.edits) >= MAX_EDITS:
        raise ProjectError(f"A project holds at most {MAX_EDITS} edits; delete one first.")
    number = 1 + max(edit.id for edit in project.edits)
    place = project.edits.index(project.edit) + 1
    edit = Edit(name=clean_name(name) or f"Edit {number}", id=number)
    return replace(project, edits=(*project.edits[:place], edit, *project.edits[place:]), selected=number)


def remove_edit(project: Project, *, edit: int) -> Project:
    """Takes an edit and its anchors away; work goes on with the one below it. A project keeps one edit at least."""
    gone, place = _edit(project, edit)
    if len(project.edits) == 1:
        raise ProjectError("This is the only edit; switch it off, or undo what was done in it.")
    left = (*project.edits[:place], *project.edits[place + 1 :])
    worked_on = left[max(0, place - 1)].id if project.edit is gone else project.selected
    return replace(project, edits=left, selected=worked_on)


def rename_edit(project: Project, *, edit: int, name: str) -> Project:
    old, _ = _edit(project, edit)
    return _with(project, replace(old, name=clean_name(name) or old.name))


def move_edit(project: Project, *, edit: int, to: int) -> Project:
    """Puts an edit at place `to` of the stack, 0 = the lowest. Takes stay as they are approved inside their region."""
    moved, place = _edit(project, edit)
    if not is_int(to) or not 0 <= to < len(project.edits):
        raise RecipeError(f"An edit is moved to a place from 0 to {len(project.edits) - 1}, not {str(to)[:20]}.")
    if to == place:
        return project
    others = [one for one in project.edits if one is not moved]
    return replace(project, edits=(*others[:to], moved, *others[to:]))


def switch_edit(project: Project, *, edit: int, on: bool) -> Project:
    """Leaves an edit out of the result, or takes it in again; all that belongs to it stays."""
    old, _ = _edit(project, edit)
    if not isinstance(on, bool):
        raise RecipeError("on must be true or false.")
    return project if old.on == on else _with(project, replace(old, on=on))


def aim_edit(project: Project, *, subjects: Any = None) -> Project:
    """Which subjects the edit being worked on changes: their numbers, None = all, [] = the whole frame."""
    if subjects is not None:
        if not isinstance(subjects, list | tuple):
            raise RecipeError("An edit's subjects are a list of numbers, or nothing for all of them.")
        subjects = tuple(dict.fromkeys(project.subject(one).id for one in subjects))
    return project if subjects == project.edit.subjects else project.with_edit(replace(project.edit, subjects=subjects))


def set_segment_method(
    project: Project, *, start: FrameIndex, stop: FrameIndex, method: str, config: dict[str, Any] | None = None
) -> Project:
    """Another method for the frames [start, stop) between two neighbouring anchors, in place of what was chosen for them.

    It holds for the segments that lie wholly in these frames: a new anchor between them keeps it for both halves, one that is
    taken away at an end gives the frames back to the edit's method.
    """
    checked_span(project, start, stop)
    kept = _apart(project.edit, start, stop)
    chosen = SegmentMethod(start, stop, method, dict(config or {}))
    return project.with_edit(replace(project.edit, by_segment=tuple(sorted([*kept, chosen], key=lambda one: one.start))))


def clear_segment_method(project: Project, *, start: FrameIndex, stop: FrameIndex) -> Project:
    """Gives the frames [start, stop) back to the edit's method."""
    kept = _apart(project.edit, start, stop)
    if len(kept) == len(project.edit.by_segment):
        return project
    return project.with_edit(replace(project.edit, by_segment=tuple(kept)))


def checked_span(project: Project, start: Any, stop: Any) -> None:
    """Raises RecipeError for frames that the clip does not have."""
    if not (is_int(start) and is_int(stop) and 0 <= start < stop <= project.video.frames):
        span, last = f"{str(start)[:20]} to {str(stop)[:20]}", project.video.frames - 1
        raise RecipeError(f"There are no frames {span} in this clip: it has frames 0 to {last}.")


def _apart(edit: Edit, start: FrameIndex, stop: FrameIndex) -> list[SegmentMethod]:
    """What was chosen for other frames."""
    return [one for one in edit.by_segment if one.stop <= start or one.start >= stop]


def _edit(project: Project, edit: int) -> tuple[Edit, int]:
    """An edit and its place. Raises ProjectError."""
    found = project.on_edit(edit).edit
    return found, project.edits.index(found)


def _with(project: Project, edit: Edit) -> Project:
    return replace(project, edits=tuple(edit if one.id == edit.id else one for one in project.edits))
