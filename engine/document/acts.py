"""What the user does, as pure functions `Project -> Project`.

An act never touches a disk. Where marks change, the keyframe's `mask` becomes None ("to be derived"); the editor
derives it before the act is written down. Frames and subjects are checked here, so that every way in (canvas,
panel, recipe, named endpoint) meets the same rules.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from engine.document.project import Project
from engine.errors import ProjectError, RecipeError
from engine.tracking.choice import AUTO, MASK_TRACKERS, POINT_TRACKERS
from engine.types import Anchor, FrameIndex, FrameRange, Keyframe, Point, Stroke, Subject, Take

# Subject colours: the order of the DAVIS palette's neighbours, lightened so that they read on dark pictures
# and stay apart for colour-blind eyes (Okabe–Ito).
SUBJECT_COLOURS = ("#56b4e9", "#e69f00", "#cc79a7", "#f0e442", "#009e73", "#d55e00", "#0072b2", "#b0b0b0")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
KEY = re.compile(r"[0-9a-f]{64}")
MAX_SUBJECTS = 255
MAX_STROKE_POINTS = 20_000


# --- subjects ---------------------------------------------------------------------------------------------


def add_subject(project: Project, *, name: str = "") -> Project:
    """A new subject with the next free number."""
    number = 1 + max((subject.id for subject in project.subjects), default=0)
    if number > MAX_SUBJECTS:
        raise ProjectError(f"A project holds at most {MAX_SUBJECTS} subjects; delete one first.")
    colour = SUBJECT_COLOURS[(number - 1) % len(SUBJECT_COLOURS)]
    subject = Subject(id=number, name=clean_name(name) or f"Subject {number}", colour=colour)
    return replace(project, subjects=(*project.subjects, subject))


def remove_subject(project: Project, *, subject: int) -> Project:
    """Takes the subject and all its marks away."""
    project.subject(subject)
    edits = tuple(
        replace(e, subjects=tuple(s for s in e.subjects if s != subject) or None) if e.subjects else e for e in project.edits
    )
    return replace(
        project,
        subjects=tuple(s for s in project.subjects if s.id != subject),
        keyframes=tuple(k for k in project.keyframes if k.subject != subject),
        edits=edits,
    )


def shape_subject(project: Project, *, subject: int, **changes: Any) -> Project:
    """Sets name, feather (0–100 px) or grow (−100–100 px)."""
    old = project.subject(subject)
    if "name" in changes:
        changes["name"] = clean_name(changes["name"]) or old.name
    for key, low, high in (("feather", 0, 100), ("grow", -100, 100)):
        if key in changes:
            changes[key] = number_in(changes[key], low, high, key)
    new = replace(old, **changes)
    return replace(project, subjects=tuple(new if s.id == subject else s for s in project.subjects))


# --- marks ------------------------------------------------------------------------------------------------


def add_point(project: Project, *, frame: FrameIndex, subject: int, x: float, y: float, label: int = 1) -> Project:
    """A click: label 1 = inside, −1 = outside. Source pixels."""
    if not is_int(label) or label not in (1, -1):
        raise RecipeError(f"A point's label is 1 (inside) or -1 (outside), not {str(label)[:20]}.")
    key = _open_keyframe(project, frame, subject)
    return _with_keyframe(project, replace(key, points=(*key.points, Point(*inside(project, x, y), label))))


def move_point(project: Project, *, frame: FrameIndex, subject: int, index: int, x: float, y: float) -> Project:
    """Moves a click; its label stays."""
    key = _open_keyframe(project, frame, subject)
    old = _point(key, index)
    moved = Point(*inside(project, x, y), old.label)
    return _with_keyframe(project, replace(key, points=(*key.points[:index], moved, *key.points[index + 1 :])))


def remove_point(project: Project, *, frame: FrameIndex, subject: int, index: int) -> Project:
    key = _open_keyframe(project, frame, subject)
    _point(key, index)
    return _with_keyframe(project, replace(key, points=key.points[:index] + key.points[index + 1 :]))


def set_box(project: Project, *, frame: FrameIndex, subject: int, box: Any = None) -> Project:
    """A box `(x0, y0, x1, y1)` around the subject, or None to take it away."""
    key = _open_keyframe(project, frame, subject)
    return _with_keyframe(project, replace(key, box=None if box is None else checked_box(project, box)))


def add_stroke(project: Project, *, frame: FrameIndex, subject: int, xy: Any, radius: float, mode: str = "add") -> Project:
    """A brush stroke: polyline `xy` [(x, y), …] swept by a disc of `radius` px; mode "add" or "erase"."""
    line = _line(project, xy, mode)
    stroke = Stroke(line, number_in(radius, 0.25, 2000, "stroke radius"), mode)
    key = _open_keyframe(project, frame, subject)
    return _with_keyframe(project, replace(key, strokes=(*key.strokes, stroke)))


def add_lasso(project: Project, *, frame: FrameIndex, subject: int, xy: Any, mode: str = "add") -> Project:
    """What the closed polyline `xy` [(x, y), …] surrounds; mode "add" or "erase"."""
    line = _line(project, xy, mode)
    if len(line) < 3:
        raise RecipeError("A lasso has at least 3 points; draw it around something.")
    key = _open_keyframe(project, frame, subject)
    return _with_keyframe(project, replace(key, strokes=(*key.strokes, Stroke(line, 0.0, mode, filled=True))))


def _line(project: Project, xy: Any, mode: str) -> tuple[tuple[float, float], ...]:
    """A stroke's polyline, checked."""
    if mode not in ("add", "erase"):
        raise RecipeError(f"A stroke's mode is add or erase, not {mode!r}.")
    if not isinstance(xy, list | tuple) or not 1 <= len(xy) <= MAX_STROKE_POINTS:
        raise RecipeError(f"A stroke has 1 to {MAX_STROKE_POINTS} points.")
    reach = 4.0 * max(project.video.size)
    return tuple((number_in(p[0], -reach, reach, "stroke x"), number_in(p[1], -reach, reach, "stroke y")) for p in map(_pair, xy))


