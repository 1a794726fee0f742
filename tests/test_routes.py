"""The data plane: every wrong request is one sentence with the right number, and says nothing about this machine."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from app import routes
from app.session import Session
from app.store import SessionStore
from engine import EngineError
from engine.media.images import encode_png
from tests.media_fixtures import Clip, write_drawn_clip
from tests.recipes import BOX, clip_in

Json = dict[str, Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionStore]:
    home = tmp_path_factory.mktemp("home")
    (home / "projects").mkdir()
    opened = SessionStore(home / "projects")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def session(store: SessionStore) -> Session:
    session = store.create(clip_in(store.home.parent))
    for _ in range(1500):
        if session.job is None or not session.job.active:
            break
        time.sleep(0.02)
    assert session.material.pack and session.material.pack.complete
    return session


@pytest.fixture(scope="module")
def page(store: SessionStore) -> TestClient:
    return TestClient(routes.build_api(store), raise_server_exceptions=True)


def act(page: TestClient, session: Session, name: Any, args: Any = None, **more: Any) -> Any:
    body = {"name": name, "args": {} if args is None else args, **more}
    raw = json.dumps(body)
    return page.post(f"/projects/{session.id}/acts", content=raw, headers={"content-type": "application/json"})


def refused(answer: Any, status: int, session: Session | None = None) -> str:
    """The sentence of a refusal."""
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    said = answer.json()["error"]
    assert isinstance(said, str) and 5 < len(said) < 400 and "\n" not in said
    assert "Traceback" not in said and "/home" not in said and "/tmp" not in said and "projects/" not in said
    return said


# --- addresses --------------------------------------------------------------------------------------------

PATHS = ["view", "status", "times", "audio", "jobs/x", "pack/index", "frame/0.jpg", "edited/0.jpg", "exports/x", "mask/1/0.png"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("identity", ["0" * 12, "x", "..%2f..", "%00", "0" * 13, "5A3B1E000001"])
def test_unknown_projects(page: TestClient, path: str, identity: str) -> None:
    refused(page.get(f"/projects/{identity}/{path}"), 404)


@pytest.mark.parametrize(
    "path",
    [
        "frame/24.jpg", "frame/-1.jpg", "frame/1.5.jpg", "frame/x.jpg", "frame/" + "9" * 5000 + ".jpg", "frame/٣.jpg",
        "edited/24.jpg", "edited/9999999999999.jpg", "mask/1/24.png", "mask/9/0.png", "mask/x/0.png", "mask/1/5.png",
        "pack/other", "pack/..%2fabout.json", "pack/done.json", "jobs/nobody", "exports/none.mp4", "exports/..%2fproject.db",
        "exports/%2e%2e%2fproject.db", "exports/..", "object/" + "0" * 64 + ".png", "nothing", "acts", "", "paint",
    ],
)  # fmt: skip
def test_what_is_not_there(page: TestClient, session: Session, path: str) -> None:
    refused(page.get(f"/projects/{session.id}/{path}"), 405 if path in ("acts", "paint") else 404)


@pytest.mark.parametrize("key", ["x", "..%2f..%2fproject.db", "G" * 64, "0" * 63, "%00" * 64])
def test_what_is_no_key(page: TestClient, session: Session, key: str) -> None:
    assert page.get(f"/projects/{session.id}/object/{key}.png").status_code in (400, 404)


@pytest.mark.parametrize(
    "name",
    ["../app/routes.py", "..%2fapp%2froutes.py", "..%5capp", "%2e%2e%2fREADME.md", "/etc/passwd", "%2fetc%2fpasswd", "", ".",
     "x.js", "page.css%00", "....//page.css", "canvas"],
)  # fmt: skip
def test_static_files_stay_in_their_folder(page: TestClient, name: str) -> None:
    assert page.get(f"/static/{name}").status_code == 404


def test_static_files_are_there(page: TestClient) -> None:
    answer = page.get("/static/page.css")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/css")


def test_methods(page: TestClient, session: Session) -> None:
    for path in ("view", "status", "frame/0.jpg", "pack/index"):
        refused(page.post(f"/projects/{session.id}/{path}", json={}), 405)
    refused(page.put(f"/projects/{session.id}/acts", json={}), 405)
    refused(page.delete(f"/projects/{session.id}"), 404)


def test_what_is_there(page: TestClient, session: Session) -> None:
    base = f"/projects/{session.id}"
    assert page.get(f"{base}/view").json()["clip"]["frames"] == 24
    assert page.get(f"{base}/status").json()["pack"]["complete"] is True
    assert page.get(f"{base}/frame/23.jpg").content[:2] == b"\xff\xd8"
    assert len(page.get(f"{base}/times").content) == 24 * 4
    assert len(page.get(f"{base}/pack/index", headers={"range": "bytes=24-47"}).content) == 24
    assert page.get(f"{base}/audio").content[4:8] == b"ftyp"
    for wrong in ("bytes=99999999-", "bytes=5-2", "pages=1-2", "bytes=x-y", "bytes=" + "0-1," * 2000 + "0-1"):
        assert page.get(f"{base}/pack/index", headers={"range": wrong}).status_code in (200, 206, 400, 416)


def test_a_preview_is_a_mask_and_changes_nothing(page: TestClient, session: Session) -> None:
    base, rev = f"/projects/{session.id}/preview", session.editor.rev
    height, width = session.editor.project.video.size
    answer = page.get(f"{base}/0/3.png?x={width / 2}&y={height / 2}&label=1")
    mask = np.array(Image.open(io.BytesIO(answer.content)))[..., 3]
    assert answer.headers["cache-control"] == "no-store" and mask.shape == (height, width)
    assert mask[height // 2, width // 2] == 255 and session.editor.rev == rev
    for wrong in ("", "?x=1&y=1", "?x=1&y=1&label=2", "?x=-1&y=1&label=1", f"?x={width}&y=1&label=1", "?x=nan&y=1&label=1"):
        refused = page.get(f"{base}/0/3.png{wrong}")
        assert refused.status_code == 400 and refused.json()["error"].startswith("A preview ")
    assert page.get(f"{base}/0/999.png?x=1&y=1&label=1").status_code == 404


# --- bodies -----------------------------------------------------------------------------------------------


def post(
    page: TestClient, session: Session, raw: bytes | Iterator[bytes], kind: str = "application/json", to: str = "acts"
) -> Any:
    return page.post(f"/projects/{session.id}/{to}", content=raw, headers={"content-type": kind})


@pytest.mark.parametrize("to", ["acts", "paint", "jobs/x/cancel"])
@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"3", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 60_000, b"9" * 5000], ids=str
)
def test_what_is_no_json_object(page: TestClient, session: Session, to: str, raw: bytes) -> None:
    refused(post(page, session, raw, to=to), 400)


def test_other_content_types_are_refused(page: TestClient, session: Session) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        refused(post(page, session, b"{}", kind), 400)


def test_large_bodies_are_not_read_to_their_end(page: TestClient, session: Session) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 2 * routes.MAX_ACT:
            sent += 2**18
            yield b" " * 2**18

    refused(post(page, session, endless()), 413)
    refused(post(page, session, b'{"name": "' + b"x" * routes.MAX_ACT + b'"}'), 413)
    assert refused(post(page, session, b'{"name": "' + b"x" * (routes.MAX_ACT - 100) + b'"}'), 400)


POINT = {"frame": 0, "subject": 1, "x": 30, "y": 40, "label": 1}
ACTS: list[tuple[Any, Any]] = [
    (None, {}), (3, {}), ("", {}), ("nothing", {}), ("__class__", {}), ("\ud800", {}), ("add_point", []), ("add_point", None),
    ("add_point", {}), ("add_point", {**POINT, "extra": 1}), ("add_point", {**POINT, "\ud800": 1}), ("undo", {"x": 1}),
    ("select_subject", {}), ("select_subject", {"subject": 9}), ("select_subject", {"subject": [1]}), ("choose_take", {}),
    ("choose_take", {"frame": 0}), ("choose_take", {"frame": 0, "key": "0" * 64}), ("choose_take", {"frame": [0], "key": None}),
    ("choose_take", {"frame": 0, "key": {"a": 1}}), ("choose_take", {"frame": "0", "key": "../x"}),
    ("delete_take", {"frame": 0, "key": ["x"]}), ("move_anchor", {"frame": 0, "to": 1}),
    ("delete_anchor", {"frame": "x" * 10_000}),
    ("set_range", {"start": 5, "stop": 2}), ("set_range", {"start": None, "stop": []}), ("set_range", {"start": True, "stop": 5}),
    ("rename", {"name": ["x"]}), ("rename", {"name": None}), ("shape_subject", {"subject": 1, "feather": "2"}),
    ("shape_subject", {"subject": 1, "name": 4}), ("shape_subject", {"subject": {}, "feather": 2}),
    ("lock_keyframe", {"frame": 0, "subject": 1, "locked": "yes"}), ("remove_point", {"frame": 0, "subject": 1, "index": 0}),
    ("remove_point", {"frame": 0, "subject": 1, "index": "0"}), ("move_point", {**POINT, "index": 0}),
    ("set_box", {"frame": 0, "subject": 1, "box": [1, 2, 3]}), ("set_box", {"frame": 0, "subject": 1, "box": "abcd"}),
    ("add_stroke", {"frame": 0, "subject": 1, "xy": [[1]], "radius": 3}),
    ("add_stroke", {"frame": 0, "subject": 1, "xy": 3, "radius": 3}),
    ("add_stroke", {"frame": 0, "subject": 1, "xy": [[1, 2]] * 20_001, "radius": 3}),
    ("add_stroke", {"frame": 0, "subject": 1, "xy": [[1, 2]], "radius": float("nan")}), ("add_anchor", {"frame": 24}),
    ("add_anchor", {"frame": 1e99}), ("add_anchor", {"frame": True}), ("remove_subject", {"subject": "1"}),
]  # fmt: skip
for _name, _values in {
    "frame": [-1, 24, 1.5, "0", None, True, [0], {}, 10**400, float("nan")],
    "subject": [0, 9, "1", None, True, [1], {}, 1.5],
    "x": [float("nan"), float("inf"), -9, 1e9, "3", None, True, [1], 10**400, "\ud800"],
    "label": [0, 2, "1", None, True, [1], 1.0],
}.items():
    ACTS += [("add_point", {**POINT, _name: value}) for value in _values]


@pytest.mark.parametrize(("name", "args"), ACTS, ids=range(len(ACTS)))
def test_wrong_acts_change_nothing(page: TestClient, session: Session, name: Any, args: Any) -> None:
    before = session.editor.rev
    refused(act(page, session, name, args), 400)
    assert session.editor.rev == before


def png(pixels: np.ndarray) -> str:
    import cv2

    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()


def test_wrong_paint_is_refused(page: TestClient, session: Session) -> None:
    layer = np.zeros((112, 192, 4), np.uint8)
    layer[:9] = 255
    bomb = bytearray(base64.b64decode(png(layer)))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    mask_key = session.editor.journal.objects.put(encode_png(np.zeros((112, 192), np.uint8)))
    wrong = [
        {}, {"frame": 0}, {"frame": "0", "png": png(layer)}, {"frame": 0, "png": 3}, {"frame": 0, "png": "ä"},
        {"frame": 0, "png": ""}, {"frame": 0, "png": "AAAA"}, {"frame": 0, "png": base64.b64encode(bytes(bomb)).decode()},
        {"frame": 0, "png": png(layer)[:100]}, {"frame": 0, "png": png(layer[..., :3].copy())},
        {"frame": 0, "png": png(layer[:50])},
        {"frame": 24, "png": png(layer)}, {"frame": True, "png": png(layer)}, {"frame": 0, "png": png(0 * layer)},
        {"frame": 0, "png": png(layer), "over": "x"}, {"frame": 0, "png": png(layer), "over": mask_key},
        {"frame": 0, "png": png(layer), "over": 3}, {"frame": 0, "png": png(layer.astype(np.uint16) * 257)},
    ]  # fmt: skip
    before = session.editor.rev
    for body in wrong:
        refused(page.post(f"/projects/{session.id}/paint", json=body), 400)
    assert session.editor.rev == before
    assert page.post(f"/projects/{session.id}/paint", json={"frame": 3, "png": png(layer)}).status_code == 200
    act(page, session, "delete_anchor", {"frame": 3})


# --- the document -----------------------------------------------------------------------------------------


def test_a_click_is_moved_in_one_item_of_undo(page: TestClient, session: Session) -> None:
    assert act(page, session, "set_box", {"frame": 0, "subject": 1, "box": BOX}).status_code == 200
    assert act(page, session, "add_point", POINT).status_code == 200
    for x in (31, 33, 36):
        moved = act(page, session, "move_point", {"frame": 0, "subject": 1, "index": 0, "x": x, "y": 70})
        assert moved.status_code == 200
    points = moved.json()["view"]["subjects"][0]["keyframes"][0]["points"]
    assert points == [[36, 70, 1]]
    back = act(page, session, "undo").json()["view"]["subjects"][0]["keyframes"][0]["points"]
    assert back == [[30, 40, 1]]
    act(page, session, "redo")
    refused(act(page, session, "move_point", {"frame": 0, "subject": 1, "index": 1, "x": 3, "y": 4}), 400)
    refused(act(page, session, "move_point", {"frame": 0, "subject": 1, "index": 0, "x": 300, "y": 4}), 400)


def test_acts_of_two_tabs_are_all_kept(page: TestClient, session: Session) -> None:
    before = len(session.editor.project.edit.anchors)
    answers: list[int] = []

    def tab(frames: range) -> None:
        for frame in frames:
            answers.append(act(page, session, "add_anchor", {"frame": frame}).status_code)

    tabs = [threading.Thread(target=tab, args=(range(start, 24, 2),)) for start in (0, 1)]
    for one in tabs:
        one.start()
    for one in tabs:
        one.join()
    assert set(answers) == {200}
    assert [a.frame for a in session.editor.project.edit.anchors] == list(range(24)) and before < 24
    for frame in range(24):
        act(page, session, "delete_anchor", {"frame": frame})


def test_a_segment_that_was_rendered_before_is_stale(page: TestClient, session: Session) -> None:
    act(page, session, "set_box", {"frame": 0, "subject": 1, "box": BOX})
    take = session.editor.effect_take(0, "recolour", {"colour": "#2050ff"})
    session.editor.approve(0, take.key)

    def states() -> list[tuple[str, bool]]:
        segments = page.get(f"/projects/{session.id}/status").json()["segments"]
        return [(one["state"], one["stale"]) for one in segments]

    assert states() == [("dirty", False)]
    job = session.submit("propagate")
    while job.active:
        time.sleep(0.02)
    assert states() == [("done", False)]
    act(page, session, "shape_subject", {"subject": 1, "grow": 3})
    assert states() == [("dirty", True)]
    act(page, session, "undo")
    assert states() == [("done", False)]


def test_jobs_of_other_projects_are_unknown(page: TestClient, session: Session, store: SessionStore) -> None:
    other = store.create(clip_in(store.home.parent, 12))
    job = other.job
    assert job is not None
    assert page.get(f"/projects/{other.id}/jobs/{job.id}").json()["id"] == job.id
    assert "job" in refused(page.get(f"/projects/{session.id}/jobs/{job.id}"), 404)
    refused(post(page, session, b"{}", to=f"jobs/{job.id}/cancel"), 404)
    started = time.monotonic()
    assert post(page, other, b"{}", to=f"jobs/{job.id}/cancel").json()["job"]["state"] in ("cancelled", "done")
    assert time.monotonic() - started < 2


# --- opening ----------------------------------------------------------------------------------------------


def test_what_cannot_be_opened_is_one_sentence_and_leaves_no_project(store: SessionStore, tmp_path: Path) -> None:
    whole = write_drawn_clip(tmp_path / "whole.mp4", Clip(frames=6)).read_bytes()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "cut.mp4").write_bytes(whole[:600])
    (tmp_path / "text.mp4").write_text("<html>not found</html>" * 50)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://example.org/x.ts\n")
    (tmp_path / "folder").mkdir()
    names = ["empty.mp4", "cut.mp4", "text.mp4", "list.m3u8", "folder", "gone.mp4", "none/../../gone.mp4", "a" * 300]
    paths = [tmp_path / name for name in names]
    paths += [Path(text) for text in ("http://example.org/a.mp4", "concat:a.mp4|b.mp4", "file:///etc/passwd", "/dev/zero", "")]
    before = sorted(store.home.iterdir())
    for path in paths:
        for way in (store.create, store.open, lambda one: store.create(one, keep=True)):
            with pytest.raises(EngineError) as error:
                way(path)
            assert "\n" not in str(error.value) and len(str(error.value)) < 400
            assert str(tmp_path) not in str(error.value)
    assert sorted(store.home.iterdir()) == before


def test_an_upload_is_kept_in_its_project(store: SessionStore, tmp_path: Path) -> None:
    clip = write_drawn_clip(tmp_path / "up load.mp4", Clip(frames=6))
    session = store.create(clip, keep=True)
    clip.unlink()
    assert session.editor.picture(5).shape == (112, 192, 3)
