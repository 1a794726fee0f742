"""Recipes: what to do with a clip, as a small JSON file, headless (DESIGN §11).

`read_recipe` is strict: unknown keys are refused by name, numbers must be finite and in range, and every message says
where in the file it hurts. `carry_out` plays the recipe on a fresh project through the same acts as the page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine import acts
from engine.editor import Editor, OutsideRegion
from engine.errors import RecipeError
from engine.media.images import encode_png, read_image, read_mask
from engine.methods import METHODS
from engine.project import Project
from engine.types import Subject

MAX_BYTES = 64 * 2**20

TOP = {"clip", "range", "fps", "seed", "segmenter", "tracker", "subjects", "anchors", "edit", "export"}
SUBJECT = {"id", "name", "feather", "grow", "keyframes", "track_points"}
KEYFRAME = {"frame", "points", "box", "mask", "strokes", "locked"}
STROKE = {"xy", "radius", "mode"}
ANCHOR = {"frame", "image", "effect", "take", "seed"}
EDIT = {"method", "subjects", "source_prompt", "target_prompt", "instruction", "target_words", "config"}
EXPORT = {"codec", "quality"}


@dataclass(frozen=True, eq=False, slots=True)
class Recipe:
    """A checked recipe; `folder` is what its paths are relative to."""

    folder: Path
    body: dict[str, Any]

    @property
    def clip(self) -> Path:
        return self.folder / self.body["clip"]

    def path(self, text: str) -> Path:
        return self.folder / text


def read_recipe(path: Path) -> Recipe:
    """Reads and checks a recipe.

    Raises:
        RecipeError: not JSON, an unknown key, a wrong type or value; says where.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"{path.name} is larger than {MAX_BYTES // 2**20} MB: that is no recipe.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError(f"Cannot read the recipe {path.name}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path.name} is not UTF-8 text; save the recipe as UTF-8 JSON.") from error
    body = parse_strict(text, path.name)
    check_recipe(body)
    return Recipe(path.parent, body)


def parse_strict(text: str, name: str) -> Any:
    """JSON without NaN, infinities, duplicate keys or bottomless nesting."""

    def constant(value: str) -> Any:
        raise RecipeError(f"{name} holds {value}, which is not a number that can be used.")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(items)
        if len(value) != len(items):
            twice = next(key for i, (key, _) in enumerate(items) if key in dict(items[:i]))
            raise RecipeError(f'{name} has the key "{twice}" twice in one place; keep one.')
        return value

    try:
        return json.loads(text, parse_constant=constant, object_pairs_hook=pairs)
    except RecursionError as error:
        raise RecipeError(f"{name} is nested too deeply for a recipe.") from error
    except ValueError as error:
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "a number"
        raise RecipeError(f"{name} is not valid JSON ({where}); mend it and run again.") from error


# --- checking ---------------------------------------------------------------------------------------------


def check_recipe(body: Any) -> None:
    """Checks keys and types of the whole recipe; frames and sizes are checked against the clip later."""
    _keys(body, TOP, "recipe", required={"clip"})
    _text(body["clip"], "clip")
    if body.get("range") is not None:
        _ints(body["range"], 2, "range")
    if body.get("fps") is not None:
        raise RecipeError(
            "fps is for raw image sequences and is not supported yet; leave it out: sequences play at 24 frames per second."
        )
    _integer(body.get("seed", 0), "seed")
    for name in ("segmenter", "tracker"):
        _text(body.get(name, "auto"), name)
    seen: set[int] = set()
    for i, subject in enumerate(_list(body.get("subjects", []), "subjects")):
        _check_subject(subject, f"subjects[{i}]")
        if subject["id"] in seen:
            raise RecipeError(f"subjects[{i}].id {subject['id']} is there twice; give each subject its own number.")
        seen.add(subject["id"])
    for i, anchor in enumerate(_list(body.get("anchors", []), "anchors")):
        _check_anchor(anchor, f"anchors[{i}]")
    if body.get("edit") is not None:
        _check_edit(body["edit"], seen)
    if body.get("export") is not None:
        _keys(body["export"], EXPORT, "export")


