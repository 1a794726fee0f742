"""What the user does with anchor tokens that a method found, as pure functions `Project -> Project`.

A token is named by where it begins, so that what was said of it still holds when the method finds it again. New tokens are
tracked points (engine/document/point_acts.py), which join those that were found.
"""

from __future__ import annotations

from dataclasses import replace

from engine.document.acts import check_frame, inside, number_in
from engine.document.project import Project
from engine.errors import ProjectError
from engine.types import FrameIndex, TokenChange

MAX_CHANGES = 4096


def drop_token(project: Project, *, frame: FrameIndex, x: float, y: float) -> Project:
    """Takes the token that begins on a frame at (x, y) away."""
    check_frame(project, frame)
    return with_change(project, TokenChange(frame, *inside(project, x, y), gone=True))


def drag_token(project: Project, *, frame: FrameIndex, x: float, y: float, at: FrameIndex, dx: float, dy: float) -> Project:
    """Moves the token that begins on a frame at (x, y) by (dx, dy) px from where it was found, as seen on frame `at`."""
    check_frame(project, frame)
    check_frame(project, at)
    reach = float(max(project.video.size))
    shift = number_in(dx, -reach, reach, "dx"), number_in(dy, -reach, reach, "dy")
    return with_change(project, TokenChange(frame, *inside(project, x, y), False, at, *shift))


def keep_token(project: Project, *, frame: FrameIndex, x: float, y: float) -> Project:
    """Forgets what was done to the token that begins on a frame at (x, y). Raises ProjectError where nothing was."""
    check_frame(project, frame)
    kept = tuple(one for one in project.edit.tokens if not one.names(frame, x, y))
    if len(kept) == len(project.edit.tokens):
        raise ProjectError("Nothing was done to this token; it is as it was found.")
    return project.with_edit(replace(project.edit, tokens=kept))


def with_change(project: Project, change: TokenChange) -> Project:
    """The document with this change in place of what was said of the token before."""
    others = tuple(one for one in project.edit.tokens if not one.names(change.frame, change.x, change.y))
    if len(others) >= MAX_CHANGES:
        raise ProjectError(f"At most {MAX_CHANGES} anchor tokens can be changed; take back some changes first.")
    return project.with_edit(replace(project.edit, tokens=(*others, change)))
