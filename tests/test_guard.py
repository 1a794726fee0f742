"""The guard in front of everything: foreign hosts and origins, large and stalled bodies, strangers do not get in."""

import asyncio
import os
import shutil
import time

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from app.accounts import WORK, Accounts, set_password
from app.belongings import Belongings
from app.guard import Guard, Rules
from app.login import Door
from app.people import USER
from app.uploads import FREE, KEPT, Uploads

HOME = "http://127.0.0.1:7860"


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


def client() -> TestClient:
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])
    return TestClient(Guard(app, ["127.0.0.1", "localhost", "::1"], max_body=1000), base_url=HOME)


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860"])
def test_own_hosts_are_answered(host):
    assert client().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:7860", "", "[::1", "127.0.0.1@evil.example"]
)
def test_other_hosts_are_not(host):
    assert client().get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://localhost:7860"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
def test_changes_from_other_sites_are_refused(headers):
    assert client().post("/", headers=headers).status_code == 403
    assert client().get("/", headers=headers).status_code == 200  # reading is the browser's own policy to refuse


@pytest.mark.parametrize("headers", [{}, {"origin": HOME}, {"sec-fetch-site": "same-origin"}], ids=str)
def test_changes_from_the_page_and_from_programs_pass(headers):
    assert client().post("/", headers=headers, content=b"x" * 10).text == "10"


def test_large_bodies_are_refused_announced_or_not():
    assert client().post("/", content=b"x" * 1001).status_code == 413
    assert client().post("/", content=iter([b"x" * 600, b"x" * 600])).status_code == 413
    assert client().post("/", content=iter([b"x" * 600, b"x" * 400])).text == "1000"


def test_a_lying_length_is_refused():
    assert client().post("/", headers={"content-length": "many"}, content=b"").status_code == 413


def test_answers_carry_the_protective_headers():
    headers = client().get("/").headers
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "SAMEORIGIN"


def test_two_hosts_are_none():
    assert client().get("/", headers=[("host", "127.0.0.1"), ("host", "evil.example")]).status_code == 421


@pytest.mark.parametrize("origin", ["http://[", "//", "http://127.0.0.1:7860@evil.example", "file://", "chrome-extension://x"])
def test_odd_origins_are_foreign(origin):
    assert client().post("/", headers={"origin": origin}).status_code == 403


# --- with rules -------------------------------------------------------------------------------------------


async def tell(request: Request) -> PlainTextResponse:
    """What the application sees of a request."""
    seen = {**request.headers, "client": request.client.host, "scheme": request.url.scheme, "user": request.scope[USER]}
    return PlainTextResponse(repr(seen))


async def crash(request: Request) -> PlainTextResponse:
    raise RuntimeError("/var/lib/secret.py, line 3")


async def own_crash(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Traceback: /var/lib/secret.py", 500)


def guarded(folder, peer: str = "127.0.0.1", base: str = HOME, **more) -> TestClient:
    methods = ["GET", "POST", "HEAD"]
    paths = {"/": tell, "/config": crash, "/theme.css": own_crash, "/gradio_api/upload": echo, "/gradio_api/queue/join": echo}
    app = Starlette(routes=[Route(path, one, methods=methods) for path, one in paths.items()])
    given = {"hosts": frozenset(["127.0.0.1"]), "max_body": 1000, "belongings": Belongings(folder), **more}
    guard = Guard(app, rules=Rules(**given))
    return TestClient(guard, base_url=base, client=(peer, 5000), raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture
def door(tmp_path, monkeypatch):
    monkeypatch.setitem(WORK, "n", 2**14)
    monkeypatch.setitem(WORK, "p", 1)
    set_password(tmp_path / "users.json", "ann", "correct horse battery", new=True)
    return Door(Accounts(tmp_path / "users.json"), 7860)


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/run/predict", "/gradio_api/api/predict", "/gradio_api/proxy=http://127.0.0.1", "/gradio_api/stream/x",
     "/gradio_api/file/etc/passwd", "/monitoring", "/monitoring/summary", "/gradio_api/deep_link", "/gradio_api/component_server",
     "/gradio_api/dev/reload", "/gradio_api/vibe-code", "/gradio_api/vibe-edit", "/gradio_api/process_recording", "/login",
     "/gradio_api/run-history/records", "/gradio_api/custom_component/x/client/component/../../a.py", "/docs", "/openapi.json",
     "/gradio_api/profiling/traces", "/gradio_api/token", "/gradio_api/user", "/gradio_api", "/gradio_api/"],
)  # fmt: skip
def test_addresses_that_the_page_does_not_need_are_not_there(tmp_path, path):
    for method in ("GET", "POST"):
        answer = guarded(tmp_path).request(method, path)
        assert answer.status_code == 404 and answer.json()["error"] == "There is nothing at this address."


