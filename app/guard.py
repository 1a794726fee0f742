"""One ASGI guard in front of Gradio's routes and ours: host, origin, size, rate, login, and what is whose.

A page on another site can send requests to a server on this machine, and a name that is re-bound to 127.0.0.1 can read
the answers. So: the Host must be ours (421), a request that changes something must come from our own page or from a
program (403), and no body is larger than its address takes, or arrives at a crawl (413, 408). Where users log in, nobody
else gets further than the login page (401), and sessions, events and uploaded files are the user's whose they are (403).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.belongings import FAR, GRADIO, NOT_YOURS, UPLOAD, Belongings, gives_names, is_far, is_known, takes_json
from app.login import Asked, Door
from app.people import USER
from app.uploads import Uploads

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
MAX_JSON = 16 * 2**20  # of a body for Gradio's own routes, uploads apart
SILENCE = 60.0  # seconds without a byte after which a body counts as given up
LOOK_EVERY = 64 * 2**20  # bytes of an upload between two looks at the disk
TOOLS = f"{GRADIO}/mcp/"
"""For language models that act for this machine's own user; Gradio has nothing there unless it is told to."""
STARTED = f"{GRADIO}/startup-events"
"""Gradio asks this once of itself when it starts; it says nothing and is nobody's."""
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""Gradio's page needs scripts in the page; what such a script could do stays between the page and this server."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
    "Content-Security-Policy": POLICY,
}
BUG = "Something went wrong inside Anchorline; its log says what. Nothing was changed."
FOREIGN = "Requests from other sites are refused."
NOT_HERE = "There is nothing at this address."
log = logging.getLogger("anchorline")


