"""A stack of edits by mouse and keyboard: two edits over each other, switched off, named, removed and brought back; an audition
whose winner makes one segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.e2e.driving import FRAMES, PIXELS, at, disc, open_tab, seek, view, wait_job

pytestmark = [pytest.mark.browser, pytest.mark.slow]
FRAME = 6


def patch(page: Any, x: int, y: int) -> np.ndarray:
    """Mean colour of a few pixels that the canvas shows."""
    return np.array(page.evaluate(PIXELS, [x - 3, y - 3, 6, 6]), float).reshape(-1, 4)[:, :3].mean(axis=0)


def approved_take(page: Any, frame: int) -> None:
    seek(page, frame)
    open_tab(page, "Anchors")
    page.click("#make-take")
    page.wait_for_function(f"window.anchorline.view.anchors.find((a) => a.frame === {frame})?.takes.length")
    page.click("#approve")
    page.wait_for_function(f"window.anchorline.view.anchors.find((a) => a.frame === {frame})?.chosen")


def propagated(page: Any) -> None:
    open_tab(page, "Propagate")
    page.click("#propagate")
    every = "window.anchorline.view.segments.length && window.anchorline.view.segments.every((s) => s.state === 'done')"
    page.wait_for_function(every, timeout=120_000)
    wait_job(page, "propagate", "done")


def names(page: Any) -> list[tuple[str, bool]]:
    return [(edit["name"], edit["on"]) for edit in view(page)["edits"]]


def shown(page: Any, mode: str) -> np.ndarray:
    """The colour of the disc's middle and of a corner, (2, 3), in a mode of the canvas."""
    seek(page, FRAME)
    page.evaluate("(mode) => window.anchorline.setMode(mode)", mode)
    page.evaluate("window.anchorline.settled()")
    page.wait_for_timeout(250)
    return np.stack([patch(page, *disc(FRAME)), patch(page, 370, 225)])


def marked_and_approved(page: Any) -> None:
    """The disc is marked and recoloured on frame 0, in a short range; what is done already is left."""
    if view(page)["anchors"]:
        return
    page.evaluate("window.anchorline.act('set_range', {start: 0, stop: 16})")
    seek(page, 0)
    page.mouse.click(*at(page, *disc(0)))
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.length")
    wait_job(page, "carry", "done")
    approved_take(page, 0)


def test_two_edits_one_over_the_other(page, server):
    marked_and_approved(page)
    propagated(page)
    page.click("[data-name=add-edit]")
    page.wait_for_function("window.anchorline.view.edits.length === 2 && window.anchorline.view.edit === 2")
    page.get_by_role("button", name="Changes Whole frame").click()
    page.wait_for_function("window.anchorline.view.edits[1].subjects?.length === 0")
    page.locator("[data-name=edit-2]").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("Night")
    page.keyboard.press("Enter")
    page.wait_for_function("window.anchorline.view.edits[1].name === 'Night'")
    seek(page, FRAME)
    source, below = shown(page, "source"), shown(page, "edited")
    assert np.abs(below[0] - source[0]).max() > 30 > 12 > np.abs(below[1] - source[1]).max()  # what the first edit made is seen
    approved_take(page, 0)
    propagated(page)
    both = shown(page, "edited")
    assert np.abs(both[1] - source[1]).max() > 12 and np.abs(both[0] - below[0]).max() > 4

    page.locator(".al-editor").focus()
    page.keyboard.press("Shift+E")
    page.wait_for_function("!window.anchorline.view.edits[1].on")
    assert np.abs(shown(page, "edited") - below).max() < 12
    page.keyboard.press("Alt+ArrowDown")
    page.wait_for_function("window.anchorline.view.edit === 1")
    assert page.locator("[data-name=edit-1]").get_attribute("aria-checked") == "true"
    page.keyboard.press("Control+z")
    page.wait_for_function(
        "window.anchorline.view.edits[1].on && window.anchorline.view.edit === 2"
    )  # undo goes to what it changed
    page.click("[data-name=edit-down]")
    page.wait_for_function("window.anchorline.view.edits[0].name === 'Night'")
    page.locator("[data-name=edit-2]").focus()
    page.keyboard.press("Delete")
    page.wait_for_function("window.anchorline.view.edits.length === 1")
    page.locator(".al-editor").focus()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.wait_for_function("window.anchorline.view.edits.length === 2 && window.anchorline.view.edits[1].name === 'Night'")
    assert names(page) == [("Edit 1", True), ("Night", True)] and FRAMES > 16
    page.click("[data-name=edit-1]")
    page.wait_for_function("window.anchorline.view.edit === 1")


def test_the_winner_of_an_audition_makes_a_segment(page, server):
    marked_and_approved(page)
    rev = view(page)["rev"]
    page.locator(".al-editor").focus()
    page.keyboard.press("Shift+A")
    page.wait_for_selector(".al-tile[data-state=done]", timeout=120_000)
    page.wait_for_function("window.anchorline.audition.tiles[0].pictures.filter(Boolean).length === 16")
    assert page.locator(".al-audition-rest li").count() >= 4 and view(page)["rev"] == rev
    lines = page.locator(".al-tile small").first.inner_text()
    # The other test may have rendered these very frames: then nothing was timed, and the tile says so.
    assert "s a frame" in lines or "rendered before" in lines
    assert "flicker" in lines and "outside untouched" in lines
    page.keyboard.press("s")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.wait_for_function("window.anchorline.view.edits[0].by_segment.length === 1")
    assert not page.is_visible(".al-audition") and view(page)["segments"][0]["method"] == "motion"
    open_tab(page, "Propagate")
    page.click("#segment-clear")
    page.wait_for_function("window.anchorline.view.edits[0].by_segment.length === 0")
    page.locator(".al-editor").focus()
    page.keyboard.press("Shift+A")
    page.wait_for_selector(".al-audition:not([hidden])")
    page.keyboard.press("Escape")
    page.wait_for_selector(".al-audition", state="hidden")