def import_mask(project: Project, *, frame: FrameIndex, subject: int, key: str) -> Project:
    """A mask that the user brought (object key); earlier clicks and strokes on the frame go."""
    old = _open_keyframe(project, frame, subject)
    return _with_keyframe(project, replace(old, points=(), strokes=(), box=None, imported=key))


def clear_keyframe(project: Project, *, frame: FrameIndex, subject: int) -> Project:
    """Forgets what was said about the subject on this frame."""
    _open_keyframe(project, frame, subject)
    return replace(project, keyframes=tuple(k for k in project.keyframes if (k.frame, k.subject) != (frame, subject)))


def lock_keyframe(project: Project, *, frame: FrameIndex, subject: int, locked: bool) -> Project:
    check_frame(project, frame)
    key = project.keyframe(frame, project.subject(subject).id)
    if key is None:
        raise ProjectError(f"There is nothing to lock: the subject is not marked on frame {frame}.")
    if not isinstance(locked, bool):
        raise RecipeError("locked must be true or false.")
    return _put(project, replace(key, locked=locked))


# --- anchors ----------------------------------------------------------------------------------------------


def add_anchor(project: Project, *, frame: FrameIndex) -> Project:
    check_frame(project, frame)
    if project.edit.anchor_at(frame):
        return project
    return _with_anchors(project, (*project.edit.anchors, Anchor(frame)))


def add_anchors(project: Project, *, frames: Any) -> Project:
    """Anchors without takes on all of the frames; those that are anchors already stay as they are."""
    if not isinstance(frames, list | tuple):
        raise RecipeError("Anchors are given as a list of frames.")
    for frame in frames:
        check_frame(project, frame)
    new = set(frames) - {anchor.frame for anchor in project.edit.anchors}
    return _with_anchors(project, (*project.edit.anchors, *map(Anchor, new))) if new else project


