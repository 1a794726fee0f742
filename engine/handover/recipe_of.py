"""A project as a recipe that `launch.py run` takes: its masks and approved takes as pictures beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.document.config_files import file_fields, name_and_key
from engine.document.project import Project
from engine.methods import card
from engine.types import Anchor, Edit, Keyframe, Spot, Subject

Put = Callable[[str, str], None]
"""`put(name, key)`: the picture with this object key belongs at this path beside the recipe."""


def recipe_of(project: Project, clip: str, put: Put) -> tuple[dict[str, Any], list[str]]:
    """The recipe, and sentences about what it cannot say. `clip` is the path that it names.

    Masks go in as they are, so that whoever runs it gets the same ones whatever clicks they came from.
    """
    video = project.video
    body: dict[str, Any] = {"clip": clip, "range": [project.range.start, project.range.stop]}
    if video.kind == "sequence":
        body["fps"] = float(video.rate)
    if video.deinterlaced:
        body["deinterlace"] = True
    if (project.masks_by, project.points_by) != ("auto", "auto"):
        body["tracker"] = [name for name in (project.masks_by, project.points_by) if name != "auto"]
    body["subjects"] = [_subject(project, subject, put) for subject in project.subjects]
    body["edits"] = [_edit(project, edit, put) for edit in project.edits]
    return body, _left_out(project)


def _edit(project: Project, edit: Edit, put: Put) -> dict[str, Any]:
    told = {name: getattr(edit, name) for name in ("source_prompt", "target_prompt", "instruction") if getattr(edit, name)}
    words = {"target_words": list(edit.target_words)} if edit.target_words else {}
    subjects = {} if edit.subjects is None else {"subjects": list(edit.subjects)}
    parts = [
        {"range": [one.start, one.stop], "method": one.method, "config": _config(one.method, one.config, put)}
        for one in edit.by_segment
    ]
    anchors = [_anchor(anchor, edit, put) for anchor in edit.approved if anchor.frame in project.range]
    return {
        "name": edit.name,
        "on": edit.on,
        "seed": edit.seed,
        "method": edit.method,
        "config": _config(edit.method, edit.config, put),
        **told,
        **words,
        **subjects,
        **({"segments": parts} if parts else {}),
        "anchors": anchors,
    }


def _config(method: str, config: dict[str, Any], put: Put) -> dict[str, Any]:
    """The settings; files that they name lie beside the recipe."""
    found = {name: name_and_key(str(config.get(name, ""))) for name in file_fields(card(method).Config)}
    paths = {name: f"files/{kept[1][:8]}-{kept[0]}" for name, kept in found.items() if kept}
    for name, path in paths.items():
        put(path, (found[name] or ("", ""))[1])
    return {**config, **paths}


def _subject(project: Project, subject: Subject, put: Put) -> dict[str, Any]:
    marked = [key for key in project.marked(subject.id) if key.mask]
    one: dict[str, Any] = {"id": subject.id, "name": subject.name, "feather": subject.feather, "grow": subject.grow}
    if marked:
        one["keyframes"] = [_keyframe(key, put) for key in marked]
    points = [[_spot(spot) for spot in point.spots if spot.frame in project.range] for point in subject.track_points]
    if any(points):
        one["track_points"] = [{"spots": spots} for spots in points if spots]
    return one


def _spot(spot: Spot) -> list[Any]:
    return list(spot) if not spot.seen else [spot.frame, spot.x, spot.y]


def _keyframe(key: Keyframe, put: Put) -> dict[str, Any]:
    name = f"marks/{key.subject}/{key.frame:05d}.png"
    put(name, key.mask or "")
    return {"frame": key.frame, "mask": name, **({"locked": True} if key.locked else {})}


def _anchor(anchor: Anchor, edit: Edit, put: Put) -> dict[str, Any]:
    name, take = f"anchors/{edit.id}/{anchor.frame:05d}.png", anchor.take
    put(name, anchor.chosen or "")
    return {"frame": anchor.frame, "image": name, "seed": take.seed if take else 0}


def _left_out(project: Project) -> list[str]:
    said = []
    if any(edit.tokens for edit in project.edits):
        said.append("The recipe has no place for anchor tokens that were dragged or deleted.")
    if any(anchor.frame not in project.range for edit in project.edits for anchor in edit.approved):
        said.append("Anchors outside the in–out range are not in the recipe.")
    return said
