"""Names and texts that hold markup are shown as text, in every place that shows one; nothing outside is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from tests.bench.editor import EditorServer, editor_server
from tests.e2e.driving import open_tab, opened
from tests.media_fixtures import Clip, write_drawn_clip

pytestmark = pytest.mark.browser

PAYLOADS = (
    "<img src=x onerror=window.__xss=1>",
    '"><script>window.__xss=2</script>',
    "<svg/onload=window.__xss=3>",
    "'-(window.__xss=4)-'",
    "{{window.__xss=5}}${window.__xss=6}",
    "javascript:window.__xss=7",
    "</textarea><iframe srcdoc='<script>parent.__xss=8</script>'>",
)
ALL = " ".join(PAYLOADS)[:110]
FILE_NAME = "<img src=x onerror=window.__xss=9>.mp4".replace("/", "_")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip whose name and tags are markup."""
    folder = tmp_path_factory.mktemp("markup")
    plain = write_drawn_clip(folder / "plain.mp4", Clip(frames=8, size=(96, 160)))
    with av.open(str(plain)) as source, av.open(str(folder / FILE_NAME), "w", format="mp4") as target:
        for name in ("title", "comment", "artist", "encoder"):
            target.metadata[name] = PAYLOADS[0]
        out: Any = target.add_stream_from_template(source.streams.video[0])
        out.metadata["handler_name"] = PAYLOADS[0]
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = out
                target.mux(packet)
    return folder / FILE_NAME


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[EditorServer]:
    with editor_server(tmp_path_factory.mktemp("home"), str(clip)) as running:
        running.wait_for("/")
        yield running


@pytest.fixture
def page(browser: Any, server: EditorServer) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    one = context.new_page()
    one.asked = []
    one.on("request", lambda request: one.asked.append(request.url))
    one.goto(server.page)
    opened(one)
    yield one
    context.close()


def test_markup_in_names_and_texts_is_never_run(page: Any, server: EditorServer) -> None:
    project = server.project
    for payload in PAYLOADS:
        body = {"name": "rename", "args": {"name": payload[:110]}}
        assert page.request.post(f"{server.base}/api/projects/{project}/acts", data=body).status == 200
    for name, args in (
        ("add_subject", {"name": PAYLOADS[0]}),
        ("add_subject", {"name": PAYLOADS[1]}),
        ("add_edit", {"name": PAYLOADS[2]}),
        ("rename", {"name": ALL}),
    ):
        answer = page.request.post(f"{server.base}/api/projects/{project}/acts", data={"name": name, "args": args})
        assert answer.status == 200, (name, answer.text())
    page.goto(f"{server.base}/?project={project}")
    opened(page)
    page.locator("#projects input").first.click()
    page.get_by_role("button", name="All projects").click()
    page.get_by_role("button", name="Copies, zips, backups, cache").click()
    for tab in ("Mark", "Anchors", "Propagate", "Check", "Export"):
        open_tab(page, tab)
        for box in page.locator("#tabs textarea:visible, #tabs input[type=text]:visible").all():
            if box.is_editable():
                box.fill(PAYLOADS[0])
                box.press("Tab")
    page.fill("#path textarea, #path input", f"/nowhere/{PAYLOADS[0]}")
    page.click("#open-path")
    page.locator("[data-testid=toast-body], .toast-body").first.wait_for(timeout=120_000)
    assert PAYLOADS[0][:12] in page.locator("[data-testid=toast-body], .toast-body").first.inner_text()
    page.wait_for_timeout(500)
    assert page.evaluate("window.__xss") is None
    assert page.evaluate("document.querySelectorAll('img[src=x], iframe[srcdoc], svg[onload]').length") == 0
    assert "<img src=x" in page.locator("#left").inner_text(), "the names are not shown at all"
    assert [url for url in page.asked if not url.startswith((server.base, "data:", "blob:"))] == []


def test_downloads_are_downloads(page: Any, server: EditorServer) -> None:
    folder = (
        next(server.log.parent.glob("projects/*/exports"), None) or next(server.log.parent.glob("projects/[0-9a-f]*")) / "exports"
    )
    folder.mkdir(exist_ok=True)
    for name in ("x.html", "x.svg"):
        (folder / name).write_text("<script>parent.__xss=1</script>")
        answer = page.request.get(f"{server.base}/api/projects/{server.project}/exports/{name}")
        assert answer.status == 200 and answer.headers["content-disposition"].startswith("attachment")
