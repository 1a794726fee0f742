"""Proxy first: the same method at preview size, shown as a preview, measured; kept apart from what is rendered."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.commands import batch
from engine.commands.recipe import read_recipe
from engine.document import acts
from engine.editor import Editor
from engine.errors import Cancelled, MethodError
from engine.instant.preview import InstantPreview
from engine.instant.proxy import ProxyStore, is_smaller, missing_proxies, proxy_key, render_proxies
from engine.progress import Progress
from engine.rendering.render import dirty_segments
from engine.review.pace import Note, PaceBook
from engine.review.problems import review_of
from engine.store.entries import discard
from tests.recipes import box_in, clip_in, edit_recipe, write_recipe
from tests.test_jobs import project_in

SIZE = (400, 480)
FRAMES = 8


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of a clip larger than a preview, previewed."""
    folder = tmp_path_factory.mktemp("proxy")
    clip_in(folder, FRAMES, size=SIZE)
    subjects = [{"id": 1, "keyframes": [{"frame": 0, "box": box_in(SIZE)}]}]
    anchors = [{"frame": 0, "effect": {"name": "recolour", "colour": "#2050ff"}}]
    recipe = read_recipe(write_recipe(folder, edit_recipe(subjects=subjects, anchors=anchors)))
    editor = batch.open_project(folder / "project", recipe, batch.look_at(recipe))
    batch.play(editor, recipe, Progress())
    assert render_proxies(editor.material, Progress(), near=5) == FRAMES
    editor.close()
    return folder / "project"


@pytest.fixture
def editor(made: Path, tmp_path: Path) -> Iterator[Editor]:
    shutil.copy(made.parent / "in.mp4", tmp_path / "in.mp4")
    opened = Editor(shutil.copytree(made, tmp_path / "project"))
    yield opened
    opened.close()


@pytest.fixture
def instant(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> Iterator[InstantPreview]:
    """The page's preview without its child process."""
    monkeypatch.setattr(InstantPreview, "_running", lambda self: False)
    made = InstantPreview(editor.workspace.folder)
    yield made
    made.close()


def test_previews_are_shown_and_measured(editor: Editor, instant: InstantPreview) -> None:
    material = editor.material
    key = material.key_of(material.segments[0])
    picture = instant.picture(material, 5)
    assert picture is not None and picture.proper
    image = np.array(Image.open(io.BytesIO(picture.jpeg)).convert("RGB")).astype(int)
    assert image.shape == (360, 432, 3), "the short side of a preview"
    x, y = round((0.2 + 0.6 * 5 / 40) * 432), round(0.65 * 360)
    assert image[y, x, 2] > image[y, x, 0], "the edit is on it"
    assert instant.proper(key) == [[0, FRAMES]]
    assert all("confidence" in one and "region" in one for one in instant.measures(key).values())
    lanes = review_of(material, instant.measures).lanes()
    assert "-" not in lanes["doubt"], "the lane is full before anything is rendered"


def test_nothing_counts_as_rendered(editor: Editor) -> None:
    material = editor.material
    assert dirty_segments(material) == material.segments and missing_proxies(material) == []
    assert not material.was_rendered(material.segments[0])
    assert render_proxies(material, Progress()) == 0, "what is previewed is not previewed again"


def test_a_change_asks_for_another_preview(editor: Editor, instant: InstantPreview) -> None:
    editor.act(acts.shape_subject, "Shape", subject=1, feather=9.0)
    material = editor.material
    assert missing_proxies(material) == material.segments
    assert instant.measures(material.key_of(material.segments[0])) == {}
    stop = Progress(cancelled=lambda: True)
    with pytest.raises(Cancelled):
        render_proxies(material, stop)


def test_previews_thrown_away_are_gone(editor: Editor) -> None:
    material, store = editor.material, ProxyStore(editor.workspace.folder)
    key = material.key_of(material.segments[0])
    assert store.jpeg(key, 3) and store.has(key)
    folder = editor.workspace.proxies(proxy_key(key))
    assert folder in editor.workspace.entries()
    discard(folder)
    assert store.frames(key) == [] and store.jpeg(key, 3) is None and not store.has(key)
    store.close()


def test_a_small_clip_has_no_preview(tmp_path: Path) -> None:
    editor = Editor(project_in(tmp_path, 4, anchors=(0,)))
    assert not is_smaller(editor.material)
    with pytest.raises(MethodError, match="no larger than a preview"):
        render_proxies(editor.material, Progress())
    editor.close()


def test_a_preview_tells_what_the_run_will_cost(editor: Editor, tmp_path: Path) -> None:
    from engine.review.estimate import estimate_of, preview_sentence, sentences

    assert preview_sentence(editor.material) == "", "it is previewed"
    editor.act(acts.shape_subject, "Shape", subject=1, feather=7.0)
    book = PaceBook(tmp_path / "pace.jsonl")
    small: Any = Note("Previewing", "motion", "", "", (360, 432), 8, 2.0, 800)
    assert "time not measured yet on this machine" in preview_sentence(editor.material, book)
    book.add([small])
    assert preview_sentence(editor.material, book) == "Preview first at 432×360: about 2 s, measured on this machine."
    estimate = estimate_of(editor.material, book)
    scale = SIZE[0] * SIZE[1] / (360 * 432)
    assert estimate.seconds is not None and estimate.seconds[0] == pytest.approx(2.0 * scale)
    assert "at 432×360 and scaled by pixels" in " ".join(sentences(estimate))
