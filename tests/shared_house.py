"""An editor with two users, in this process, for the tests of who may do what: real routes, a real port, real logins."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.accounts import set_password
from app.people import People, store_of_asking
from app.serving import Serving, serving
from app.session import Session
from tests.bench.editor import free_port
from tests.media_fixtures import Clip, write_drawn_clip

PASSWORD = "correct horse battery"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class House:
    """A running server. `page` is Gradio's Blocks, `people` the stores behind it."""

    def __init__(self, page: Any, people: People, reached: Serving) -> None:
        self.page, self.people, self.reached = page, people, reached
        self.base = reached.address.rstrip("/")

    def client(self, user: str = "") -> httpx.Client:
        """Somebody with a browser; logged in where a user is named."""
        one = httpx.Client(base_url=self.base, timeout=120)
        if user:
            said = one.post("/login", data={"username": user, "password": PASSWORD})
            assert said.status_code == 200, said.text
        return one

    def project_of(self, user: str, name: str) -> Session:
        """A project of a user on a small clip, prepared."""
        folder = self.people.home / "clips"
        folder.mkdir(exist_ok=True)
        clip = folder / f"{user}.mp4"
        session = self.people.of(user).create(write_drawn_clip(clip, Clip(frames=8, audio=("aac",))), keep=True, name=name)
        deadline = time.monotonic() + 60
        while session.job and session.job.active and time.monotonic() < deadline:
            time.sleep(0.02)
        return session


@contextmanager
def running_house(home: Path, users: tuple[str, ...], *arguments: str) -> Iterator[House]:
    """Started and ended with its workers. Without `users` nobody logs in."""
    from app.__main__ import _launch
    from app.layout import build_page
    from app.options import parser

    (home / "uploads").mkdir(parents=True)
    (home / "projects").mkdir()
    logins = []
    for user in users:
        set_password(home / "users.json", user, PASSWORD, new=True)
        logins = ["--auth-file", str(home / "users.json")]
    options: argparse.Namespace = parser().parse_args(["--port", str(free_port()), *logins, *arguments])
    reached = serving(options, home)
    people = People(home, shared=reached.shared, room=reached.room)
    store = store_of_asking(people)
    page = build_page(store, None)
    page.queue(max_size=256, default_concurrency_limit=None, api_open=False)
    logging.getLogger("anchorline").setLevel(logging.CRITICAL)
    try:
        _launch(page, store, reached, False)
        yield House(page, people, reached)
    finally:
        page.close(verbose=False)
        people.close()
        logging.getLogger("anchorline").setLevel(logging.NOTSET)
