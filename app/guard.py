"""One ASGI guard in front of Gradio's routes and ours: Host, Origin, size (RELIABILITY §2.4).

A page on another site can send requests to a server on this machine, and a name that is re-bound to 127.0.0.1 can
read the answers. So: the Host must be ours (421), a request that changes something must come from our own page or
from a program (403), and no body is larger than the limit (413).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"SAMEORIGIN"),
)


class TooLarge(Exception):
    """The body went over the limit while it was being read."""


class Guard:
    """Middleware. `hosts` are the host names (no port) that this server answers to."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], max_body: int) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin1").lower(): value.decode("latin1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal:
            await refusal(scope, receive, send)
            return
        await self._pass_on(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if _host_name(host) not in self._hosts:
            return PlainTextResponse("This server does not answer to that host name.", 421)
        if scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS:
            origin = headers.get("origin")
            if origin is not None and (origin == "null" or urlsplit(origin).netloc.lower() != host.lower()):
                return PlainTextResponse("Requests from other sites are refused.", 403)
            if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
                return PlainTextResponse("Requests from other sites are refused.", 403)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._max_body:
            return PlainTextResponse(f"The request is too large; the limit is {self._max_body // 2**20} MB.", 413)
        return None

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen, started = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_body:
                raise TooLarge
            return message

        async def marked(message: Message) -> None:
            nonlocal started
            if seen > self._max_body and not started:
                return  # the application's own words about TooLarge; ours follow
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        with contextlib.suppress(TooLarge):
            await self._app(scope, counted, marked)
        if seen > self._max_body and not started:
            await PlainTextResponse("The request is too large.", 413)(scope, receive, send)


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
