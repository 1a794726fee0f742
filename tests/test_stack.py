"""Several edits stacked: each over the result of those below it, outside its region untouched, redone only where it has to be."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.commands.recipe import read_recipe
from engine.document import acts, edit_acts
from engine.document.foreign import check_document
from engine.document.project import Project, from_json, to_json
from engine.editor import Editor
from engine.errors import MediaError, MethodError, ProjectError, RecipeError
from engine.interchange.project_zip import import_project, pack_project
from engine.media.formats import ExportSettings
from engine.media.reader import open_video
from engine.progress import Progress
from engine.rendering.masters import finished_frames
from engine.rendering.material import Material
from engine.rendering.render import carry, dirty_segments, export, prepare_clip, propagate, spans_to_carry
from engine.rendering.stack import propagate_all, unfinished
from engine.store.documents import squeeze, unsqueeze
from engine.store.journal import DATABASE
from engine.types import FrameRange, Take
from tests.recipes import BOX, cli, clip_in, edit_recipe, write_recipe
from tests.test_journal import blank

FRAMES = 8
OTHER = [10, 10, 34, 34]
"""A box of a second subject, which overlaps nothing of the first."""


def colour(editor: Editor, frame: int, value: str) -> None:
    editor.approve(frame, editor.effect_take(frame, "recolour", {"colour": value}).key)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two subjects, an edit of each on top of the other, both over a change of the whole frame; rendered."""
    place = tmp_path_factory.mktemp("stack")
    editor = Editor.create(place / "project", clip_in(place, FRAMES))
    editor.act(acts.set_box, "Box", frame=0, subject=1, box=BOX)
    editor.act(acts.add_subject, "Add subject")
    editor.act(acts.set_box, "Box", frame=0, subject=2, box=OTHER)
    prepare_clip(editor.material, Progress())
    editor.act(edit_acts.aim_edit, "Whole frame", subjects=[])
    for frame in (0, 4):
        take = editor.effect_take(frame, "grade", {"brightness": 0.4})
        editor.approve(frame, take.key)
    editor.act(edit_acts.add_edit, "Add edit", name="Disc")
    editor.act(edit_acts.aim_edit, "Aim", subjects=[1])
    propagate_all(editor.material, Progress())
    carry(editor.material, spans_to_carry(editor.material), Progress())
    for frame, value in ((0, "#2050ff"), (4, "#20a040")):
        colour(editor, frame, value)
    propagate_all(editor.material, Progress())
    yield editor
    editor.close()


def frames_of(material: Material) -> list[np.ndarray]:
    return list(finished_frames(material, material.project.range))


def test_an_edit_changes_the_result_of_the_one_below_inside_its_region_only(made):
    upper = made.material
    lower = upper.below
    for frame in range(FRAMES):
        below, result, region = lower.edited(frame), upper.edited(frame), upper.region(frame)
        assert (below != made.original(frame)).any() and (upper.picture(frame) == below).all()
        assert (result[region == 0] == below[region == 0]).all() and (result != below).any()
    assert upper.project.edit.name == "Disc" and lower.project.edit.name == "Edit 1"


def test_anchors_come_out_exactly_over_what_is_below(made):
    for material in (made.material, made.material.below):
        for anchor in material.project.edit.approved:
            assert (material.edited(anchor.frame) == material.take(anchor.frame)).all()
    report = propagate_all(made.material, Progress())
    assert report.rendered == 0 and report.reused == 4
    assert report.anchor_max_abs == 0 and report.outside_mask_max_abs == 0
    assert {one["edit"] for one in report.quality} == {1, 2}


