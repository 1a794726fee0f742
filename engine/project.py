"""The document: one frozen value, and its JSON form.

`Project` holds what the user said and nothing that can be computed from it: pixels, masks, tracks and rendered
segments are files under content keys. `to_json` and `from_json` are the only way in and out; a document of a newer
schema is refused, an older one is migrated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
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
    Stroke,
    Subject,
    Take,
    Video,
)

SCHEMA = 1


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

    @property
    def edit(self) -> Edit:
        """The edit being worked on."""
        return self.edits[0]

    def with_edit(self, edit: Edit) -> Project:
        return replace(self, edits=(edit, *self.edits[1:]))

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


def to_json(project: Project) -> dict[str, Any]:
    """The document as plain JSON values."""
    video = project.video
    return {
        "schema": project.schema,
        "name": project.name,
        "video": {
            **{name: getattr(video, name) for name in ("path", "digest", "kind", "rotation", "bits", "codec")},
            "size": list(video.size),
            "rate": _ratio(video.rate),
            "time_base": _ratio(video.time_base),
            "pts": _runs(video.pts),
            "colour": asdict(video.colour),
            "audio": [asdict(stream) for stream in video.audio],
            "warnings": list(video.warnings),
        },
        "range": [project.range.start, project.range.stop],
        "subjects": [asdict(subject) for subject in project.subjects],
        "keyframes": [asdict(keyframe) for keyframe in project.keyframes],
        "edits": [asdict(edit) for edit in project.edits],
    }


def from_json(document: dict[str, Any]) -> Project:
    """The document from JSON values.

    Raises:
        ProjectError: made by a newer Anchorline, or not a project.
    """
    schema = document.get("schema")
    if not isinstance(schema, int):
        raise ProjectError("This is not an Anchorline project: it has no schema number.")
    if schema > SCHEMA:
        raise ProjectError(
            f"This project was made by a newer Anchorline (schema {schema}, this one reads {SCHEMA}); update to open it."
        )
    try:
        return Project(
            name=document["name"],
            video=_video(document["video"]),
            range=FrameRange(*document["range"]),
            subjects=tuple(_subject(subject) for subject in document["subjects"]),
            keyframes=tuple(_keyframe(keyframe) for keyframe in document["keyframes"]),
            edits=tuple(_edit(edit) for edit in document["edits"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProjectError(f"This project is damaged: {type(error).__name__} at {error}; restore a backup of it.") from error


def _video(value: dict[str, Any]) -> Video:
    return Video(
        **{name: value[name] for name in ("path", "digest", "kind", "rotation", "bits", "codec")},
        size=(value["size"][0], value["size"][1]),
        rate=Fraction(*value["rate"]),
        time_base=Fraction(*value["time_base"]),
        pts=_unruns(value["pts"]),
        colour=ColourTags(**value["colour"]),
        audio=tuple(AudioStream(**stream) for stream in value["audio"]),
        warnings=tuple(value["warnings"]),
    )


def _subject(value: dict[str, Any]) -> Subject:
    points = tuple((int(f), float(x), float(y)) for f, x, y in value["track_points"])
    return Subject(**{**value, "track_points": points})


def _keyframe(value: dict[str, Any]) -> Keyframe:
    box = value["box"]
    return Keyframe(
        **{
            **value,
            "points": tuple(Point(**point) for point in value["points"]),
            "strokes": tuple(Stroke(tuple((x, y) for x, y in s["xy"]), s["radius"], s["mode"]) for s in value["strokes"]),
            "box": (box[0], box[1], box[2], box[3]) if box else None,
        }
    )


def _edit(value: dict[str, Any]) -> Edit:
    subjects = value["subjects"]
    return Edit(
        **{
            **value,
            "subjects": None if subjects is None else tuple(subjects),
            "anchors": tuple(Anchor(**{**a, "takes": tuple(Take(**take) for take in a["takes"])}) for a in value["anchors"]),
            "target_words": tuple(value["target_words"]),
        }
    )


def _ratio(value: Fraction) -> list[int]:
    return [value.numerator, value.denominator]


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
