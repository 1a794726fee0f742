"""A method that goes by text, from the page: told what to do, it makes takes in a worker; the page keeps what it was told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.driving import at, disc, open_tab, opened, seek, view

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def choose_method(page: Any, name: str) -> None:
    page.click("#method input")
    page.get_by_role("option", name=name).first.click()


def test_takes_by_instruction_become_takes_of_an_anchor(page, server):
    seek(page, 5)
    page.mouse.click(*at(page, *disc(5)))
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.some((k) => k.frame === 5)")
    open_tab(page, "Propagate")
    choose_method(page, "VIA")
    page.wait_for_selector("#instruction textarea, #instruction input")
    assert not page.is_visible("#source_prompt")
    page.fill("#instruction textarea, #instruction input", "make the ball blue")
    page.fill("#seed input", "7")
    page.click("#method-take")
    page.wait_for_function("window.anchorline.view.anchors.some((a) => a.frame === 5 && a.takes.length)", timeout=120_000)
    (anchor,) = [one for one in view(page)["anchors"] if one["frame"] == 5]
    assert [take["source"] for take in anchor["takes"]] == ["method"]
    page.reload()
    opened(page)
    open_tab(page, "Propagate")
    page.wait_for_function("document.querySelector('#instruction textarea, #instruction input')?.value === 'make the ball blue'")
    assert page.input_value("#method input").startswith("VIA") and page.input_value("#seed input") == "7"


def test_a_word_that_the_model_does_not_know_is_one_sentence(page, server):
    open_tab(page, "Propagate")
    choose_method(page, "VIA")
    page.wait_for_selector("#instruction textarea, #instruction input")
    page.fill("#instruction textarea, #instruction input", "make the zeppelin blue")
    page.click("#method-take")
    page.wait_for_selector("text=does not know the word", timeout=120_000)
