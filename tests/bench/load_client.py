"""Somebody with the editor open, without a browser: the page's own requests by httpx, and how long each took."""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import suppress
from typing import Any

import httpx

GRADIO = "/gradio_api"
WITHIN = 60.0


class Times:
    """Seconds by kind of request, and what went wrong."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.errors: list[str] = []

    def take(self, kind: str, started: float) -> None:
        self.seconds.setdefault(kind, []).append(time.monotonic() - started)

    def of(self, kind: str) -> list[float]:
        return self.seconds.get(kind, [])


class Page:
    """What a client knows of the page: its events by number."""

    def __init__(self, config: dict[str, Any]) -> None:
        kinds = {one["id"]: one.get("props", {}).get("elem_id") for one in config["components"]}
        self.load, self.moved = -1, -1
        self.asked: list[bool] = []
        """For each input of the event of another frame: whether it is the number that the page says back."""
        for one in config["dependencies"]:
            for target, event in one["targets"]:
                if event == "load" and len(one["outputs"]) > 10:
                    self.load = one["id"]
                if event == "frame" and kinds.get(target) == "canvas":
                    self.moved = one["id"]
                    self.asked = [kinds.get(given) == "given" for given in one["inputs"]]
                    self.told = [kinds.get(given) for given in one["outputs"]].index("given")
        if min(self.load, self.moved) < 0:
            raise ValueError("the page has no such events")


class Client:
    """One tab. `project` is the id of the project that it works on."""

    def __init__(self, base: str, page: Page, project: str, times: Times, seed: int) -> None:
        self.http = httpx.AsyncClient(base_url=base, timeout=WITHIN)
        self.page, self.project, self.times = page, project, times
        self.lot = random.Random(seed)
        self.session = f"load{seed}x{self.lot.randrange(10**9)}"
        self.frames = 1
        self.echo = 0
        self.heart: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Loads the page and its state, and keeps its heartbeat."""
        await self._get("page", "/")
        await self.event("open", self.page.load)
        self.frames = (await self._get("view", f"/api/projects/{self.project}/view")).json()["clip"]["frames"]
        self.heart = asyncio.create_task(self._beat())

    async def close(self) -> None:
        if self.heart is not None:
            self.heart.cancel()
            with suppress(asyncio.CancelledError):
                await self.heart
        await self.http.aclose()

    async def _beat(self) -> None:
        with suppress(httpx.HTTPError):
            async with self.http.stream("GET", f"{GRADIO}/heartbeat/{self.session}", timeout=None) as answer:
                async for _ in answer.aiter_raw():
                    pass

    async def edit(self, until: float, pause: float = 0.5) -> None:
        """Moves about and changes something now and then until the clock (time.monotonic) says so."""
        await asyncio.sleep(self.lot.random() * pause)
        turn = 0
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                await self.step(turn)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                self.times.errors.append(f"{type(error).__name__}: {error}"[:200])
            turn += 1
            await asyncio.sleep(max(0.0, pause - (time.monotonic() - started)))

    async def step(self, turn: int) -> None:
        """Another frame: its picture and the panels; every fifth time a change of the document as well."""
        frame = self.lot.randrange(self.frames)
        await self._get("scrub", f"/api/projects/{self.project}/frame/{frame}.jpg")
        if turn % 5 == 4:
            started = time.monotonic()
            act = {"name": "rename", "args": {"name": f"Load {turn}"}}
            answer = await self.http.post(f"/api/projects/{self.project}/acts", json=act)
            answer.raise_for_status()
            self.times.take("act", started)
        await self.event("light", self.page.moved, {"frame": frame})

    async def _get(self, kind: str, path: str) -> httpx.Response:
        started = time.monotonic()
        answer = await self.http.get(path)
        answer.raise_for_status()
        self.times.take(kind, started)
        return answer

    async def event(self, kind: str, number: int, data: dict[str, Any] | None = None) -> None:
        """One of the page's events through Gradio's queue, until its outcome is there. Raises ValueError when it failed."""
        started = time.monotonic()
        given = [] if number == self.page.load else [self.echo if echo else None for echo in self.page.asked]
        body = {"data": given, "fn_index": number, "session_hash": self.session, "event_data": data, "trigger_id": None}
        joined = await self.http.post(f"{GRADIO}/queue/join", params={"project": self.project}, json=body)
        joined.raise_for_status()
        wanted = joined.json()["event_id"]
        async with self.http.stream("GET", f"{GRADIO}/queue/data", params={"session_hash": self.session}) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                said = json.loads(line[5:]) if line.startswith("data:") else {}
                if said.get("msg") == "process_completed" and said.get("event_id") == wanted:
                    if not said.get("success"):
                        raise ValueError(f"the event failed: {str(said.get('output'))[:100]}")
                    self.echo = said["output"]["data"][self.page.told]
                    self.times.take(kind, started)
                if said.get("msg") == "close_stream":
                    return
        raise ValueError("the stream of events ended early")


async def call(http: httpx.AsyncClient, name: str, *data: Any) -> Any:
    """A named endpoint's answer. Raises ValueError with what it said when it failed."""
    joined = await http.post(f"{GRADIO}/call/{name}", json={"data": list(data)})
    joined.raise_for_status()
    address, event = f"{GRADIO}/call/{name}/{joined.json()['event_id']}", ""
    async with http.stream("GET", address, timeout=WITHIN) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith("data:") and event in ("complete", "error"):
                given = json.loads(line[5:])
                if event == "error":
                    raise ValueError(str(given)[:200])
                return given[0] if isinstance(given, list) and given else given
    raise ValueError(f"{name} said nothing")


async def leave_midway(base: str, page: Page, project: str) -> None:
    """A tab that starts an event and is gone before its answer."""
    async with httpx.AsyncClient(base_url=base, timeout=WITHIN) as http:
        session = f"gone{time.monotonic_ns()}"
        body = {"data": [], "fn_index": page.load, "session_hash": session}
        await http.post(f"{GRADIO}/queue/join", params={"project": project}, json=body)
        async with http.stream("GET", f"{GRADIO}/queue/data", params={"session_hash": session}) as answer:
            await answer.aiter_raw().__anext__()


async def read_slowly(host: str, port: int, path: str, until: float) -> int:
    """Asks for something large and takes a kilobyte of it now and then; the bytes that it got."""
    reader, writer = await asyncio.open_connection(host, port, limit=2048)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    await writer.drain()
    got = 0
    while time.monotonic() < until:
        got += len(await reader.read(1024))
        await asyncio.sleep(0.5)
    writer.close()
    return got


async def abort_upload(host: str, port: int) -> None:
    """Begins to upload a gigabyte and is gone after a megabyte."""
    _, writer = await asyncio.open_connection(host, port)
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {2**30}\r\n"
    head += "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="clip.mp4"\r\nContent-Type: video/mp4\r\n\r\n'
    writer.write(head.encode() + part + b"x" * 2**20)
    await writer.drain()
    await asyncio.sleep(0.5)
    writer.close()