def test_no_answer_holds_a_traceback_or_lacks_the_headers(tmp_path):
    page = guarded(tmp_path)
    for path in ("/config", "/theme.css"):
        answer = page.get(path)
        assert answer.status_code == 500 and "secret" not in answer.text and "inside Anchorline" in answer.json()["error"]
    host, body, wrong = {"host": "evil.example"}, {"content": b"x" * 2000}, {"origin": "null"}
    answers = [page.get("/"), page.get("/config"), page.get("/none"), page.get("/", headers=host), page.post("/", headers=wrong)]
    answers += [page.post("/gradio_api/upload", **body), page.post("/", content=iter([b"x" * 2000]))]
    for one in answers:
        assert (
            one.headers["x-content-type-options"] == "nosniff" and "object-src 'none'" in one.headers["content-security-policy"]
        )


def test_a_visitor_cannot_say_where_they_come_from_and_a_named_proxy_can(tmp_path):
    said = {"x-forwarded-for": "6.6.6.6, 7.7.7.7", "x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}
    alone = guarded(tmp_path, "10.0.0.9").get("/", headers={**said, "forwarded": "for=6.6.6.6", "x-real-ip": "6.6.6.6"}).text
    assert "6.6.6.6" not in alone and "evil" not in alone and "'client': '10.0.0.9'" in alone and "'scheme': 'http'" in alone
    behind = guarded(tmp_path, "10.0.0.9", proxies=frozenset(["10.0.0.9"])).get("/", headers=said).text
    assert "'client': '7.7.7.7'" in behind and "'scheme': 'https'" in behind and "evil" not in behind


def test_an_address_counts_as_host_only_where_it_is_the_one_reached(tmp_path):
    wide = {"by_address": True, "base": "http://10.1.2.3:7860"}
    assert guarded(tmp_path, **wide).get("/").status_code == 200
    assert guarded(tmp_path, **wide).get("/", headers={"host": "10.1.2.4:7860"}).status_code == 421
    assert guarded(tmp_path, **wide).get("/", headers={"host": "evil.example"}).status_code == 421
    assert guarded(tmp_path, base="http://10.1.2.3:7860").get("/").status_code == 421


def test_passwords_do_not_travel_in_the_clear(tmp_path, door):
    form = {"username": "ann", "password": "correct horse battery"}
    assert guarded(tmp_path, "10.0.0.9", door=door).post("/login", data=form).status_code == 403
    assert guarded(tmp_path, "10.0.0.9", door=door, plain=True).post("/login", data=form).status_code == 200
    assert guarded(tmp_path, "::ffff:127.0.0.1", door=door).post("/login", data=form).status_code == 200
    proxied = guarded(tmp_path, "10.0.0.9", door=door, proxies=frozenset(["10.0.0.9"]))
    https = {"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "https"}
    assert "secure" in proxied.post("/login", data=form, headers=https).headers["set-cookie"].lower()
    assert proxied.post("/login", data=form, headers={**https, "x-forwarded-proto": "http"}).status_code == 403
    foreign = guarded(tmp_path, door=door).post("/login", data=form, headers={"origin": "http://evil.example"})
    assert foreign.status_code == 403 and "set-cookie" not in foreign.headers


def test_a_login_lets_in_and_names_the_user(tmp_path, door):
    page = guarded(tmp_path, door=door)
    assert page.get("/").status_code == 401 and page.get("/", headers={"accept": "text/html"}).status_code == 303
    assert page.get("/", headers={"cookie": 'anchorline_7860="\\'}).status_code == 401
    page.post("/login", data={"username": "ann", "password": "correct horse battery"})
    assert "'user': 'ann'" in page.get("/").text
    assert page.post("/gradio_api/queue/join", json={"session_hash": "mine"}).status_code == 200
    for wrong in (b"[]", b"{", b"\xff", b'{"session_hash": 1}', b'{"event_id": "of somebody"}', b"[" * 900):
        answer = page.post("/gradio_api/queue/join", content=wrong, headers={"content-type": "application/json"})
        assert answer.status_code == 403


def test_websockets_are_closed_before_they_open(tmp_path, door):
    for page in (guarded(tmp_path), guarded(tmp_path, door=door)):
        with pytest.raises(WebSocketDisconnect), page.websocket_connect("ws://127.0.0.1:7860/gradio_api/queue/join"):
            pass


def test_strangers_and_users_have_a_rate(tmp_path, door):
    page = guarded(tmp_path, door=door)
    codes = [page.get("/").status_code for _ in range(140)]
    assert codes[:100] == [401] * 100 and 429 in codes[100:]


def post_in_pieces(page: TestClient, path: str, pieces: list[bytes | None]) -> int:
    """The status of a POST whose body arrives in these pieces; None = nothing comes any more."""
    given, sent = iter(pieces), []

    async def receive():
        piece = next(given, b"")
        if piece is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"text/plain")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers, "scheme": "http"}
    asyncio.run(page.app({**scope, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860)}, receive, send))
    return sent[0]["status"]


