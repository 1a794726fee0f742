"""The document: one frozen value, and its JSON form.

`Project` holds what the user said and nothing that can be computed from it: pixels, masks, tracks and rendered
segments are files under content keys. `to_json` and `from_json` are the only way in and out; a document of a newer
schema is refused, an older one is migrated by `MIGRATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np

from engine.errors import ProjectError
from engine.types import (
    Anchor,
    AudioStream,
    ColourTags,
    Edit,
    FrameIndex,
    FrameRange,
    Keyframe,
    Point,
    SegmentMethod,
    Spot,
    Stroke,
    Subject,
    Take,
    TokenChange,
    TrackPoint,
    Video,
)

SCHEMA = 3


def _with_spots(document: dict[str, Any]) -> dict[str, Any]:
    """Schema 2: a tracked point has an id and several spots, a stroke may be filled."""
    subjects = [
        {**one, "track_points": [{"id": k + 1, "spots": [[*spot, True]]} for k, spot in enumerate(one["track_points"])]}
        for one in document["subjects"]
    ]
    keyframes = [{**key, "strokes": [{**stroke, "filled": False} for stroke in key["strokes"]]} for key in document["keyframes"]]
    return {**document, "subjects": subjects, "keyframes": keyframes}


def _with_numbered_edits(document: dict[str, Any]) -> dict[str, Any]:
    """Schema 3: edits have numbers and can be switched off, a segment can have a method of its own, one edit is worked on."""
    edits = [{**edit, "id": k + 1, "on": True, "by_segment": []} for k, edit in enumerate(document["edits"])]
    return {**document, "edits": edits, "selected": 1}


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _with_spots, 2: _with_numbered_edits}
"""From schema n to n + 1: gets the document's JSON and returns the next one's. Every schema below SCHEMA has one."""


@dataclass(frozen=True, eq=False, slots=True)
class Project:
    """What is edited, what the user marked, the anchors with their takes, the edits."""

    name: str
    video: Video
    range: FrameRange
    subjects: tuple[Subject, ...] = ()
    keyframes: tuple[Keyframe, ...] = ()
    edits: tuple[Edit, ...] = (Edit(),)
    schema: int = SCHEMA
    masks_by: str = "auto"
    """Who carries masks: "auto" (no weights), or a model of that name (engine/tracking/choice.py). And who follows points:"""
    points_by: str = "auto"
    selected: int = 1
    """The number of the edit being worked on."""

    @property
    def edit(self) -> Edit:
        """The edit being worked on; the topmost where that one is gone."""
        return next((edit for edit in self.edits if edit.id == self.selected), self.edits[-1])

    def with_edit(self, edit: Edit) -> Project:
        """The document with `edit` in place of the one being worked on."""
        old = self.edit
        return replace(self, edits=tuple(edit if one is old else one for one in self.edits), selected=edit.id)

    def on_edit(self, edit: int) -> Project:
        """The document with another edit being worked on. Raises ProjectError when there is no such edit."""
        if isinstance(edit, bool) or all(one.id != edit for one in self.edits):
            raise ProjectError(f"There is no edit {str(edit)[:20]}; the project has {_listed(e.id for e in self.edits)}.")
        return self if edit == self.selected else replace(self, selected=edit)

    @property
    def below(self) -> Project | None:
        """The document working on the next edit below the present one that is on; None where there is none."""
        edit = self.edit
        lower = [one for one in self.edits[: self.edits.index(edit)] if one.on]
        return replace(self, selected=lower[-1].id) if lower else None

    @property
    def whole(self) -> Project:
        """The document working on the topmost edit that is on, whose result is the clip's; as it is where none is on."""
        top = next((one for one in reversed(self.edits) if one.on), None)
        return self if top is None or top.id == self.selected else replace(self, selected=top.id)

    @property
    def stack(self) -> tuple[Project, ...]:
        """The document working on each edit that is on, from the lowest up."""
        return tuple(replace(self, selected=one.id) for one in self.edits if one.on)

    def subject(self, subject: int) -> Subject:
        """Raises ProjectError when there is no such subject."""
        for one in self.subjects:
            if one.id == subject and not isinstance(subject, bool):
                return one
        raise ProjectError(f"There is no subject {str(subject)[:20]}; the project has {_listed(s.id for s in self.subjects)}.")

    def keyframe(self, frame: FrameIndex, subject: int) -> Keyframe | None:
        return next((k for k in self.keyframes if k.frame == frame and k.subject == subject), None)

    def marked(self, subject: int) -> tuple[Keyframe, ...]:
        """The subject's keyframes that have a mask, by frame."""
        return tuple(sorted((k for k in self.keyframes if k.subject == subject and k.mask), key=lambda k: k.frame))

    def edited_subjects(self) -> tuple[Subject, ...]:
        """Subjects that the edit changes; empty when it changes the whole frame."""
        chosen = self.edit.subjects
        return self.subjects if chosen is None else tuple(s for s in self.subjects if s.id in chosen)

    @property
    def whole_frame(self) -> bool:
        return self.edit.subjects == ()


