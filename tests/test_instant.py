"""The instant preview: rough pictures, the same properly, the process that makes them, what the page's process keeps of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.editor import Editor
from engine.instant.chains import Chains
from engine.instant.child import outward
from engine.instant.pictures import LONGEST, QuickPictures, proxy_size
from engine.instant.preview import WAITERS, InstantPreview, ranges
from engine.methods.base import Segment
from engine.progress import Progress
from engine.quality import doubt
from engine.rendering.render import read_motion
from engine.types import FrameRange
from tests.drawn import Drawn, drawn_clip, psnr
from tests.drawn_project import drawn_project

FRAMES = 14
SIZE = (120, 200)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return drawn_clip(FRAMES, SIZE, 3, turn=0.2, growth=0.1)


@pytest.fixture
def editor(drawn: Drawn, tmp_path: Path) -> Iterator[Editor]:
    """A project on the drawn clip: masks on all frames, the true edit approved on frame 3."""
    one = drawn_project(drawn, tmp_path)
    for frame in range(FRAMES):
        one.import_mask(frame, 1, drawn.masks[frame])
    approve(one, drawn, 3)
    yield one
    one.close()


def approve(editor: Editor, drawn: Drawn, frame: int) -> None:
    take = editor.picture_take(frame, drawn.edited[frame], "imported", "truth")
    editor.approve(frame, take.key, outside="clip")


def pictures(editor: Editor) -> QuickPictures:
    material = editor.material
    return QuickPictures(material, Chains(material.steps))


def test_rough_pictures_carry_the_edit_both_ways(editor: Editor, drawn: Drawn) -> None:
    quick = pictures(editor)
    assert np.abs(quick.rough(3).astype(int) - quick.proxies.take(3)).max() == 0
    for frame in (1, 5, 8):
        truth, mask = drawn.edited[frame], drawn.masks[frame]
        assert psnr(quick.rough(frame), truth, mask) > psnr(drawn.source[frame], truth, mask) + 4
        outside = quick.proxies.region(frame) == 0
        assert np.array_equal(quick.rough(frame)[outside], quick.proxies.source(frame)[outside])


def test_both_anchors_are_used_unless_one_is_far(editor: Editor, drawn: Drawn) -> None:
    alone = psnr(pictures(editor).rough(11), drawn.edited[11], drawn.masks[11])
    approve(editor, drawn, 13)
    quick = pictures(editor)
    assert psnr(quick.rough(11), drawn.edited[11], drawn.masks[11]) > alone
    around = quick.span(8)
    assert (around.left, around.right) == (3, 13) and dict(quick._near(8, around)) == {3: 0.5, 13: 0.5}
    assert [anchor for anchor, _ in quick._near(4, around)] == [3]


def test_chains_are_the_same_however_they_are_asked_for(editor: Editor) -> None:
    read_motion(editor.material, [FrameRange(0, FRAMES)], Progress(lambda status: None, lambda: False))
    there, back = Chains(editor.material.steps), Chains(editor.material.steps)
    forward = [there.field(3, frame)[0] for frame in range(4, 10)]
    assert np.array_equal(back.field(3, 9)[0], forward[-1]) and np.array_equal(back.field(3, 6)[0], forward[2])


def test_motion_that_is_not_known_is_read_on_the_spot(editor: Editor) -> None:
    without = Chains(editor.material.steps).field(3, 5)[0]
    read_motion(editor.material, [FrameRange(0, FRAMES)], Progress(lambda status: None, lambda: False))
    assert np.abs(Chains(editor.material.steps).field(3, 5)[0] - without).mean() < 0.3


def test_proper_pictures_follow_and_are_measured(editor: Editor, drawn: Drawn) -> None:
    read_motion(editor.material, [FrameRange(0, FRAMES)], Progress(lambda status: None, lambda: False))
    quick, measures = pictures(editor), {}
    around = quick.shortened(quick.span(8), 8)
    assert quick.can_refine(around)
    with quick.refined(around, lambda done, total: None, measures) as frames:
        made = dict(frames)
    assert sorted(made) == sorted(measures) == list(range(3, FRAMES))
    assert psnr(made[8], drawn.edited[8], drawn.masks[8]) > psnr(drawn.source[8], drawn.edited[8], drawn.masks[8]) + 4
    assert doubt(measures[3]) == 0 <= doubt(measures[8]) <= 1
    assert 0 < quick.share(8) < 1


def test_sizes_orders_and_ranges() -> None:
    assert (
        proxy_size((1080, 1920)) == (360, 640) and proxy_size((240, 384)) == (240, 384) and proxy_size((1920, 1080)) == (640, 360)
    )
    around = Segment(0, 2, 8, 2, None, FrameRange(0, 8))
    assert list(outward(4, around)) == [4, 5, 3, 6, 2, 7]
    assert ranges([1, 2, 3, 7, 9, 10]) == [[1, 4], [7, 8], [9, 11]] and ranges([]) == []


def test_long_stretches_are_cut_round_the_nearer_anchor() -> None:
    shot = FrameRange(0, 2000)
    both = Segment(0, 100, 1900, 100, 1900, shot)
    cut = QuickPictures.shortened(both, 300)
    assert (cut.start, cut.stop, cut.left, cut.right) == (100, 100 + LONGEST, 100, None)
    cut = QuickPictures.shortened(both, 1700)
    assert (cut.start, cut.stop, cut.left, cut.right) == (1900 - LONGEST, 1900, None, 1900)
    assert QuickPictures.shortened(Segment(0, 0, 50, 0, 50, shot), 20).right == 50


# --- the process ------------------------------------------------------------------------------------------


@pytest.fixture
def preview(editor: Editor) -> Iterator[InstantPreview]:
    one = InstantPreview(editor.workspace.folder)
    yield one
    one.close()


def until(so: Callable[[], object], within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def asked(preview: InstantPreview, editor: Editor, frame: int) -> np.ndarray:
    """The preview of a frame; a machine under load may need several attempts."""
    until(lambda: preview.picture(editor.material, frame) is not None)
    picture = preview.picture(editor.material, frame)
    assert picture is not None
    return cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_a_frame_is_answered_then_better_and_the_motion_is_read(editor: Editor, preview: InstantPreview, drawn: Drawn) -> None:
    shown = asked(preview, editor, 5)
    assert psnr(shown, drawn.edited[5], drawn.masks[5]) > psnr(drawn.source[5], drawn.edited[5], drawn.masks[5]) + 3
    key = preview.key_of(editor.material, 5)
    until(lambda: preview.proper(key) == [[3, FRAMES]])
    assert set(preview.measures(key)) == set(range(3, FRAMES)) and all("region" in one for one in preview.measures(key).values())
    picture = preview.picture(editor.material, 5)
    assert picture is not None and picture.proper
    until(lambda: not editor.material.again().steps.missing([FrameRange(0, FRAMES)]))


def test_another_take_is_followed(editor: Editor, preview: InstantPreview, drawn: Drawn) -> None:
    first, key = asked(preview, editor, 6), preview.key_of(editor.material, 6)
    dark = editor.picture_take(3, drawn.edited[3] // 3, "imported", "dark")
    editor.approve(3, dark.key, outside="clip")
    assert preview.key_of(editor.material, 6) != key
    second = asked(preview, editor, 6)
    inside = drawn.masks[6] > 0
    assert second[inside].mean() < 0.6 * first[inside].mean()


def test_whoever_asks_last_is_not_kept_waiting_by_those_before(editor: Editor, preview: InstantPreview) -> None:
    """A drag asks for many frames; those that nobody looks at any more give their place up at once."""
    asked(preview, editor, 4)
    assert preview._process is not None
    preview._process.send_signal(signal.SIGSTOP)
    editor.approve(3, editor.picture_take(3, editor.picture(3) // 2, "imported", "half").key, outside="clip")
    threads = [threading.Thread(target=preview.picture, args=(editor.material, frame)) for frame in range(4, 14)]
    for thread in threads:
        thread.start()
    until(lambda: sum(thread.is_alive() for thread in threads) <= WAITERS)
    until(lambda: len(preview._asked) <= WAITERS)
    preview._process.send_signal(signal.SIGCONT)
    for thread in threads:
        thread.join()
    assert not preview._asked and not preview._answered


def test_without_an_anchor_there_is_nothing_and_no_process(editor: Editor, preview: InstantPreview) -> None:
    editor.approve(3, None)
    assert preview.picture(editor.material, 5) is None and preview._process is None


def test_the_motion_is_read_before_anything_is_edited(editor: Editor, preview: InstantPreview) -> None:
    assert editor.material.steps.missing([FrameRange(0, FRAMES)])
    preview.look(editor.material)
    until(lambda: not editor.material.again().steps.missing([FrameRange(0, FRAMES)]))


def test_a_process_that_dies_is_started_again_a_few_times(editor: Editor, preview: InstantPreview) -> None:
    asked(preview, editor, 5)
    for _ in range(8):
        if preview._process is not None:
            preview._process.kill()
            preview._process.wait()
        preview.look(editor.material)
    assert preview._starts <= 4
    assert asked(preview, editor, 5) is not None  # what was made is kept


def test_nothing_runs_after_the_end(editor: Editor) -> None:
    one = InstantPreview(editor.workspace.folder)
    one.look(editor.material)
    process = one._process
    one.close()
    assert process is not None and process.poll() is not None
    assert one.picture(editor.material, 5) is None
