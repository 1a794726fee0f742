"""Long stretches of a method that makes them piece by piece are several segments, with the same pixels as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.document import acts
from engine.editor import Editor
from engine.methods import METHODS, card, via
from engine.progress import Progress
from engine.rendering import anchoring
from engine.rendering.render import prepare_clip, propagate
from engine.rendering.segments import _in_pieces
from tests.media_fixtures import Clip, write_drawn_clip

CONFIG = {"steps": 1, "swap_steps": 1, "group": 2}
FRAMES = 11


@pytest.mark.parametrize(
    ("edges", "anchors", "spans"),
    [
        ([0, 39], [], [(0, 10), (10, 20), (20, 39)]),
        ([0, 19], [], [(0, 19)]),
        ([0, 5, 40], [5], [(0, 5), (5, 15), (15, 25), (25, 40)]),
        ([5, 40], [5, 40], [(5, 40)]),
    ],
)
def test_stretches_are_cut_unless_they_lie_between_two_anchors(
    edges: list[int], anchors: list[int], spans: list[tuple[int, int]]
) -> None:
    assert list(_in_pieces(edges, anchors, 10)) == spans
    assert len(list(_in_pieces(edges, anchors, 0))) == len(edges) - 1


def test_pieces_of_via_fit_how_it_works() -> None:
    assert card("via").pieces % via.CHUNK == 0 and card("via").pieces > anchoring.FADE


@pytest.mark.slow
def test_a_run_in_pieces_has_the_pixels_of_a_run_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(via, "CHUNK", 2)
    monkeypatch.setattr(anchoring, "FADE", 2)
    clip = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=FRAMES, size=(48, 64)))
    shown, counts = [], []
    for pieces in (0, 4):
        monkeypatch.setitem(METHODS, "via", replace(METHODS["via"], pieces=pieces))
        editor = Editor.create(tmp_path / str(pieces), clip)
        try:
            editor.act(acts.set_edit, "Method", method="via", config=CONFIG, instruction="make the ball blue", subjects=())
            prepare_clip(editor.material, Progress())
            propagate(editor.material, Progress())
            material = editor.material.again()
            counts.append(len(material.segments))
            shown.append([material.edited(frame) for frame in range(FRAMES)])
            assert (shown[-1][0] != material.picture(0)).any()
        finally:
            editor.close()
    assert counts == [1, 2]
    assert all(np.array_equal(a, b) for a, b in zip(*shown, strict=True))
