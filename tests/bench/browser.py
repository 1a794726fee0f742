"""The editor's page in a real headless Chromium, for benches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.bench.editor import EditorServer
from tests.bench.harness import BenchError
from tests.conftest import find_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWPORT = {"width": 1400, "height": 900}
OPEN_WITHIN = 120_000  # ms
OPENED = "window.anchorline?.root.dataset.ready === '1' && window.anchorlineTimeline"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Raises BenchError where there is no browser, or no playwright to drive it."""
    path = find_browser()
    if path is None:
        raise BenchError("There is no Chromium on this machine; install the system's package chromium.")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise BenchError("playwright is not installed; python launch.py bench installs it.") from error
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def editor_page(browser: Browser, server: EditorServer, script: str) -> Iterator[Page]:
    """The page of the server's project with `script` run in it, as a new visitor sees it: nothing is cached.

    Raises:
        BenchError: the page does not open, or fails while it is measured.
    """
    from playwright.sync_api import Error

    context = browser.new_context(viewport=VIEWPORT)  # type: ignore[arg-type]
    try:
        page = context.new_page()
        page.goto(server.page)
        page.wait_for_function(OPENED, timeout=OPEN_WITHIN)
        page.evaluate(script)
        yield page
    except Error as error:
        raise BenchError(f"The editor's page failed: {error.message.splitlines()[0]}") from error
    finally:
        context.close()
