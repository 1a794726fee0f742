"""Logging in: tokens in cookies, tries that are throttled, and a plain page of our own that works without scripts."""

from __future__ import annotations

import asyncio
import hashlib
import html
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from app.accounts import Accounts

IDLE = 12 * 3600.0  # seconds without a request after which a login ends
LONGEST = 7 * 86400.0  # seconds after which it ends in any case
MOST_TOKENS = 50  # logins of one user at a time; the oldest ends
TRIES, WITHIN = 5, 60.0
MOST_BODY = 8192
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Anchorline – {title}</title>
<style>
:root {{ color-scheme: light dark; --line: #c9ccd3; --ground: #f6f7f9; --sheet: #fff; --ink: #1d2026; --act: #2457d6 }}
@media (prefers-color-scheme: dark) {{
  :root {{ --line: #3b3f48; --ground: #14161a; --sheet: #1d2026; --ink: #e8eaee; --act: #5b8bff }}
}}
* {{ box-sizing: border-box }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }}
main {{ width: min(22rem, calc(100vw - 2rem)); padding: 1.75rem; background: var(--sheet); border: 1px solid var(--line);
  border-radius: 10px }}
h1 {{ margin: 0 0 1rem; font-size: 1.15rem }}
label {{ display: block; margin: .75rem 0 .25rem }}
input {{ width: 100%; padding: .5rem .6rem; font: inherit; color: inherit; background: var(--ground);
  border: 1px solid var(--line); border-radius: 6px }}
button {{ width: 100%; margin-top: 1.25rem; padding: .55rem; font: inherit; font-weight: 600; color: #fff; background: var(--act);
  border: 0; border-radius: 6px; cursor: pointer }}
@media (prefers-color-scheme: dark) {{ button {{ color: #0b0d11 }} }}
:focus-visible {{ outline: 2px solid var(--act); outline-offset: 2px }}
p {{ margin: 0 0 .5rem }} .wrong {{ border-left: 3px solid #c8321f; padding-left: .6rem }}
</style></head><body><main><h1>Anchorline</h1>{body}</main></body></html>"""
ASKS = """{said}<form method="post" action="/login">
<label for="name">Name</label><input id="name" name="username" autocomplete="username" autocapitalize="none" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<input type="hidden" name="next" value="{after}"><button>Log in</button></form>"""
LEAVES = '<p>You are logged in as {name}.</p><form method="post" action="/logout"><button>Log out</button></form>'


class Throttle:
    """At most `most` tries in `within` seconds, for each key."""

    def __init__(self, most: int = TRIES, within: float = WITHIN, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._within, self._clock = most, within, clock
        self._tries: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def wait(self, *keys: str) -> float:
        """Seconds until another try is allowed; 0 = now, and it counts for all keys."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            full = [self._tries[key][0] for key in keys if len(self._tries.get(key, ())) >= self._most]
            if full:
                return max(full) + self._within - now
            for key in keys:
                self._tries.setdefault(key, deque()).append(now)
            return 0.0

    def forgive(self, name: str, place: str) -> None:
        """A right password: tries with that name do not count, and from that place this one does not."""
        with self._lock:
            self._tries.pop(name, None)
            if self._tries.get(place):
                self._tries[place].pop()

    def _forget(self, now: float) -> None:
        for key, times in list(self._tries.items()):
            while times and times[0] <= now - self._within:
                times.popleft()
            if not times:
                del self._tries[key]


@dataclass
class _Held:
    user: str
    stamp: str
    began: float
    seen: float


class Tokens:
    """Who is logged in. Only digests of the tokens are kept."""

    def __init__(self, accounts: Accounts, clock: Callable[[], float] = time.monotonic) -> None:
        self._accounts, self._clock = accounts, clock
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()

    def begin(self, user: str) -> str:
        token, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._held = {key: one for key, one in self._held.items() if not self._over(one, now)}
            mine = sorted((one.began, key) for key, one in self._held.items() if one.user == user)
            for _, key in mine[: max(0, len(mine) - MOST_TOKENS + 1)]:
                del self._held[key]
            self._held[_digest(token)] = _Held(user, self._accounts.stamp(user), now, now)
        return token

    def user_of(self, token: str) -> str:
        """The user whose token this is; "" when it is nobody's (any more)."""
        now, key = self._clock(), _digest(token)
        with self._lock:
            held = self._held.get(key)
            if held is None:
                return ""
            if self._over(held, now) or self._accounts.stamp(held.user) != held.stamp:
                del self._held[key]
                return ""
            held.seen = now
            return held.user

    def end(self, token: str) -> None:
        with self._lock:
            self._held.pop(_digest(token), None)

    @staticmethod
    def _over(held: _Held, now: float) -> bool:
        return now - held.seen > IDLE or now - held.began > LONGEST


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Asked:
    """A request as the door sees it: `client` is the address it came from, `secure` whether nobody could listen."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    client: str
    secure: bool


class Door:
    """Login, logout and the question who is asking. `port` goes into the cookie's name: ports of a host share cookies."""

    def __init__(self, accounts: Accounts, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._accounts, self._cookie = accounts, f"anchorline_{port}"
        self.tokens = Tokens(accounts, clock)
        self._throttle = Throttle(clock=clock)
        self._hashing = asyncio.Semaphore(2)  # each takes 32 MB and a quarter of a second

    def user_of(self, headers: dict[str, str]) -> str:
        """The name of the user who is asking; "" = nobody is logged in."""
        return self.tokens.user_of(self._token(headers))

    def _token(self, headers: dict[str, str]) -> str:
        try:
            kept = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return kept.value if kept else ""

    def turned_away(self, asked: Asked) -> Response:
        """The answer to whoever is not logged in: the page for people, a sentence for programs."""
        if asked.method == "GET" and "text/html" in asked.headers.get("accept", ""):
            wanted = quote(asked.path + (f"?{asked.query}" if asked.query else ""), safe="")
            return RedirectResponse(f"/login?next={wanted}", 303)
        return JSONResponse({"error": "Log in first.", "detail": "Log in first."}, 401)

    async def answer(self, asked: Asked) -> Response:
        """What /login and /logout say."""
        if asked.path.rstrip("/") == "/logout":
            return self._leave(asked)
        if asked.method in ("GET", "HEAD"):
            return _page("log in", ASKS.format(said="", after=html.escape(_after(asked.query), quote=True)))
        if asked.method != "POST":
            return JSONResponse({"error": "This address does not take that kind of request."}, 405)
        return await self._enter(asked)

    async def _enter(self, asked: Asked) -> Response:
        kind = asked.headers.get("content-type", "").split(";")[0].strip()
        if kind != "application/x-www-form-urlencoded" or len(asked.body) > MOST_BODY:
            return JSONResponse({"error": "A login is a form of at most 8 kB with username and password."}, 400)
        try:
            form = parse_qs(asked.body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
        except ValueError:
            form = {}
        name, password, wanted = (form.get(key, [""])[-1] for key in ("username", "password", "next"))
        keys = f"as {name[:64].casefold()}", f"from {asked.client}"
        seconds = self._throttle.wait(*keys)
        if seconds > 0:
            return self._refused(asked, wanted, 429, _too_often(seconds), {"Retry-After": str(math.ceil(seconds))})
        async with self._hashing:
            right = await run_in_threadpool(self._accounts.check, name, password)
        if not right:
            return self._refused(asked, wanted, 401, "Name or password is wrong.", {})
        self._throttle.forgive(*keys)
        answer: Response = RedirectResponse(_local(wanted), 303) if _person(asked) else JSONResponse({"success": True})
        answer.set_cookie(
            self._cookie, self.tokens.begin(name), max_age=int(LONGEST), httponly=True, samesite="strict", secure=asked.secure
        )
        return answer

    def _refused(self, asked: Asked, wanted: str, status: int, said: str, headers: dict[str, str]) -> Response:
        if not _person(asked):
            return JSONResponse({"error": said, "detail": said}, status, headers)
        told = f'<p class="wrong" role="alert">{html.escape(said)}</p>'
        return _page("log in", ASKS.format(said=told, after=html.escape(_local(wanted), quote=True)), status, headers)

    def _leave(self, asked: Asked) -> Response:
        token = self._token(asked.headers)
        user = self.tokens.user_of(token)
        if asked.method == "POST":
            self.tokens.end(token)
            answer: Response = RedirectResponse("/login", 303) if _person(asked) else JSONResponse({"success": True})
            answer.delete_cookie(self._cookie, httponly=True, samesite="strict", secure=asked.secure)
            return answer
        return _page("log out", LEAVES.format(name=html.escape(user))) if user else RedirectResponse("/login", 303)


def _person(asked: Asked) -> bool:
    return "text/html" in asked.headers.get("accept", "")


def _too_often(seconds: float) -> str:
    return f"Too many tries; wait {math.ceil(seconds)} seconds, then try again."


def _after(query: str) -> str:
    return _local(parse_qs(query, max_num_fields=100).get("next", ["/"])[-1]) if query.count("&") < 100 else "/"


def _local(address: str) -> str:
    """Where to go after logging in: an address on this server, whatever was asked."""
    plain = address.startswith("/") and not address.startswith(("//", "/login", "/logout"))
    return address if plain and address.isprintable() and "\\" not in address else "/"


def _page(title: str, body: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    kept = {"Cache-Control": "no-store", "Content-Security-Policy": PAGE_POLICY, **(headers or {})}
    return HTMLResponse(PAGE.format(title=title, body=body), status, kept)