class Refused(Exception):
    """The body went over a limit, or stopped coming, while it was being read."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said


@dataclass(frozen=True)
class Rules:
    """`hosts` are the host names (no port) that this server answers to; the address that a request reached counts too where
    `by_address`. `door`: users log in there. `proxies`: addresses of reverse proxies whose word is taken on who is asking."""

    hosts: frozenset[str]
    max_body: int
    by_address: bool = False
    plain: bool = False
    """Whether users may come over http from beyond this machine, where everybody on the way reads along."""
    proxies: frozenset[str] = frozenset()
    door: Door | None = None
    belongings: Belongings | None = None
    uploads: Uploads | None = None


class Rate:
    """A bucket of `burst` requests for each key, filled again at `per_second`."""

    def __init__(self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._left: dict[str, tuple[float, float]] = {}

    def takes(self, key: str) -> bool:
        now = self._clock()
        if len(self._left) > 10_000:
            full = self._burst / self._per_second
            self._left = {one: kept for one, kept in self._left.items() if now - kept[1] < full}
        left, at = self._left.get(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        self._left[key] = (left - 1 if left >= 1 else left), now
        return left >= 1


class Guard:
    """Middleware."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = (), max_body: int = 2**30, *, rules: Rules | None = None) -> None:
        self._app = app
        self._rules = rules or Rules(frozenset(host.lower() for host in hosts), max_body)
        self._users, self._strangers = Rate(1000, 200), Rate(100, 20)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = self._believed(scope)
        refusal = self._refusal(scope, headers)
        if refusal is None and self._rules.door is not None:
            refusal = await self._let_in(self._rules.door, scope, headers, receive)
        if refusal is None and scope["type"] == "http":
            refusal = await self._room(scope, headers)
        if refusal is not None:
            await _answer(refusal, scope, receive, send)
        elif scope["type"] == "websocket":
            await _answer(PlainTextResponse(NOT_HERE, 403), scope, receive, send)  # nothing here speaks that way
        else:
            await _Passage(self._app, self._rules, scope, receive, send).run()

    # --- who and where from -------------------------------------------------------------------------------

    def _believed(self, scope: MutableMapping[str, Any]) -> dict[str, str]:
        """The headers by name. What a proxy says of the visitor counts only if it is ours, else nobody sees it."""
        peer = (scope.get("client") or ("", 0))[0]
        trusted = peer in self._rules.proxies
        told = {name.decode("latin1").lower(): value.decode("latin1") for name, value in scope["headers"]}
        if trusted:
            nearest = told.get("x-forwarded-for", "").rpartition(",")[2].strip()
            scope["client"] = (nearest or peer, 0)
            if told.get("x-forwarded-proto", "").rpartition(",")[2].strip() == "https":
                scope["scheme"] = "https" if scope["type"] == "http" else "wss"
        drop = {"forwarded", "x-forwarded-host", "x-forwarded-for", "x-forwarded-prefix", "x-forwarded-port", "x-real-ip"}
        drop |= set() if trusted else {"x-forwarded-proto"}
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name.decode("latin1").lower() not in drop]
        return {name: value for name, value in told.items() if name not in drop}

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        host = headers.get("host", "")
        names = [value for name, value in scope["headers"] if name.lower() == b"host"]
        if len(names) != 1 or not self._answers_to(_host_name(host), scope):
            return PlainTextResponse("This server does not answer to that host name.", 421)
        if scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS:
            origin = headers.get("origin")
            if origin is not None and not _same_origin(origin, host):
                return PlainTextResponse(FOREIGN, 403)
            if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
                return PlainTextResponse(FOREIGN, 403)
        return None

    def _answers_to(self, name: str, scope: Scope) -> bool:
        if name in self._rules.hosts:
            return True
        # An address is no name that could be re-bound; it must be the one that was reached.
        reached = (scope.get("server") or ("", 0))[0]
        return self._rules.by_address and bool(name) and _address(name) == _address(reached or "") != ""

    async def _let_in(self, door: Door, scope: Scope, headers: dict[str, str], receive: Receive) -> Response | None:
        """None when a user is asking, whose name is then in the scope; else what to answer."""
        client, path = (scope.get("client") or ("", 0))[0], scope["path"]
        user = door.user_of(headers)
        rate, key = (self._users, user) if user else (self._strangers, _neighbourhood(client))
        if not rate.takes(key):
            return JSONResponse({"error": "Too many requests; wait a moment."}, 429, {"Retry-After": "2"})
        if not (_secure(scope) or self._rules.plain or _is_loopback(client)):
            return PlainTextResponse("This server is reached by https only.", 403)
        method = scope.get("method", "GET")
        asked = Asked(method, path, scope["query_string"].decode("latin1"), headers, b"", _neighbourhood(client), _secure(scope))
        if scope["type"] == "http" and (path.rstrip("/") in ("/login", "/logout")):
            body = await _whole(receive, MAX_JSON) if method == "POST" else b""
            return await door.answer(Asked(**{**vars(asked), "body": body}))
        if user:
            scope[USER] = user
            return None
        return None if path.rstrip("/") == STARTED and method == "GET" else door.turned_away(asked)

    # --- whether it may, and fits -------------------------------------------------------------------------

    async def _room(self, scope: MutableMapping[str, Any], headers: dict[str, str]) -> Response | None:
        path, rules = scope["path"], self._rules
        scope.setdefault(USER, "")
        tools = rules.door is None and (path + "/").startswith(TOOLS)
        if rules.belongings is not None and not (is_known(path) or tools):
            return JSONResponse({"error": NOT_HERE, "detail": NOT_HERE}, 404)
        if rules.belongings is not None and is_far(path):
            return JSONResponse({"error": FAR, "detail": FAR}, 403)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > rules.max_body:
            return PlainTextResponse(f"The request is too large; the limit is {rules.max_body // 2**20} MB.", 413)
        if path.rstrip("/") == UPLOAD and rules.uploads is not None:
            full = await run_in_threadpool(rules.uploads.refusal, scope[USER], int(length))
            if full:
                return PlainTextResponse(full[1], full[0])
        if rules.door is not None and rules.belongings is not None:
            query = scope["query_string"].decode("latin1")
            if not rules.belongings.permits(scope[USER], scope["method"], path, query):
                return JSONResponse({"error": NOT_YOURS, "detail": NOT_YOURS}, 403)
        return None


