"""Carrying out a recipe (engine/commands/recipe.py) on a clip: the same acts as the page's, in one go.

A recipe is checked against its clip before anything is made. A project that a recipe made can be run again: what was
finished is not done again, because equal inputs have equal content keys.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.commands.recipe import Recipe, spots_of
from engine.commands.recipe_edits import at_place, edit_of, take_all, unused_methods
from engine.document import acts
from engine.document.point_acts import with_track_points
from engine.document.project import Project
from engine.editor import Editor
from engine.errors import MediaError, ProjectError, RecipeError
from engine.interchange.registry import mask_format_of, track_format
from engine.interchange.tracks import as_track_points
from engine.media.images import encode_png, read_mask, still_size
from engine.media.probe import ADDRESS
from engine.media.reader import open_video
from engine.progress import Progress
from engine.rendering.material import Material
from engine.rendering.render import carry, prepare_clip, spans_to_carry
from engine.rendering.stack import propagate_below
from engine.segmentation.remote import box_of_words
from engine.store.clips import find_clip
from engine.store.database import BEING_MADE, DATABASE
from engine.store.workspace import Workspace
from engine.tracking.choice import chosen
from engine.types import Anchor, Spot, Subject, Take, TrackPoint, Video

NOTE = "recipe"
PLANNED = "0" * 64
"""Stands for a picture that is not made yet."""

Store = Callable[[bytes], str]


# --- before anything is made ------------------------------------------------------------------------------


def look_at(recipe: Recipe) -> Video:
    """What the recipe's clip is.

    Raises:
        MediaError: it cannot be opened.
        RecipeError: `fps` for a clip that has its own times, `deinterlace` for pictures.
    """
    text = recipe.body["clip"]
    clip = Path(text) if ADDRESS.match(text) and not recipe.clip.exists() else recipe.clip
    wanted = recipe.body.get("deinterlace", False)
    with open_video(clip, rate=recipe.rate, deinterlace=wanted) as reader:
        video = reader.video
    if wanted and not video.deinterlaced:
        raise RecipeError(f"deinterlace is for video files, not for pictures such as those of {clip.name}: leave it out.")
    if recipe.rate is not None and video.kind == "file" and video.time_base != 1 / recipe.rate:
        raise RecipeError(f"fps is for pictures without times; {clip.name} has its own times, so leave fps out.")
    return video


def planned(recipe: Recipe, video: Video) -> Project:
    """The document as it will be, with stand-ins for masks and takes. Computes no pixels.

    Raises:
        RecipeError, MediaError: what the recipe says does not fit its clip, or a file of it cannot be read.
    """
    height, width = video.size
    project = marked(_with_boxes(recipe, lambda frame, words: (0, 0, width, height)), blank(recipe, video), lambda blob: PLANNED)
    keyframes = tuple(replace(key, mask=PLANNED) for key in project.keyframes)
    edits = []
    for k, layer in enumerate(recipe.layers):
        for i, spec in enumerate(layer["anchors"]):
            with at_place(f"{recipe.where(k)}anchors[{i}]"):
                _check_anchor(recipe, project, spec)
        frames = sorted({spec["frame"] for spec in layer["anchors"]})
        anchors = tuple(Anchor(frame, (Take(PLANNED, "effect"),), PLANNED) for frame in frames)
        edits.append(replace(project.edits[k], anchors=anchors))
    return replace(project, keyframes=keyframes, edits=tuple(edits))


def _check_anchor(recipe: Recipe, project: Project, spec: dict[str, Any]) -> None:
    if spec["frame"] not in project.range:
        span = project.range
        raise RecipeError(f"frame {spec['frame']} is outside the range, which has frames {span.start} to {span.stop - 1}.")
    if spec.get("image") is None:
        return
    size, wanted = still_size(recipe.path(spec["image"])), project.video.size
    if size != wanted:
        raise MediaError(
            f"{spec['image']} is {size[1]}×{size[0]} and the clip {wanted[1]}×{wanted[0]}: give a picture of the clip's size."
        )


def blank(recipe: Recipe, video: Video) -> Project:
    """The document that a recipe begins with."""
    subject = Subject(1, "Subject 1", acts.SUBJECT_COLOURS[0])
    masks, points = chosen(recipe.body.get("tracker", "auto"))
    name = acts.clean_name(recipe.name) or "Recipe"
    return Project(name, video, video.span, (subject,), masks_by=masks, points_by=points)


def plan_of(recipe: Recipe, video: Video, folder: Path | None) -> Material:
    """What would be done, for a dry run. Where the recipe was played in `folder` already, what is finished counts as such."""
    project = planned(recipe, video)
    workspace = Workspace(folder or recipe.folder / f".{recipe.name}.plan")  # only looked for, never made
    if (workspace.folder / DATABASE).exists():
        editor = open_project(workspace.folder, recipe, video)
        try:
            if _was_played(editor, recipe):
                project = editor.project
        finally:
            editor.close()
    return Material(workspace, project)


# --- the project ------------------------------------------------------------------------------------------


def open_project(folder: Path, recipe: Recipe, video: Video) -> Editor:
    """A new project in `folder`, or the one that this recipe, or an earlier state of it, has made there.

    Raises:
        ProjectError: the folder holds something else, or a project that was changed in the editor since.
    """
    try:
        # What a kill while the project was being made leaves is no project yet: it is made once more.
        fresh = not folder.exists() or all(path.name.startswith(BEING_MADE) for path in folder.iterdir())
    except OSError as error:
        raise ProjectError(f"--project {folder.name} is not a folder that can be used: {error.strerror}.") from error
    segmenter = recipe.body.get("segmenter", "auto")
    if fresh:
        return Editor.create(folder, recipe.clip, recipe.name, video=video, segmenter_name=segmenter)
    editor = Editor(folder, segmenter)
    try:
        _check_is_ours(editor, recipe, video)
        editor.workspace.sweep()
    except BaseException:
        editor.close()
        raise
    return editor


def _check_is_ours(editor: Editor, recipe: Recipe, video: Video) -> None:
    name, note = editor.workspace.folder.name, _note(editor)
    if editor.project.video.digest != video.digest or editor.project.video.rate != video.rate:
        raise ProjectError(f"--project {name} holds a project on another clip; name a new folder.")
    if not os.path.samefile(find_clip(editor.workspace, editor.project.video), recipe.clip):
        raise ProjectError(f"--project {name} holds a project on a copy of the clip elsewhere; name a new folder.")
    if editor.rev > 1 and note.get("rev") not in (editor.rev, "playing"):
        raise ProjectError(
            f"--project {name} was made or changed in the editor; render it with the command render, or name a new folder."
        )


def _note(editor: Editor) -> dict[str, Any]:
    return json.loads(editor.journal.note(NOTE) or "{}")


def play(editor: Editor, recipe: Recipe, progress: Progress) -> list[str]:
    """Marks, then the masks that the anchors' effects need, then the takes. Returns warnings.

    A project in which the same recipe with the same files was played to its end is left as it is.
    """
    if _was_played(editor, recipe):
        progress.total += 0 if editor.material.pack and editor.material.pack.complete else editor.project.video.frames
        prepare_clip(editor.material, progress)
        return list(_note(editor)["warnings"])
    editor.journal.set_note(NOTE, json.dumps({"rev": "playing"}))
    with progress.timed("Marking"):
        # Masks must not depend on what an earlier run left in the document, so it begins anew.
        editor.commit(blank(recipe, editor.project.video), "Recipe begins")
        found = _with_boxes(recipe, lambda frame, words: box_of_words(editor.original(frame), words))
        editor.commit(marked(found, editor.project, editor.journal.objects.put), "Marks of the recipe")
    progress.total += editor.project.video.frames
    prepare_clip(editor.material, progress)
    # The region of a take that was brought is the mask's too, not only that of one made by an effect.
    masked = [layer for layer in recipe.layers if layer.get("subjects") != []]
    needed = [spec["frame"] for layer in masked for spec in layer["anchors"]]
    spans = [
        span for span in spans_to_carry(editor.material) if any(f in span.range and f not in dict(span.given) for f in needed)
    ]
    progress.total += sum(len(span.range) for span in spans)
    carry(editor.material, spans, progress)
    warnings: list[str] = []
    for k, layer in enumerate(recipe.layers):
        editor.select_edit(editor.project.edits[k].id)
        if layer["anchors"]:
            propagate_below(editor.material, progress)
        with progress.timed("Making takes"):
            warnings += take_all(editor, recipe, k, progress)
    warnings += unused_methods(editor)
    editor.journal.set_note(NOTE, json.dumps({"rev": editor.rev, "digest": _digest(recipe), "warnings": warnings}))
    return warnings


def _was_played(editor: Editor, recipe: Recipe) -> bool:
    note = _note(editor)
    return note.get("rev") == editor.rev and note.get("digest") == _digest(recipe)


def _digest(recipe: Recipe) -> str:
    """Over what the recipe says and the files that it names, without the clip (the project knows that)."""
    total = hashlib.sha256(json.dumps(recipe.body, sort_keys=True).encode())
    for path in recipe.files()[1:]:
        with open(path, "rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


# --- marks ------------------------------------------------------------------------------------------------


def marked(recipe: Recipe, project: Project, store: Store) -> Project:
    """Range, subjects, marks and edit of the recipe on a blank document. `store` keeps the pictures of masks."""
    body = recipe.body
    if body.get("range") is not None:
        project = acts.set_range(project, start=body["range"][0], stop=body["range"][1])
    if "subjects" in body:
        project = replace(project, subjects=())
    for i, subject in enumerate(body.get("subjects", [])):
        project = _add_subject(recipe, project, subject, store, f"subjects[{i}]")
    edits = [edit_of(recipe, project, k, layer, store) for k, layer in enumerate(recipe.layers)]
    return replace(project, edits=tuple(edits), selected=1)


def _with_boxes(recipe: Recipe, find: Callable[[int, str], Sequence[float]]) -> Recipe:
    """The recipe with a box in place of every keyframe's words, as `find(frame, words)` says."""
    subjects = []
    for i, subject in enumerate(recipe.body.get("subjects", [])):
        keys = []
        for j, key in enumerate(subject.get("keyframes", [])):
            if key.get("words"):
                with at_place(f"subjects[{i}].keyframes[{j}]"):
                    key = {**key, "words": None, "box": list(find(key["frame"], key["words"]))}
            keys.append(key)
        subjects.append({**subject, "keyframes": keys})
    return replace(recipe, body={**recipe.body, "subjects": subjects}) if "subjects" in recipe.body else recipe


