"""Nothing outside this machine is contacted unless somebody asks: not at the start, not in a session, not by workers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.bench.editor import free_port
from tests.bench.harness import environment
from tests.bench.load_client import Client, Page, Times
from tests.media_fixtures import Clip, write_drawn_clip

WATCH = """
import os, sys, atexit
def _watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        what = args[1] if event != "socket.getaddrinfo" else args[0]
        place = str(what[0] if isinstance(what, tuple) else what)
        if place not in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "None", "b'127.0.0.1'") and not place.startswith("/"):
            with open(os.environ["WATCH_LOG"], "a") as log:
                log.write(f"{sys.argv[:1]} {event} {place}\\n")
with open(os.environ["WATCH_LOG"], "a") as log:
    log.write(f"started {sys.orig_argv[1:]}\\n")
sys.addaudithook(_watch)
"""
"""Every Python process of the editor runs this first, as sitecustomize."""


@pytest.mark.slow
def test_no_process_of_the_editor_connects_to_anywhere(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WATCH)
    log, port = tmp_path / "log.txt", free_port()
    clip = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=8))
    env = environment(ANCHORLINE_HOME=str(tmp_path / "home"), WATCH_LOG=str(log))
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path / "site"), env["PYTHONPATH"]])
    command = [sys.executable, "-P", "-m", "app", "--port", str(port), "--no-browser", str(clip)]
    with open(tmp_path / "said.txt", "wb") as said, subprocess.Popen(command, env=env, stdout=said, stderr=said) as process:
        try:
            _session(f"http://127.0.0.1:{port}", tmp_path / "said.txt")
        finally:
            process.terminate()
    lines = log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("started")] == []
    for name in ("'app'", "'engine.worker'", "'engine.media.examine'", "'engine.instant.child'"):
        assert any(name in line for line in lines), f"{name} did not run, or unwatched"


def _session(base: str, said: Path) -> None:
    """Waits for the editor, opens the page, prepares the clip, moves about and exports."""
    import asyncio

    deadline = time.monotonic() + 120
    while "?project=" not in said.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    project = said.read_text().partition("?project=")[2].split()[0]

    async def work() -> None:
        async with httpx.AsyncClient(base_url=base, timeout=240) as http:
            page, times = Page((await http.get("/config")).json()), Times()
            client = Client(base, page, project, times, 1)
            await client.open()
            until = time.monotonic() + 60
            while time.monotonic() < until:
                state = (await http.get(f"/api/projects/{project}/status")).json()
                if state["pack"]["complete"] and not (state["job"] and state["job"]["state"] in ("queued", "running")):
                    break
                await asyncio.sleep(0.1)
            for turn in range(5):
                await client.step(turn)
            await asyncio.sleep(2.5)  # the preview's process is started a little after the project
            await client.close()
            assert times.errors == []

    asyncio.run(work())


def test_the_watch_sees_a_connection(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    code = "import socket\ntry:\n socket.create_connection(('192.0.2.1', 9), 0.01)\nexcept OSError:\n pass"
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "WATCH_LOG": str(tmp_path / "log.txt")}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=240)
    assert "socket.connect 192.0.2.1" in (tmp_path / "log.txt").read_text()
