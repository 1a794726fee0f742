"""The list of problems: every measure and fact becomes its entry, at its place, with its act; runs are merged, worst first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.reviewing import Reviewing
from engine.document import acts
from engine.editor import Editor
from engine.progress import Progress
from engine.rendering.material import Material
from engine.rendering.noting import noted_of_frame, strayed
from engine.rendering.render import propagate
from engine.review.changes import drifts, jumps
from engine.review.problems import ACTS, Problem, Review, review_of
from engine.review.runs import runs_of
from tests.test_jobs import project_in

CLEAN = {"unseen": 0.0, "confidence": 1.0, "region": 0.05, "change": [0.0, 0.0, 30.0]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project with anchors on 0 and 14, rendered."""
    folder = project_in(tmp_path_factory.mktemp("review"), 20)
    editor = Editor(folder)
    propagate(editor.material, Progress())
    editor.close()
    return folder


@pytest.fixture
def editor(made: Path, tmp_path: Path) -> Iterator[Editor]:
    shutil.copy(made.parent / "in.mp4", tmp_path / "in.mp4")
    opened = Editor(shutil.copytree(made, tmp_path / "project"))
    yield opened
    opened.close()


def noted(editor: Editor, **by_frame: Any) -> None:
    """Rewrites what the rendered segments noted: everything is clean but for `fFRAME=measures`."""
    material = editor.material
    for segment in material.segments:
        path = material.workspace.segment(material.key_of(segment)) / "done.json"
        body = json.loads(path.read_text("utf-8"))
        frames = range(segment.start, segment.stop)
        body["meta"]["quality"] = [{"frame": f, **CLEAN, **by_frame.get(f"f{f}", {})} for f in frames]
        path.write_text(json.dumps(body), "utf-8")


def kinds(review: Review) -> dict[str, Problem]:
    return {one.kind: one for one in review.problems}


def test_runs_are_merged_with_their_worst_frame_and_not_over_cuts() -> None:
    values = {3: 0.6, 4: 0.9, 5: 0.6, 9: 0.5, 20: 0.7, 30: 0.2}
    found = runs_of(values, 0.5)
    assert [(one.start, one.stop, one.frame, one.value) for one in found] == [(3, 10, 4, 0.9), (20, 21, 20, 0.7)]
    assert [(one.start, one.stop) for one in runs_of(values, 0.5, cuts=[5])] == [(3, 5), (5, 10), (20, 21)]
    assert runs_of(dict.fromkeys(range(9), 0.5), 0.5)[0].frame == 4, "the middle of a plateau"
    assert runs_of({}, 0.5) == []


def test_colour_drift_is_against_the_anchors_on_both_sides() -> None:
    told = {frame: {"change": [0.0, 0.0, float(frame)]} for frame in range(11)}
    assert max(drifts(told, [0, 10], []).values()) == pytest.approx(0)
    told[5] = {"change": [20.0, 0.0, 5.0]}
    assert drifts(told, [0, 10], [])[5] == pytest.approx(20)
    assert drifts(told, [0], [])[8] == pytest.approx(8), "beyond the last anchor it is the nearest that counts"
    assert 8 not in drifts(told, [0], [7]), "never over a cut"


def test_the_region_may_not_jump() -> None:
    told = {0: {"region": 0.1}, 1: {"region": 0.1}, 2: {"region": 0.05}, 3: {"region": 0.0001}, 4: {"region": 0.0}}
    found = jumps(told, [])
    assert found[1] == 0 and found[2] == pytest.approx(0.5) and 4 not in found
    assert 2 not in jumps(told, [2])


def test_what_rendering_notes_of_a_frame() -> None:
    source, image, region = np.full((4, 5, 3), 50, np.uint8), np.full((4, 5, 3), 50, np.uint8), np.zeros((4, 5), np.uint8)
    assert noted_of_frame(source, image, region) == {"region": 0.0}
    region[:2], image[:2, :, 2] = 255, 90
    assert noted_of_frame(source, image, region) == {"region": 0.5, "change": [0.0, 0.0, 40.0]}
    assert strayed(image, source, region) == pytest.approx(40 / 3, abs=0.01) and strayed(image, source, region * 0) == 0


def test_a_clean_project_has_no_problem(editor: Editor) -> None:
    noted(editor)
    review = review_of(editor.material)
    assert review.problems == () and set(review.lanes()["worst"]) == {"0"}


@pytest.mark.parametrize(
    ("measures", "kind", "act", "says"),
    [
        ({"confidence": 0.2}, "doubt", "add_anchor", "confidence 20%"),
        ({"unseen": 0.8}, "unseen", "add_anchor", "80% of the region"),
        ({"change": [60.0, 0.0, 30.0]}, "drift", "add_anchor", "60 levels"),
        ({"region": 0.01}, "jump", "correct_mask", "80%"),
        ({"strayed": 64.0}, "strayed", "add_anchor", "64 levels"),
    ],
)
def test_a_measure_becomes_an_entry(editor: Editor, measures: dict[str, Any], kind: str, act: str, says: str) -> None:
    noted(editor, f7=measures)
    found = kinds(review_of(editor.material))[kind]
    assert found.start <= 7 < found.stop and found.frame in (7, 8) and found.act == act and says in found.sentence


