"""The guard in front of everything: foreign hosts, foreign origins and large bodies do not get in."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.guard import Guard

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
