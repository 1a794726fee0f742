"""Anchor tokens in the document and for the page: acts, the disk, keys, what is drawn."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.document import token_acts
from engine.document.foreign import check_document
from engine.document.project import Project, from_json, to_json
from engine.errors import EngineError
from engine.methods.base import Segment
from engine.rendering.material import Material
from engine.rendering.segments import segment_key, shared_key
from engine.rendering.token_view import found_tokens
from engine.store.workspace import Workspace
from engine.tracking.trajectories import Found, write_found
from engine.types import FrameRange, TokenChange
from tests.test_journal import blank

NAME: dict[str, Any] = {"frame": 3, "x": 10.0, "y": 11.0}


def asked() -> Project:
    project = blank()
    return project.with_edit(replace(project.edit, method="point_to_point", source_prompt="a ball", target_prompt="a star"))


def test_tokens_are_dragged_dropped_and_taken_back() -> None:
    project = token_acts.drag_token(asked(), **NAME, at=5, dx=4.0, dy=-2.0)
    assert project.edit.tokens == (TokenChange(3, 10.0, 11.0, False, 5, 4.0, -2.0),)
    project = token_acts.drop_token(project, **NAME)
    assert project.edit.tokens == (TokenChange(3, 10.0, 11.0, True),)
    assert token_acts.keep_token(project, **NAME).edit.tokens == ()


@pytest.mark.parametrize(
    ("act", "args", "says"),
    [
        (token_acts.drop_token, {**NAME, "frame": 99}, "no frame 99"),
        (token_acts.drag_token, {**NAME, "at": 99, "dx": 0, "dy": 0}, "no frame 99"),
        (token_acts.drag_token, {**NAME, "at": 3, "dx": 1e9, "dy": 0}, "dx must be"),
        (token_acts.keep_token, NAME, "Nothing was done"),
    ],
)
def test_wrong_acts_say_what_is_wrong(act, args, says) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EngineError, match=says):
        act(asked(), **args)


def test_changes_survive_the_disk_and_older_documents_have_none() -> None:
    project = token_acts.drag_token(asked(), **NAME, at=5, dx=4.0, dy=-2.0)
    check_document(project)
    with pytest.raises(EngineError, match="anchor token"):
        check_document(token_acts.with_change(project, TokenChange(3, 10.0, 11.0, dx=float("nan"))))
    assert from_json(to_json(project)).edit.tokens == project.edit.tokens
    assert "tokens" not in to_json(asked())["edits"][0]
    assert from_json(to_json(asked())).edit.tokens == ()


def test_a_change_renders_anew_and_prepares_nothing_anew() -> None:
    before, after = asked(), token_acts.drop_token(asked(), **NAME)
    shot = FrameRange(0, before.video.frames)
    segment = Segment(0, 0, before.video.frames, None, None, shot)
    assert shared_key(before, [], shot) == shared_key(after, [], shot)
    assert segment_key(before, [], segment) != segment_key(after, [], segment)
    other = [project.with_edit(replace(project.edit, method="flowanchor")) for project in (before, after)]
    assert segment_key(other[0], [], segment) == segment_key(other[1], [], segment)


def test_what_the_page_draws(tmp_path: Path) -> None:
    project, workspace = asked(), Workspace(tmp_path)
    frames = project.video.frames
    assert found_tokens(Material(workspace, project)) is None
    xy = np.stack([[[10 + t, 11], [20 + t, 21], [30 + t, 11]] for t in range(frames)]).astype(np.float32)
    origin = np.array([[3, 13, 11], [3, 23, 21], [3, 33, 11]], np.float32)
    found = Found(xy, np.ones((frames, 3), bool), origin, np.array([1, 1, 1], np.int32), 0)
    folder = workspace.prepared(shared_key(project, [], FrameRange(0, frames)))
    folder.mkdir(parents=True)
    write_found(folder, found)
    view = found_tokens(Material(workspace, project))
    assert view is not None and view.names.tolist() == origin.tolist()
    assert np.array_equal(view.values[1, 4], [24, 21, 1, 24, 21])
    changed = token_acts.drop_token(project, frame=3, x=13.0, y=11.0)
    changed = token_acts.drag_token(changed, frame=3, x=23.0, y=21.0, at=4, dx=2.0, dy=1.0)
    after = found_tokens(Material(workspace, changed))
    assert after is not None and after.key != view.key and len(after.names) == 2
    assert np.allclose(after.values[0, :, :2] - after.values[0, :, 3:], [2, 1], atol=1e-4)
    assert found_tokens(Material(workspace, project.with_edit(replace(project.edit, method="motion")))) is None
