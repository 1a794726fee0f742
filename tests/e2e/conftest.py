"""An editor on a drawn clip, and a page in a real headless Chromium, for the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.browser import chromium
from tests.bench.editor import EditorServer, editor_server
from tests.e2e.driving import FRAMES, HEIGHT, WIDTH, opened
from tests.media_fixtures import Clip, write_drawn_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip with spaces – ü")
    spec = Clip(
        frames=FRAMES, size=(HEIGHT, WIDTH), audio=("aac",), options={"preset": "veryfast", "crf": "12", "g": "12", "bf": "3"}
    )
    return write_drawn_clip(folder / "the clip.mp4", spec)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[EditorServer]:
    with editor_server(tmp_path_factory.mktemp("home"), str(clip)) as running:
        running.wait_for("/")
        yield running


@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Any]:
    with chromium() as one:
        yield one


@pytest.fixture
def page(browser: Any, server: EditorServer) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    one = context.new_page()
    one.set_default_timeout(90_000)
    one.failures = []
    one.on("pageerror", lambda error: one.failures.append(str(error)))
    one.goto(server.page)
    opened(one)
    yield one
    assert one.failures == []
    context.close()
