"""Recipes: what to do with a clip, as a small JSON file, headless (DESIGN §11).

`read_recipe` is strict: unknown keys are refused by name, numbers must be finite and in range, and every message says
where in the file it hurts. engine/commands/batch.py carries a recipe out.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.document.config_files import file_fields
from engine.document.edit_acts import MAX_EDITS
from engine.effects import EFFECTS, checked_config
from engine.errors import MethodError, RecipeError
from engine.media.formats import FORMATS
from engine.methods import METHODS, card
from engine.methods.cards import Card
from engine.segmentation import segmenter_names
from engine.store.strict import parse_strict, shown
from engine.tracking.choice import chosen, tracker_names

MAX_BYTES = 64 * 2**20
MAX_RATE = 1000
MAX_MARKS = 2_000
"""Points, and strokes, of one keyframe; more are a mask, which is given as a picture (our choice)."""
MAX_TRACKS = 20_000

TOP = {"clip", "range", "fps", "deinterlace", "seed", "segmenter", "tracker", "subjects", "anchors", "edit", "edits", "export"}
SUBJECT = {"id", "name", "feather", "grow", "masks", "keyframes", "tracks", "track_points"}
KEYFRAME = {"frame", "points", "box", "words", "mask", "strokes", "locked"}
STROKE = {"xy", "radius", "mode", "filled"}
ANCHOR = {"frame", "image", "effect", "take", "takes", "seed"}
MAX_TAKES = 8
EDIT = {"method", "subjects", "source_prompt", "target_prompt", "instruction", "target_words", "config", "segments"}
LAYER = EDIT | {"name", "on", "seed", "anchors"}
"""One of `edits`: they stand in order, each over the result of those before it. `edit` and `anchors` say one alone."""
SEGMENT = {"range", "method", "config"}
"""Another method for the frames [start, stop) between two anchors."""
EXPORT = {"codec", "quality"}


@dataclass(frozen=True, eq=False, slots=True)
class Recipe:
    """A checked recipe; `folder` is what its paths are relative to."""

    name: str
    folder: Path
    body: dict[str, Any]

    @property
    def clip(self) -> Path:
        return self.path(self.body["clip"])

    @property
    def edits(self) -> bool:
        """Whether it edits; otherwise it only marks."""
        return any(name in self.body for name in ("anchors", "edit", "edits"))

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The edits, from the lowest up, each with all of its anchors."""
        if "edits" in self.body:
            return [{"anchors": [], **edit} for edit in self.body["edits"]]
        return [{**(self.body.get("edit") or {}), "anchors": self.body.get("anchors", [])}]

    def where(self, layer: int) -> str:
        """What the keys of an edit stand in, for messages: "edits[0]." or nothing."""
        return f"edits[{layer}]." if "edits" in self.body else ""

    @property
    def rate(self) -> Fraction | None:
        return None if self.body.get("fps") is None else rate_of(self.body["fps"])

    def files(self) -> list[Path]:
        """All files that the recipe names, the clip first; of folders of masks, what is in them."""
        whole = [self.path(subject["masks"]) for subject in self.body.get("subjects", []) if subject.get("masks")]
        frames = [file for one in whole for file in (sorted(one.rglob("*.*")) if one.is_dir() else [one])]
        tracks = [subject.get("tracks") for subject in self.body.get("subjects", [])]
        masks = [key.get("mask") for subject in self.body.get("subjects", []) for key in subject.get("keyframes", [])]
        images = [anchor.get("image") for layer in self.layers for anchor in layer["anchors"]]
        told = [one for layer in self.layers for one in (layer, *layer.get("segments", [])) if one.get("config")]
        files = [one["config"].get(k) for one in told for k in file_fields(card(one.get("method", "motion")).Config)]
        return [self.clip, *(self.path(name) for name in [*masks, *images, *tracks, *files] if name), *frames]

    def path(self, text: str) -> Path:
        return self.folder / text


def read_recipe(path: Path) -> Recipe:
    """Reads and checks a recipe.

    Raises:
        RecipeError: not JSON, an unknown key, a wrong type or value; says where.
    """
    try:
        if not path.is_file() and path.exists():
            raise RecipeError(f"{path.name} is not a file; give the recipe's JSON file.")
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"{path.name} is larger than {MAX_BYTES // 2**20} MB: that is no recipe.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError(f"Cannot read the recipe {path.name}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path.name} is not UTF-8 text; save the recipe as UTF-8 JSON.") from error
    body = parse_strict(text, path.name)
    check_recipe(body)
    return Recipe(path.stem, path.parent, body)


