"""The onion skin: a neighbour's take on the frame that is looked at, and what is said of it; and comparing in the child."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.editor import Editor
from engine.instant.agreement import known, pairs_of
from engine.instant.chains import Chains
from engine.instant.onion import FARTHEST, OUTLINES, OnionSkins
from engine.instant.pictures import QuickPictures
from engine.instant.preview import InstantPreview
from engine.progress import Progress
from engine.rendering.render import read_motion
from engine.types import FrameRange
from tests.drawn import Drawn, drawn_clip, psnr
from tests.drawn_project import drawn_project

FRAMES = 12
SIZE = (120, 200)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return drawn_clip(FRAMES, SIZE, 3, turn=0.2, growth=0.1)


@pytest.fixture
def editor(drawn: Drawn, tmp_path: Path) -> Iterator[Editor]:
    """A project on the drawn clip, no masks, the true edit as a take (not approved) on frame 3."""
    one = drawn_project(drawn, tmp_path)
    one.picture_take(3, drawn.edited[3], "imported", "truth")
    yield one
    one.close()


def key_of(editor: Editor, frame: int = 3) -> str:
    return editor.project.edit.anchor_at(frame).takes[-1].key


def test_a_neighbour_lies_where_the_motion_brought_it(editor: Editor, drawn: Drawn) -> None:
    material = editor.material
    pictures = QuickPictures(material, Chains(material.steps))
    skin = OnionSkins().skin(pictures, 3, key_of(editor), 6)
    assert skin is not None and skin.rough, "nobody has computed the clip's motion yet"
    assert skin.picture.shape == (*SIZE, 4) and 0.3 < skin.seen <= 1
    shown = skin.picture[..., 3] > 127
    truth = drawn.masks[6] > 127
    assert (shown & truth).sum() / (shown | truth).sum() > 0.6
    sure = shown & truth & ~(np.abs(skin.picture[..., :3].astype(int) - OUTLINES[0]).max(-1) < 3)
    where = (sure * 255).astype(np.uint8)
    unmoved = psnr(drawn.edited[3], drawn.edited[6], where)
    assert psnr(skin.picture[..., :3], drawn.edited[6], where) > unmoved + 3, "warped, not only laid over"


def test_it_says_what_it_goes_by_and_from_which_side_it_comes(editor: Editor) -> None:
    read_motion(editor.material, [FrameRange(0, FRAMES)], Progress())
    pictures = QuickPictures(editor.material, Chains(editor.material.steps))
    after, before = (OnionSkins().skin(pictures, 3, key_of(editor), frame) for frame in (5, 1))
    assert after is not None and before is not None and not after.rough
    for skin, own, other in ((after, *OUTLINES), (before, *reversed(OUTLINES))):
        colours = {tuple(one) for one in skin.picture[skin.picture[..., 3] == 255][:, :3].tolist()}
        assert own in colours and other not in colours


def test_there_is_nothing_where_there_is_nothing_to_show(editor: Editor, drawn: Drawn) -> None:
    material = editor.material
    pictures = QuickPictures(material, Chains(material.steps))
    assert OnionSkins().skin(pictures, 3, key_of(editor), 3) is None
    assert OnionSkins().skin(pictures, 3, key_of(editor), 3 + FARTHEST + 1) is None
    editor.picture_take(8, drawn.source[8], "imported", "untouched")
    assert OnionSkins().skin(QuickPictures(editor.material, pictures.chains), 8, key_of(editor, 8), 7) is None


def test_the_child_answers_and_compares_in_the_background(editor: Editor, drawn: Drawn) -> None:
    read_motion(editor.material, [FrameRange(0, FRAMES)], Progress())
    for frame in range(FRAMES):
        editor.import_mask(frame, 1, drawn.masks[frame])
    editor.approve(3, key_of(editor), outside="clip")
    editor.approve(7, editor.picture_take(7, drawn.edited[7], "imported", "truth").key, outside="clip")
    instant = InstantPreview(editor.workspace.folder)
    try:
        material = editor.material
        skin = None
        for _ in range(10):  # the first answers of a busy machine may come too late
            skin = skin or instant.onion(material, 5, 3, material.project.edit.anchor_at(3).chosen)
        assert skin is not None and not skin.rough
        decoded = cv2.imdecode(np.frombuffer(skin.png, np.uint8), cv2.IMREAD_UNCHANGED)
        assert decoded.shape == (*SIZE, 4)
        nothing = None
        for _ in range(10):
            nothing = nothing or instant.onion(material, 5, 3, "0" * 64)
        assert nothing is not None and nothing.png == b"", "there is nothing, which is known"
        (pair,) = pairs_of(material)
        instant.compare(material)
        until = time.monotonic() + 60
        while known(material, pair) is None and time.monotonic() < until:
            time.sleep(0.1)
        found = known(material, pair)
        assert found is not None and found.score is not None and found.score >= 85
    finally:
        instant.close()


def test_marked_subjects_are_followed_as_surfaces(editor: Editor, drawn: Drawn) -> None:
    read_motion(editor.material, [FrameRange(0, FRAMES)], Progress())
    for frame in range(FRAMES):
        editor.import_mask(frame, 1, drawn.masks[frame])
    skins, chains = OnionSkins(), Chains(editor.material.steps)
    pictures = QuickPictures(editor.material, chains)
    skin = skins.skin(pictures, 3, key_of(editor), 9)
    assert skin is not None and not skin.rough and skin.seen > 0.7
    shown, truth = skin.picture[..., 3] > 127, drawn.masks[9] > 127
    assert (shown & truth).sum() / truth.sum() > 0.95 and (shown & truth).sum() / (shown | truth).sum() > 0.7
    inner = cv2.erode(drawn.masks[9], np.ones((9, 9), np.uint8))
    assert psnr(skin.picture[..., :3], drawn.edited[9], inner) > 28
    again = skins.skin(pictures, 3, key_of(editor), 6)
    fresh = OnionSkins().skin(QuickPictures(editor.material, chains), 3, key_of(editor), 6)
    assert again is not None and fresh is not None and np.array_equal(again.picture, fresh.picture), "however one got there"