def move_anchor(project: Project, *, frame: FrameIndex, to: FrameIndex) -> Project:
    """Moves an anchor to another frame. Its takes show the old frame, so approval has to be given again."""
    anchor = _open_anchor(project, frame)
    check_frame(project, to)
    if to == frame:
        return project
    if project.edit.anchor_at(to):
        raise ProjectError(f"Frame {to} is an anchor already; delete that one first.")
    moved = replace(anchor, frame=to, chosen=None, region=None)
    return _with_anchors(project, tuple(moved if a is anchor else a for a in project.edit.anchors))


def delete_anchor(project: Project, *, frame: FrameIndex) -> Project:
    anchor = _open_anchor(project, frame)
    return _with_anchors(project, tuple(a for a in project.edit.anchors if a is not anchor))


def add_take(project: Project, *, frame: FrameIndex, take: Take) -> Project:
    """Puts a take on the frame, which becomes an anchor if it was none. The newest take is last."""
    project = add_anchor(project, frame=frame)
    anchor = _anchor(project, frame)
    others = tuple(t for t in anchor.takes if t.key != take.key)
    return _with_anchor(project, replace(anchor, takes=(*others, take)))


def choose_take(
    project: Project, *, frame: FrameIndex, key: str | None, region: str | None = None, blind: bool = False
) -> Project:
    """Approves a take (or, with None, takes approval back). `region`, `blind`: see `Anchor`. A locked anchor keeps its choice."""
    anchor = _open_anchor(project, frame)
    if key is not None and all(take.key != key for take in anchor.takes):
        raise ProjectError(f"Anchor {frame} has no such take.")
    return _with_anchor(project, replace(anchor, chosen=key, region=region if key else None, blind=blind and key is not None))


def lock_anchor(project: Project, *, frame: FrameIndex, locked: bool) -> Project:
    """Locks what was approved on an anchor, or unlocks it. Locked, it is not approved otherwise, moved or deleted, and none of
    its takes is; new takes may still be put beside."""
    anchor = _anchor(project, frame)
    if not isinstance(locked, bool):
        raise RecipeError("locked must be true or false.")
    if locked and not anchor.chosen:
        raise ProjectError(f"Anchor {frame} has no approved take to lock; approve one first.")
    return project if anchor.locked == locked else _with_anchor(project, replace(anchor, locked=locked))


def delete_take(project: Project, *, frame: FrameIndex, key: str) -> Project:
    anchor = _open_anchor(project, frame)
    takes = tuple(take for take in anchor.takes if take.key != key)
    if len(takes) == len(anchor.takes):
        raise ProjectError(f"Anchor {frame} has no such take.")
    if anchor.chosen == key:
        anchor = replace(anchor, chosen=None, region=None)
    return _with_anchor(project, replace(anchor, takes=takes))


# --- the edit ---------------------------------------------------------------------------------------------


def set_range(project: Project, *, start: FrameIndex, stop: FrameIndex) -> Project:
    """The span of frames that is worked on and exported."""
    if not (is_int(start) and is_int(stop) and 0 <= start < stop <= project.video.frames):
        raise RecipeError(f"The range {start}–{stop} does not fit the clip: it has frames 0 to {project.video.frames - 1}.")
    return replace(project, range=FrameRange(start, stop))


def set_trackers(project: Project, *, masks: str, points: str) -> Project:
    """Who carries masks and who follows points from now on: "auto", or models by name."""
    if masks not in (AUTO, *MASK_TRACKERS) or points not in (AUTO, *POINT_TRACKERS):
        raise RecipeError(f"There is no such tracker as {str(masks)[:20]} or {str(points)[:20]}; choose from the lists.")
    return replace(project, masks_by=masks, points_by=points)


def set_edit(project: Project, **changes: Any) -> Project:
    """Sets fields of the edit (method, config, subjects, prompts, seed)."""
    return project.with_edit(replace(project.edit, **changes))


def rename(project: Project, *, name: str) -> Project:
    return replace(project, name=clean_name(name) or project.name)


# --- checks -----------------------------------------------------------------------------------------------