def _add_subject(recipe: Recipe, project: Project, spec: dict[str, Any], store: Store, where: str) -> Project:
    number = spec["id"]
    colour = acts.SUBJECT_COLOURS[(number - 1) % len(acts.SUBJECT_COLOURS)]
    name = acts.clean_name(spec.get("name", "")) or f"Subject {number}"
    project = replace(project, subjects=(*project.subjects, Subject(number, name, colour)))
    with at_place(where):
        shape = {name: spec[name] for name in ("feather", "grow") if name in spec}
        project = acts.shape_subject(project, subject=number, **shape)
    project = _add_track_points(recipe, project, spec, where)
    if spec.get("masks") is not None:
        with at_place(f"{where}.masks"):
            project = _import_masks(recipe.path(spec["masks"]), project, number, store)
    for j, key in enumerate(spec.get("keyframes", [])):
        with at_place(f"{where}.keyframes[{j}]"):
            project = _add_keyframe(recipe, project, number, key, store)
    return project


def _add_track_points(recipe: Recipe, project: Project, spec: dict[str, Any], where: str) -> Project:
    """The subject's tracked points: those of its file of tracks, then those with places in the recipe itself."""
    points: list[TrackPoint] = []
    if spec.get("tracks") is not None:
        with at_place(f"{where}.tracks"):
            path, video = recipe.path(spec["tracks"]), project.video
            found = track_format(path).read(path, video.size, video.rate)
            points += as_track_points(found, spec["id"], project.range, f"“{path.name}”")
    for k, point in enumerate(spec.get("track_points", [])):
        with at_place(f"{where}.track_points[{k}]"):
            spots = [Spot(int(f), float(x), float(y), *seen) for f, x, y, *seen in spots_of(point)]
            for spot in spots:
                if spot.frame not in project.range:
                    span = project.range
                    raise RecipeError(f"frame {spot.frame} is outside the range, {span.start} to {span.stop - 1}.")
                acts.inside(project, spot.x, spot.y)
            points.append(TrackPoint(len(points) + 1, tuple(sorted(spots))))
    with at_place(where):
        return with_track_points(project, spec["id"], tuple(points)) if points else project