def test_an_export_lays_all_edits_and_a_switched_off_one_is_left_out(made, tmp_path):
    export(made.material.working_on(made.project.on_edit(1)), tmp_path / "a.mkv", ExportSettings("ffv1"), Progress())
    with open_video(tmp_path / "a.mkv") as clip:
        assert all((clip.get(f) == made.material.edited(f)).all() for f in range(FRAMES))
    off = made.material.working_on(edit_acts.switch_edit(made.project, edit=1, on=False)).whole
    assert off.below is None and dirty_segments(off)  # over the clip itself it is another picture
    assert (off.picture(3) == made.original(3)).all()
    without = made.material.working_on(edit_acts.switch_edit(made.project, edit=2, on=False))
    assert without.segments == [] and unfinished(without) == []
    assert all((a == without.below.edited(f)).all() for f, a in enumerate(frames_of(without.whole)))
    with pytest.raises(MethodError, match="switched off"):
        propagate(without, Progress())


def test_a_change_below_dirties_only_what_lies_on_it(made):
    project = made.project.on_edit(1)
    moved = acts.choose_take(project, frame=4, key=None)
    upper = made.material.working_on(moved.on_edit(2))
    assert len(dirty_segments(upper.below)) == 1 and len(dirty_segments(upper)) == 2  # one stretch below, both above lie on it
    late = made.material.working_on(acts.choose_take(project.on_edit(2), frame=4, key=None))
    assert dirty_segments(late.below) == []
    again = acts.set_edit(project, seed=5)
    assert len(dirty_segments(made.material.working_on(again.on_edit(2)))) == 2
    half = replace(project, edits=(replace(project.edits[0], anchors=(*project.edits[0].anchors[:1],)), project.edits[1]))
    assert len(dirty_segments(made.material.working_on(half.on_edit(2)))) == 2


def test_a_take_over_a_changed_edit_counts_inside_its_region(made, tmp_path):
    lower = edit_acts.switch_edit(made.project, edit=1, on=False).on_edit(2)
    alone = made.material.working_on(lower)
    take, region = alone.take(0), alone.region(0)
    assert (take[region == 0] == made.original(0)[region == 0]).all()
    assert (take[region == 255] == made.material.take(0)[region == 255]).all()


def test_takes_wait_for_what_is_below(made, tmp_path):
    changed = made.material.working_on(acts.set_edit(made.project.on_edit(1), seed=9).on_edit(2))
    with pytest.raises(MediaError, match="not rendered on frame 2"):
        changed.picture(2)


def test_undo_goes_to_the_edit_that_it_changed(made):
    made.select_edit(1)
    made.act(edit_acts.rename_edit, "Rename edit", edit=2, name="Blue disc")
    assert made.project.edit.id == 1
    assert made.undo().edit.name == "Disc"
    made.select_edit(1)
    made.act(edit_acts.add_edit, "Add edit")
    assert [edit.id for edit in made.project.edits] == [1, 3, 2] and made.project.edit.id == 3
    assert made.undo().edit.id in (1, 2)
    made.select_edit(2)


# --- the document -----------------------------------------------------------------------------------------


def stacked(count: int) -> Project:
    project = blank(50)
    for _ in range(count - 1):
        project = edit_acts.add_edit(project)
    return project


def plain(project: Project) -> dict:
    return json.loads(json.dumps(to_json(project)))


acts_drawn = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "move", "switch", "select", "method"]), st.integers(0, 5), st.integers(0, 5)),
    max_size=12,
)


@given(acts_drawn)
@settings(deadline=None, max_examples=150)
def test_whatever_is_done_to_the_stack_it_stays_a_stack(done):
    project = stacked(2)
    for name, a, b in done:
        edit = project.edits[a % len(project.edits)].id
        if name == "add":
            project = edit_acts.add_edit(project)
        elif name == "remove" and len(project.edits) > 1:
            project = edit_acts.remove_edit(project, edit=edit)
        elif name == "move":
            project = edit_acts.move_edit(project, edit=edit, to=b % len(project.edits))
            assert project.edits[b % len(project.edits)].id == edit
        elif name == "switch":
            project = edit_acts.switch_edit(project, edit=edit, on=bool(b % 2))
        elif name == "select":
            project = project.on_edit(edit)
        elif name == "method":
            project = edit_acts.set_segment_method(project, start=4 * a, stop=4 * a + b + 1, method="via")
        check_document(project)
        assert plain(from_json(plain(project))) == plain(project)
        assert project.edit.id == project.selected and all(layer.edit.on for layer in project.stack)
        assert project.below is None or project.edits.index(project.below.edit) < project.edits.index(project.edit)


