"""Before a run: what is to be done, and what it costs by what was measured here; nothing is made up, trouble is said before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.document import acts
from engine.editor import Editor
from engine.progress import Progress
from engine.rendering.render import propagate
from engine.review.cost import config_mark, cost_of
from engine.review.estimate import Estimate, Part, estimate_of, in_bytes, in_time, sentences
from engine.review.pace import KEPT, Note, PaceBook, disk_use, noting, pace_file
from tests.recipes import cli, clip_in, edit_recipe, write_recipe
from tests.test_jobs import project_in


@pytest.fixture
def book(tmp_path: Path) -> PaceBook:
    return PaceBook(tmp_path / "pace" / "pace.jsonl")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project with anchors on 0 and 10, nothing rendered."""
    return project_in(tmp_path_factory.mktemp("estimate"), 16, anchors=(0, 10))


@pytest.fixture
def editor(made: Path, tmp_path: Path) -> Iterator[Editor]:
    shutil.copy(made.parent / "in.mp4", tmp_path / "in.mp4")
    opened = Editor(shutil.copytree(made, tmp_path / "project"))
    yield opened
    opened.close()


def note(**changes: object) -> Note:
    return replace(Note("Propagating", "motion", "", "c1", (240, 320), 10, 5.0, 1000), **changes)  # type: ignore[arg-type]


def test_notes_come_back_and_damaged_lines_are_left_out(book: PaceBook, tmp_path: Path) -> None:
    assert book.notes() == []
    book.add([note(), note(units=20)])
    with open(tmp_path / "pace" / "pace.jsonl", "a") as file:
        file.write('{"phase": "half a li\n[1]\n{"unknown": 1}\n')
    book.add([note(phase="run", memory=7)])
    assert [one.units for one in book.notes()] == [10, 20, 10] and book.notes()[-1].memory == 7


def test_the_file_stays_small(book: PaceBook) -> None:
    book.add([note(units=number) for number in range(3 * KEPT + 1)])
    assert len(book.notes()) == KEPT and book.notes()[-1].units == 3 * KEPT


def test_the_most_alike_notes_count() -> None:
    other = note(config="x", seconds=9.0)
    small = note(size=(120, 160), seconds=1.0)
    found = cost_of([small, other, note()], note(), 6)
    assert found and found.seconds == pytest.approx(0.5) and found.basis == "measured on this machine"
    found = cost_of([small, other], note(), 6)
    assert found and found.seconds == pytest.approx(0.9) and "other settings" in found.basis
    found = cost_of([small], note(), 6)
    assert found and found.seconds == pytest.approx(0.4) and "at 160×120 and scaled" in found.basis
    assert cost_of([], note(), 6) is None


def test_range_disk_and_memory_of_the_latest() -> None:
    old = [note(seconds=100.0, clip="c2", disk=9)] * 4
    found = cost_of([*old, note(seconds=4.0), note(seconds=6.0, units=20, disk=2000, memory=5)], note(), 2)
    assert found and (found.low, found.high) == pytest.approx((0.3, 0.4)) and found.seconds == pytest.approx(1 / 3)
    assert found.disk == pytest.approx(100) and found.memory == 5
    assert config_mark({}) == "" and config_mark({"a": 1}) != config_mark({"a": 2})


def test_nothing_is_made_up(editor: Editor, book: PaceBook) -> None:
    estimate = estimate_of(editor.material, book)
    assert (estimate.render, estimate.reuse, estimate.segments_render) == (16, 0, 2)
    assert estimate.seconds is None and estimate.disk is None and estimate.memory is None
    assert "Propagating" in estimate.unmeasured and estimate.free_disk > 0
    text = " ".join(sentences(estimate))
    assert "not measured yet on this machine" in text and "To render: 16 frames (2 segments)" in text


def test_what_a_run_noted_is_what_the_next_is_told(editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANCHORLINE_HOME", str(tmp_path / "home"))
    progress = Progress()
    with noting(lambda: editor.material, progress):
        propagate(editor.material, progress)
    notes = {one.phase: one for one in PaceBook().notes()}
    assert pace_file().is_file() and notes["Propagating"].units == 16 and notes["Propagating"].seconds > 0
    assert notes["Propagating"].disk == disk_use(editor.workspace.folder)["Propagating"] > 0
    assert notes["run"].memory > 10_000_000
    done = estimate_of(editor.material)
    assert (done.render, done.reuse, done.parts) == (0, 16, ())
    assert "Everything is rendered: 16 frames (2 segments)" in sentences(done)[0]
    editor.act(acts.shape_subject, "Shape", subject=1, feather=6.0)
    again = estimate_of(editor.material)
    assert again.render == 16 and again.seconds is not None and again.memory is not None and again.disk is not None
    assert again.seconds[0] == pytest.approx(16 * notes["Propagating"].seconds / 16, rel=0.01)
    assert again.basis == "measured on this machine" and again.trouble == ""
    json.dumps(again.as_json())


def test_a_run_that_will_not_fit_is_said_before() -> None:
    cost = cost_of([note(disk=10**12)], note(), 6)
    full = Estimate(16, 0, 2, 0, (Part("Propagating", 16, cost),), 100, 1000, 10**9)
    assert "on the disk" in full.trouble and "1.0 GB are free" in full.trouble
    short = replace(full, parts=(), free_memory=50)
    assert "of memory" in short.trouble
    assert replace(short, memory=None).trouble == "" and replace(short, free_memory=None).trouble == ""


def test_a_dry_run_prints_the_same(tmp_path: Path) -> None:
    clip_in(tmp_path, 12)
    recipe = write_recipe(tmp_path, edit_recipe(anchors=[{"frame": 0, "effect": {"name": "recolour", "colour": "#2050ff"}}]))
    code, out, said = cli(tmp_path, "run", recipe, "-o", tmp_path / "out.mkv", "--dry-run")
    assert code == 0, said
    told = json.loads(out)["estimate"]
    assert told["frames_to_render"] == 12 and told["frames_to_reuse"] == 0 and told["free_disk_bytes"] > 0
    assert {one["phase"] for one in told["work"]} >= {"Preparing the clip", "Carrying masks", "Propagating"}


def test_figures_as_people_read_them() -> None:
    assert [in_time(one) for one in (0.2, 80, 200, 9000)] == ["1 s", "80 s", "3 min", "2.5 h"]
    assert [in_bytes(one) for one in (10, 3.2e8, 1.44e9)] == ["1 MB", "320 MB", "1.4 GB"]
