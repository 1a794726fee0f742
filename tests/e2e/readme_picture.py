"""Makes the README's picture of the page again: `python -m tests.e2e.readme_picture`. The sample project, propagated."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.bench.browser import chromium
from tests.bench.editor import editor_server

TARGET = Path(__file__).resolve().parents[2] / "assets" / "page.png"
FRAME = 36


def main() -> int:
    with tempfile.TemporaryDirectory() as home, editor_server(Path(home)) as server, chromium() as browser:
        server.wait_for("/")
        page = browser.new_page(viewport={"width": 1440, "height": 860})
        page.goto(server.page)
        page.wait_for_selector(".al-editor[data-ready='1']", timeout=120_000)
        page.wait_for_function("window.anchorline.view.pack.complete", timeout=120_000)
        page.get_by_role("tab", name="Propagate").click()
        page.click("#propagate")
        page.wait_for_selector("#job .al-job[data-kind='propagate'][data-state='done']", timeout=300_000)
        page.evaluate("(frame) => { window.anchorline.setMode('wipe'); return window.anchorline.seek(frame); }", FRAME)
        page.evaluate("window.anchorline.settled()")
        page.wait_for_timeout(1500)
        page.screenshot(path=str(TARGET))
    print(f"Wrote {TARGET.name}, {TARGET.stat().st_size // 1000} kB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
