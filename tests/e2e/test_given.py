"""The page says back what it was given last, so that another frame costs what changes with it and takes nothing away."""

from __future__ import annotations

import json

import pytest

from tests.e2e.driving import open_tab, seek

pytestmark = pytest.mark.browser


def test_the_page_says_the_number_back_that_it_was_given_last(page):
    said: list[float] = []

    def sent(request):
        if "/queue/join" in request.url:
            body = json.loads(request.post_data or "{}")
            if isinstance(body.get("event_data"), dict) and set(body["event_data"]) == {"frame"}:
                said.extend(one for one in body["data"] if isinstance(one, int | float))

    open_tab(page, "Anchors")
    page.on("request", sent)
    for frame in (3, 7, 11):
        before = len(said)
        seek(page, frame)
        page.locator("#anchor-title", has_text=f"Frame {frame}").wait_for(state="attached")
        assert len(said) == before + 1
    assert 0 < said[1] < said[2]


def test_after_a_refusal_the_page_shows_what_counts_again(page):
    field = page.locator("#cluster textarea, #cluster input")
    open_tab(page, "Anchors")
    page.get_by_role("button", name="Models and device").click()
    seek(page, 2)
    if not field.is_enabled():
        pytest.skip("Ray is not installed")
    field.fill("nowhere")
    seek(page, 3)
    page.locator("#anchor-title", has_text="Frame 3").wait_for(state="attached")
    assert field.input_value() == "nowhere", "what is being typed is left alone"
    field.press("Enter")
    page.locator("text=is not the address of a cluster").wait_for()
    seek(page, 5)
    page.wait_for_function("!document.querySelector('#cluster textarea, #cluster input').value")