def _check_subject(subject: Any, where: str) -> None:
    _keys(subject, SUBJECT, where, required={"id"})
    if not isinstance(subject["id"], int) or isinstance(subject["id"], bool) or not 1 <= subject["id"] <= 255:
        raise RecipeError(f"{where}.id must be a whole number from 1 to 255.")
    for j, key in enumerate(_list(subject.get("keyframes", []), f"{where}.keyframes")):
        at = f"{where}.keyframes[{j}]"
        _keys(key, KEYFRAME, at, required={"frame"})
        _integer(key["frame"], f"{at}.frame")
        for k, point in enumerate(_list(key.get("points", []), f"{at}.points")):
            _numbers(point, 3, f"{at}.points[{k}]", "[x, y, 1 or -1]")
        for k, stroke in enumerate(_list(key.get("strokes", []), f"{at}.strokes")):
            _keys(stroke, STROKE, f"{at}.strokes[{k}]", required={"xy", "radius"})
        if key.get("box") is not None:
            _numbers(key["box"], 4, f"{at}.box", "[x0, y0, x1, y1]")
        if key.get("mask") is not None:
            _text(key["mask"], f"{at}.mask")
        if not isinstance(key.get("locked", False), bool):
            raise RecipeError(f"{at}.locked must be true or false.")
    for k, point in enumerate(_list(subject.get("track_points", []), f"{where}.track_points")):
        _numbers(point, 3, f"{where}.track_points[{k}]", "[frame, x, y]")


def _check_anchor(anchor: Any, where: str) -> None:
    _keys(anchor, ANCHOR, where, required={"frame"})
    _integer(anchor["frame"], f"{where}.frame")
    sources = [name for name in ("image", "effect", "take") if anchor.get(name) is not None]
    if len(sources) != 1:
        raise RecipeError(f"{where} needs exactly one of image, effect or take; it has {' and '.join(sources) or 'none'}.")
    if "effect" in sources and not (isinstance(anchor["effect"], dict) and isinstance(anchor["effect"].get("name"), str)):
        raise RecipeError(f'{where}.effect must be an object with a "name", such as {{"name": "recolour", "colour": "#2050ff"}}.')
    if "take" in sources and anchor["take"] != "preview":
        raise RecipeError(f'{where}.take must be "preview".')


def _check_edit(edit: Any, subjects: set[int]) -> None:
    _keys(edit, EDIT, "edit")
    name = edit.get("method", "motion")
    if name not in METHODS:
        raise RecipeError(f'edit.method "{name}" is not a method here; there are: {", ".join(METHODS)}.')
    for number in _list(edit.get("subjects") or [], "edit.subjects"):
        if number not in subjects:
            raise RecipeError(f"edit.subjects names {number}, which is no subject of this recipe.")
    for field in ("source_prompt", "target_prompt", "instruction"):
        _text(edit.get(field, ""), f"edit.{field}")
    if not isinstance(edit.get("config", {}), dict):
        raise RecipeError("edit.config must be an object.")


def _keys(value: Any, allowed: set[str], where: str, required: set[str] | None = None) -> None:
    if not isinstance(value, dict):
        raise RecipeError(f"{where} must be an object.")
    unknown = sorted(set(value) - allowed)
    if unknown:
        raise RecipeError(f'{where} has the unknown key "{unknown[0][:60]}"; it may have: {", ".join(sorted(allowed))}.')
    for name in sorted(required or ()):
        if name not in value:
            raise RecipeError(f'{where} needs the key "{name}".')


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise RecipeError(f"{where} must be a list.")
    return value


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise RecipeError(f"{where} must be text.")


