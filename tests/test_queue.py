"""Waiting jobs: their order can be changed within a project, work is begun where the user looks, the last that ended is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app import routes
from app.store import SessionStore
from engine.editor import Editor
from engine.jobs import Job, JobManager
from engine.methods.base import Segment
from engine.rendering.order import nearest_first
from engine.types import FrameRange
from tests.recipes import clip_in


class Still(JobManager):
    """Begins nothing, so that the queue can be looked at."""

    def _start_next(self) -> None:
        pass


@pytest.fixture
def editors(tmp_path: Path) -> Iterator[list[Editor]]:
    clip = clip_in(tmp_path, 4)
    made = [Editor.create(tmp_path / name, clip) for name in ("a", "b")]
    yield made
    for editor in made:
        editor.close()


def order(manager: JobManager, editor: Editor) -> list[str]:
    return [job.kind for job in manager.queued(editor.journal)]


def test_jobs_are_moved_among_their_own(editors: list[Editor]) -> None:
    manager, (one, other) = Still(), editors
    for editor, kind in ((one, "carry"), (other, "export"), (one, "propagate"), (one, "export"), (other, "carry")):
        manager.submit(editor.journal, kind, {"for": kind})
    last = manager.queued(one.journal)[-1]
    manager.move(last, -1)
    assert order(manager, one) == ["carry", "export", "propagate"] and order(manager, other) == ["export", "carry"]
    manager.move(last, -99)
    assert order(manager, one) == ["export", "carry", "propagate"]
    manager.move(last, 99)
    assert order(manager, one) == ["carry", "propagate", "export"]
    assert [job.kind for job in manager._waiting] == ["carry", "export", "propagate", "export", "carry"], (
        "others keep their places"
    )
    manager.cancel(last)
    manager.move(last, -1)
    assert order(manager, one) == ["carry", "propagate"] and last.state == "cancelled"


def test_where_to_begin_makes_no_other_job(editors: list[Editor]) -> None:
    manager, journal = Still(), editors[0].journal
    first = manager.submit(journal, "propagate", {"near": 3})
    assert manager.submit(journal, "propagate", {"near": 90}) is first
    assert manager.submit(journal, "propagate", {"near": 3, "edit": 2}) is not first


def test_the_job_that_ended_last_is_shown(editors: list[Editor]) -> None:
    manager, journal = Still(), editors[0].journal
    first, second = manager.submit(journal, "export", {"out": "x"}), manager.submit(journal, "carry")
    manager.cancel(second)
    assert manager.current(journal) is first
    manager.cancel(first)
    assert manager.current(journal) is first, "it was begun first and ended last"


def test_segments_round_the_playhead_come_first() -> None:
    shot = FrameRange(0, 40)
    segments = [Segment(i, 10 * i, 10 * i + 10, None, None, shot) for i in range(4)]
    assert [one.index for one in nearest_first(segments, 25)] == [2, 3, 1, 0]
    assert [one.index for one in nearest_first(segments, None)] == [0, 1, 2, 3]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[TestClient, Any]]:
    (tmp_path / "projects").mkdir()
    store = SessionStore(tmp_path / "projects", Still())
    session = store.create(clip_in(tmp_path, 4))
    yield TestClient(routes.build_api(store)), session
    store.close()


def move(page: TestClient, session: Any, job: str, body: Any) -> Any:
    return page.post(f"/projects/{session.id}/jobs/{job}/move", json=body)


def test_the_route_moves_and_refuses_by_name(page: tuple[TestClient, Any]) -> None:
    client, session = page
    jobs: list[Job] = [session.submit("carry", {"spans": []}), session.submit("export", {"out": "x"})]
    answer = move(client, session, jobs[1].id, {"by": -5})
    assert answer.status_code == 200 and answer.json()["queue"][0]["kind"] == "export"
    assert client.get(f"/projects/{session.id}/status").json()["queue"][0]["kind"] == "export"
    for wrong in ({}, {"by": "up"}, {"by": True}, {"by": 10**9}, {"by": 1.5}):
        assert "whole number" in move(client, session, jobs[0].id, wrong).json()["error"]
    assert move(client, session, "nobody", {"by": 1}).status_code == 404


def test_review_and_report_have_routes(page: tuple[TestClient, Any]) -> None:
    client, session = page
    told = client.get(f"/projects/{session.id}/review").json()
    assert told["key"] == client.get(f"/projects/{session.id}/view").json()["review"] and told["problems"] == []
    assert client.get(f"/projects/{session.id}/report.json").json()["certificates"]["region"]["holds"] is None
    page_of = client.get(f"/projects/{session.id}/report.html")
    assert page_of.headers["content-disposition"].startswith("attachment") and page_of.text.startswith("<!doctype html>")
    assert client.get(f"/projects/{session.id}/report.exe").status_code == 404