def test_a_body_that_stops_coming_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("app.guard.SILENCE", 0.05)
    assert post_in_pieces(guarded(tmp_path), "/gradio_api/upload", [b"x", None]) == 408
    assert post_in_pieces(guarded(tmp_path), "/gradio_api/upload", [b"x", b"x"]) == 200
    assert post_in_pieces(guarded(tmp_path), "/gradio_api/upload", [b"x" * 600] * 2) == 413


# --- uploads ----------------------------------------------------------------------------------------------


def test_uploads_stop_at_the_quota_and_leave_room_on_the_disk(tmp_path, monkeypatch):
    uploads = Uploads(tmp_path, most=1000, quota=5000, used=lambda user: 4500 if user == "ann" else 0)
    assert uploads.refusal("bob", 900) is None and uploads.refusal("ann", 400) is None
    assert uploads.refusal("ann", 600)[0] == 413 and uploads.refusal("bob", 1001)[0] == 413
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("app.uploads.shutil.disk_usage", lambda path: usage._replace(free=FREE + 100))
    assert uploads.refusal("bob", 50) is None and uploads.refusal("bob", 200)[0] == 507
    page = guarded(tmp_path, uploads=uploads)
    assert page.post("/gradio_api/upload", content=b"x" * 200).status_code == 507


def test_twenty_files_do_not_pass_a_limit_for_one(tmp_path):
    page = guarded(tmp_path, uploads=Uploads(tmp_path, most=1000))
    files = [("files", (f"{i}.bin", b"x" * 90)) for i in range(20)]
    assert page.post("/gradio_api/upload", files=files).status_code == 413


def test_a_long_upload_is_stopped_when_the_disk_fills_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr("app.guard.LOOK_EVERY", 100)
    calls = []

    class Filling(Uploads):
        def refusal(self, user: str, length: int) -> tuple[int, str] | None:
            calls.append(length)
            return (507, "full") if len(calls) > 3 else None

    page = guarded(tmp_path, uploads=Filling(tmp_path, most=100_000), max_body=100_000)
    assert post_in_pieces(page, "/gradio_api/upload", [b"x" * 150] * 50) == 507 and len(calls) == 4


def test_the_janitor_takes_what_nobody_fetched(tmp_path):
    old, fresh = tmp_path / "tmpaborted", tmp_path / "a" / "clip.mp4"
    (tmp_path / "b").mkdir()
    fresh.parent.mkdir()
    for one in (old, fresh, tmp_path / "b" / "old.mp4"):
        one.write_bytes(b"x")
    past = time.time() - KEPT - 1
    for one in (old, tmp_path / "b" / "old.mp4"):
        os.utime(one, (past, past))
    uploads = Uploads(tmp_path, most=1)
    assert uploads.sweep() == 2 and not old.exists() and fresh.exists()
    os.utime(tmp_path / "b", (past, past))
    uploads.sweep()
    assert not (tmp_path / "b").exists() and fresh.exists() and tmp_path.exists()
    assert uploads.sweep(time.time() + 3600) == 1 and not fresh.exists()