def test_low_trust_in_a_mask_names_the_subject(editor: Editor) -> None:
    noted(editor)
    material = editor.material
    span = next(one for one in material.spans(1) if len(one.range) > 3)
    path = material.workspace.masks(span.key) / "done.json"
    body = json.loads(path.read_text("utf-8"))
    body["meta"]["confidence"] = [1.0] + [0.2] * (len(span.range) - 1)
    path.write_text(json.dumps(body), "utf-8")
    review = review_of(editor.material)
    found = kinds(review)["mask"]
    assert found.subject == 1 and found.act == "correct_mask" and found.severity == pytest.approx(0.8) and found.level == "severe"
    assert review.lanes()["masks"]["1"][span.range.start : span.range.start + 2] == "07"
    assert review.lanes()["worst"][span.range.start + 1] == "7"


def test_takes_that_wait_and_empty_anchors(editor: Editor) -> None:
    noted(editor)
    editor.approve(14, None)
    editor.act(acts.add_anchor, "Add anchor", frame=5)
    found = kinds(review_of(editor.material))
    assert (found["waiting"].frame, found["waiting"].act) == (14, "approve")
    assert (found["empty_anchor"].frame, found["empty_anchor"].act) == (5, "make_take")


def test_what_was_rendered_before_a_change_is_out_of_date(editor: Editor) -> None:
    noted(editor)
    editor.act(acts.shape_subject, "Shape", subject=1, feather=5.0)
    found = kinds(review_of(editor.material))["outdated"]
    assert (found.start, found.stop, found.act) == (0, 20, "propagate"), "neighbouring segments are one entry"


def test_a_broken_promise_is_the_worst_of_all(editor: Editor) -> None:
    noted(editor, f7={"confidence": 0.1})
    material = editor.material
    path = material.workspace.segment(material.key_of(material.segments[1])) / "done.json"
    body = json.loads(path.read_text("utf-8"))
    body["meta"] |= {"outside": 3, "warnings": ["The model was far from its own world."]}
    path.write_text(json.dumps(body), "utf-8")
    problems = review_of(editor.material).problems
    assert problems[0].kind == "outside" and problems[0].severity == 1
    assert "The model was far" in kinds(review_of(editor.material))["remark"].sentence
    assert [one.severity for one in problems] == sorted((one.severity for one in problems), reverse=True)


def test_shots_without_an_anchor_and_damaged_frames(editor: Editor) -> None:
    noted(editor)
    video = replace(editor.project.video, damaged=((3, 5),))
    material = Material(editor.workspace, replace(editor.project, video=video))
    material.cuts = [16]
    found = kinds(review_of(material))
    assert (found["no_anchor"].start, found["no_anchor"].stop, found["no_anchor"].level) == (16, 20, "note")
    assert (found["damaged"].start, found["damaged"].stop, found["damaged"].act) == (3, 5, "look")


def test_a_hidden_point_is_no_problem_and_an_unsure_one_is(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    noted(editor)
    from engine.document import point_acts

    editor.act(point_acts.add_track_point, "Point", frame=0, subject=1, x=60.0, y=150.0)
    sure = np.ones((1, 20, 3), np.float32)
    sure[0, 8:12, 2], sure[0, 12:15, 2], sure[0, 15:, 2] = 0.3, 0.0, np.nan
    monkeypatch.setattr("engine.review.measures.track_values", lambda material, subject: sure)
    review = review_of(editor.material)
    found = kinds(review)["point"]
    assert (found.start, found.stop, found.act, found.subject) == (8, 12, "correct_point", 1)
    assert review.lanes()["points"]["1"] == "0" * 8 + "6" * 4 + "-" * 8


def test_json_says_level_and_button(editor: Editor) -> None:
    noted(editor, f7={"confidence": 0.2})
    for one in review_of(editor.material).as_json()["problems"]:
        assert one["says"] == ACTS[one["act"]] and one["level"] in ("severe", "doubtful", "note")
    json.dumps(review_of(editor.material).as_json())


class Silent:
    """An instant preview that has made nothing."""

    @staticmethod
    def measures(key: str) -> dict[int, dict[str, float]]:
        return {}


def test_a_review_is_made_once_and_anew_after_a_change(editor: Editor) -> None:
    noted(editor)
    shelf, silent = Reviewing(), Silent()
    first = shelf.of(editor.material, silent)  # type: ignore[arg-type]
    assert shelf.of(editor.material, silent) is first  # type: ignore[arg-type]
    editor.approve(14, None)
    again = shelf.of(editor.material, silent)  # type: ignore[arg-type]
    assert again is not first and "waiting" in kinds(again)