def test_a_document_with_one_edit_of_before_is_read_as_a_stack_of_one():
    now = json.loads(json.dumps(to_json(acts.add_take(blank(50), frame=3, take=Take("0" * 64, "effect")))))
    before = {**{k: v for k, v in now.items() if k != "selected"}, "schema": 2}
    before["edits"] = [{k: v for k, v in edit.items() if k not in ("id", "on", "by_segment")} for edit in now["edits"]]
    assert json.loads(json.dumps(to_json(from_json(before)))) == now


def test_a_project_of_before_opens_as_a_stack_of_one(tmp_path):
    folder = tmp_path / "project"
    editor = Editor.create(folder, clip_in(tmp_path, 2))
    editor.act(acts.add_anchor, "Add anchor", frame=1)
    editor.close()
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as db:
        for number, row in db.execute("select id, document from act").fetchall():
            body = unsqueeze(row)
            del body["selected"]
            edits = [{k: v for k, v in edit.items() if k not in ("id", "on", "by_segment")} for edit in body["edits"]]
            db.execute("update act set document = ? where id = ?", (squeeze({**body, "schema": 2, "edits": edits}), number))
        db.commit()
    editor = Editor(folder)
    try:
        assert [(edit.id, edit.on, edit.by_segment) for edit in editor.project.edits] == [(1, True, ())]
        assert editor.project.edit.anchors[0].frame == 1 and editor.undo().edit.anchors == ()
        assert editor.act(edit_acts.add_edit, "Add edit").edit.id == 2
    finally:
        editor.close()


def test_a_stack_travels_as_a_zip(made, tmp_path):
    pack_project(made.workspace.folder, tmp_path / "p.zip", Path(made.reader.video.path))
    import_project(tmp_path / "p.zip", tmp_path / "back")
    back = Editor(tmp_path / "back")
    try:
        assert plain(back.project)["edits"] == plain(made.project)["edits"]
    finally:
        back.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: replace(p, edits=(p.edits[0], p.edits[0])), "numbers"),
        (lambda p: replace(p, selected=9), "no edit 9"),
        (lambda p: replace(p, edits=(replace(p.edits[0], on=1),)), "not what it must be"),
        (lambda p: replace(p, edits=(replace(p.edits[0], subjects=(7,)),)), "no subject 7"),
    ],
)
def test_a_stack_that_no_act_could_have_made_is_refused(change, said):
    with pytest.raises(ProjectError, match=said):
        check_document(change(stacked(1)))


def test_the_acts_refuse_what_cannot_be():
    project = stacked(1)
    for wrong in (
        lambda: edit_acts.remove_edit(project, edit=1),
        lambda: edit_acts.rename_edit(project, edit=4, name="x"),
        lambda: edit_acts.move_edit(project, edit=1, to=1),
        lambda: edit_acts.switch_edit(project, edit=1, on="no"),
        lambda: edit_acts.aim_edit(project, subjects=[5]),
        lambda: edit_acts.set_segment_method(project, start=5, stop=5, method="via"),
        lambda: edit_acts.add_edit(stacked(edit_acts.MAX_EDITS)),
    ):
        with pytest.raises((ProjectError, RecipeError)):
            wrong()


# --- a method for a segment -------------------------------------------------------------------------------


def test_a_segment_by_another_method_is_rendered_by_it_and_no_other_is_touched(made):
    project = made.project.on_edit(2)
    plain = made.material.working_on(project)
    settings = {"nearness": 3.0, "trust": 0.0}
    chosen = edit_acts.set_segment_method(project, start=4, stop=FRAMES, method="motion", config=settings)
    mixed = made.material.working_on(chosen)
    assert [mixed.of(one).project.edit.config for one in mixed.segments] == [{}, settings]
    assert [mixed.is_done(one) for one in mixed.segments] == [True, False]
    assert mixed.key_of(mixed.segments[0]) == plain.key_of(plain.segments[0])
    whole = made.material.working_on(acts.set_edit(project, config=settings))
    assert mixed.key_of(mixed.segments[1]) == whole.key_of(whole.segments[1])
    report = propagate_all(mixed, Progress())
    assert report.rendered == 1 and report.anchor_max_abs == 0 and report.outside_mask_max_abs == 0
    assert dirty_segments(mixed) == [] and (mixed.edited(2) == plain.edited(2)).all()
    assert dirty_segments(made.material.working_on(edit_acts.clear_segment_method(chosen, start=4, stop=FRAMES))) == []


