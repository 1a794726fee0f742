"""Odd requests to every route of the editor's own, from the table of routes: addresses, queries, bodies, methods, headers."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from app.actions import ACTIONS, OWN_ACTS
from app.routes import build_api
from app.session import Session
from app.store import SessionStore
from tests.media_fixtures import Clip, write_drawn_clip
from tests.mutants import ODD, ODD_TEXT

ODD_PARTS = (
    "", "0", "-1", "1.5", "x", "999999999999", "9" * 400, "..", "../x", "%2e%2e%2f", "a/b", "\x00", "\n", "ü", "٣", "\ud7ff",
    "<b>", "nan", "inf", "None", "0" * 12, "0" * 64, "a" * 3000, "con", "~", "'", '"', "{}", "$(x)",
)  # fmt: skip
QUERIES = ("x", "y", "label", "v", "width", "frame", "edit", "before", "size", "from", "to", "key", "subject")
KINDS = ("application/json", "application/json; charset=utf-16", "text/plain", "multipart/form-data; boundary=b", "")
WANTED = {
    "frame": 1, "subject": 1, "x": 20.5, "y": 30.5, "label": 1, "box": [5, 5, 60, 60], "xy": [[3, 4], [30, 40]], "radius": 5,
    "mode": "add", "name": "N", "start": 0, "stop": 6, "index": 0, "point": 0, "to": 2, "frames": [1, 2], "locked": True,
}  # fmt: skip
METHODS = ("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")
ENOUGH = 40.0  # seconds for a project to be prepared


@dataclass
class Asked:
    requests: int = 0
    faults: list[str] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)


def own_routes(app: Starlette, base: str = "") -> Iterator[Route]:
    """Every route of the data plane. Raises TypeError for one that this fuzzer would not reach."""
    for one in app.routes:
        if isinstance(one, Mount) or not isinstance(one, Route):
            raise TypeError(f"the fuzzer does not know {one!r}")
        yield one


def fuzz_routes(folder: Path, seed: int, each: int) -> Asked:
    """`each` odd requests to every own route on a real project."""
    (folder / "projects").mkdir()
    store = SessionStore(folder / "projects")
    try:
        session = _prepared(store, folder)
        app, asked = build_api(store), Asked()
        with TestClient(app, raise_server_exceptions=False, base_url="http://127.0.0.1") as page:
            for route in own_routes(app):
                for number in range(each):
                    _ask(page, route, session, random.Random(f"{seed} {route.path} {number}"), asked, folder)
        return asked
    finally:
        store.close()


def _prepared(store: SessionStore, folder: Path) -> Session:
    session = store.create(write_drawn_clip(folder / "in.mp4", Clip(frames=6, audio=("aac",))))
    until = time.monotonic() + ENOUGH
    while session.job and session.job.active and time.monotonic() < until:
        time.sleep(0.02)
    session.do("add_anchor", {"frame": 1})
    return session


def _ask(page: TestClient, route: Route, session: Session, lot: random.Random, asked: Asked, folder: Path) -> None:
    address = _address(route.path, session, lot)
    method = lot.choice(sorted(route.methods or {"GET"}) * 4 + list(METHODS))
    query = {lot.choice(QUERIES): str(lot.choice((*ODD_PARTS, "1", "2.5", "48"))) for _ in range(lot.randrange(4))}
    more: dict[str, Any] = {}
    if method in ("POST", "PUT", "PATCH"):
        more = {"content": _body(lot, session), "headers": {"content-type": lot.choice(KINDS[:1] * 12 + KINDS)}}
    elif lot.random() < 0.2:
        more = {
            "headers": {
                "range": lot.choice(["bytes=0-1", "bytes=9-1", "bytes=-5", "bytes=0-,0-,0-", "x=1", "bytes=" + "9" * 400])
            }
        }
    answer = page.request(method, address, params=query, **more)
    asked.requests += 1
    asked.statuses[answer.status_code] = asked.statuses.get(answer.status_code, 0) + 1
    why = fault_of(answer, folder)
    if why:
        asked.faults.append(f"{method} {address[:120]} {str(query)[:80]} {str(more)[:200]}: {why}")


def _address(path: str, session: Session, lot: random.Random) -> str:
    good = {"project": session.id, "frame": "1", "subject": "1", "key": "0" * 64, "part": "index", "name": "x.mp4", "job": "x"}
    for part in [piece.split("}")[0] for piece in path.split("{")[1:]]:
        keep = lot.random() < (0.9 if part == "project" else 0.4)
        value = good.get(part.split(":")[0], "1") if keep else lot.choice(ODD_PARTS)
        path = path.replace("{" + part + "}", quote(value, safe="" if lot.random() < 0.7 else "/"), 1)
    return path


def _body(lot: random.Random, session: Session) -> bytes:
    """What a page, a broken program or a bad one would send."""
    which = lot.random()
    if which < 0.15:
        return lot.choice([text.encode("utf-8", "surrogatepass") for text in ODD_TEXT] + [lot.randbytes(200), b""])
    if which < 0.65:
        names = [*ACTIONS, *OWN_ACTS]
        name = lot.choice(names)
        wanted = sorted(ACTIONS[name].args) if name in ACTIONS else list(OWN_ACTS[name])
        body: dict[str, Any] = {"name": name, "args": {arg: _value(arg, lot) for arg in wanted if lot.random() < 0.95}}
    else:
        keys = (
            "name",
            "args",
            "frame",
            "png",
            "over",
            "keys",
            "tour",
            "ids",
            "id",
            "row",
            "by",
            "job",
            "state",
            "gesture",
            "take",
        )
        body = {lot.choice(keys): lot.choice(ODD) for _ in range(lot.randrange(5))}
    return json.dumps(body).encode("utf-8", "surrogatepass")


def _value(name: str, lot: random.Random) -> Any:
    """Half of the values are of the kind that is wanted."""
    return WANTED.get(name, 1) if lot.random() < 0.5 else lot.choice(ODD)


def fault_of(answer: Any, folder: Path) -> str:
    """What is wrong with an answer; "" when nothing is."""
    if answer.status_code >= 500:
        return f"status {answer.status_code}: {answer.text[:200]}"
    if answer.status_code < 400 or not answer.content:
        return ""
    if answer.status_code == 416:
        return ""
    text = answer.text
    if str(folder) in text or "Traceback" in text or "/app/" in text:
        return f"a path: {text[:200]}"
    try:
        said = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return "" if answer.status_code == 400 and "ange" in text else f"no sentence: {text[:200]}"
    return "" if isinstance(said, str) and 5 < len(said) < 500 and said.isprintable() else f"no sentence: {said!r:.200}"
