"""Takes ranked before the user picks: what the dual encoder says of them, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from app.panels.anchors import _fit
from engine.backbones import backbone
from engine.backbones.bundled import Bundled
from engine.commands import recipe_edits
from engine.diffusion.judging import Judge, directional
from engine.document import acts
from engine.document.foreign import check_document
from engine.document.project import from_json, to_json
from engine.editor import Editor
from engine.errors import ProjectError
from engine.media.images import encode_png
from engine.progress import Progress
from engine.rendering.fits import shown_first
from engine.rendering.material import Material
from engine.rendering.render import make_takes, prepare_clip
from engine.sample_world import draw_world_sample
from engine.sheet import contact_sheet
from engine.types import Anchor, Take
from engine.world.asking import asked, coloured
from engine.world.draw import draw
from engine.world.edits import edits
from engine.world.scene import sample
from tests.recipes import clip_in
from tests.test_journal import blank
from tests.test_recipe import play


@cache
def bundled() -> Bundled:
    model = backbone("bundled")
    assert isinstance(model, Bundled) and isinstance(model, Judge)
    return model


@pytest.mark.parametrize(
    ("instruction", "pair"),
    [
        ("make the red ball blue", ("a red ball", "a blue ball")),
        ("paint the ball on the left checkered", ("a ball", "a checkered ball")),
        ("turn the orange one striped", ("an orange", "an orange striped")),
        ("turn the red ball into a star", ("a red ball", "a red star")),
        ("replace the left box with a blue ring", ("a box", "a blue ring")),
        ("Remove the ball.", ("a ball", "")),
        ("add a white star on the left", ("", "a white star")),
        ("change the background to sand", ("", "on sand")),
        ("put everything on snow", ("", "on snow")),
        ("a red ball on grass", None),
        ("", None),
    ],
)
def test_an_instruction_in_the_words_of_captions(instruction: str, pair: tuple[str, str] | None) -> None:
    assert asked(instruction) == pair


def test_a_colour_that_was_not_named_is_looked_for() -> None:
    assert coloured("a red ball", "a blue ball") == [("a red ball", "a blue ball")] and coloured("", "a star") == [("", "a star")]
    assert ("an orange ball", "a blue ball") in coloured("a ball", "a blue ball") and len(coloured("a ball", "")) == 8
    assert ("a red ball", "a red striped ball") in coloured("a ball", "a striped ball")


def test_the_measure_wants_direction_and_distance() -> None:
    was, shall, before = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), torch.tensor([0.5, 0.0, 0.8])
    way = shall - was
    assert directional(before, before + way, was, shall) == pytest.approx(1.0)
    assert directional(before, before + 0.5 * way, was, shall) == pytest.approx(0.5)
    assert directional(before, before, was, shall) == directional(before, before - way, was, shall) == 0.0
    astray = directional(before, before + way + torch.tensor([0.0, 0, 3]), was, shall)
    assert astray is not None and astray < 0.5
    assert directional(before, before + way, was, was + 0.1) is None


@pytest.mark.parametrize("kind", ["colour", "removal", "addition", "background"])
def test_what_was_asked_for_fits_better_than_anything_else(kind: str) -> None:
    made = edits(sample(11, range(8), "test"), "test", [kind])
    source, target = (2 * draw(scenes, (64, 64), 1).video[:, 0] - 1 for scenes in (made.source, made.target))
    orders = [order.instruction for order in made.orders]

    def fits(answers: Tensor) -> list[float]:
        all_of_it = [bundled().fit(s, a, text, ("", "")) for s, a, text in zip(source, answers, orders, strict=True)]
        return [-1.0 if one is None else one for one in all_of_it]

    right, other, half, nothing = (fits(one) for one in (target, target.roll(1, 0), (source + target) / 2, source))
    assert all(0 < one <= 1 for one in right) and max(nothing) < 0.01
    for wrong in (other, half) if kind != "removal" else (half,):  # what is to go is not in another picture either
        assert sum(a > b for a, b in zip(right, wrong, strict=True)) >= 6


def test_prompts_go_before_the_instruction() -> None:
    made = edits(sample(11, range(2), "test"), "test", ["colour"])
    source, target = (2 * draw(scenes, (64, 64), 1).video[:, 0] - 1 for scenes in (made.source, made.target))
    assert bundled().fit(source[0], target[0], "dance", ("", "")) is None
    order = made.orders[0]
    told = bundled().fit(source[0], target[0], "", (order.source_prompt, order.target_prompt))
    assert told is not None and told > 0.3


# --- in a project -----------------------------------------------------------------------------------------


def take(key: str, fit: float | None = None, **config: str) -> Take:
    return Take(key * 32, "method", f"via {key}", 0, {"method": "via", **config}, fit)


def test_the_best_of_the_newest_is_shown_first() -> None:
    ranked = (take("ab", 0.2), take("cd", 0.7), take("ef", 0.4))
    assert shown_first(Anchor(0, ranked)) is ranked[1]
    assert shown_first(Anchor(0, ranked, chosen=ranked[0].key)) is ranked[0]
    painted = Take("00" * 32, "painted")
    assert shown_first(Anchor(0, (*ranked, painted))) is painted
    other = take("aa", 0.1, instruction="make the ball red")
    assert shown_first(Anchor(0, (*ranked, other))) is other
    assert shown_first(Anchor(0)) is None


def test_a_fit_is_kept_and_a_wrong_one_refused() -> None:
    project = acts.add_take(blank(20), frame=3, take=take("ab", 0.25))
    project = acts.add_take(project, frame=3, take=take("cd"))
    value = to_json(project)
    assert [one.get("fit", "none") for one in value["edits"][0]["anchors"][0]["takes"]] == [0.25, "none"]
    (anchor,) = from_json(value).edit.anchors
    assert [one.fit for one in anchor.takes] == [0.25, None]
    wrong = replace(project.edit.anchors[0].takes[0], fit=7.0)
    with pytest.raises(ProjectError, match="A take of anchor 3"):
        check_document(acts.add_take(blank(20), frame=3, take=wrong))


def test_the_page_shows_it_as_a_number_with_a_title() -> None:
    assert 'title="Fits what was asked: 73 of 100' in _fit(take("ab", 0.73)) and ">73<" in _fit(take("ab", 0.73))
    assert _fit(take("ab")) == ""


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    draw_world_sample(tmp_path / "project")
    editor = Editor(tmp_path / "project")
    prepare_clip(editor.material, Progress())
    yield editor
    editor.close()


def test_takes_of_a_method_are_ranked(editor: Editor) -> None:
    editor.act(acts.set_edit, "Method", method="via", config={"steps": 2})
    made, _ = make_takes(editor.material, 0, [0, 1], Progress())
    assert all(isinstance(row["fit"], float) and 0 <= row["fit"] <= 1 for row in made)
    editor.method_takes(0, made)
    takes = editor.project.edit.anchor_at(0).takes  # type: ignore[union-attr]
    assert [one.fit for one in takes] == [row["fit"] for row in made]
    shown = contact_sheet(editor.material)["anchors"][0]["takes"]
    assert [one["fit"] for one in shown] == [round(100 * row["fit"]) for row in made]


def test_of_several_takes_a_recipe_approves_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(material: Material, frame: int, seeds: range, progress: Progress) -> tuple[list[dict[str, Any]], list[str]]:
        fits = dict(zip(seeds, (0.2, 0.9, None, 0.4), strict=True))
        picture = material.picture(frame)
        rows = [(material.objects.put(encode_png(np.roll(picture, 8 * seed, 1))), seed) for seed in seeds]
        return [{"key": key, "label": f"via {s}", "seed": s, "config": {"method": "via"}, "fit": fits[s]} for key, s in rows], []

    monkeypatch.setattr(recipe_edits, "make_takes", made)
    clip_in(tmp_path, 3)
    said = {"method": "via", "instruction": "make the ball blue", "subjects": []}
    anchors = [{"frame": 1, "take": "preview", "takes": 4, "seed": 5}]
    editor, _ = play(tmp_path, {"clip": "in.mp4", "edit": said, "anchors": anchors})
    try:
        (anchor,) = editor.project.edit.anchors
        assert [one.seed for one in anchor.takes] == [5, 6, 7, 8] and anchor.take is not None and anchor.take.fit == 0.9
    finally:
        editor.close()