class _Passage:
    """One request on its way through: its body is counted, its answer gets the protective headers."""

    def __init__(self, app: ASGIApp, rules: Rules, scope: Scope, receive: Receive, send: Send) -> None:
        self._app, self._rules, self._scope, self._receive, self._send = app, rules, scope, receive, send
        self._path = scope["path"]
        self._upload = self._path.rstrip("/") == UPLOAD
        posts = scope["method"] not in SAFE_METHODS
        posts = posts and rules.belongings is not None
        self._watched = posts and rules.door is not None and gives_names(self._path)
        self._read_first = posts and takes_json(self._path)
        small = rules.belongings is not None and self._path.startswith(GRADIO) and not self._upload
        self._most = min(rules.max_body, MAX_JSON) if small else rules.max_body
        self._seen, self._looked, self._more = 0, 0, True
        self._started = False
        self._refused: Refused | None = None
        self._held: bytes | None = None
        self._answer = bytearray()
        self._status = 200

    async def run(self) -> None:
        try:
            if self._read_first:
                await self._check_body()
            await self._app(self._scope, self.receive, self.send)
        except Refused as error:
            self._refused = error
        except Exception:
            log.exception("%s %s", self._scope["method"], self._path)
            if self._started:
                raise
            self._refused = Refused(500, BUG)
        if self._refused is not None and not self._started:
            said = {"error": self._refused.said, "detail": self._refused.said}
            self._started = True
            await _answer(JSONResponse(said, self._refused.status), self._scope, self._receive, self._send)

    async def _check_body(self) -> None:
        """Reads a JSON body before Gradio does: all that it names must be the user's."""
        kinds = [value for name, value in self._scope["headers"] if name.lower() == b"content-type"]
        if len(kinds) != 1 or kinds[0].split(b";")[0].strip().lower() != b"application/json":
            raise Refused(415, "This address takes application/json.")
        body = bytearray()
        while self._more:
            body += (await self._next()).get("body", b"")
        self._held = bytes(body)
        assert self._rules.belongings is not None
        refused = partial(self._rules.belongings.refusal_of, self._scope[USER], self._held, shared=self._rules.door is not None)
        if said := await run_in_threadpool(refused):
            raise Refused(403, said)

    async def receive(self) -> Message:
        if self._held is not None:
            body, self._held = self._held, None
            return {"type": "http.request", "body": body, "more_body": False}
        if not self._more:
            return await self._receive()  # that the client is gone
        return await self._next()

    async def _next(self) -> Message:
        """The next piece of the body. Raises Refused where it is too much, or does not come."""
        try:
            message = await asyncio.wait_for(self._receive(), SILENCE)
        except TimeoutError as error:
            self._refuse(408, "The rest of the request did not come.", error)
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        self._seen += len(message.get("body", b""))
        if self._seen > self._most:
            self._refuse(413, f"The request is too large; the limit is {self._most / 2**20:.3g} MB.")
        uploads = self._rules.uploads
        if self._upload and uploads is not None and self._seen - self._looked > LOOK_EVERY:
            grown, self._looked = self._seen - self._looked, self._seen
            full = await run_in_threadpool(uploads.refusal, self._scope[USER], grown)
            if full:
                self._refuse(*full)
        return message

    def _refuse(self, status: int, said: str, cause: Exception | None = None) -> None:
        self._refused = Refused(status, said)
        raise self._refused from cause

    async def send(self, message: Message) -> None:
        if self._refused is not None and not self._started:
            return  # the application's own words about that; ours follow
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._status == 500 and not _is_ours(self._path, message):
                self._refused = Refused(500, BUG)  # others' words may hold anything
                return
            self._started = True
            message["headers"] = _protected(message.get("headers", ()))
        elif self._watched and message["type"] == "http.response.body" and self._status == 200:
            self._answer += message.get("body", b"")
            if not message.get("more_body", False):
                self._note()
        await self._send(message)

    def _note(self) -> None:
        """What Gradio gives this user is theirs before they hear of it."""
        assert self._rules.belongings is not None
        self._rules.belongings.take_answer(self._scope[USER], self._path, bytes(self._answer))
        if self._upload and self._rules.uploads is not None:
            self._rules.uploads.look_again(self._scope[USER])


def _is_ours(path: str, start: Message) -> bool:
    """Whether our own routes answer, in our own words: those are JSON."""
    kinds = [value for name, value in start.get("headers", ()) if name.lower() == b"content-type"]
    return path.startswith("/api/") and kinds == [b"application/json"]


def _protected(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers with the protective ones, where the answer has none of its own."""
    kept = list(headers)
    have = {name.lower() for name, _ in kept}
    more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    return [*kept, *((name, value) for name, value in more if name not in have)]


async def _answer(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Says it with the protective headers; a websocket is closed before it is one."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    await response(scope, receive, send)


async def _whole(receive: Receive, most: int) -> bytes:
    """A small body as a whole, or as much of it as tells that it is too large."""
    body = bytearray()
    with contextlib.suppress(TimeoutError):
        while len(body) <= most:
            message = await asyncio.wait_for(receive(), SILENCE)
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
    return bytes(body)


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _same_origin(origin: str, host: str) -> bool:
    try:
        return origin != "null" and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _address(name: str) -> str:
    """An IP address in its one spelling; "" for what is none."""
    try:
        return str(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        return ""


def _is_loopback(client: str) -> bool:
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _neighbourhood(client: str) -> str:
    """Whom to count tries for: an address, or the network that one household has of version 6."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client[:64]
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def _secure(scope: Scope) -> bool:
    return scope.get("scheme") in ("https", "wss")