# --- checking ---------------------------------------------------------------------------------------------


def check_recipe(body: Any) -> None:
    """Checks keys, types and values as far as they can be without the clip; engine/commands/batch.py checks the rest."""
    _keys(body, TOP, "recipe", required={"clip"})
    _path(body["clip"], "clip")
    if body.get("range") is not None:
        _ints(body["range"], 2, "range")
    if body.get("fps") is not None:
        rate_of(body["fps"])
    if not isinstance(body.get("deinterlace", False), bool):
        raise RecipeError("deinterlace must be true or false.")
    _integer(body.get("seed", 0), "seed")
    _one_of(body.get("segmenter", "auto"), segmenter_names(), "segmenter")
    _check_tracker(body.get("tracker", "auto"))
    subjects = _check_subjects(_list(body.get("subjects", []), "subjects"))
    if "edits" in body:
        _check_layers(body, subjects)
    else:
        if body.get("edit") is not None:
            _check_edit(body["edit"], subjects)
        chosen = card((body.get("edit") or {}).get("method", "motion"))
        _check_anchors(_list(body.get("anchors", []), "anchors"), subjects or {1}, chosen)
    if body.get("export") is not None:
        _check_export(body["export"])


def _check_tracker(value: Any) -> None:
    """A name, or a list with one for masks and one for points."""
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise RecipeError(
            f"tracker must be a name, or a list of two, not {shown(value)}; there are: {', '.join(tracker_names())}."
        )
    try:
        chosen(names)
    except MethodError as error:
        raise RecipeError(str(error)) from error


def rate_of(fps: Any) -> Fraction:
    """Frames per second as a ratio; 23.976, 29.97 and 59.94 mean the broadcast rates. Raises RecipeError."""
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 1 <= fps <= MAX_RATE:
        raise RecipeError(f"fps must be a number from 1 to {MAX_RATE}, not {shown(fps)}.")
    broadcast = Fraction(round(fps) * 1000, 1001)
    return broadcast if abs(fps - float(broadcast)) < 0.005 else Fraction(fps).limit_denominator(1001)


def _check_subjects(subjects: list[Any]) -> set[int]:
    """The subjects' numbers."""
    seen: set[int] = set()
    for i, subject in enumerate(subjects):
        _check_subject(subject, f"subjects[{i}]")
        if subject["id"] in seen:
            raise RecipeError(f"subjects[{i}].id {subject['id']} is there twice; give each subject its own number.")
        seen.add(subject["id"])
    return seen


def _check_subject(subject: Any, where: str) -> None:
    _keys(subject, SUBJECT, where, required={"id"})
    _integer(subject["id"], f"{where}.id")
    if not 1 <= subject["id"] <= 255:
        raise RecipeError(f"{where}.id must be a whole number from 1 to 255.")
    _text(subject.get("name", ""), f"{where}.name")
    for name in ("masks", "tracks"):
        if subject.get(name) is not None:
            _path(subject[name], f"{where}.{name}")
    frames: set[int] = set()
    for j, key in enumerate(_list(subject.get("keyframes", []), f"{where}.keyframes")):
        at = f"{where}.keyframes[{j}]"
        _check_keyframe(key, at)
        if key["frame"] in frames:
            raise RecipeError(f"{at}.frame {key['frame']} is there twice; put everything about one frame into one keyframe.")
        frames.add(key["frame"])
    if len(_list(subject.get("track_points", []), f"{where}.track_points")) > MAX_TRACKS:
        raise RecipeError(f"{where}.track_points has more than {MAX_TRACKS} points; leave some out.")
    for k, point in enumerate(subject.get("track_points", [])):
        _check_track_point(point, f"{where}.track_points[{k}]")


def _check_track_point(point: Any, at: str) -> None:
    """[frame, x, y], or {"spots": [[frame, x, y] or [frame, x, y, false], …]}: false = hidden there."""
    if isinstance(point, dict):
        _keys(point, {"spots"}, at, required={"spots"})
        if not _list(point["spots"], f"{at}.spots"):
            raise RecipeError(f"{at}.spots is empty; say where the point is on one frame at least.")
    frames: set[float] = set()
    for spot in spots_of(point):
        tells = isinstance(point, dict) and isinstance(spot, list) and len(spot) == 4 and isinstance(spot[3], bool)
        _numbers(spot[:3] if tells else spot, 3, at, "[frame, x, y]")
        if spot[0] != int(spot[0]) or spot[0] in frames:
            raise RecipeError(f"{at}: the frame must be a whole number, once in a point, not {shown(spot[0])}.")
        frames.add(spot[0])