def number_in(value: Any, low: float, high: float, what: str) -> float:
    """A finite number in [low, high]. Raises RecipeError naming `what`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RecipeError(f"{what} must be a number from {low:g} to {high:g}, not {str(value)[:40]}.")
    return float(value)


def checked_box(project: Project, box: Any) -> tuple[float, float, float, float]:
    height, width = project.video.size
    if not isinstance(box, list | tuple) or len(box) != 4:
        raise RecipeError("A box is [x0, y0, x1, y1].")
    x0, x1 = (number_in(box[i], -width, 2 * width, "box x") for i in (0, 2))
    y0, y1 = (number_in(box[i], -height, 2 * height, "box y") for i in (1, 3))
    x0, x1 = max(0.0, min(x0, x1)), min(float(width), max(x0, x1))
    y0, y1 = max(0.0, min(y0, y1)), min(float(height), max(y0, y1))
    if x1 - x0 < 1 or y1 - y0 < 1:
        raise RecipeError("The box is empty, or lies outside the picture; draw it over the subject.")
    return (x0, y0, x1, y1)


def clean_name(name: Any) -> str:
    """A name as shown: no control or direction-override characters, at most 120 characters. RecipeError for what is no text."""
    if not isinstance(name, str):
        raise RecipeError(f"A name is text, not {str(name)[:20]}.")
    return "".join(c for c in name[:10_000] if c.isprintable())[:120].strip()


def inside(project: Project, x: Any, y: Any) -> tuple[float, float]:
    """A place in the picture. Raises RecipeError."""
    height, width = project.video.size
    return number_in(x, -0.5, width - 0.5, "x"), number_in(y, -0.5, height - 0.5, "y")


def _point(key: Keyframe, index: Any) -> Point:
    if not is_int(index) or not 0 <= index < len(key.points):
        raise ProjectError(f"Frame {key.frame} has no point {str(index)[:20]}.")
    return key.points[index]


def _pair(value: Any) -> tuple[Any, Any]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise RecipeError("A stroke's points are [x, y].")
    return value[0], value[1]


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_frame(project: Project, frame: Any) -> None:
    if not is_int(frame) or not 0 <= frame < project.video.frames:
        raise RecipeError(f"There is no frame {str(frame)[:20]}: the clip has frames 0 to {project.video.frames - 1}.")


def _open_keyframe(project: Project, frame: FrameIndex, subject: int) -> Keyframe:
    check_frame(project, frame)
    subject = project.subject(subject).id
    key = project.keyframe(frame, subject) or Keyframe(frame, subject)
    if key.locked:
        raise ProjectError(f"Frame {frame} is locked for this subject; unlock it to change its marks.")
    return key


def _with_keyframe(project: Project, key: Keyframe) -> Project:
    """The keyframe with its mask to be derived; an empty one disappears."""
    if not (key.points or key.strokes or key.box or key.imported):
        return replace(project, keyframes=tuple(k for k in project.keyframes if (k.frame, k.subject) != (key.frame, key.subject)))
    return _put(project, replace(key, mask=None))


def _put(project: Project, key: Keyframe) -> Project:
    others = [k for k in project.keyframes if (k.frame, k.subject) != (key.frame, key.subject)]
    return replace(project, keyframes=tuple(sorted([*others, key], key=lambda k: (k.frame, k.subject))))


def _anchor(project: Project, frame: FrameIndex) -> Anchor:
    check_frame(project, frame)
    anchor = project.edit.anchor_at(frame)
    if anchor is None:
        raise ProjectError(f"Frame {frame} is not an anchor; press A there to make it one.")
    return anchor


def _open_anchor(project: Project, frame: FrameIndex) -> Anchor:
    anchor = _anchor(project, frame)
    if anchor.locked:
        raise ProjectError(f"Anchor {frame} is locked; unlock it on the contact sheet (G, then L) to change it.")
    return anchor


def _with_anchor(project: Project, anchor: Anchor) -> Project:
    return _with_anchors(project, tuple(anchor if a.frame == anchor.frame else a for a in project.edit.anchors))


def _with_anchors(project: Project, anchors: tuple[Anchor, ...]) -> Project:
    return project.with_edit(replace(project.edit, anchors=tuple(sorted(anchors, key=lambda a: a.frame))))
