"""The stack and auditions over the data plane: acts of the list of edits, a segment's method, an audition's pictures."""

from __future__ import annotations

import json
from typing import Any

from engine import JobManager
from engine.document.project import to_json
from tests.test_jobs import ended
from tests.test_routes import act, page, refused, session, store  # noqa: F401 (fixtures)


def view_after(page: Any, session: Any, name: str, /, **args: Any) -> dict[str, Any]:  # noqa: F811
    answer = act(page, session, name, args)
    assert answer.status_code == 200, answer.text
    return answer.json()["view"]


def test_the_list_of_edits_is_changed_by_acts(page, session):  # noqa: F811
    first = view_after(page, session, "add_point", frame=0, subject=1, x=38, y=72, label=1)
    assert [(one["id"], one["on"]) for one in first["edits"]] == [(1, True)] and first["below"] is None
    added = view_after(page, session, "add_edit")
    assert added["edit"] == 2 and [one["name"] for one in added["edits"]] == ["Edit 1", "Edit 2"]
    assert added["below"]["ranges"] == []
    view_after(page, session, "add_anchor", frame=3)
    again = view_after(page, session, "select_edit", edit=1)
    assert again["edit"] == 1 and again["anchors"] == [] and again["edits"][1]["anchors"] == 1 and again["below"] is None
    named = view_after(page, session, "rename_edit", edit=2, name="<b>Hat</b>")
    assert named["edits"][1]["name"] == "<b>Hat</b>" and named["edit"] == 1
    assert view_after(page, session, "move_edit", edit=2, to=0)["edits"][0]["id"] == 2
    assert view_after(page, session, "switch_edit", edit=2, on=False)["edits"][0]["on"] is False
    assert view_after(page, session, "aim_edit", subjects=[])["edits"][1]["subjects"] == []
    assert len(view_after(page, session, "remove_edit", edit=2)["edits"]) == 1
    assert view_after(page, session, "undo")["edits"][0]["id"] == 2
    assert session.editor.journal.project.edits[0].anchors[0].frame == 3
    while len(session.editor.project.edits) > 1:
        view_after(page, session, "remove_edit", edit=2)
    assert "only edit" in refused(act(page, session, "remove_edit", {"edit": 1}), 400)
    assert "no edit 9" in refused(act(page, session, "select_edit", {"edit": 9}), 400)


def test_a_segment_gets_a_method_that_there_is(page, session):  # noqa: F811
    span = {"start": 0, "stop": 12}
    said = view_after(page, session, "set_segment_method", **span, method="motion", config={"trust": 1.0})
    assert said["edits"][0]["by_segment"] == [[0, 12, "motion"]]
    assert view_after(page, session, "clear_segment_method", **span)["edits"][0]["by_segment"] == []
    for wrong in (
        {**span, "method": "magic", "config": {}},
        {**span, "method": "motion", "config": {"trust": "much"}},
        {"start": 5, "stop": 5, "method": "motion", "config": {}},
        {"start": 5, "stop": 500, "method": "motion", "config": {}},
    ):
        refused(act(page, session, "set_segment_method", wrong), 400)
    refused(act(page, session, "use_method", {"method": "magic", "config": {}}), 400)


def asked(page: Any, session: Any, body: Any) -> Any:  # noqa: F811
    return page.post(f"/projects/{session.id}/audition", content=json.dumps(body), headers={"content-type": "application/json"})


def test_an_audition_is_asked_for_by_a_frame_and_the_latest_counts(page, session):  # noqa: F811
    for wrong in ({}, {"frame": -1}, {"frame": 10**6}, {"frame": True}, {"frame": "1"}):
        refused(asked(page, session, wrong), 400)
    first, second = (asked(page, session, {"frame": frame}).json()["job"] for frame in (3, 5))
    assert session.jobs.get(first["id"]).state == "cancelled" and session.jobs.get(second["id"]).active
    assert asked(page, session, {"frame": 5}).json()["job"]["id"] == second["id"]
    job = session.jobs.get(second["id"])
    rev = session.editor.rev
    assert ended(job) == "done", job.message
    assert job.result["tiles"] == [] and {one["method"] for one in job.result["cannot"]} >= {"motion", "via"}
    assert session.editor.rev == rev
    for name in (f"{'0' * 64}/3.jpg", "../x/3.jpg", "zz/3.jpg", f"{'0' * 64}/x.jpg"):
        assert page.get(f"/projects/{session.id}/audition/{name}").status_code in (400, 404)


def test_an_audition_is_not_gone_on_with_when_the_project_is_opened_again(session):  # noqa: F811
    journal = session.editor.journal
    lost = {"id": "lost", "kind": "audition", "args": {"frame": 2}, "state": "queued", "active": True, "owner": None}
    journal.save_job("lost", lost, to_json(journal.project))
    jobs = JobManager()
    try:
        jobs.adopt(journal)
        assert jobs.get("lost").state == "interrupted"
    finally:
        jobs.close()
