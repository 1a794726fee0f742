"""Recipes: strict, every refusal names its place, and what they say is what happens."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine.commands import batch
from engine.commands.recipe import parse_strict, rate_of, read_recipe
from engine.errors import EngineError, RecipeError
from engine.media.images import decode_png, encode_png
from engine.progress import Progress
from tests.media_fixtures import write_drawn_stills
from tests.recipes import BOX, clip_in, edit_recipe, write_recipe

SIZE = (112, 192)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    clip_in(folder)
    (folder / "picture.png").write_bytes(encode_png(np.full((*SIZE, 3), 90, np.uint8)))
    (folder / "small.png").write_bytes(encode_png(np.full((20, 30, 3), 90, np.uint8)))
    (folder / "text.png").write_text("no picture")
    (folder / "folder").mkdir()
    return folder


def refusal(place: Path, recipe: dict[str, Any] | str) -> str:
    """What is said about a recipe that must be refused before anything is made."""
    with pytest.raises(EngineError) as error:
        read = read_recipe(write_recipe(place, recipe))
        batch.planned(read, batch.look_at(read))
    assert "\n" not in str(error.value) and str(place) not in str(error.value)
    return str(error.value)


def subject(**more: Any) -> list[dict[str, Any]]:
    return [{"id": 1, **more}]


def key(**more: Any) -> list[dict[str, Any]]:
    return subject(keyframes=[{"frame": 0, "box": BOX, **more}])


EFFECT = {"name": "recolour"}
WRONG: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"clip": None}, ("clip",)),
    ({"clip": ""}, ("clip",)),
    ({"clip": "gone.mp4"}, ("gone.mp4",)),
    ({"clip": "text.png"}, ("text.png",)),
    ({"clip": "folder"}, ("folder", "numbered")),
    ({"clip": "picture.png"}, ("picture",)),
    ({"clip": "http://example.org/a.mp4"}, ("address",)),
    ({"clip": "concat:in.mp4|in.mp4"}, ("address",)),
    ({"clip": "in\u0000.mp4"}, ("clip",)),
    ({"colour": 1}, ("'colour'", "recipe")),
    ({"range": [0, 5, 6]}, ("range",)),
    ({"range": [0, 5.0]}, ("range",)),
    ({"range": [5, 5]}, ("range",)),
    ({"range": [0, 25]}, ("range",)),
    ({"range": [-1, 5]}, ("range",)),
    ({"seed": "7"}, ("seed",)),
    ({"seed": True}, ("seed",)),
    ({"fps": 24}, ("fps", "own times")),
    ({"fps": 0}, ("fps",)),
    ({"fps": "24"}, ("fps",)),
    ({"segmenter": "sam9"}, ("segmenter", "graphcut")),
    ({"segmenter": 3}, ("segmenter",)),
    ({"tracker": "magic"}, ("tracker", "auto")),
    ({"subjects": {}}, ("subjects",)),
    ({"subjects": [3]}, ("subjects[0]",)),
    ({"subjects": [{"name": "x"}]}, ("subjects[0]", "id")),
    ({"subjects": [{"id": 0}]}, ("subjects[0].id",)),
    ({"subjects": [{"id": 256}]}, ("subjects[0].id",)),
    ({"subjects": [{"id": 1.0}]}, ("subjects[0].id",)),
    ({"subjects": [{"id": 1}, {"id": 1}]}, ("subjects[1].id", "twice")),
    ({"subjects": subject(name=["a"])}, ("subjects[0].name",)),
    ({"subjects": subject(feather=-1)}, ("subjects[0]", "feather")),
    ({"subjects": subject(grow="2")}, ("subjects[0]", "grow")),
    ({"subjects": subject(mask="x")}, ("subjects[0]", "'mask'")),
    ({"subjects": subject(keyframes=[{"frame": 0}])}, ("subjects[0].keyframes[0]", "nothing")),
    ({"subjects": subject(keyframes=[{"box": BOX}])}, ("subjects[0].keyframes[0]", "frame")),
    ({"subjects": subject(keyframes=[{"frame": 0, "box": BOX}] * 2)}, ("keyframes[1]", "twice")),
    ({"subjects": key(frame=24)}, ("subjects[0].keyframes[0]", "24")),
    ({"subjects": key(frame=-1)}, ("subjects[0].keyframes[0]", "-1")),
    ({"subjects": key(frame="0")}, ("subjects[0].keyframes[0].frame",)),
    ({"subjects": key(points=[[1, 2]])}, ("subjects[0].keyframes[0].points[0]",)),
    ({"subjects": key(points=[[1, 2, 0]])}, ("subjects[0].keyframes[0].points[0]", "1 (inside)")),
    ({"subjects": key(points=[[1, 2, 1.7]])}, ("subjects[0].keyframes[0].points[0]", "1.7")),
    ({"subjects": key(points=[[500, 2, 1]])}, ("subjects[0].keyframes[0]", "x")),
    ({"subjects": key(box=[1, 2, 3])}, ("subjects[0].keyframes[0].box",)),
    ({"subjects": key(box=[10, 10, 10, 20])}, ("subjects[0].keyframes[0]", "empty")),
    ({"subjects": key(mask="gone.png")}, ("subjects[0].keyframes[0]", "gone.png")),
    ({"subjects": key(mask="small.png")}, ("subjects[0].keyframes[0]", "30×20", "192×112")),
    ({"subjects": key(mask="folder")}, ("subjects[0].keyframes[0]", "folder")),
    ({"subjects": key(mask=3)}, ("subjects[0].keyframes[0].mask",)),
    ({"subjects": key(locked=1)}, ("subjects[0].keyframes[0].locked",)),
    ({"subjects": key(strokes=[{"xy": [[1, 2]]}])}, ("strokes[0]", "radius")),
    ({"subjects": key(strokes=[{"xy": [[1]], "radius": 3}])}, ("subjects[0].keyframes[0]", "[x, y]")),
    ({"subjects": key(strokes=[{"xy": [], "radius": 3}])}, ("subjects[0].keyframes[0]", "stroke")),
    ({"subjects": key(strokes=[{"xy": [[1, 2]], "radius": 3, "mode": "paint"}])}, ("subjects[0].keyframes[0]", "mode")),
    ({"subjects": key(strokes=[{"xy": [[1, 2]], "radius": 3, "colour": 1}])}, ("strokes[0]", "'colour'")),
    ({"subjects": key(points=[[30, 40, 1]] * 100_000)}, ("subjects[0].keyframes[0].points", "mask picture")),
    ({"subjects": subject(track_points=[[0, 1, 2]] * 100_000)}, ("subjects[0].track_points", "leave some out")),
    ({"deinterlace": 1}, ("deinterlace", "true or false")),
    ({"subjects": subject(track_points=[[0.5, 1, 2]])}, ("subjects[0].track_points[0]", "0.5")),
    ({"subjects": subject(track_points=[[24, 1, 2]])}, ("subjects[0].track_points[0]", "24")),
    ({"subjects": subject(track_points=[[0, 500, 2]])}, ("subjects[0].track_points[0]", "x")),
    ({"anchors": [{"frame": 0}]}, ("anchors[0]", "exactly one")),
    ({"anchors": [{"frame": 0, "image": "picture.png", "effect": EFFECT}]}, ("anchors[0]", "image and effect")),
    ({"anchors": [{"frame": 24, "effect": EFFECT}]}, ("anchors[0]", "24")),
    ({"range": [0, 12], "anchors": [{"frame": 12, "effect": EFFECT}]}, ("anchors[0]", "12", "0 to 11")),
    ({"anchors": [{"frame": 0, "take": "preview"}]}, ("anchors[0]", "preview", "Motion propagation")),
    ({"anchors": [{"frame": 0, "take": "other"}]}, ("anchors[0].take",)),
    ({"anchors": [{"frame": 0, "effect": EFFECT, "takes": 2}]}, ("anchors[0].takes", "preview")),
    ({"edit": {"method": "via"}, "anchors": [{"frame": 0, "take": "preview", "takes": 9}]}, ("anchors[0].takes", "8")),
    ({"anchors": [{"frame": 0, "effect": "recolour"}]}, ("anchors[0].effect", "name")),
    ({"anchors": [{"frame": 0, "effect": {"name": "melt"}}]}, ("anchors[0].effect.name", "recolour")),
    ({"anchors": [{"frame": 0, "effect": {"name": "recolour", "color": "#fff"}}]}, ("anchors[0].effect", "color")),
    ({"anchors": [{"frame": 0, "effect": {"name": "recolour", "colour": "blue"}}]}, ("anchors[0].effect", "colour")),
    ({"anchors": [{"frame": 0, "effect": {"name": "recolour", "strength": 9}}]}, ("anchors[0].effect", "strength")),
    ({"anchors": [{"frame": 0, "effect": {"name": "recolour", "subject": 4}}]}, ("anchors[0].effect.subject", "4")),
    ({"anchors": [{"frame": 0, "effect": EFFECT, "seed": 1.5}]}, ("anchors[0].seed",)),
    ({"anchors": [{"frame": 0, "image": "small.png"}]}, ("anchors[0]", "30×20", "192×112")),
    ({"anchors": [{"frame": 0, "image": "gone.png"}]}, ("anchors[0]", "gone.png")),
    ({"anchors": [{"frame": 0, "image": "text.png"}]}, ("anchors[0]", "text.png")),
    ({"anchors": [{"frame": 0, "effect": EFFECT}, {"frame": 0, "image": "picture.png"}]}, ("anchors[1].image", "first")),
    ({"edit": {"method": "magic"}}, ("edit.method", "motion")),
    ({"edit": {"method": ["motion"]}}, ("edit.method",)),
    ({"edit": {"subjects": [2]}}, ("edit.subjects", "2")),
    ({"edit": {"subjects": [[1]]}}, ("edit.subjects",)),
    ({"edit": {"subjects": 1}}, ("edit.subjects",)),
    ({"edit": {"config": []}}, ("edit.config",)),
    ({"edit": {"config": {"speed": 3}}}, ("edit.config", "speed")),
    ({"edit": {"instruction": 3}}, ("edit.instruction",)),
    ({"edit": {"target_words": [1]}}, ("edit.target_words",)),
    ({"edit": {"prompt": ""}}, ("edit", "'prompt'")),
    ({"export": {"codec": "av2"}}, ("export.codec", "prores")),
    ({"export": {"quality": 52}}, ("export.quality",)),
    ({"export": {"quality": 18.5}}, ("export.quality",)),
    ({"export": {"crf": 18}}, ("export", "'crf'")),
]


@pytest.mark.parametrize(("change", "says"), WRONG, ids=[json.dumps(change)[:60] for change, _ in WRONG])
def test_what_is_wrong_is_refused_with_its_place(place: Path, change: dict[str, Any], says: tuple[str, ...]) -> None:
    said = refusal(place, {**edit_recipe(), **change})
    for word in says:
        assert word in said, said


NOT_JSON = {
    "NaN": '{"clip": "in.mp4", "seed": NaN}',
    "Infinity": '{"clip": "in.mp4", "seed": -Infinity}',
    "big": '{"clip": "in.mp4", "subjects": [{"id": 1, "keyframes": [{"frame": 0, "points": [[1e999, 2, 1]]}]}]}',
    "digits": '{"clip": "in.mp4", "seed": ' + "9" * 5000 + "}",
    "twice": '{"clip": "in.mp4", "clip": "in.mp4"}',
    "deep": "[" * 200_000,
    "deep object": '{"clip":' * 100_000,
    "cut off": '{"clip": "in',
    "empty": "",
    "list": "[]",
    "number": "3",
    "null": "null",
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_strict_json_is_refused(place: Path, name: str) -> None:
    assert len(refusal(place, NOT_JSON[name])) < 300


def test_the_place_of_a_syntax_error_is_told(place: Path) -> None:
    assert "line 2, column" in refusal(place, '{"clip": "in.mp4",\n "seed" 3}')


@pytest.mark.parametrize("head", [b"\xef\xbb\xbf", b""])
def test_a_byte_order_mark_is_fine(place: Path, head: bytes) -> None:
    path = place / "bom.json"
    path.write_bytes(head + b'{"clip": "in.mp4"}')
    assert read_recipe(path).body == {"clip": "in.mp4"}


def test_other_files_are_no_recipes(place: Path) -> None:
    (place / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for name in ("gone.json", "folder", "bytes.json"):
        with pytest.raises(RecipeError, match=name):
            read_recipe(place / name)


def test_numbers_of_a_strict_file_survive() -> None:
    assert parse_strict('{"a": [1, -2.5, 1e3, true, null]}', "x") == {"a": [1, -2.5, 1000.0, True, None]}


@pytest.mark.parametrize(
    ("given", "rate"),
    [(25, Fraction(25)), (29.97, Fraction(30000, 1001)), (23.976, Fraction(24000, 1001)), (12.5, Fraction(25, 2))],
)
def test_rates(given: float, rate: Fraction) -> None:
    assert rate_of(given) == rate


# --- what recipes do --------------------------------------------------------------------------------------


def play(folder: Path, recipe: dict[str, Any]) -> tuple[Any, list[str]]:
    """The editor after the recipe's marks and takes, and the warnings."""
    read = read_recipe(write_recipe(folder, recipe))
    number = sum(1 for _ in folder.glob("project*"))
    editor = batch.open_project(folder / f"project{number}", read, batch.look_at(read))
    warnings = batch.play(editor, read, Progress())
    editor.close()
    return editor, warnings


