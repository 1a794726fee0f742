"""What is one user's is nobody else's: over all routes of the app, Gradio's among them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Mount, Route

from app.session import Session
from tests.shared_house import PASSWORD, House, running_house

SECRET = "Annas geheimer Plan"
SAME_FOR_ALL = {
    "/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json", "/pwa_icon", "/pwa_icon/{size}",
    "/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/theme.css", "/gradio_api/app_id",
    "/gradio_api/startup-events", "/gradio_api/queue/status", "/svelte/{path:path}", "/static/{path:path}",
    "/assets/{path:path}", "/api/static/{name}", "/gradio_api/reset", "/api/settings",
}  # fmt: skip
"""Routes that answer every user alike, or with what is the asking user's own; `test_…_hold_nothing_of_anybody` reads them."""
WITHOUT_LOGIN = {"/gradio_api/startup-events", "/login", "/logout"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("house")
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(home / "home" / "uploads")
    with running_house(home / "home", ("ann", "bob")) as one:
        yield one
    os.environ.pop("GRADIO_TEMP_DIR") if before is None else os.environ.update(GRADIO_TEMP_DIR=before)


@pytest.fixture(scope="module")
def secret(house: House) -> Session:
    house.project_of("bob", "Bobs Film")
    session = house.project_of("ann", SECRET)
    session.do("add_anchor", {"frame": 3})
    (session.editor.workspace.exports).mkdir(exist_ok=True)
    (session.editor.workspace.exports / "ann.mp4").write_bytes(b"private")
    return session


@pytest.fixture(scope="module")
def ann(house: House) -> Iterator[httpx.Client]:
    with closing(house.client("ann")) as one:
        yield one


@pytest.fixture(scope="module")
def bob(house: House) -> Iterator[httpx.Client]:
    with closing(house.client("bob")) as one:
        yield one


def routes(app: Any, base: str = "") -> Iterator[tuple[str, str]]:
    """(method, path with its parameters named) of every route, those of mounted apps too."""
    for one in app.routes:
        if isinstance(one, Mount):
            inner = getattr(one.app, "_app", one.app)
            yield from routes(inner, base + one.path)
        elif hasattr(one, "original_router"):  # FastAPI's include_router
            yield from routes(one.original_router, base)
        elif isinstance(one, Route) or hasattr(one, "methods"):
            for method in sorted(one.methods or ()):
                yield method, base + one.path
        else:
            yield "WEBSOCKET", base + getattr(one, "path", str(one))


def test_the_walk_sees_our_routes_and_gradios(house: House) -> None:
    found = {path for _, path in routes(house.page.app)}
    assert {"/gradio_api/queue/data", "/gradio_api/upload", "/api/projects/{project}/view"} <= found and len(found) > 60


def plain(path: str) -> str:
    return path.rstrip("/") or "/"


class Asking:
    """Ann's names put into every address, and her session, event and file into every query and body."""

    def __init__(self, session: Session, joined: dict[str, str], upload: str) -> None:
        key = next(iter(session.editor.workspace.folder.glob("objects/*/*")), Path("0" * 64)).name
        self.values = {
            "project": session.id, "frame": "3", "subject": "1", "key": key, "part": "index", "name": "ann.mp4",
            "job": session.jobs.of(session.editor.journal)[0].id, "session_hash": joined["session_hash"],
            "event_id": joined["event_id"], "path_or_url": upload, "path": upload, "url_path": upload, "api_name": "get_state",
        }  # fmt: skip
        self.query = {"session_hash": joined["session_hash"], "upload_id": "anns", "x": "5", "y": "5", "label": "1"}
        self.body = {**joined, "data": [session.id], "fn_index": 0, "name": "rename", "args": {"name": "Bob was here"}}

    def address(self, path: str) -> str:
        for part in [piece.split("}")[0] for piece in path.split("{")[1:]]:
            name = part.split(":")[0]
            path = path.replace("{" + part + "}", self.values.get(name, "x"))
        return path

    def ask(self, client: httpx.Client, method: str, path: str) -> tuple[int, bytes]:
        """Status, and the first piece of the answer: some never end."""
        body = {"json": self.body} if method in ("POST", "PUT", "PATCH", "DELETE") else {}
        with client.stream(method, self.address(path), params=self.query, **body) as answer:  # type: ignore[arg-type]
            if answer.status_code >= 400:
                return answer.status_code, answer.read()
            return answer.status_code, next(answer.iter_raw(), b"")


@pytest.fixture(scope="module")
def asking(house: House, secret: Session, ann: httpx.Client) -> Asking:
    joined = join(ann, house, "annssession", "get_state", [secret.id])
    return Asking(secret, joined, uploaded(ann, upload_id="anns"))


def join(client: httpx.Client, house: House, session: str, api_name: str, data: list[Any]) -> dict[str, str]:
    index = next(one._id for one in house.page.fns.values() if one.api_name == api_name)
    sent = {"data": data, "fn_index": index, "session_hash": session, "trigger_id": None, "event_data": None}
    answer = client.post("/gradio_api/queue/join", json=sent)
    assert answer.status_code == 200, answer.text
    return {"session_hash": session, "event_id": answer.json()["event_id"]}


def uploaded(client: httpx.Client, content: bytes = b"private bytes", **query: str) -> str:
    answer = client.post("/gradio_api/upload", params=query, files={"files": ("plan.png", content, "image/png")})
    assert answer.status_code == 200, answer.text
    return answer.json()[0]


def test_nobody_gets_anything_without_a_login(house: House, asking: Asking) -> None:
    with closing(house.client()) as nobody:
        answer = nobody.get("/", headers={"accept": "text/html"}, params={"project": "x"})
        assert answer.status_code == 303 and answer.headers["location"] == "/login?next=%2F%3Fproject%3Dx"
        for method, path in routes(house.page.app):
            if method != "WEBSOCKET" and plain(path) not in WITHOUT_LOGIN:
                status, body = asking.ask(nobody, method, path)
                preflight = method == "OPTIONS" and status in (200, 400)
                assert status in (401, 429) or preflight, (method, path, status, body[:100])


def test_no_route_gives_another_user_anything(house: House, asking: Asking, secret: Session, ann, bob) -> None:
    before = secret.editor.rev, secret.editor.project.name
    for method, path in set(routes(house.page.app)):
        if method in ("WEBSOCKET", "OPTIONS") or plain(path) in ("/login", "/logout") or plain(path) in SAME_FOR_ALL:
            continue
        status, body = asking.ask(bob, method, path)
        assert status in (403, 404, 405), (method, path, status, body[:200])
        assert SECRET.encode() not in body and b"private" not in body and b"Traceback" not in body, (method, path)
    assert (secret.editor.rev, secret.editor.project.name) == before
    # The same requests by Ann do give something, so the refusals are about whose it is.
    ours = ("view", "status", "frame/{frame}.jpg", "exports/{name}", "pack/{part}")
    theirs = ("/gradio_api/queue/data", "/gradio_api/heartbeat/{session_hash}", "/gradio_api/file={path_or_url:path}")
    for path in (*(f"/api/projects/{{project}}/{one}" for one in ours), *theirs):
        assert asking.ask(ann, "GET", path)[0] == 200, path


def test_what_is_the_same_for_all_holds_nothing_of_anybody(house: House, asking: Asking, secret: Session, bob) -> None:
    for method, path in set(routes(house.page.app)):
        if method == "GET" and plain(path) in SAME_FOR_ALL:
            body = bob.get(asking.address(path)).content
            assert SECRET.encode() not in body and secret.id.encode() not in body, path
            assert str(house.people.home).encode() not in body, path


def test_streams_events_and_cancels_are_their_users(house: House, secret: Session, ann, bob) -> None:
    mine = join(ann, house, "stream1", "get_state", [secret.id])
    stolen = [
        bob.get("/gradio_api/queue/data", params={"session_hash": "stream1"}),
        bob.get("/gradio_api/queue/data", params={"session_hash": mine["event_id"]}),
        bob.get("/gradio_api/queue/data", params=[("session_hash", "bobs"), ("session_hash", "stream1")]),
        bob.get("/gradio_api/queue/data"),
        bob.get(f"/gradio_api/call/get_state/{mine['event_id']}"),
        bob.get(f"/gradio_api/call/v2/get_state/{mine['event_id']}"),
        bob.get("/gradio_api/heartbeat/stream1"),
        bob.post("/gradio_api/cancel", json={**mine, "fn_index": 0}),
        bob.post("/gradio_api/cancel", json={"session_hash": "bobs", "event_id": mine["event_id"], "fn_index": 0}),
        bob.post("/gradio_api/queue/join", json={"data": [], "fn_index": 0, "session_hash": "stream1"}),
        bob.post("/gradio_api/queue/join", json={"data": [], "fn_index": 0, "session_hash": ["stream1"]}),
    ]
    assert [one.status_code for one in stolen] == [403] * len(stolen)
    plain = bob.post("/gradio_api/cancel", content=json.dumps({**mine, "fn_index": 0}), headers={"content-type": "text/plain"})
    assert plain.status_code == 415
    said = ann.get("/gradio_api/queue/data", params={"session_hash": "stream1"}).text
    assert "process_completed" in said and SECRET in said


def test_an_uploaded_file_is_its_users(house: House, ann, bob) -> None:
    path = uploaded(ann, b"only ann")
    folder, name = os.path.split(path)
    assert ann.get(f"/gradio_api/file={path}").content == b"only ann"
    for way in (path, f"{folder}/./{name}", f"{folder}/../{Path(folder).name}/{name}", f"/proc/self/root{path}", f"{path}/"):
        assert bob.get(f"/gradio_api/file={way}").status_code == 403, way
        for value in (way, f"{house.base}/gradio_api/file={way}", {"path": way, "meta": {"_type": "gradio.FileData"}}):
            body = {"data": [[{"deep": value}]], "fn_index": 0, "session_hash": "bobs"}
            assert bob.post("/gradio_api/queue/join", json=body).status_code == 403, value
            assert bob.post("/gradio_api/call/open_upload", json={"data": [value]}).status_code == 403, value
    assert uploaded(bob, b"only ann") == path and bob.get(f"/gradio_api/file={path}").content == b"only ann"


def test_every_listener_refuses_another_users_project(house: House, secret: Session, bob) -> None:
    """Each function of the page by its number, with Ann's project wherever a value goes in."""
    before = secret.editor.rev
    taken = 0
    for number, one in house.page.fns.items():
        data = [None if type(part).__name__ == "State" else secret.id for part in one.inputs]
        body = {"data": data, "fn_index": number, "session_hash": "bobsown", "event_data": {"project": secret.id, "frame": 1}}
        taken += bob.post("/gradio_api/queue/join", json=body).status_code == 200
    said = bob.get("/gradio_api/queue/data", params={"session_hash": "bobsown"}).text
    assert said.count("process_completed") == taken > 50
    assert SECRET not in said and "Traceback" not in said and str(house.people.home) not in said
    assert secret.editor.rev == before and secret.id not in house.people.of("bob")._open


def test_what_reaches_beyond_a_user_is_refused(house: House, secret: Session, bob) -> None:
    folder = str(secret.editor.workspace.folder)
    for place in (folder, "/etc/passwd", str(house.people.home)):
        joined = join(bob, house, f"beyond{len(place)}", "open_clip", [place, False])
        said = bob.get("/gradio_api/queue/data", params={"session_hash": joined["session_hash"]}).text
        assert "whoever runs this server" in said, said[-300:]
    mine = house.people.of("bob")
    for work in (lambda: mine.open(Path("/etc")), lambda: next(iter(mine._open.values())).relink(Path("/etc"))):
        with pytest.raises(Exception, match=r"server"):
            work()


def test_a_logged_out_user_is_out(house: House) -> None:
    with closing(house.client("bob")) as one:
        assert one.get("/config").status_code == 200
        kept = dict(one.cookies)
        assert one.post("/logout").status_code == 200
        assert httpx.get(f"{house.base}/config", cookies=kept).status_code == 401
        wrong = one.post("/login", data={"username": "bob", "password": PASSWORD + "x"})
        assert wrong.status_code == 401 and "set-cookie" not in wrong.headers