def _integer(value: Any, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise RecipeError(f"{where} must be a whole number.")


def _ints(value: Any, count: int, where: str) -> None:
    if not isinstance(value, list) or len(value) != count:
        raise RecipeError(f"{where} must be a list of {count} whole numbers.")
    for one in value:
        _integer(one, where)


def _numbers(value: Any, count: int, where: str, form: str) -> None:
    fine = isinstance(value, list) and len(value) == count
    if not fine or any(isinstance(v, bool) or not isinstance(v, int | float) or not math.isfinite(v) for v in value):
        raise RecipeError(f"{where} must be {form}.")


# --- carrying out -----------------------------------------------------------------------------------------


def marks_of(editor: Editor, recipe: Recipe) -> Project:
    """Range, subjects and marks of the recipe on a fresh project, as one act. Masks are derived on the way."""
    body, project = recipe.body, editor.project
    if body.get("range") is not None:
        project = acts.set_range(project, start=body["range"][0], stop=body["range"][1])
    if "subjects" in body:
        project = replace(project, subjects=(), keyframes=())
    for subject in body.get("subjects", []):
        project = _add_subject(editor, recipe, project, subject)
    edit = body.get("edit") or {}
    wanted = edit.get("subjects")
    project = acts.set_edit(
        project,
        method=edit.get("method", "motion"),
        config=dict(edit.get("config", {})),
        subjects=None if wanted is None else tuple(wanted),
        source_prompt=edit.get("source_prompt", ""),
        target_prompt=edit.get("target_prompt", ""),
        instruction=edit.get("instruction", ""),
        target_words=tuple(edit.get("target_words", [])),
        seed=body.get("seed", 0),
    )
    return editor.commit(project, "Marks of the recipe")


def _add_subject(editor: Editor, recipe: Recipe, project: Project, spec: dict[str, Any]) -> Project:
    number = spec["id"]
    colour = acts.SUBJECT_COLOURS[(number - 1) % len(acts.SUBJECT_COLOURS)]
    points = tuple((int(f), float(x), float(y)) for f, x, y in spec.get("track_points", []))
    for frame, _, _ in points:
        if frame not in project.range:
            raise RecipeError(f"Subject {number} has a track point on frame {frame}, outside the range.")
    name = acts.clean_name(spec.get("name", "")) or f"Subject {number}"
    project = replace(project, subjects=(*project.subjects, Subject(number, name, colour, track_points=points)))
    shape = {name: spec[name] for name in ("feather", "grow") if name in spec}
    project = acts.shape_subject(project, subject=number, **shape)
    for key in spec.get("keyframes", []):
        project = _add_keyframe(editor, recipe, project, number, key)
    return project


def _add_keyframe(editor: Editor, recipe: Recipe, project: Project, subject: int, spec: dict[str, Any]) -> Project:
    at: dict[str, Any] = {"frame": spec["frame"], "subject": subject}
    if spec.get("mask") is not None:
        alpha = read_mask(recipe.path(spec["mask"]), project.video.size)
        project = acts.import_mask(project, **at, key=editor.journal.objects.put(encode_png(alpha)))
    for x, y, label in spec.get("points", []):
        project = acts.add_point(project, **at, x=x, y=y, label=int(label))
    if spec.get("box") is not None:
        project = acts.set_box(project, **at, box=spec["box"])
    for stroke in spec.get("strokes", []):
        project = acts.add_stroke(project, **at, xy=stroke["xy"], radius=stroke["radius"], mode=stroke.get("mode", "add"))
    if spec.get("locked"):
        project = acts.lock_keyframe(project, **at, locked=True)
    return project


def anchors_of(editor: Editor, recipe: Recipe, warn: Callable[[str], None]) -> None:
    """Makes and approves the recipe's takes. A take that reaches outside the mask grows the region, with a warning."""
    for i, spec in enumerate(recipe.body.get("anchors", [])):
        frame = spec["frame"]
        if frame not in editor.project.range:
            raise RecipeError(f"anchors[{i}].frame {frame} is outside the range; the range is half-open.")
        if spec.get("take") is not None:
            name = editor.project.edit.method
            raise RecipeError(
                f'anchors[{i}] asks for a preview take, which the method "{name}" cannot make; give an image or an effect.'
            )
        if spec.get("image") is not None:
            path = recipe.path(spec["image"])
            take = editor.picture_take(frame, read_image(path), "imported", path.name)
        else:
            config = {name: value for name, value in spec["effect"].items() if name not in ("name", "subject")}
            take = editor.effect_take(frame, spec["effect"]["name"], config, subject=spec["effect"].get("subject"))
        try:
            editor.approve(frame, take.key)
        except OutsideRegion as question:
            editor.approve(frame, take.key, outside="grow")
            warn(f"Anchor {frame}: {str(question).split(':')[0]}; the region was grown to them.")
