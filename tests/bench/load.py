"""Ten people at work on one server while a job runs, others that misbehave, more people, many idle ones, a long queue."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx

from tests.bench.editor import EditorServer, editor_server
from tests.bench.harness import BenchError, Figure, Report, percentile, say
from tests.bench.load_client import Client, Page, Times, abort_upload, call, leave_midway, read_slowly
from tests.media_fixtures import Clip, write_drawn_clip

EDITORS, MORE_EDITORS, IDLE, QUEUE = 10, 20, 40, 100
FRAMES = 36
WARM = 15.0  # seconds before memory is read for the first time
PART = 20.0  # seconds of each part after the long one
MINUTES = 1.2
PREPARED_WITHIN = 240.0
LOOPS = 60  # of three seconds of 1080p
FIGURES = (
    Figure("light_p50_ms", "10 editors and a job: an event of the page, p50", "ms"),
    Figure("light_p95_ms", "the same, p95", "ms", 250),
    Figure("scrub_p50_ms", "the same: a frame's picture, p50", "ms"),
    Figure("scrub_p95_ms", "the same, p95", "ms", 50),
    Figure("act_p95_ms", "the same: a change of the document, p95", "ms"),
    Figure("events", "the same: events answered", "events"),
    Figure("errors", "requests that failed, all parts", "requests", 0),
    Figure("growth_mb", "the server's memory, end of that part less its beginning", "MB", 50),
    Figure("jobs_done", "jobs that ran to their end meanwhile", "jobs", 1, "higher"),
    Figure("twenty_p95_ms", "20 editors: an event, p95", "ms", 500),
    Figure("idle_p95_ms", "10 editors and 40 idle ones: an event, p95", "ms", 250),
    Figure("queued", "jobs taken on in a row, all told as queued or running", "jobs", QUEUE, "higher"),
    Figure("queue_light_p95_ms", "an event while they wait, p95", "ms", 250),
    Figure("first_picture_s", "3 minutes of 1080p: from opening to the first picture", "s", 1.5),
    Figure("load_begin", "load of the machine before, 1 minute", ""),
    Figure("load_end", "load of the machine after", ""),
)


def run(report: Report, options: argparse.Namespace) -> None:
    if not hasattr(os, "getloadavg") or not Path("/proc/self/status").exists():
        raise BenchError("Memory of another process is read from /proc, which this system does not have.")
    report.reach("load_begin", os.getloadavg()[0])
    with tempfile.TemporaryDirectory(prefix="anchorline-load-") as folder:
        home = Path(folder)
        clip = write_drawn_clip(home / "clip.mp4", Clip(frames=FRAMES, size=(480, 854)))
        with editor_server(home / "home", str(clip)) as server:
            server.wait_for("/")
            asyncio.run(_Load(report, server, clip, options.minutes or MINUTES).run())
            if options.quick:
                report.lack("--quick leaves out three minutes of 1080p.", "first_picture")
            else:
                asyncio.run(_first_picture(report, server, home))
    report.reach("load_end", os.getloadavg()[0])


class _Load:
    def __init__(self, report: Report, server: EditorServer, clip: Path, minutes: float) -> None:
        self.report, self.server, self.clip, self.minutes = report, server, clip, minutes
        self.port = int(server.base.rpartition(":")[2])
        self.times = Times()
        self.jobs_done = 0

    async def run(self) -> None:
        async with httpx.AsyncClient(base_url=self.server.base, timeout=120) as http:
            self.page = Page((await http.get("/config")).json())
            say("Opening projects …")
            self.projects = [await self._project(http) for _ in range(EDITORS)]
            self.projects.append(await self._edited(http))
            for part in (self._working, self._idle, self._many, self._queue):
                await part(http)
        self.report.reach("errors", len(self.times.errors))
        for one in sorted(set(self.times.errors))[:5]:
            self.report.note(f"{self.times.errors.count(one)} × {one}")

    async def _project(self, http: httpx.AsyncClient) -> str:
        """A project on the clip, prepared."""
        identity = (await call(http, "open_clip", str(self.clip), False))["project"]
        await self._rested(http, identity)
        return identity

    async def _edited(self, http: httpx.AsyncClient) -> str:
        """One with a subject and two approved anchors."""
        identity = await self._project(http)
        await call(http, "mark_box", identity, 0, [130.0, 240.0, 215.0, 385.0], 0)
        await self._rested(http, identity)
        for frame in (0, FRAMES - 1):
            made = await call(http, "make_take", identity, frame, "recolour", {})
            await call(http, "approve", identity, frame, made["take"], "clip")
        return identity

    async def _rested(self, http: httpx.AsyncClient, identity: str) -> None:
        until = time.monotonic() + PREPARED_WITHIN
        while (await call(http, "wait", identity, 30.0))["waiting"]:
            if time.monotonic() > until:
                raise BenchError("A project was not prepared in time.")

    async def _clients(self, count: int, first: int, times: Times) -> list[Client]:
        clients = [Client(self.server.base, self.page, self.projects[i % EDITORS], times, first + i) for i in range(count)]
        for one in clients:
            await one.open()
        return clients

    async def _working(self, http: httpx.AsyncClient) -> None:
        """Ten editors and one job after the other, with those that leave, read slowly and break off."""
        say(f"{EDITORS} editors and a job for {self.minutes:g} minutes …")
        warm = Times()
        clients = await self._clients(EDITORS, 0, warm)
        await asyncio.gather(*(one.edit(time.monotonic() + WARM) for one in clients))
        self.times.errors += warm.errors
        for one in clients:
            one.times = self.times
        before, until = memory(self.server), time.monotonic() + 60 * self.minutes
        job = asyncio.create_task(self._keep_working(http, until))
        rude = asyncio.create_task(self._misbehave(until))
        await asyncio.gather(*(one.edit(until) for one in clients))
        await asyncio.gather(job, rude)
        for one in clients:
            await one.close()
        self.report.reach("growth_mb", (memory(self.server) - before) / 1e6)
        for kind in ("light", "scrub"):
            self.report.reach(f"{kind}_p50_ms", 1000 * percentile(self.times.of(kind), 0.5))
            self.report.reach(f"{kind}_p95_ms", 1000 * percentile(self.times.of(kind), 0.95))
        self.report.reach("act_p95_ms", 1000 * percentile(self.times.of("act"), 0.95))
        self.report.reach("events", len(self.times.of("light")))
        self.report.reach("jobs_done", self.jobs_done)

    async def _keep_working(self, http: httpx.AsyncClient, until: float) -> None:
        """Exports of the eleventh project, one after the other; each renders what changed first."""
        mine, number = self.projects[-1], 0
        while time.monotonic() < until:
            number += 1
            colour = f"#{(number * 40) % 256:02x}50ff"
            made = await call(http, "make_take", mine, FRAMES - 1, "recolour", {"colour": colour})
            await call(http, "approve", mine, FRAMES - 1, made["take"], "clip")
            job = await call(http, "export", mine, "h264", 30)
            while time.monotonic() < until:
                state = (await http.get(f"/api/projects/{mine}/jobs/{job['id']}")).json()["state"]
                if state == "done":
                    self.jobs_done += 1
                if state not in ("queued", "running"):
                    if state != "done":
                        self.times.errors.append(f"the job is {state}")
                    break
                await asyncio.sleep(0.5)
        await call(http, "cancel", mine)

    async def _misbehave(self, until: float) -> None:
        await asyncio.sleep(5)
        for project in self.projects[:3]:
            await leave_midway(self.server.base, self.page, project)
        await abort_upload("127.0.0.1", self.port)
        await read_slowly("127.0.0.1", self.port, f"/api/projects/{self.projects[0]}/pack/data", until)

    async def _idle(self, http: httpx.AsyncClient) -> None:
        say(f"{IDLE} idle sessions …")
        times, none = Times(), Times()
        idle = await self._clients(IDLE, 1000, none)
        self.report.reach("idle_p95_ms", 1000 * await self._measured(EDITORS, 100, times))
        for one in idle:
            await one.close()
        self.times.errors += none.errors

    async def _many(self, http: httpx.AsyncClient) -> None:
        say(f"{MORE_EDITORS} editors …")
        self.report.reach("twenty_p95_ms", 1000 * await self._measured(MORE_EDITORS, 200, Times()))

    async def _measured(self, count: int, first: int, times: Times) -> float:
        clients = await self._clients(count, first, Times())
        for one in clients:
            one.times = times
        await asyncio.gather(*(one.edit(time.monotonic() + PART) for one in clients))
        for one in clients:
            await one.close()
        self.times.errors += times.errors
        return percentile(times.of("light"), 0.95)

    async def _queue(self, http: httpx.AsyncClient) -> None:
        """A hundred exports; all are known, none is lost, all can be taken back."""
        say(f"A queue of {QUEUE} jobs …")
        jobs: list[tuple[str, str]] = []
        for number in range(QUEUE):
            project = self.projects[number % EDITORS]
            job = await call(http, "export", project, "h264", number % 52)
            jobs.append((project, job["id"]))
        known = [(await http.get(f"/api/projects/{project}/jobs/{job}")).json()["state"] for project, job in jobs]
        self.report.reach("queued", sum(state in ("queued", "running", "done") for state in known))
        self.report.reach("queue_light_p95_ms", 1000 * await self._measured(EDITORS, 300, Times()))
        for project, job in reversed(jobs):
            (await http.post(f"/api/projects/{project}/jobs/{job}/cancel", json={})).raise_for_status()


async def _first_picture(report: Report, server: EditorServer, home: Path) -> None:
    say("Three minutes of 1080p …")
    clip = long_clip(home / "long.mp4")
    async with httpx.AsyncClient(base_url=server.base, timeout=120) as http:
        started = time.monotonic()
        identity = (await call(http, "open_clip", str(clip), False))["project"]
        (await http.get(f"/api/projects/{identity}/frame/0.jpg")).raise_for_status()
        report.reach("first_picture_s", time.monotonic() - started)


def long_clip(path: Path) -> Path:
    """Three minutes of 1080p: three seconds drawn, their packets over and over."""
    short = write_drawn_clip(path.with_name("short.mp4"), Clip(frames=90, size=(1080, 1920), rate=Fraction(30)))
    with av.open(str(short)) as source, av.open(str(path), "w") as target:
        stream: Any = source.streams.video[0]
        out: Any = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.dts is not None]
        step = int(90 / (30 * stream.time_base))
        kept = [(bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in packets]
        for number in range(LOOPS):
            for content, pts, dts, key in kept:
                packet = av.Packet(content)
                packet.stream, packet.time_base = out, stream.time_base
                packet.pts, packet.dts, packet.is_keyframe = pts + number * step, dts + number * step, key
                target.mux(packet)
    return path


def memory(server: EditorServer) -> int:
    """Bytes of the server's own process, without its workers."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise BenchError("The server's memory cannot be read.")