# --- the document as plain JSON values --------------------------------------------------------------------


def to_json(project: Project) -> dict[str, Any]:
    """The document as plain JSON values (tuples stand for lists)."""
    return {
        "schema": project.schema,
        "name": project.name,
        **trackers_json(project),
        "video": video_json(project.video),
        "range": [project.range.start, project.range.stop],
        "selected": project.selected,
        "subjects": [
            {**subject_json(one), "track_points": [point_json(p) for p in one.track_points]} for one in project.subjects
        ],
        "keyframes": [{**keyframe_json(key), "strokes": [stroke_json(s) for s in key.strokes]} for key in project.keyframes],
        "edits": [{**edit_json(edit), "anchors": [anchor_json(a) for a in edit.anchors]} for edit in project.edits],
    }


def from_json(document: dict[str, Any]) -> Project:
    """The document from JSON values.

    Raises:
        ProjectError: made by a newer Anchorline, or not a project.
    """
    document = migrated(document)
    try:
        return build_project(
            document,
            video=video_from(document["video"]),
            subjects=[subject_from(one, [point_from(p) for p in one["track_points"]]) for one in document["subjects"]],
            keyframes=[keyframe_from(one, [stroke_from(s) for s in one["strokes"]]) for one in document["keyframes"]],
            edits=[edit_from(one, [anchor_from(a) for a in one["anchors"]]) for one in document["edits"]],
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ProjectError(f"This project is damaged: {type(error).__name__} at {error}; restore a backup of it.") from error


def migrated(document: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a document of this or an older schema in today's form. Raises ProjectError for what is neither."""
    schema = document.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise ProjectError("This is not an Anchorline project: it has no schema number.")
    if schema > SCHEMA:
        raise ProjectError(
            f"This project was made by a newer Anchorline (schema {schema}, this one reads {SCHEMA}); update to open it."
        )
    try:
        for older in range(schema, SCHEMA):
            document = {**MIGRATIONS[older](document), "schema": older + 1}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ProjectError(f"This project is damaged: {type(error).__name__} at {error}; restore a backup of it.") from error
    return document


def build_project(
    body: dict[str, Any], video: Video, subjects: Iterable[Subject], keyframes: Iterable[Keyframe], edits: Iterable[Edit]
) -> Project:
    """A document from its own fields in `body` and the larger parts."""
    return Project(
        name=body["name"],
        video=video,
        range=FrameRange(*body["range"]),
        subjects=tuple(subjects),
        keyframes=tuple(keyframes),
        edits=tuple(edits),
        masks_by=str(body.get("masks_by", "auto")),
        points_by=str(body.get("points_by", "auto")),
        selected=body["selected"],
    )


def trackers_json(project: Project) -> dict[str, str]:
    """Who carries masks and follows points, where that is not the tracker without weights."""
    chosen = {"masks_by": project.masks_by, "points_by": project.points_by}
    return {name: value for name, value in chosen.items() if value != "auto"}


def video_json(video: Video) -> dict[str, Any]:
    return {
        **{field.name: _lists(getattr(video, field.name)) for field in fields(video)},
        "size": list(video.size),
        "rate": _ratio(video.rate),
        "time_base": _ratio(video.time_base),
        "pts": _runs(video.pts),
        "colour": asdict(video.colour),
        "audio": [asdict(stream) for stream in video.audio],
    }


def video_from(value: dict[str, Any]) -> Video:
    return Video(
        **{
            **{name: _tuples(one) for name, one in value.items()},
            "size": (value["size"][0], value["size"][1]),
            "rate": Fraction(*value["rate"]),
            "time_base": Fraction(*value["time_base"]),
            "pts": _unruns(value["pts"]),
            "colour": ColourTags(**value["colour"]),
            "audio": tuple(AudioStream(**stream) for stream in value["audio"]),
        }
    )


def stroke_json(stroke: Stroke) -> dict[str, Any]:
    return {"xy": stroke.xy, "radius": stroke.radius, "mode": stroke.mode, "filled": stroke.filled}


def stroke_from(value: dict[str, Any]) -> Stroke:
    return Stroke(tuple((x, y) for x, y in value["xy"]), value["radius"], value["mode"], value["filled"])


def keyframe_json(key: Keyframe) -> dict[str, Any]:
    """Without its strokes, which are parts of their own."""
    own = {field.name: getattr(key, field.name) for field in fields(key) if field.name != "strokes"}
    return {**own, "points": [asdict(point) for point in key.points]}


def keyframe_from(value: dict[str, Any], strokes: Iterable[Stroke]) -> Keyframe:
    points, box = tuple(Point(**point) for point in value["points"]), value["box"]
    box = (box[0], box[1], box[2], box[3]) if box else None
    return Keyframe(**{**value, "points": points, "strokes": tuple(strokes), "box": box})


def anchor_json(anchor: Anchor) -> dict[str, Any]:
    value = asdict(anchor)
    for take in value["takes"]:
        if take["fit"] is None:
            del take["fit"]
    return value


def anchor_from(value: dict[str, Any]) -> Anchor:
    return Anchor(**{**value, "takes": tuple(Take(**take) for take in value["takes"])})


def edit_json(edit: Edit) -> dict[str, Any]:
    """Without its anchors, which are parts of their own."""
    left_out = {"anchors", "by_segment"} if edit.tokens else {"anchors", "by_segment", "tokens"}
    own = {field.name: getattr(edit, field.name) for field in fields(edit) if field.name not in left_out}
    return {**own, "by_segment": [list(one) for one in edit.by_segment]}


def edit_from(value: dict[str, Any], anchors: Iterable[Anchor]) -> Edit:
    subjects = value["subjects"]
    subjects = None if subjects is None else tuple(subjects)
    tokens = tuple(token_from(one) for one in value.get("tokens", ()))
    words = tuple(value["target_words"])
    chosen = tuple(SegmentMethod(start, stop, method, config) for start, stop, method, config in value["by_segment"])
    parts = {"anchors": tuple(anchors), "target_words": words, "tokens": tokens, "by_segment": chosen}
    return Edit(**{**value, "subjects": subjects, **parts})


def token_from(value: Any) -> TokenChange:
    frame, x, y, gone, at, dx, dy = value
    return TokenChange(int(frame), float(x), float(y), bool(gone), int(at), float(dx), float(dy))


def subject_json(subject: Subject) -> dict[str, Any]:
    """Without its tracked points, which are parts of their own."""
    return {field.name: getattr(subject, field.name) for field in fields(subject) if field.name != "track_points"}


def subject_from(value: dict[str, Any], points: Iterable[TrackPoint]) -> Subject:
    return Subject(**{**value, "track_points": tuple(points)})


def point_json(point: TrackPoint) -> dict[str, Any]:
    return {"id": point.id, "spots": [list(spot) for spot in point.spots]}


def point_from(value: dict[str, Any]) -> TrackPoint:
    return TrackPoint(int(value["id"]), tuple(Spot(int(f), float(x), float(y), bool(seen)) for f, x, y, seen in value["spots"]))


def _ratio(value: Fraction) -> list[int]:
    return [value.numerator, value.denominator]


def _lists(value: Any) -> Any:
    """Tuples as the lists that JSON makes of them."""
    return [_lists(one) for one in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def _runs(pts: np.ndarray) -> list[Any]:
    """First PTS, then (step, how often): one pair for a clip of constant rate."""
    steps: list[list[int]] = []
    for step in np.diff(pts).tolist():
        if steps and steps[-1][0] == step:
            steps[-1][1] += 1
        else:
            steps.append([step, 1])
    return [int(pts[0]), steps]


def _unruns(value: list[Any]) -> np.ndarray:
    first, steps = value
    deltas = [np.full(count, step, np.int64) for step, count in steps]
    return np.cumsum(np.concatenate([np.array([first], np.int64), *deltas]))


def _listed(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in values) or "none"
