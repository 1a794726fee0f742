"""The tour on the sample, step by step with the acts that it asks for: it ends in a finished clip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.editor import EditorServer, editor_server
from tests.e2e.driving import open_tab, opened

pytestmark = pytest.mark.browser
STEP = "(step) => window.anchorline.tour.at === step"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EditorServer]:
    with editor_server(tmp_path_factory.mktemp("home")) as running:
        running.wait_for("/")
        yield running


@pytest.fixture
def tour(browser: Any, sample: EditorServer) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.goto(sample.page)
    opened(page)
    yield page
    context.close()


def at_step(page: Any, step: int, within: float = 30.0) -> None:
    page.wait_for_function(STEP, arg=step, timeout=within * 1000)


def kept(server: EditorServer) -> dict[str, Any]:
    path = Path(server.log).parent / "projects" / "page.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def by_palette(page: Any) -> None:
    page.locator(".al-editor").focus()
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Find a command").fill("tour")
    page.keyboard.press("Enter")


def test_the_tour_is_offered_once_and_can_be_left_and_taken_again(tour, sample):
    page = tour
    card = page.get_by_role("region", name="Tour")
    card.get_by_role("button", name="No, thanks").click()
    page.wait_for_function("window.anchorline.settings.chain.then(() => true)")
    assert kept(sample)["tour"] == "seen"
    page.reload()
    opened(page)
    assert not card.is_visible()
    by_palette(page)
    at_step(page, 0)
    page.wait_for_selector(".al-ring:not([hidden])")
    ring = page.locator(".al-ring").bounding_box()
    play = page.get_by_role("button", name="Play or pause").bounding_box()
    assert ring["x"] < play["x"] and ring["x"] + ring["width"] > play["x"] + play["width"]
    card.get_by_role("button", name="Skip this step").click()
    at_step(page, 1)
    page.keyboard.press("b")  # the page is used as always meanwhile
    page.wait_for_selector(".al-editor[data-tool='brush']")
    card.get_by_role("button", name="End the tour").click()
    assert not card.is_visible() and not page.locator(".al-ring").is_visible()


@pytest.mark.slow
def test_the_tour_ends_in_a_finished_clip(tour, sample):
    page = tour
    card = page.get_by_role("region", name="Tour")
    by_palette(page)
    at_step(page, 0)
    page.get_by_role("button", name="Play or pause").click()
    at_step(page, 1)
    page.get_by_role("button", name="Show Edited").click()
    at_step(page, 2)
    open_tab(page, "Anchors")
    at_step(page, 3)
    page.wait_for_selector(".al-editor[data-frame='0']")
    page.click("#make-take")
    at_step(page, 4)
    page.wait_for_selector("#approve:not([disabled])")
    page.click("#approve")
    at_step(page, 5)
    page.locator(".al-editor").focus()
    page.keyboard.press("Control+Enter")
    at_step(page, 7, 400)
    page.get_by_role("button", name="Show Wipe").click()
    at_step(page, 8)
    page.locator(".al-editor").focus()
    page.keyboard.press("Control+e")
    page.wait_for_selector("text=the finished clip is in the list", timeout=200_000)
    page.wait_for_selector("#exports a")
    page.wait_for_function("window.anchorline.settings.chain.then(() => true)")
    assert kept(sample)["tour"] == "done"
    print(f"the tour took {page.evaluate('window.anchorline.tour.seconds')} s")  # shown by pytest -s
    card.get_by_role("button", name="Close").click()
    assert not card.is_visible()
