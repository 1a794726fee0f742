"""Tracked points, dragged clicks and the lasso, in a real headless Chromium."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.e2e.driving import FRAMES, at, disc, seek, stored, view, wait_job

pytestmark = pytest.mark.browser


def drag(page: Any, line: list[tuple[float, float]], button: str = "left") -> None:
    page.mouse.move(*at(page, *line[0]))
    page.mouse.down(button=button)
    for x, y in line[1:]:
        page.mouse.move(*at(page, x, y), steps=3)
    page.mouse.up(button=button)


def key(page: Any, name: str) -> None:
    page.locator(".al-editor").focus()
    page.keyboard.press(name)


def points(page: Any) -> list[dict[str, Any]]:
    tracks = view(page)["subjects"][0]["tracks"]
    return tracks["points"] if tracks else []


def place(page: Any, point: int, frame: int) -> Any:
    return page.evaluate("([p, f]) => window.anchorline.tracks.at(window.anchorline.subject(), p, f)", [point, frame])


def test_lasso_adds_and_takes_away(page: Any, server: Any) -> None:
    seek(page, 3)
    key(page, "l")
    assert page.locator(".al-editor").get_attribute("data-tool") == "lasso"
    drag(page, [(60, 150), (140, 150), (140, 200), (60, 200)])
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.some((k) => k.frame === 3 && k.strokes === 1)")
    drag(page, [(90, 160), (120, 160), (120, 190), (90, 190)], "right")
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.some((k) => k.frame === 3 && k.strokes === 2)")
    keyframe = next(one for one in view(page)["subjects"][0]["keyframes"] if one["frame"] == 3)
    mask = stored(server, keyframe["mask"])
    assert mask[155, 70] == 255 and mask[175, 105] == 0 and mask[100, 100] == 0
    assert abs(np.count_nonzero(mask) - (80 * 50 - 30 * 30)) < 300
    key(page, "Control+z")
    key(page, "Control+z")
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.length === 0")


def test_a_click_is_dragged(page: Any) -> None:
    seek(page, 0)
    key(page, "p")
    x, y = disc(0)
    page.mouse.click(*at(page, x, y))
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes[0]?.points.length === 1")
    drag(page, [(x, y), (x + 8, y + 6)])
    page.wait_for_function("(x) => Math.abs(window.anchorline.view.subjects[0].keyframes[0].points[0][0] - x) < 1", arg=x + 8)
    page.mouse.click(*at(page, x + 8, y + 6))
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.length === 0")


def test_points_are_tracked_corrected_hidden_and_deleted(page: Any) -> None:
    seek(page, 0)
    key(page, "r")
    x, y = disc(0)
    page.mouse.click(*at(page, x, y))
    page.wait_for_function("window.anchorline.view.subjects[0].tracks?.points.length === 1")
    key(page, "t")
    wait_job(page, "carry", "done")
    page.wait_for_function("window.anchorline.view.subjects[0].tracks.stale === false", timeout=120_000)
    view(page)
    later = place(page, 1, 12)
    assert later[2] > 0 and np.hypot(later[0] - disc(12)[0], later[1] - disc(12)[1]) < 20
    seek(page, 12)
    drag(page, [(later[0], later[1]), (later[0] + 9, later[1] - 7)])
    page.wait_for_function("window.anchorline.view.subjects[0].tracks.points[0].spots.length === 2")
    assert np.allclose(points(page)[0]["spots"][1][1:3], (later[0] + 9, later[1] - 7), atol=0.7)
    seek(page, FRAMES - 1)
    key(page, "Control+z")
    page.wait_for_function("window.anchorline.view.subjects[0].tracks.points[0].spots.length === 1")
    page.wait_for_selector(".al-editor[data-frame='12']")
    page.wait_for_function(  # the track as it was before the point was dragged is fetched again
        "([x, y]) => { const a = window.anchorline, p = a.tracks.at(a.subject(), 1, 12);"
        " return p && Math.hypot(p[0] - x, p[1] - y) < 1; }",
        arg=[float(later[0]), float(later[1])],
    )
    page.mouse.click(*at(page, later[0], later[1]), button="right")
    page.wait_for_function("window.anchorline.view.subjects[0].tracks.points[0].spots[1]?.[3] === false")
    key(page, "Delete")
    page.wait_for_function("window.anchorline.view.subjects[0].tracks === null")
