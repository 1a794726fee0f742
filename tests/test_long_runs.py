"""AnchorSync on projects: anchors chosen on the page, what a change does again, what a stopped run leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.panels import anchors
from app.session import Session
from app.store import SessionStore
from engine import ProjectError, RecipeError
from engine.document import acts
from engine.editor import Editor
from engine.errors import Cancelled
from engine.media.reader import open_video
from engine.media.writer import settings_for
from engine.progress import Progress
from engine.rendering.render import export, prepare_clip, propagate
from engine.types import FrameRange
from tests.bench.long_reuse import ANCHORS, approved_project, done_again
from tests.media_fixtures import Clip, write_drawn_clip
from tests.test_journal import blank

FRAMES = 5
QUICK = {"steps": 2, "structure_steps": 1, "interval": 2}


# --- chosen on the page -----------------------------------------------------------------------------------


def test_many_anchors_are_one_act_and_leave_those_that_are_there() -> None:
    before = acts.add_anchor(blank(50), frame=10)
    after = acts.add_anchors(before, frames=[30, 10, 0])
    assert [anchor.frame for anchor in after.edit.anchors] == [0, 10, 30]
    assert after.edit.anchor_at(10) is before.edit.anchor_at(10) and acts.add_anchors(after, frames=[0, 10]) is after
    for wrong in ([50], [True], "12", [[1]]):
        with pytest.raises(RecipeError):
            acts.add_anchors(before, frames=wrong)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    store = SessionStore(tmp_path / "home")
    session = store.create(write_drawn_clip(tmp_path / "in.mp4", Clip(frames=20)))
    prepare_clip(session.material, Progress())
    yield session
    store.close()


def test_the_button_puts_anchors_on_the_timeline_as_one_item_of_undo(session: Session) -> None:
    session.editor.act(acts.set_edit, "Method", method="anchorsync", config={"interval": 8})
    session.do("add_anchor", {"frame": 5})
    anchors.choose(session)
    assert [anchor.frame for anchor in session.editor.project.edit.anchors] == [0, 5, 12, 19]
    with pytest.raises(ProjectError, match="anchors enough"):
        anchors.choose(session)
    session.do("undo", {})
    assert [anchor.frame for anchor in session.editor.project.edit.anchors] == [5]
    session.editor.act(acts.set_edit, "Method", config={"interval": 4, "most_anchors": 3})
    session.do("set_range", {"start": 3, "stop": 15})
    anchors.choose(session)
    assert [anchor.frame for anchor in session.editor.project.edit.anchors] == [3, 5, 14]


# --- runs -------------------------------------------------------------------------------------------------


def test_one_changed_anchor_does_two_segments_again(tmp_path: Path) -> None:
    editor = approved_project(tmp_path)
    try:
        assert done_again(editor) == (2, len(ANCHORS) - 2)
        assert all(editor.material.is_done(segment) for segment in editor.material.segments)
    finally:
        editor.close()


class Stopped(Progress):
    """Cancels at the n-th step of a phase."""

    def __init__(self, phase: str, after: int) -> None:
        super().__init__()
        self._phase, self._left = phase, after

    def part(self, name: str, share: int):  # type: ignore[no-untyped-def]
        step = super().part(name, share)

        def heard(done: int, total: int) -> None:
            step(done, total)
            self._left -= name == self._phase
            if self._left == 0:
                raise Cancelled

        return heard


def by_text(folder: Path, clip: Path, method: str, config: dict[str, object]) -> Editor:
    """A clip edited by an instruction alone, over the whole frame."""
    editor = Editor.create(folder, clip)
    editor.act(acts.set_edit, "Method", method=method, config=config, instruction="make the ball blue", subjects=())
    prepare_clip(editor.material, Progress())
    return editor


@pytest.mark.parametrize(
    ("method", "config"), [("anchorsync", QUICK), ("via", {"steps": 2, "swap_steps": 2, "group": 2})], ids=["anchorsync", "via"]
)
def test_a_stopped_preparation_is_done_again_with_the_same_outcome(
    method: str, config: dict[str, object], tmp_path: Path
) -> None:
    clip = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=FRAMES))
    whole, stopped = (by_text(tmp_path / name, clip, method, config) for name in ("a", "b"))
    try:
        propagate(whole.material, Progress())
        with pytest.raises(Cancelled):
            propagate(stopped.material, Stopped("Preparing the edit", 2))
        assert not stopped.material.shared
        assert propagate(stopped.material, Progress()).rendered == len(whole.material.segments)
        assert stopped.material.shared[0].parts == whole.material.shared[0].parts
        for frame in FrameRange(0, FRAMES):
            one, other = (editor.material.edited(frame) for editor in (whole, stopped))
            assert one is not None and other is not None and np.array_equal(one, other)
    finally:
        whole.close()
        stopped.close()


def test_what_was_prepared_meanwhile_is_exported(tmp_path: Path) -> None:
    """The run and the export after it are given the same version, as the command line does."""
    clip, out = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=FRAMES)), tmp_path / "out.mov"
    editor = by_text(tmp_path / "a", clip, "anchorsync", {**QUICK, "interval": FRAMES})
    try:
        material = editor.material
        propagate(material, Progress())
        assert not material.shared and editor.material.shared
        export(material, out, settings_for(out, None, None), Progress())
        with open_video(out) as written:
            shown = written.get(2).astype(int)
        edited, source = editor.material.edited(2), material.picture(2)
        assert edited is not None and np.abs(shown - edited).mean() < 0.5 * np.abs(shown - source).mean()
    finally:
        editor.close()
