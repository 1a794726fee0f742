"""An audition renders a second by every method that can run, measures it, says why others cannot, and changes nothing."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from engine.audition import candidates as who
from engine.audition.candidates import REACH, as_material, window_of
from engine.audition.measures import Flicker
from engine.audition.run import hold, picture_of
from engine.document import acts
from engine.editor import Editor
from engine.errors import Cancelled, MethodError, RecipeError
from engine.methods import METHODS
from engine.models import MODELS
from engine.progress import Progress
from engine.rendering.render import dirty_segments, prepare_clip
from engine.types import FrameRange
from tests.recipes import BOX, clip_in

FRAMES = 30


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A marked clip with one approved anchor on frame 0."""
    place = tmp_path_factory.mktemp("audition")
    editor = Editor.create(place / "project", clip_in(place, FRAMES))
    editor.act(acts.set_box, "Box", frame=0, subject=1, box=BOX)
    prepare_clip(editor.material, Progress())
    editor.approve(0, editor.effect_take(0, "recolour", {"colour": "#2050ff"}).key)
    yield editor
    editor.close()


@pytest.fixture
def only_motion(monkeypatch):
    monkeypatch.setattr(who, "METHODS", {"motion": METHODS["motion"]})


def test_the_second_lies_around_the_frame_inside_shot_and_range(made):
    rate = round(made.project.video.rate)
    assert window_of(made.material, 15) == FrameRange(15 - rate // 2, 15 - rate // 2 + rate)
    assert window_of(made.material, 0) == FrameRange(0, rate) and window_of(made.material, FRAMES - 1).stop == FRAMES
    short = made.material.working_on(replace(made.project, range=FrameRange(10, 14)))
    assert window_of(short, 12) == FrameRange(10, 14)


def test_it_shows_what_the_whole_run_makes_and_changes_nothing(made, only_motion):
    rev, segments = made.rev, made.workspace.segment("x").parent
    told: list[str] = []
    result = hold(made.material, 15, None, Progress(), lambda so_far: told.append(so_far["tiles"][0]["state"]))
    (tile,) = result["tiles"]
    assert told == ["waits", "done"] and result["cannot"] == []
    assert tile["method"] == "motion" and tile["span"] == [0, result["window"][1]] and tile["seconds"] > 0
    assert tile["outside"] == tile["anchor"] == 0 and tile["strayed"] is None and 0 <= tile["flicker"] < 10
    assert made.rev == rev and not segments.exists() and len(dirty_segments(made.material)) == 1
    assert not any(made.material.was_rendered(one) for one in made.material.segments)
    one = who.candidates(made.material, FrameRange(*result["window"]), None)[0][0]
    assert dirty_segments(as_material(made.material, one))  # what was rendered apart counts for nothing
    blob = picture_of(made.workspace, tile["key"], 15)
    shown = np.array(Image.open(io.BytesIO(blob))).astype(int)
    changed = np.abs(shown - made.original(15)).max(axis=2) > 60
    assert changed.any() and changed.mean() < 0.2
    assert (
        picture_of(made.workspace, tile["key"], result["window"][1]) is None and picture_of(made.workspace, "0" * 64, 15) is None
    )
    again = hold(made.material, 15, None, Progress(), lambda so_far: None)
    assert again["tiles"] == result["tiles"]  # taken from the cache, with the seconds that it took


def test_it_can_be_cancelled(made, only_motion):
    with pytest.raises(Cancelled):
        hold(made.material, 20, None, Progress(cancelled=lambda: True), lambda so_far: None)


def test_each_method_that_cannot_run_says_why(made, monkeypatch):
    window = FrameRange(10, 20)
    able, refused = who.candidates(made.material, window, None)
    assert [one.method for one in able] == ["motion"]
    said = {one.method: one.why for one in refused}
    assert set(said) == set(METHODS) - {"motion"}
    assert "an instruction" in said["via"] and "what the clip shows and what it should show" in said["flowanchor"]
    told = made.material.working_on(acts.set_edit(made.project, instruction="make it blue", source_prompt="a", target_prompt="b"))
    able, refused = who.candidates(told, window, None)
    assert {one.method for one in able} == set(METHODS) and all("analytic" not in one.title for one in able)
    assert any("fetch “wan2.1-1.3b”" in one.why for one in refused if one.method == "flowanchor")
    monkeypatch.setattr(who, "is_here", lambda name: True)
    able, refused = who.candidates(told, window, 4e9)
    wan = [one.why for one in refused if one.title.endswith(MODELS["wan2.1-14b"].title)]
    assert wan and all("GB of memory, and 4.0 GB are free" in why for why in wan)
    monkeypatch.setattr(who.importlib.util, "find_spec", lambda name: None)
    able, refused = who.candidates(told, window, None)
    assert {one.method for one in able} == {"motion"} and any("torch" in one.why for one in refused)


def test_a_method_that_carries_needs_an_anchor_within_reach(made):
    far = made.material.working_on(acts.choose_take(made.project, frame=0, key=None))
    why = {one.method: one.why for one in who.candidates(far, FrameRange(10, 20), None)[1]}["motion"]
    assert str(REACH) in why


def test_a_second_that_fails_is_told_and_the_others_go_on(made, monkeypatch):
    monkeypatch.setattr(who, "METHODS", {"via": METHODS["via"], "motion": METHODS["motion"]})
    told = made.material.working_on(acts.set_edit(made.project, instruction="make it blue"))

    def prepared(material, *rest):
        if material.project.edit.method == "via":
            raise MethodError("It broke.")
        return False

    monkeypatch.setattr("engine.audition.run.prepare_shots", prepared)
    result = hold(told, 14, None, Progress(), lambda so_far: None)
    assert [(one["method"], one["state"]) for one in result["tiles"]] == [("via", "failed"), ("motion", "done")]
    assert result["tiles"][0]["why"] == "It broke."


def test_the_winner_becomes_the_method_by_an_act(made):
    made.use_method("motion", {"trust": 1.0})
    assert made.project.edit.config == {"trust": 1.0} and made.undo().edit.config == {}
    made.set_segment_method(0, FRAMES, "motion", {"trust": 1.0})
    assert made.project.edit.by_segment[0].stop == FRAMES and made.undo().edit.by_segment == ()
    for wrong in (lambda: made.use_method("x", {}), lambda: made.use_method("motion", {"trust": 99})):
        with pytest.raises((MethodError, RecipeError)):
            wrong()


def test_flicker_is_what_the_clip_does_not_do(made):
    steps, region = made.material.steps, np.full(made.project.video.size, 255, np.uint8)
    levels = {}
    for name, shift in (("steady", lambda f: 20), ("flickering", lambda f: 30 * (f % 2))):
        flicker = Flicker(steps)
        for frame in range(4, 10):
            source = made.original(frame)
            flicker.add(frame, np.clip(source.astype(int) + shift(frame), 0, 255).astype(np.uint8), source, region)
        levels[name] = flicker.levels
    assert levels["steady"] < 3 < 15 < levels["flickering"]
    assert Flicker(steps).levels is None