def test_a_segments_method_holds_while_its_ends_do(made):
    project = made.project.on_edit(2)
    chosen = edit_acts.set_segment_method(project, start=4, stop=FRAMES, method="motion", config={"trust": 0.0})
    without = made.material.working_on(acts.choose_take(chosen, frame=4, key=None))
    assert [without.of(one) is without for one in without.segments] == [True]
    moved = made.material.working_on(replace(chosen, range=FrameRange(2, FRAMES)))
    assert [moved.of(one) is moved for one in moved.segments] == [True, False]


# --- headless ---------------------------------------------------------------------------------------------


def two_layers(**changes) -> dict:
    single = edit_recipe()
    anchors = single.pop("anchors")
    whole = {"name": "Light", "subjects": [], "anchors": [{"frame": 6, "effect": {"name": "grade", "brightness": 0.4}}]}
    upper = {"name": "Disc", "anchors": anchors, "segments": [{"range": [12, 24], "method": "motion", "config": {"trust": 0.0}}]}
    return {**single, "edits": [whole, {**upper, **changes}]}


def test_a_recipe_stacks_edits_and_a_dry_run_tells(tmp_path):
    clip_in(tmp_path)
    recipe = write_recipe(tmp_path, two_layers())
    told = json.loads(cli(tmp_path, "run", recipe, "-o", "out.mkv", "--dry-run")[1])
    assert [(s["start"], s["stop"], s["state"]) for s in told["segments"]] == [(0, 12, "render"), (12, 24, "render")]
    assert [(one["edit"], len(one["segments"])) for one in told["below"]] == [("Light", 2)]
    code, _, err = cli(tmp_path, "run", recipe, "-o", "out.mkv", "--project", "p", "--report", "report.json")
    assert code == 0, err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["segments"] == {"rendered": 2, "reused": 2}  # takes are made over a rendered edit
    assert report["outside_mask_max_abs"] == report["anchor_max_abs"] == 0 and report["warnings"] == []
    editor = Editor(tmp_path / "p")
    try:
        whole = editor.material.whole
        with open_video(tmp_path / "out.mkv") as out:
            assert all((out.get(f) == whole.edited(f)).all() for f in (0, 5, 12, 23))
        assert [edit.name for edit in editor.project.edits] == ["Light", "Disc"]
        assert [whole.of(one) is whole for one in whole.segments] == [True, False]
    finally:
        editor.close()
    part = cli(tmp_path, "render", "p", "-o", "part.mkv", "--segments", "1", "--dry-run")[1]
    assert [s["state"] for s in json.loads(part)["segments"]] == ["reuse"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"edit": {}, "edits": [{}]}, "has edit and edits"),
        ({"edits": []}, "1 to 16"),
        ({"edits": [{"on": 1}]}, r"edits\[0\].on"),
        ({"edits": [{"colour": 1}]}, r"edits\[0\] has the unknown key"),
        ({"edits": [{"segments": [{"range": [0, 4], "method": "x"}]}]}, r"edits\[0\].segments\[0\].method"),
        ({"edits": [{"anchors": [{"frame": 0}]}]}, r"edits\[0\].anchors\[0\] needs"),
    ],
)
def test_a_wrong_stack_in_a_recipe_is_refused_by_place(tmp_path: Path, change, said):
    recipe = {"clip": "in.mp4", **change}
    with pytest.raises(RecipeError, match=said):
        read_recipe(write_recipe(tmp_path, recipe))