def mask_of(editor: Any, frame: int = 0, subject: int = 1) -> np.ndarray:
    return decode_png(editor.journal.objects.get(editor.project.keyframe(frame, subject).mask))


def take_of(editor: Any, frame: int) -> np.ndarray:
    return decode_png(editor.journal.objects.get(editor.project.edit.anchor_at(frame).chosen))


def _square(value: Any, kind: type) -> np.ndarray:
    picture = np.zeros(SIZE, kind)
    picture[20:60, 30:90] = value
    return picture


MASKS: dict[str, np.ndarray] = {
    "ones.png": _square(1, np.uint8),
    "full.png": _square(255, np.uint8),
    "deep.png": _square(65535, np.uint16),
    "float.tiff": _square(1.0, np.float32),
    "colours.png": np.dstack([_square(255, np.uint8)] * 3),
    "alpha.png": np.dstack([np.zeros((*SIZE, 3), np.uint8), _square(255, np.uint8)]),
}


@pytest.mark.parametrize("name", MASKS)
def test_every_encoding_of_a_mask_means_the_same(place: Path, name: str) -> None:
    assert cv2.imwrite(str(place / name), MASKS[name])
    editor, _ = play(place, {"clip": "in.mp4", "subjects": [{"id": 1, "keyframes": [{"frame": 0, "mask": name}]}]})
    assert np.array_equal(mask_of(editor), _square(255, np.uint8))


