"""The instant preview and the next anchor on the page, in a real headless Chromium."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.e2e.driving import PIXELS, at, disc, open_tab, seek, view
from tests.e2e.test_editor import make_anchor

pytestmark = pytest.mark.browser


def colour(page: Any, frame: int) -> np.ndarray:
    """(3,) mean RGB that the canvas shows at the middle of the disc."""
    x, y = disc(frame)
    return np.array(page.evaluate(PIXELS, [x - 4, y - 4, 8, 8]), float).reshape(-1, 4)[:, :3].mean(0)


def test_an_approved_take_is_seen_around_at_once_and_then_better(page: Any) -> None:
    seek(page, 4)
    page.mouse.click(*at(page, *disc(4)))
    page.wait_for_function("window.anchorline.view.subjects[0]?.keyframes.length === 1")
    seek(page, 5)
    before = colour(page, 5)
    make_anchor(page, 4)
    page.locator(".al-editor").focus()
    page.keyboard.press("F3")
    seek(page, 5)
    page.wait_for_selector(".al-editor[data-frame='5'][data-edited='preview']", timeout=120_000)
    assert page.locator(".al-chip").inner_text().startswith("Preview")
    assert np.abs(colour(page, 5) - before).max() > 40
    page.wait_for_function("window.anchorline.view.segments.some((one) => one.instant?.proper.length > 0)", timeout=180_000)
    page.wait_for_function("/[0-9]/.test(window.anchorline.view.doubt.levels)", timeout=120_000)
    assert len(view(page)["doubt"]["levels"]) == view(page)["clip"]["frames"]
    page.wait_for_selector(".al-editor[data-edited='preview']")
    assert np.abs(colour(page, 5) - before).max() > 40


def test_n_goes_where_the_next_anchor_should_be_or_says_why_not(page: Any) -> None:
    page.locator(".al-editor").focus()
    page.evaluate("window.anchorline.view = {...window.anchorline.view, doubt: {levels: '0379'.padEnd(36, '-'), next: 17}}")
    page.evaluate("window.anchorlineTimeline.redraw()")
    page.keyboard.press("n")
    page.wait_for_selector(".al-editor[data-frame='17']")
    page.evaluate("window.anchorline.view = {...window.anchorline.view, doubt: {levels: '0'.repeat(36), next: null}}")
    page.keyboard.press("n")
    page.wait_for_selector("text=No frame needs another anchor")
    open_tab(page, "Propagate")
    page.keyboard.press("Escape")
