"""The panel of models in the browser: what a model is, the question about its licence, refusals, who carries masks."""

from __future__ import annotations

import pytest

from tests.e2e.driving import open_tab

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def choose(page, control, option):
    page.click(f"#{control} input")
    page.get_by_role("option", name=option).first.click()


def test_models_are_shown_fetched_by_choice_and_chosen(page):
    page.get_by_role("button", name="Models and device").click()
    choose(page, "model", "CoTracker 3")
    page.locator("#model-facts", has_text="CC-BY-NC-4.0 (only by your choice)").wait_for()
    page.wait_for_selector("#model-accept input", state="visible")
    page.click("#model-fetch")
    page.locator("#model-errand", has_text="the box on the page").wait_for(timeout=120_000)
    choose(page, "clicks-by", "SAM ViT-B")
    page.locator("#memory", has_text="about").wait_for()  # then the server knows
    choose(page, "masks-by", "SAM 3 tracker")
    page.locator("#memory", has_text="about 5 GB").wait_for()
    page.locator("#device input").click()
    page.get_by_role("option", name="(cpu)").wait_for(timeout=120_000)
    page.keyboard.press("Escape")
    page.mouse.click(*_somewhere(page))
    page.wait_for_selector("text=models fetch sam-b")


def test_words_that_cannot_be_looked_for_are_a_sentence(page):
    open_tab(page, "Mark")
    page.fill("#words textarea, #words input", "the disc")
    page.click("#words-find")
    page.wait_for_selector("text=models fetch grounding-dino-tiny")


def _somewhere(page):
    box = page.locator(".al-marks").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