def test_paths_are_relative_to_the_recipe(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = place / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    (inner / "r.json").write_text(json.dumps({"clip": "../in.mp4", "anchors": [{"frame": 0, "image": "../picture.png"}]}))
    read = read_recipe(Path("r.json"))
    assert batch.planned(read, batch.look_at(read)).edit.anchors[0].frame == 0


def test_subjects_of_the_edit(place: Path) -> None:
    both = [{"id": n, "keyframes": [{"frame": 0, "box": [10 * n, 30, 10 * n + 40, 90]}]} for n in (1, 2)]
    for wanted, whole, edited in [(None, False, [1, 2]), ([], True, []), ([2], False, [2])]:
        edit = {} if wanted is None else {"subjects": wanted}
        read = read_recipe(write_recipe(place, {"clip": "in.mp4", "subjects": both, "edit": edit}))
        project = batch.planned(read, batch.look_at(read))
        assert project.whole_frame is whole and [s.id for s in project.edited_subjects()] == edited


def test_effects_on_one_frame_lie_over_each_other_and_stay_in_their_subject(place: Path) -> None:
    subjects = []
    for number, x in ((3, 20), (5, 120)):
        cv2.imwrite(str(place / f"m{number}.png"), cv2.rectangle(np.zeros(SIZE, np.uint8), (x, 40), (x + 40, 80), 255, -1))
        subjects.append({"id": number, "feather": 0, "keyframes": [{"frame": 0, "mask": f"m{number}.png"}]})
    effects = [
        {"frame": 0, "effect": {"name": "recolour", "colour": "#ff0000", "subject": 5}, "seed": 11},
        {"frame": 0, "effect": {"name": "blur", "kind": "pixelate", "radius": 20, "subject": 3}},
    ]
    editor, warnings = play(place, {"clip": "in.mp4", "seed": 4, "subjects": subjects, "anchors": effects})
    source, take = editor.picture(0), take_of(editor, 0)
    changed = (source != take).any(axis=2)
    assert warnings == []
    assert changed[40:80, 20:60].mean() > 0.5 and changed[40:80, 120:160].mean() > 0.5
    assert not changed[:38].any() and not changed[:, 64:116].any()
    assert [one.seed for one in editor.project.edit.anchor_at(0).takes] == [11, 4]
    assert editor.project.edit.seed == 4


def test_an_effect_far_from_the_marks_has_the_carried_mask(place: Path) -> None:
    editor, _ = play(place, edit_recipe(anchors=[{"frame": 20, "effect": {"name": "recolour", "colour": "#00ff00"}}]))
    changed = (editor.picture(20) != take_of(editor, 20)).any(axis=2)
    centre = int(192 * (0.2 + 0.6 * 20 / 40))
    assert changed[72, centre] and 200 < changed.sum() < 1600 and not changed[72, 38]


def test_a_picture_that_reaches_outside_grows_the_region_and_says_so(place: Path) -> None:
    editor, warnings = play(place, edit_recipe(anchors=[{"frame": 0, "image": "picture.png"}]))
    assert len(warnings) == 1 and "Anchor 0" in warnings[0]
    assert editor.project.edit.anchor_at(0).region and np.array_equal(take_of(editor, 0), np.full((*SIZE, 3), 90))


def test_a_sequence_has_the_rate_of_the_recipe(tmp_path: Path) -> None:
    write_drawn_stills(tmp_path / "frames", 6)
    read = read_recipe(write_recipe(tmp_path, {"clip": "frames", "fps": 12.5}))
    editor = batch.open_project(tmp_path / "project", read, batch.look_at(read))
    try:
        assert editor.project.video.rate == editor.reader.video.rate == Fraction(25, 2)
        assert float(editor.reader.video.seconds()[-1]) == pytest.approx(5 / 12.5)
    finally:
        editor.close()


def test_the_same_recipe_again_is_not_played_again_and_a_changed_one_is(tmp_path: Path) -> None:
    clip_in(tmp_path)

    def once(recipe: dict[str, Any]) -> tuple[int, tuple[str | None, ...]]:
        read = read_recipe(write_recipe(tmp_path, recipe))
        editor = batch.open_project(tmp_path / "project", read, batch.look_at(read))
        batch.play(editor, read, Progress())
        editor.close()
        return editor.project, tuple(a.chosen for a in editor.project.edit.anchors)

    first, takes = once(edit_recipe())
    again, takes_again = once(edit_recipe())
    assert takes == takes_again and [k.mask for k in first.keyframes] == [k.mask for k in again.keyframes]
    changed, other = once(edit_recipe(anchors=edit_recipe()["anchors"][:1]))
    assert other == takes[:1] and [k.mask for k in first.keyframes] == [k.mask for k in changed.keyframes]


def test_a_project_that_was_changed_in_the_editor_is_not_overwritten(tmp_path: Path) -> None:
    clip_in(tmp_path)
    read = read_recipe(write_recipe(tmp_path, edit_recipe()))
    editor = batch.open_project(tmp_path / "project", read, batch.look_at(read))
    batch.play(editor, read, Progress())
    editor.undo()
    editor.close()
    with pytest.raises(EngineError, match="changed in the editor"):
        batch.open_project(tmp_path / "project", read, batch.look_at(read))
