"""Takes made after others: again with another seed, after a reference, and what a lock keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.document import acts
from engine.editor import Editor
from engine.errors import MethodError, ProjectError, RecipeError
from engine.progress import Progress
from engine.rendering.render import make_takes, prepare_clip
from engine.rendering.takes import how_made, make_after, make_again, next_seed, of_order, why_not_again
from engine.sample_world import draw_world_sample
from engine.types import Anchor, Take
from tests.drawn import Drawn, drawn_clip, psnr
from tests.drawn_project import drawn_project

FRAMES = 9
SIZE = (120, 200)
BLUE = {"colour": "#2050ff"}


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return drawn_clip(FRAMES, SIZE, 5, turn=0.2, growth=0.1)


@pytest.fixture
def editor(drawn: Drawn, tmp_path: Path) -> Iterator[Editor]:
    """A project on the drawn clip with masks on all frames and anchors on 0, 4 and 8."""
    one = drawn_project(drawn, tmp_path)
    for frame in range(FRAMES):
        one.import_mask(frame, 1, drawn.masks[frame])
    one.act(acts.add_anchors, "Anchors", frames=[0, 4, 8])
    yield one
    one.close()


def take_in(editor: Editor, made: list[dict]) -> None:
    editor.method_takes(0, made)


def test_a_lock_keeps_the_choice(editor: Editor) -> None:
    first, second = (editor.effect_take(4, "recolour", {"colour": colour}) for colour in ("#2050ff", "#ff2050"))
    with pytest.raises(ProjectError, match="no approved take to lock"):
        editor.act(acts.lock_anchor, "Lock", frame=4, locked=True)
    editor.approve(4, first.key)
    editor.act(acts.lock_anchor, "Lock", frame=4, locked=True)
    refused = [
        lambda: editor.approve(4, second.key),
        lambda: editor.approve(4, None),
        lambda: editor.act(acts.delete_take, "Delete", frame=4, key=second.key),
        lambda: editor.act(acts.delete_anchor, "Delete", frame=4),
        lambda: editor.act(acts.move_anchor, "Move", frame=4, to=5),
        lambda: make_again(editor.material, 4, first.key, Progress()),
    ]
    for act in refused:
        with pytest.raises(ProjectError, match="Anchor 4 is locked"):
            act()
    third = editor.effect_take(4, "blur", {})
    anchor = editor.project.edit.anchor_at(4)
    assert anchor.chosen == first.key and anchor.takes[-1].key == third.key, "a new take lies beside"
    editor.undo()
    editor.undo()
    assert not editor.project.edit.anchor_at(4).locked, "a lock is an act, taken back like any other"
    editor.redo()
    editor.act(acts.lock_anchor, "Unlock", frame=4, locked=False)
    editor.approve(4, second.key)
    with pytest.raises(RecipeError):
        acts.lock_anchor(editor.project, frame=4, locked=1)  # type: ignore[arg-type]


def test_an_effect_goes_to_every_open_anchor_inside_its_own_mask(editor: Editor, drawn: Drawn) -> None:
    editor.approve(0, editor.effect_take(0, "recolour", BLUE).key)
    made, warnings = make_after(editor.material, 0, Progress())
    assert [row["frame"] for row in made] == [4, 8] and not warnings
    take_in(editor, made)
    for frame in (4, 8):
        anchor = editor.project.edit.anchor_at(frame)
        assert anchor.chosen is None, "nothing is approved by it"
        assert anchor.takes[-1].label.endswith("as frame 0")
        assert anchor.takes[-1].key == editor.effect_take(frame, "recolour", BLUE).key, "the very same as by hand"
    with pytest.raises(ProjectError, match="comes out as it is"):
        make_again(editor.material, 4, editor.project.edit.anchor_at(4).takes[-1].key, Progress())


def test_an_effect_again_follows_the_mask_of_today(editor: Editor, drawn: Drawn) -> None:
    take = editor.effect_take(4, "recolour", BLUE)
    editor.import_mask(4, 1, np.roll(drawn.masks[4], 12, axis=1))
    made, _ = make_again(editor.material, 4, take.key, Progress())
    assert made[0]["key"] != take.key and made[0]["config"] == take.config


def test_a_painted_reference_is_carried_along_the_motion(editor: Editor, drawn: Drawn) -> None:
    take = editor.picture_take(4, drawn.edited[4], "imported", "truth")
    editor.approve(4, take.key, outside="clip")
    editor.approve(8, editor.effect_take(8, "blur", {}).key)
    editor.act(acts.lock_anchor, "Lock", frame=8, locked=True)
    made, said = of_order(editor.material, {"frame": 4, "after": True}, Progress())
    assert [row["frame"] for row in made] == [0] and made[0]["source"] == "carried", "locked anchors get none"
    assert "Made 1 take after frame 4" in said and made[0]["config"]["from"] == 4
    take_in(editor, made)
    carried = cv2.imdecode(np.frombuffer(editor.journal.objects.get(made[0]["key"]), np.uint8), 1)[..., ::-1]
    truth, mask = drawn.edited[0], drawn.masks[0]
    assert psnr(carried, truth, mask) > psnr(drawn.source[0], truth, mask) + 4
    outside = editor.material.region(0) == 0
    assert np.array_equal(carried[outside], drawn.source[0][outside])
    assert how_made(editor.project.edit.anchor_at(0).takes[-1]) == "Carried from frame 4"


def test_what_cannot_be_made_is_said(editor: Editor, drawn: Drawn) -> None:
    with pytest.raises(ProjectError, match="Frame 0 has no approved take"):
        make_after(editor.material, 0, Progress())
    take = editor.picture_take(0, drawn.edited[0], "imported", "truth")
    with pytest.raises(ProjectError, match="not made by chance"):
        make_again(editor.material, 0, take.key, Progress())
    with pytest.raises(ProjectError, match="no such take"):
        make_again(editor.material, 0, "0" * 64, Progress())
    editor.approve(0, take.key, outside="clip")
    for frame in (4, 8):
        editor.act(acts.delete_anchor, "Delete", frame=frame)
    with pytest.raises(ProjectError, match="no other anchor"):
        make_after(editor.material, 0, Progress())
    editor.act(acts.set_range, "Range", start=0, stop=4)
    editor.act(acts.add_anchor, "Anchor", frame=6)
    with pytest.raises(MethodError, match="carried to frame 6"):
        make_after(editor.material, 0, Progress())


def test_takes_say_how_they_were_made() -> None:
    via = Take("ab" * 32, "method", "via 3", 3, {"method": "via", "instruction": "make the ball blue"})
    assert how_made(via) == "VIA (instruction, long clips), seed 3" and why_not_again(via) == ""
    anchor = Anchor(0, (via, Take("cd" * 32, "method", "via 7", 7, via.config), Take("ef" * 32, "painted")))
    assert next_seed(anchor, via) == 8
    assert why_not_again(anchor.takes[2]) and how_made(anchor.takes[2]) == "Painted by hand"
    assert how_made(Take("00" * 32, "method", "", 0, {"method": "gone"})) == "Made by an earlier version"


def test_a_method_is_told_what_the_take_remembers(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def fake(material, frame, seeds, progress):
        told.append((frame, list(seeds), material.project.edit))
        return [{"key": f"{frame:064x}", "label": f"via {seeds[0]}", "seed": seeds[0], "config": {}}], []

    monkeypatch.setattr("engine.rendering.takes.make_takes", fake)
    config = {"method": "via", "instruction": "make it blue", "steps": 4}
    take_in(editor, [{"frame": 4, "key": "ab" * 32, "label": "via 6", "seed": 6, "config": config}])
    editor.act(acts.choose_take, "Approve", frame=4, key="ab" * 32)
    made, _ = make_again(editor.material, 4, "ab" * 32, Progress())
    assert made[0]["seed"] == 7
    make_after(editor.material, 4, Progress())
    assert [(frame, seeds) for frame, seeds, _ in told] == [(4, [7]), (0, [6]), (8, [6])]
    for _, _, edit in told:
        assert (edit.method, edit.instruction, edit.config) == ("via", "make it blue", {"steps": 4})
    assert [anchor.frame for anchor in told[1][2].approved] == [4], "the reference alone guides"
    assert editor.project.edit.method == "motion", "the project's own method stays"
    take_in(editor, [{"frame": 0, "key": "cd" * 32, "label": "", "seed": 1, "config": {"method": "via", "no_such": 1}}])
    with pytest.raises(RecipeError, match="no_such"):
        make_again(editor.material, 0, "cd" * 32, Progress())


@pytest.mark.slow
def test_a_model_makes_another_take_and_takes_for_other_anchors(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    draw_world_sample(tmp_path / "sample")
    one = Editor(tmp_path / "sample")
    try:
        made, _ = make_takes(prepare_clip(one.material, Progress()), 0, [3], Progress())
        one.method_takes(0, made)
        again, _ = make_again(one.material, 0, made[0]["key"], Progress())
        assert again[0]["seed"] == 4 and again[0]["key"] != made[0]["key"]
        one.method_takes(0, again)
        repeated, _ = make_takes(one.material, 0, [4], Progress())
        assert repeated[0]["key"] == again[0]["key"], "made as by hand with that seed"
        one.approve(0, again[0]["key"], outside="clip")
        one.act(acts.add_anchor, "Anchor", frame=6)
        after, _ = make_after(one.material, 0, Progress())
        assert [(row["frame"], row["seed"]) for row in after] == [(6, 4)]
        region = one.material.alpha(1, 6) > 200
        image = cv2.imdecode(np.frombuffer(one.journal.objects.get(after[0]["key"]), np.uint8), 1)[..., ::-1]
        red, green, _ = image[region].mean(axis=0)
        assert green > 1.3 * red, "the ball is green there too"
    finally:
        one.close()
