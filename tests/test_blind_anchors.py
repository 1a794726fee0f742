"""An anchor on a frame that does not show the subject: it comes out as approved, and the edit goes on behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.editor import Editor
from engine.progress import Progress
from engine.rendering.render import propagate
from tests.drawn import Drawn, drawn_clip
from tests.drawn_project import drawn_project

FRAMES = 7
AWAY = (3,)
SIZE = (120, 200)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return drawn_clip(FRAMES, SIZE, 5, turn=0.1, growth=0.05)


@pytest.fixture
def editor(drawn: Drawn, tmp_path: Path) -> Iterator[Editor]:
    """A project whose subject is said to be nowhere on frame 3."""
    one = drawn_project(drawn, tmp_path)
    for frame in range(FRAMES):
        one.import_mask(frame, 1, np.zeros_like(drawn.masks[frame]) if frame in AWAY else drawn.masks[frame])
    one.approve(0, one.effect_take(0, "recolour", {"colour": "#2050ff"}).key)
    yield one
    one.close()


def test_the_edit_goes_on_behind_an_anchor_without_the_subject(editor: Editor, drawn: Drawn) -> None:
    editor.approve(3, editor.picture_take(3, drawn.source[3], "imported", "as it is").key)
    anchor = editor.project.edit.anchor_at(3)
    assert anchor is not None and anchor.blind
    report = propagate(editor.material, Progress())
    assert report.anchor_max_abs == 0 and report.outside_mask_max_abs == 0
    assert np.array_equal(editor.material.edited(3), drawn.source[3])
    for frame in (2, 4, FRAMES - 1):
        inside = drawn.masks[frame] == 255
        change = editor.material.edited(frame)[inside].astype(int) - drawn.source[frame][inside]
        assert np.abs(change).mean() > 20


def test_an_anchor_that_shows_the_subject_unchanged_ends_the_edit_there(editor: Editor, drawn: Drawn) -> None:
    editor.approve(5, editor.picture_take(5, drawn.source[5], "imported", "as it is").key)
    anchor = editor.project.edit.anchor_at(5)
    assert anchor is not None and not anchor.blind
    assert [(one.left, one.right) for one in editor.material.segments] == [(0, 5), (5, None)]
