"""The contact sheet's routes: what is on it, small pictures, approving with its question, work after other takes, onion skins."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from app import routes
from app.session import Session
from app.store import SessionStore
from tests.media_fixtures import HEIGHT, WIDTH, Clip, write_drawn_clip

BLUE = {"colour": "#2050ff"}
BOX = [20, 50, 60, 95]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionStore]:
    home = tmp_path_factory.mktemp("home")
    (home / "projects").mkdir()
    opened = SessionStore(home / "projects")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def session(store: SessionStore) -> Session:
    """A project with a box marked on frames 0 and 6, anchors there and on 9, and two takes on 0."""
    made = store.create(write_drawn_clip(store.home.parent / "in.mp4", Clip(frames=10)))
    settled(made)
    for frame in (0, 6):
        made.do("set_box", {"frame": frame, "subject": 1, "box": BOX})
    made.editor.effect_take(0, "recolour", BLUE)
    made.editor.effect_take(0, "blur", {})
    made.do("add_anchors", {"frames": [6, 9]})
    return made


@pytest.fixture
def page(store: SessionStore) -> TestClient:
    return TestClient(routes.build_api(store), raise_server_exceptions=True)


def settled(session: Session) -> None:
    for _ in range(3000):
        if session.job is None or not session.job.active:
            return
        time.sleep(0.02)
    raise AssertionError("the job does not end")


def sheet(page: TestClient, session: Session) -> Any:
    return page.get(f"/projects/{session.id}/sheet").json()


def test_it_shows_every_anchor_with_its_takes(page: TestClient, session: Session) -> None:
    shown = sheet(page, session)
    assert [(one["frame"], len(one["takes"]), one["chosen"], one["locked"]) for one in shown["anchors"]] == [
        (0, 2, None, False),
        (6, 0, None, False),
        (9, 0, None, False),
    ]
    take = shown["anchors"][0]["takes"][0]
    assert take["how"] == "Recolour (keeps shading)" and take["again"] == "" and shown["pairs"] == []
    small = page.get(f"/projects/{session.id}/thumb/{take['key']}.jpg")
    assert Image.open(io.BytesIO(small.content)).size == (WIDTH, HEIGHT) and "immutable" in small.headers["cache-control"]
    assert page.get(f"/projects/{session.id}/thumb/{'0' * 64}.jpg").status_code == 404
    assert page.get(f"/projects/{session.id}/thumb/..%2Fproject.jpg").status_code == 404


def test_approving_asks_about_what_lies_outside(page: TestClient, session: Session) -> None:
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    take = session.editor.picture_take(6, picture, "imported", "grey")
    order = {"frame": 6, "key": take.key}
    asked = page.post(f"/projects/{session.id}/sheet/approve", json=order).json()
    assert "pixels outside the mask" in asked["question"] and not session.editor.project.edit.approved
    done = page.post(f"/projects/{session.id}/sheet/approve", json={**order, "outside": "clip"}).json()
    (anchor,) = [one for one in done["view"]["anchors"] if one["frame"] == 6]
    assert anchor["chosen"] and anchor["chosen"] != take.key
    back = page.post(f"/projects/{session.id}/sheet/approve", json={"frame": 6, "key": None}).json()
    assert all(one["chosen"] is None for one in back["view"]["anchors"])


def test_a_reference_gives_the_others_takes(page: TestClient, session: Session) -> None:
    first = session.editor.project.edit.anchor_at(0).takes[0]
    page.post(f"/projects/{session.id}/sheet/approve", json={"frame": 0, "key": first.key})
    session.do("lock_anchor", {"frame": 0, "locked": True})
    refused = page.post(f"/projects/{session.id}/sheet/approve", json={"frame": 0, "key": None})
    assert refused.status_code == 400 and "locked" in refused.json()["error"]
    session.do("lock_anchor", {"frame": 0, "locked": False})
    before = len(session.editor.project.edit.anchor_at(6).takes)
    job = page.post(f"/projects/{session.id}/sheet/after", json={"frame": 0}).json()["job"]
    settled(session)
    done = page.get(f"/projects/{session.id}/jobs/{job['id']}").json()
    assert done["state"] == "done" and "after frame 0" in done["message"]
    takes = session.editor.project.edit.anchor_at(6).takes
    assert len(takes) == before + 1 and takes[-1].label == "recolour, as frame 0"
    job = page.post(f"/projects/{session.id}/sheet/again", json={"frame": 6, "key": takes[-1].key}).json()["job"]
    settled(session)
    done = page.get(f"/projects/{session.id}/jobs/{job['id']}").json()
    assert done["state"] == "failed" and "nothing by chance" in done["message"]
    page.post(f"/projects/{session.id}/sheet/approve", json={"frame": 6, "key": takes[-1].key})
    (pair,) = sheet(page, session)["pairs"]
    assert (pair["left"], pair["right"]) == (0, 6) and (pair["waits"] or pair["score"] is not None)


def test_onion_skins_are_of_takes_that_are_there(page: TestClient, session: Session) -> None:
    key = session.editor.project.edit.anchor_at(0).takes[0].key
    for _ in range(20):  # the first answers of a busy machine may come too late
        found = page.get(f"/projects/{session.id}/onion/0/2.png", params={"take": key})
        if found.status_code == 200:
            break
    assert found.headers["x-rough"] in ("0", "1") and 0 <= float(found.headers["x-seen"]) <= 1
    assert Image.open(io.BytesIO(found.content)).mode == "RGBA"
    for address in (f"onion/1/2.png?take={key}", "onion/0/2.png", f"onion/0/99.png?take={key}", f"onion/x/2.png?take={key}"):
        assert page.get(f"/projects/{session.id}/{address}").status_code == 404, address


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("approve", {"frame": "0", "key": None}),
        ("approve", {"frame": 0, "key": 3}),
        ("approve", {"frame": 0, "key": None, "outside": "paint"}),
        ("approve", {"frame": 3, "key": None}),
        ("again", {"frame": 0}),
        ("again", {"frame": True, "key": "x"}),
        ("after", {}),
    ],
)
def test_wrong_orders_are_one_sentence(page: TestClient, session: Session, address: str, body: dict[str, Any]) -> None:
    answer = page.post(f"/projects/{session.id}/sheet/{address}", json=body)
    assert answer.status_code == 400 and list(answer.json()) == ["error"]


def test_the_panel_says_that_an_anchor_is_locked(session: Session) -> None:
    from app.panels.anchors import _title

    session.do("lock_anchor", {"frame": 0, "locked": True})
    assert "is an approved anchor, locked." in _title(session, 0)
    session.do("lock_anchor", {"frame": 0, "locked": False})
