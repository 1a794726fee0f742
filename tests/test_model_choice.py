"""Which segmenter and which trackers a recipe and a document ask for; workers whose device failed are replaced."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from engine import jobs
from engine.commands.recipe import check_recipe
from engine.document import acts
from engine.document.project import from_json, to_json
from engine.editor import Editor
from engine.errors import MethodError, RecipeError
from engine.jobs import JobManager
from engine.tracking.choice import MASK_TRACKERS, chosen, key_part
from tests.test_jobs import project_in


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_in(tmp_path_factory.mktemp("made"))


@pytest.fixture
def editor(made: Path, tmp_path: Path) -> Any:
    opened = Editor(shutil.copytree(made, tmp_path / "project"))
    yield opened
    opened.close()


def test_one_name_or_one_for_each_work() -> None:
    assert (
        chosen("auto") == ("auto", "auto")
        and chosen("sam3") == ("sam3", "auto")
        and chosen("cotracker3") == ("auto", "cotracker3")
    )
    assert chosen(["bootstapir", "sam2.1-tiny"]) == ("sam2.1-tiny", "bootstapir")
    for wrong in ("lk", ["sam3", "sam2.1-tiny"], ["cotracker3", "bootstapir"]):
        with pytest.raises(MethodError):
            chosen(wrong)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("segmenter", "sam9", "segmenter .*auto, graphcut, sam-b"),
        ("tracker", "lk", "tracker 'lk' .*auto, sam2.1-tiny"),
        ("tracker", 3, "tracker must be a name, or a list of two"),
        ("tracker", [], "tracker must be a name, or a list of two"),
        ("tracker", ["sam3", "sam2.1-large"], "two for the same work"),
    ],
)
def test_a_recipe_names_known_ones(key: str, value: object, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        check_recipe({"clip": "in.mp4", key: value})
    check_recipe({"clip": "in.mp4", "segmenter": "sam-b", "tracker": ["sam3", "bootstapir"]})


def test_a_document_keeps_its_trackers_and_old_ones_have_none(editor: Editor) -> None:
    before = to_json(editor.project)
    assert "masks_by" not in before and from_json(before).masks_by == "auto"
    project = editor.act(acts.set_trackers, "Trackers", masks=MASK_TRACKERS[0], points="bootstapir")
    assert (project.masks_by, project.points_by) == (MASK_TRACKERS[0], "bootstapir")
    folder = editor.workspace.folder
    editor.close()
    again = Editor(folder)
    try:
        assert (again.project.masks_by, again.project.points_by) == (MASK_TRACKERS[0], "bootstapir")
        again.undo()
        assert again.project.masks_by == "auto"
        with pytest.raises(RecipeError, match="no such tracker"):
            again.act(acts.set_trackers, "Trackers", masks="bootstapir", points="auto")
    finally:
        again.close()


def test_a_key_knows_the_model_and_its_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANCHORLINE_HOME", str(tmp_path))
    assert key_part("auto") == {}
    assert key_part("sam3")["by"] == {
        "id": "facebook/sam3",
        "revision": "3c879f39826c281e95690f02c7821c4de09afae7",
        "sha256": None,
    }


def test_a_worker_whose_device_failed_is_replaced(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in worker that ends twice as after a fault of the device, then well."""
    ended: list[Any] = []

    class Worker:
        def __init__(self, job: jobs.Job) -> None:
            self.process: Any = None
            self.errors, self.code = "", jobs.DEVICE_FAULT if job.attempts < 2 else 0
            ended.append(job.message)

        def __iter__(self) -> Any:
            return iter(())

    monkeypatch.setattr(jobs, "_Worker", Worker)
    manager = JobManager()
    job = manager.submit(editor.journal, "propagate")
    _wait(job)
    assert job.state == "done" and len(ended) == 3 and "The device failed" in ended[1] and "attempt 2 of 3" in ended[1]
    monkeypatch.setattr(
        Worker, "__init__", lambda self, job: self.__dict__.update(process=None, errors="", code=jobs.DEVICE_FAULT)
    )
    job = manager.submit(editor.journal, "propagate", {"again": True})
    _wait(job)
    assert job.state == "failed" and "choose another device" in job.message
    manager.close()


def _wait(job: jobs.Job) -> None:
    import time

    for _ in range(600):
        if not job.active:
            return
        time.sleep(0.05)
    raise AssertionError(job.state)


def test_points_are_followed_by_whom_the_project_says(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    import engine.rendering.trails as trails
    from engine.document import point_acts
    from engine.progress import Progress
    from tests.test_trackers_by_models import Slide

    editor.act(point_acts.add_track_point, "Point", frame=0, subject=1, x=38.0, y=72.0)
    ours = trails.points_to_follow(editor.material)
    editor.act(acts.set_trackers, "Trackers", masks="auto", points="cotracker3")
    theirs = trails.points_to_follow(editor.material)
    assert len(ours) == len(theirs) and not set(ours) & set(theirs)
    monkeypatch.setattr(trails, "point_model", lambda name: Slide() if name == "cotracker3" else None)
    assert trails.follow_points(editor.material, Progress()) == len(theirs)
    found = trails.found_tracks(editor.material)
    assert found is not None and found.tracks.visible.all() and not trails.points_to_follow(editor.material)
    assert len(found.tracks.xy) == len(editor.project.range)


def test_a_recipe_finds_a_subject_by_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.commands import batch
    from engine.commands.recipe import read_recipe
    from engine.progress import Progress
    from tests.recipes import BOX, clip_in, edit_recipe, write_recipe

    monkeypatch.setenv("ANCHORLINE_HOME", str(tmp_path / "home"))
    clip_in(tmp_path, 8)
    key = {"frame": 0, "words": "the disc"}
    path = write_recipe(tmp_path, edit_recipe(subjects=[{"id": 1, "keyframes": [key]}], anchors=edit_recipe()["anchors"][:1]))
    recipe = read_recipe(path)
    video = batch.look_at(recipe)
    assert batch.planned(recipe, video).keyframe(0, 1) is not None
    editor = batch.open_project(tmp_path / "project", recipe, video)
    try:
        with pytest.raises(MethodError, match=r"subjects\[0\].keyframes\[0\]: Grounding DINO tiny is not on this machine"):
            batch.play(editor, recipe, Progress())
        asked: list[str] = []

        def find(image: Any, words: str) -> list[int]:
            asked.append(words)
            return BOX

        monkeypatch.setattr(batch, "box_of_words", find)
        batch.play(editor, recipe, Progress())
        marked = editor.project.keyframe(0, 1)
        assert asked == ["the disc"] and marked is not None and marked.box == tuple(BOX) and marked.mask
    finally:
        editor.close()
    with pytest.raises(RecipeError, match="a box and words"):
        check_recipe({"clip": "in.mp4", "subjects": [{"id": 1, "keyframes": [{**key, "box": BOX}]}]})