def spots_of(point: Any) -> list[Any]:
    """The places of one entry of `track_points`."""
    return point["spots"] if isinstance(point, dict) else [point]


def _check_keyframe(key: Any, at: str) -> None:
    _keys(key, KEYFRAME, at, required={"frame"})
    _integer(key["frame"], f"{at}.frame")
    for name in ("points", "strokes"):
        if len(_list(key.get(name, []), f"{at}.{name}")) > MAX_MARKS:
            raise RecipeError(f"{at}.{name} has more than {MAX_MARKS} entries; give the subject as a mask picture.")
    for k, point in enumerate(key.get("points", [])):
        _numbers(point, 3, f"{at}.points[{k}]", "[x, y, 1 or -1]")
        if point[2] not in (1, -1):
            raise RecipeError(f"{at}.points[{k}]: the label must be 1 (inside) or -1 (outside), not {shown(point[2])}.")
    for k, stroke in enumerate(key.get("strokes", [])):
        _check_stroke(stroke, f"{at}.strokes[{k}]")
    if key.get("box") is not None:
        _numbers(key["box"], 4, f"{at}.box", "[x0, y0, x1, y1]")
    if key.get("words") is not None:
        _text(key["words"], f"{at}.words")
        if key.get("box") is not None:
            raise RecipeError(f"{at} has a box and words, which become one: leave one of them out.")
    if key.get("mask") is not None:
        _path(key["mask"], f"{at}.mask")
    if not isinstance(key.get("locked", False), bool):
        raise RecipeError(f"{at}.locked must be true or false.")
    if not any(key.get(name) for name in ("points", "strokes", "box", "words", "mask")):
        raise RecipeError(f"{at} says nothing about the subject: give points, a box, words, strokes or a mask, or leave it out.")


def _check_stroke(stroke: Any, at: str) -> None:
    filled = isinstance(stroke, dict) and stroke.get("filled", False)
    if not isinstance(filled, bool):
        raise RecipeError(f"{at}.filled must be true or false.")
    _keys(stroke, STROKE, at, required={"xy"} if filled else {"xy", "radius"})


def _check_layers(body: dict[str, Any], subjects: set[int]) -> None:
    for name in ("edit", "anchors"):
        if name in body:
            raise RecipeError(f"The recipe has {name} and edits: put {name} into one of the edits.")
    if not 1 <= len(_list(body["edits"], "edits")) <= MAX_EDITS:
        raise RecipeError(f"edits holds 1 to {MAX_EDITS} edits, not {len(body['edits'])}.")
    for i, edit in enumerate(body["edits"]):
        where = f"edits[{i}]"
        _check_edit(edit, subjects, where, LAYER)
        _text(edit.get("name", ""), f"{where}.name")
        _integer(edit.get("seed", 0), f"{where}.seed")
        if not isinstance(edit.get("on", True), bool):
            raise RecipeError(f"{where}.on must be true or false.")
        anchors = _list(edit.get("anchors", []), f"{where}.anchors")
        _check_anchors(anchors, subjects or {1}, card(edit.get("method", "motion")), f"{where}.anchors")


def _check_anchors(anchors: list[Any], subjects: set[int], method: Card, listed: str = "anchors") -> None:
    begun: set[int] = set()
    for i, anchor in enumerate(anchors):
        where = f"{listed}[{i}]"
        _check_anchor(anchor, where, subjects, method)
        if anchor.get("image") is not None and anchor["frame"] in begun:
            raise RecipeError(f"{where}.image would replace what was said about frame {anchor['frame']} before; put it first.")
        begun.add(anchor["frame"])