def _import_masks(path: Path, project: Project, subject: int, store: Store) -> Project:
    """Every mask of a sequence within the range as a locked keyframe; a frame without the subject is locked as empty.

    A sequence of one subject is taken for this one, whatever its number. Raises MediaError, RecipeError.
    """
    size, span = project.video.size, project.range
    masks = mask_format_of(path, size).read(path, size)
    if len(masks.subjects) > 1 and subject not in masks.subjects:
        raise RecipeError(f"“{path.name}” holds the subjects {', '.join(map(str, masks.subjects))}, not {subject}.")
    if masks.numbers and masks.numbers[-1] >= project.video.frames:
        raise RecipeError(f"“{path.name}” has a mask for frame {masks.numbers[-1]}; the clip ends at {project.video.frames - 1}.")
    theirs = subject if subject in masks.subjects else next(iter(masks.subjects), subject)
    for frame, alphas in masks.numbered():
        if frame in span:
            alpha = alphas.get(theirs)
            key = store(encode_png(np.zeros(size, np.uint8) if alpha is None else alpha))
            project = acts.import_mask(project, frame=frame, subject=subject, key=key)
            project = acts.lock_keyframe(project, frame=frame, subject=subject, locked=True)
    return project


def _add_keyframe(recipe: Recipe, project: Project, subject: int, spec: dict[str, Any], store: Store) -> Project:
    at: dict[str, Any] = {"frame": spec["frame"], "subject": subject}
    if spec.get("mask") is not None:
        alpha = read_mask(recipe.path(spec["mask"]), project.video.size)
        project = acts.import_mask(project, **at, key=store(encode_png(alpha)))
    for x, y, label in spec.get("points", []):
        project = acts.add_point(project, **at, x=x, y=y, label=int(label))
    if spec.get("box") is not None:
        project = acts.set_box(project, **at, box=spec["box"])
    for stroke in spec.get("strokes", []):
        line: dict[str, Any] = {**at, "xy": stroke["xy"], "mode": stroke.get("mode", "add")}
        if stroke.get("filled"):
            project = acts.add_lasso(project, **line)
        else:
            project = acts.add_stroke(project, **line, radius=stroke["radius"])
    if spec.get("locked"):
        project = acts.lock_keyframe(project, **at, locked=True)
    return project
