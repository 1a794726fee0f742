"""The mask under the cursor while Shift is held, in a real headless Chromium."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.driving import at, disc, seek, view

pytestmark = pytest.mark.browser

TINTED = """([x, y]) => {
  const tint = document.querySelector('.al-tint');
  return tint.hidden ? 0 : tint.getContext('2d').getImageData(x, y, 1, 1).data[3];
}"""


def held(page: Any, x: float, y: float) -> int:
    """How strong the tint is at a source pixel while Shift is held over it."""
    page.keyboard.down("Shift")
    page.mouse.move(*at(page, x, y))
    page.wait_for_selector(".al-editor[data-preview='1']")
    return page.evaluate(TINTED, [x, y])


def test_shift_shows_the_mask_and_makes_nothing(page: Any) -> None:
    seek(page, 0)
    x, y = disc(0)
    before = view(page)
    assert page.evaluate(TINTED, [x, y]) == 0
    assert held(page, x, y) > 0
    page.keyboard.up("Shift")
    page.wait_for_selector(".al-editor[data-preview='0']")
    assert page.evaluate(TINTED, [x, y]) == 0
    after = view(page)
    assert after["rev"] == before["rev"] and after["subjects"] == before["subjects"]


def test_a_subject_with_clicks_is_previewed_and_the_click_still_counts(page: Any) -> None:
    seek(page, 0)
    x, y = disc(0)
    page.mouse.click(*at(page, x, y))
    page.wait_for_function("window.anchorline.view.subjects[0]?.keyframes.length === 1")
    assert held(page, x + 60, y - 40) > 0
    page.mouse.click(*at(page, x + 60, y - 40))
    page.keyboard.up("Shift")
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes[0].points.length === 2")
    page.wait_for_selector(".al-editor[data-preview='0']")