def _check_anchor(anchor: Any, where: str, subjects: set[int], method: Card) -> None:
    _keys(anchor, ANCHOR, where, required={"frame"})
    _integer(anchor["frame"], f"{where}.frame")
    _integer(anchor.get("seed", 0), f"{where}.seed")
    sources = [name for name in ("image", "effect", "take") if anchor.get(name) is not None]
    if len(sources) != 1:
        raise RecipeError(f"{where} needs exactly one of image, effect or take; it has {' and '.join(sources) or 'none'}.")
    if "image" in sources:
        _path(anchor["image"], f"{where}.image")
    count = anchor.get("takes", 1)
    _integer(count, f"{where}.takes")
    if not 1 <= count <= (MAX_TAKES if "take" in sources else 1):
        raise RecipeError(f'{where}.takes goes with "take": "preview" and is from 1 to {MAX_TAKES}.')
    if "take" in sources:
        if anchor["take"] != "preview":
            raise RecipeError(f'{where}.take must be "preview".')
        if not method.takes:
            raise RecipeError(f"{where} asks for a preview take, which {method.title} cannot make; give an image or an effect.")
    if "effect" in sources:
        _check_effect(anchor["effect"], f"{where}.effect", subjects)


def _check_effect(effect: Any, where: str, subjects: set[int]) -> None:
    if not isinstance(effect, dict) or not isinstance(effect.get("name"), str):
        raise RecipeError(f'{where} must be an object with a "name", such as {{"name": "recolour", "colour": "#2050ff"}}.')
    _one_of(effect["name"], tuple(EFFECTS), f"{where}.name")
    checked_config(EFFECTS[effect["name"]].Config, effect_config(effect), where)
    subject = effect.get("subject")
    if subject is not None:
        _integer(subject, f"{where}.subject")
        if subject not in subjects:
            raise RecipeError(f"{where}.subject names {subject}, which is no subject of this recipe.")


def effect_config(effect: dict[str, Any]) -> dict[str, Any]:
    """The effect's own settings."""
    return {name: value for name, value in effect.items() if name not in ("name", "subject")}


def _check_edit(edit: Any, subjects: set[int], where: str = "edit", allowed: set[str] = EDIT) -> None:
    _keys(edit, allowed, where)
    _check_method(edit, where)
    for number in _list(edit["subjects"] if edit.get("subjects") is not None else [], f"{where}.subjects"):
        _integer(number, f"{where}.subjects")
        if number not in subjects:
            raise RecipeError(f"{where}.subjects names {number}, which is no subject of this recipe.")
    for field in ("source_prompt", "target_prompt", "instruction"):
        _text(edit.get(field, ""), f"{where}.{field}")
    for word in _list(edit.get("target_words", []), f"{where}.target_words"):
        _text(word, f"{where}.target_words")
    for i, segment in enumerate(_list(edit.get("segments", []), f"{where}.segments")):
        at = f"{where}.segments[{i}]"
        _keys(segment, SEGMENT, at, required={"range", "method"})
        _ints(segment["range"], 2, f"{at}.range")
        _check_method(segment, at)


def _check_method(said: dict[str, Any], where: str) -> None:
    """The method and its config. Raises RecipeError."""
    name = said.get("method", "motion")
    _one_of(name, tuple(METHODS), f"{where}.method")
    if not isinstance(said.get("config", {}), dict):
        raise RecipeError(f"{where}.config must be an object.")
    checked_config(card(name).Config, said.get("config", {}), f"{where}.config")


def _check_export(export: Any) -> None:
    _keys(export, EXPORT, "export")
    if export.get("codec") is not None:
        _one_of(export["codec"], tuple(FORMATS), "export.codec")
    if export.get("quality") is not None:
        _integer(export["quality"], "export.quality")
        if not 0 <= export["quality"] <= 51:
            raise RecipeError(f"export.quality must be from 0 (best) to 51, not {export['quality']}.")


def _one_of(value: Any, allowed: tuple[str, ...], where: str) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise RecipeError(f"{where} {shown(value)} is not known here; there are: {', '.join(allowed)}.")


def _keys(value: Any, allowed: set[str], where: str, required: set[str] | None = None) -> None:
    if not isinstance(value, dict):
        raise RecipeError(f"{where} must be an object.")
    unknown = sorted(set(value) - allowed)
    if unknown:
        raise RecipeError(f"{where} has the unknown key {shown(unknown[0])}; it may have: {', '.join(sorted(allowed))}.")
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


def _path(value: Any, where: str) -> None:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise RecipeError(f"{where} must be the path of a file, relative to the recipe.")


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
    if not fine or any(isinstance(v, bool) or not isinstance(v, int | float) or not abs(v) < 1e9 for v in value):
        raise RecipeError(f"{where} must be {form}, in numbers below a thousand million.")
