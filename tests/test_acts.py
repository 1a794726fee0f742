"""Acts are pure, check what they are given, and name what is wrong."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.document import acts
from engine.document.foreign import check_document
from engine.errors import EngineError, ProjectError, RecipeError
from engine.types import Anchor, FrameRange, Point, Stroke, Take
from tests.test_journal import blank, full


def test_acts_leave_their_input_alone():
    project = full()
    before = (project.keyframes, project.edits, project.subjects)
    acts.add_point(project, frame=3, subject=1, x=1, y=1)
    acts.delete_anchor(project, frame=9)
    acts.add_subject(project)
    assert (project.keyframes, project.edits, project.subjects) == before


def test_new_marks_make_the_mask_underived():

    project = acts.add_point(blank(), frame=3, subject=1, x=1, y=1)
    derived = replace(project, keyframes=tuple(replace(k, mask="ab" * 32) for k in project.keyframes))
    assert acts.add_point(derived, frame=3, subject=1, x=2, y=2).keyframe(3, 1).mask is None
    assert acts.lock_keyframe(derived, frame=3, subject=1, locked=True).keyframe(3, 1).mask == "ab" * 32


def test_removing_the_last_mark_removes_the_keyframe():
    project = acts.add_point(blank(), frame=3, subject=1, x=1, y=1)
    assert acts.remove_point(project, frame=3, subject=1, index=0).keyframes == ()


def test_locked_marks_stay():
    project = acts.lock_keyframe(full(), frame=3, subject=1, locked=True)
    with pytest.raises(ProjectError, match="locked"):
        acts.add_point(project, frame=3, subject=1, x=1, y=1)


def test_moving_an_anchor_asks_for_approval_again():
    moved = acts.move_anchor(full(), frame=9, to=12).edit.anchor_at(12)
    assert moved.takes and moved.chosen is None and moved.region is None


def test_deleting_the_approved_take_takes_approval_back():
    anchor = acts.delete_take(full(), frame=9, key="ab" * 32).edit.anchor_at(9)
    assert anchor.takes == () and anchor.chosen is None


def test_a_take_on_a_plain_frame_makes_it_an_anchor():
    project = acts.add_take(blank(), frame=7, take=Take("ef" * 32, "painted"))
    assert [a.frame for a in project.edit.anchors] == [7]


WRONG = [
    (acts.add_point, {"frame": 50, "subject": 1, "x": 1, "y": 1}, "no frame 50"),
    (acts.add_point, {"frame": -1, "subject": 1, "x": 1, "y": 1}, "no frame -1"),
    (acts.add_point, {"frame": 1.5, "subject": 1, "x": 1, "y": 1}, "no frame 1.5"),
    (acts.add_point, {"frame": True, "subject": 1, "x": 1, "y": 1}, "no frame True"),
    (acts.add_point, {"frame": 1, "subject": 9, "x": 1, "y": 1}, "no subject 9"),
    (acts.add_point, {"frame": 1, "subject": 1, "x": math.nan, "y": 1}, "x must be a number"),
    (acts.add_point, {"frame": 1, "subject": 1, "x": 64, "y": 1}, "x must be a number"),
    (acts.add_point, {"frame": 1, "subject": 1, "x": 1, "y": 1, "label": 2}, "label"),
    (acts.set_box, {"frame": 1, "subject": 1, "box": [5, 5, 5, 9]}, "empty"),
    (acts.set_box, {"frame": 1, "subject": 1, "box": [1, 2, 3]}, "box"),
    (acts.add_stroke, {"frame": 1, "subject": 1, "xy": [], "radius": 3}, "1 to"),
    (acts.add_stroke, {"frame": 1, "subject": 1, "xy": [[1]], "radius": 3}, "x, y"),
    (acts.add_stroke, {"frame": 1, "subject": 1, "xy": [[1, 2]], "radius": 0}, "radius"),
    (acts.add_stroke, {"frame": 1, "subject": 1, "xy": [[1, 2]], "radius": 3, "mode": "x"}, "mode"),
    (acts.set_range, {"start": 10, "stop": 10}, "range"),
    (acts.set_range, {"start": 0, "stop": 51}, "range"),
    (acts.move_anchor, {"frame": 1, "to": 2}, "not an anchor"),
    (acts.choose_take, {"frame": 1, "key": "x"}, "not an anchor"),
    (acts.shape_subject, {"subject": 1, "feather": -1}, "feather"),
]


@pytest.mark.parametrize(("act", "args", "says"), WRONG, ids=[f"{act.__name__}-{says}" for act, _, says in WRONG])
def test_wrong_values_are_named(act, args, says):
    with pytest.raises(EngineError, match=says):
        act(blank(), **args)


@given(st.text(max_size=400))
def test_names_never_hold_control_or_direction_characters(text):
    name = acts.clean_name(text)
    assert len(name) <= 120 and name.isprintable() and name == name.strip()


@given(st.one_of(st.none(), st.booleans(), st.text(max_size=5), st.floats(), st.integers(), st.lists(st.integers(), max_size=2)))
def test_numbers_are_finite_and_in_range_or_refused(value):
    try:
        assert 0 <= acts.number_in(value, 0, 10, "it") <= 10
    except RecipeError as error:
        assert "it must be a number" in str(error)


WRONG = {
    "no frame": lambda p: replace(p, keyframes=(replace(p.keyframes[0], frame=99),)),
    "no subject": lambda p: replace(p, keyframes=(replace(p.keyframes[0], subject=7),)),
    "no number": lambda p: replace(p, keyframes=(replace(p.keyframes[0], points=(Point(float("nan"), 1),)),)),
    "text for a number": lambda p: replace(p, keyframes=(replace(p.keyframes[0], points=(Point("1", 1),)),)),
    "a path for a key": lambda p: replace(p, keyframes=(replace(p.keyframes[0], mask="../../x"),)),
    "a range outside": lambda p: replace(p, range=FrameRange(0, 99)),
    "style for a colour": lambda p: replace(p, subjects=(replace(p.subjects[0], colour="red;background:url(//x)"),)),
    "a list for a name": lambda p: replace(p, subjects=(replace(p.subjects[0], name=["x"]),)),
    "twice a subject": lambda p: replace(p, subjects=p.subjects * 2),
    "no edit": lambda p: replace(p, edits=()),
    "a list for a config": lambda p: p.with_edit(replace(p.edit, config=[1])),
    "an anchor outside": lambda p: p.with_edit(replace(p.edit, anchors=(Anchor(-3),))),
    "a stroke without end": lambda p: replace(
        p, keyframes=(replace(p.keyframes[0], strokes=(Stroke(((0.0, 0.0),) * 30_000, 3.0),)),)
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_document_that_no_act_could_have_made_is_refused(name):
    check_document(full())
    with pytest.raises(EngineError):
        check_document(WRONG[name](full()))
