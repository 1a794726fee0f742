"""The agreement of neighbouring anchors: high for one edit, low for others, kept under a key that follows what it is about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.document import acts
from engine.editor import Editor
from engine.errors import MediaError
from engine.instant.agreement import agreement, can_compare, compare, known, pairs_of
from engine.instant.chains import Chains
from engine.instant.pictures import QuickPictures
from engine.progress import Progress
from engine.rendering.material import Material
from engine.rendering.render import read_motion
from engine.types import FrameRange
from tests.drawn import Drawn, drawn_clip
from tests.drawn_project import drawn_project

FRAMES = 12
SIZE = (120, 200)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return drawn_clip(FRAMES, SIZE, 3, turn=0.2, growth=0.1)


@pytest.fixture
def editor(drawn: Drawn, tmp_path: Path) -> Iterator[Editor]:
    """A project on the drawn clip: masks on all frames, motion read, the true edit approved on frame 2."""
    one = drawn_project(drawn, tmp_path)
    read_motion(one.material, [FrameRange(0, FRAMES)], Progress())
    yield one
    one.close()


def mark(editor: Editor, drawn: Drawn) -> None:
    for frame in range(FRAMES):
        editor.import_mask(frame, 1, drawn.masks[frame])


def approve(editor: Editor, frame: int, picture: np.ndarray) -> None:
    take = editor.picture_take(frame, picture, "imported", "truth")
    editor.approve(frame, take.key, outside="grow")


def quiet(done: int, total: int) -> None:
    pass


def score_of(material: Material) -> int | None:
    (pair,) = pairs_of(material)
    return compare(material, Chains(material.steps), pair, quiet).score


def other_edit(drawn: Drawn, frame: int) -> np.ndarray:
    """The subject made red instead of blue with stripes."""
    mask = drawn.masks[frame] > 127
    picture = drawn.source[frame].copy()
    picture[mask] = np.clip(picture[mask] * np.array([1.6, 0.5, 0.4]), 0, 255).astype(np.uint8)
    return picture


def test_the_measure_itself() -> None:
    rng = np.random.default_rng(1)
    source = rng.integers(60, 190, (40, 60, 3), np.uint8)
    region = np.zeros((40, 60), np.uint8)
    region[10:30, 15:45] = 255
    bluer, redder = source.copy(), source.copy()
    bluer[10:30, 15:45, 2] += 50
    redder[10:30, 15:45, 0] += 50
    weaker = source.copy()
    weaker[10:30, 15:45, 2] += 40
    assert agreement(source, bluer, bluer, region) == (100, 99.0)
    assert agreement(source, source, source, region) == (100, 99.0), "both change nothing"
    assert agreement(source, bluer, redder, region)[0] == 0
    assert agreement(source, bluer, source, region)[0] == 0, "one of them changes nothing"
    assert 95 < agreement(source, bluer, weaker, region)[0] < 100
    beyond = bluer.copy()
    beyond[:5] = 255
    assert agreement(source, beyond, bluer, region) == (100, 99.0), "only the region counts"


def test_one_edit_agrees_and_another_does_not(editor: Editor, drawn: Drawn) -> None:
    mark(editor, drawn)
    approve(editor, 2, drawn.edited[2])
    assert pairs_of(editor.material) == []
    approve(editor, 9, drawn.edited[9])
    same = score_of(editor.material)
    approve(editor, 9, other_edit(drawn, 9))
    different = score_of(editor.material)
    assert same is not None and different is not None
    assert same >= 85 and different <= 40


def test_the_answer_is_kept_as_long_as_it_is_about_the_same(editor: Editor, drawn: Drawn) -> None:
    mark(editor, drawn)
    approve(editor, 2, drawn.edited[2])
    approve(editor, 9, drawn.edited[9])
    (pair,) = pairs_of(editor.material)
    assert known(editor.material, pair) is None
    found = compare(editor.material, Chains(editor.material.steps), pair, quiet)
    assert known(editor.material, pair) == found and found.seen > 0.8 and found.psnr > 15
    editor.act(acts.set_edit, "Method", method="via", instruction="make it blue", seed=4)
    assert pairs_of(editor.material) == [pair], "the method that will render does not matter"
    editor.import_mask(5, 1, np.roll(drawn.masks[5], 3, axis=0))
    assert pairs_of(editor.material)[0].key != pair.key
    assert [path.parent.name for path in editor.workspace.entries() if path.name == pair.key] == ["agreement"]
    (editor.workspace.agreement(pair.key) / "done.json").write_text("{")
    assert known(editor.material, pair) is None


def test_what_cannot_be_compared_says_why(editor: Editor, drawn: Drawn) -> None:
    mark(editor, drawn)
    approve(editor, 2, drawn.edited[2])
    approve(editor, 9, drawn.edited[9])
    editor.act(acts.set_range, "Range", start=0, stop=8)
    (pair,) = pairs_of(editor.material)
    assert "different shots" in pair.why and known(editor.material, pair) is None


def test_without_marks_every_pixel_is_followed_for_itself(editor: Editor, drawn: Drawn) -> None:
    approve(editor, 3, drawn.edited[3])
    approve(editor, 7, drawn.edited[7])
    same = score_of(editor.material)
    approve(editor, 7, other_edit(drawn, 7))
    different = score_of(editor.material)
    assert same is not None and different is not None and same > different + 30


def test_masks_that_are_still_to_come_are_waited_for(editor: Editor, drawn: Drawn) -> None:
    editor.import_mask(2, 1, drawn.masks[2])
    editor.import_mask(9, 1, drawn.masks[9])
    approve(editor, 2, drawn.edited[2])
    approve(editor, 9, drawn.edited[9])
    material = editor.material
    (pair,) = pairs_of(material)
    assert not can_compare(QuickPictures(material, Chains(material.steps)), pair)
    with pytest.raises(MediaError, match="not computed yet"):
        compare(material, Chains(material.steps), pair, quiet)
