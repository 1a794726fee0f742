"""Every act without a mouse, in a real browser: the palette, own keys, the pointer moved by keys, titles that say the key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.driving import opened, seek, view

pytestmark = pytest.mark.browser
FOCUS = "document.activeElement.closest('.al-editor') === document.activeElement"


def palette(page: Any, query: str) -> Any:
    """The options that the palette shows for a query."""
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Find a command").fill(query)
    return page.locator("#al-commands [role=option]")


def test_palette_finds_runs_and_gives_the_keyboard_back(page):
    page.locator(".al-editor").focus()
    options = palette(page, "brush add")
    assert "Brush: add to the mask" in options.first.inner_text() and "B" in options.first.inner_text()
    page.keyboard.press("Enter")
    page.wait_for_selector(".al-editor[data-tool='brush']")
    assert page.evaluate(FOCUS)
    options = palette(page, "17")
    page.keyboard.press("Enter")
    page.wait_for_selector(".al-editor[data-frame='17']")
    palette(page, "")
    page.keyboard.press("ArrowDown")
    chosen = page.get_by_role("combobox", name="Find a command").get_attribute("aria-activedescendant")
    assert page.locator(f"#{chosen}").get_attribute("aria-selected") == "true"
    page.keyboard.press("Escape")
    assert page.evaluate(FOCUS)


def test_palette_says_why_a_command_cannot_be_done(page):
    options = palette(page, "move anchor back")
    assert options.first.get_attribute("aria-disabled") == "true"
    assert "is not an anchor" in options.first.inner_text()
    page.keyboard.press("Enter")
    assert page.locator(".al-palette").is_visible()
    page.keyboard.press("Escape")


def test_palette_reaches_controls_in_other_tabs_and_folded_parts(page):
    palette(page, "quality h.264")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.closest('#quality') !== null")
    palette(page, "another name")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.closest('#project-name') !== null")
    page.keyboard.type("b")  # typed, no shortcut
    assert page.locator(".al-editor").get_attribute("data-tool") == "point"


def test_own_keys_with_a_warning_and_after_a_reload(page, server):
    page.locator(".al-editor").focus()
    page.keyboard.press("?")
    page.get_by_role("button", name="Change the key B of: Brush: add to the mask").click()
    page.keyboard.press("e")
    page.wait_for_selector("text=E already means “Eraser: take away from the mask”")
    page.get_by_role("button", name="Swap: it gets B").click()
    page.get_by_role("button", name="Change the key E of: Brush: add to the mask").click()
    page.keyboard.press("Control+w")
    page.wait_for_selector("text=Ctrl+W belongs to the browser")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_function("window.anchorline.settings.chain.then(() => true)")
    kept = json.loads((Path(server.log).parent / "projects" / "page.json").read_text("utf-8"))
    assert kept["keys"] == {"tool:brush": ["E"], "tool:eraser": ["B"]}
    page.reload()
    opened(page)
    page.locator(".al-editor").focus()
    page.keyboard.press("e")
    page.wait_for_selector(".al-editor[data-tool='brush']")
    assert page.get_by_role("button", name="Brush", exact=True).get_attribute("title") == "Brush: add to the mask (E)"
    page.keyboard.press("?")
    page.get_by_role("button", name="All keys as they were").click()
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    page.wait_for_selector(".al-editor[data-tool='eraser']")


def test_marks_are_made_without_a_mouse(page):
    seek(page, 0)
    page.locator(".al-editor").focus()
    page.keyboard.press("p")
    page.keyboard.press("c")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("window.anchorline.view.subjects[0]?.keyframes[0]?.points.length === 1")
    page.keyboard.press("u")
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes[0].box !== null")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".al-editor[data-frame='1']")
    assert len(view(page)["subjects"]) == 1


def test_timeline_is_a_slider_and_the_frame_is_said(page):
    seek(page, 5)
    slider = page.get_by_role("slider", name="Timeline")
    assert slider.get_attribute("aria-valuenow") == "5"
    assert slider.get_attribute("aria-valuetext").startswith("Frame 5 of 35")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".al-timeline[aria-valuenow='6']")
    page.wait_for_selector("[data-name=announcer]:has-text('Frame 6 of 35')", state="attached")
