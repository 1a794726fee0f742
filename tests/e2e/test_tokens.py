"""Anchor tokens on the canvas: found by Point-to-Point, dragged, deleted, joined by a tracked point, fewer by the slider."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.e2e.driving import at, disc, open_tab, seek, view, wait_job

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LAST = 8
QUICK = {"steps": 1, "tune_steps": 1, "adapt_steps": 0, "threshold": 0.01, "tokens": 4}
TOKENS = "window.anchorline.tracks.tokens.shown(window.anchorline.frame)"


def told(page: Any) -> None:
    """The disc marked, nine frames, Point-to-Point with few steps and its prompts."""
    seek(page, 0)
    page.mouse.click(*at(page, *disc(0)))
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.length === 1")
    page.evaluate("(stop) => window.anchorline.act('set_range', {start: 0, stop})", LAST + 1)
    page.evaluate("(config) => window.anchorline.act('use_method', {method: 'point_to_point', config})", QUICK)
    open_tab(page, "Propagate")
    for name, text in (("source_prompt", "a red ball on grass"), ("target_prompt", "a red star on grass")):
        page.wait_for_selector(f"#{name}", state="visible")
        page.fill(f"#{name} textarea, #{name} input", text)


def propagated(page: Any) -> None:
    job = page.evaluate("window.anchorline.view.job?.id ?? 0")
    page.click("#propagate")
    page.wait_for_function("(job) => { const now = window.anchorline.view.job; return now && now.id !== job; }", arg=job)
    wait_job(page, "propagate", "done", 240)
    page.evaluate("window.anchorline.refresh()")
    page.wait_for_function(f"window.anchorline.view.tokens && {TOKENS}.length", timeout=30_000)


def token_at(page: Any, frame: int, name: list[float]) -> tuple[float, float]:
    seek(page, frame)
    shown = {tuple(one["name"]): one for one in page.evaluate(TOKENS)}
    return shown[tuple(name)]["x"], shown[tuple(name)]["y"]


def free_place(tokens: list[dict[str, Any]]) -> tuple[float, float]:
    """Inside the disc on frame 4, as far from every token as can be."""
    middle, there = np.array(disc(4)), np.array([[one["x"], one["y"]] for one in tokens])
    places = middle + np.array([[dx, dy] for dx in (-18, -9, 0, 9, 18) for dy in (-18, -9, 0, 9, 18)])
    away = np.linalg.norm(places[:, None] - there, axis=-1).min(1)
    x, y = places[away.argmax()]
    return float(x), float(y)


def test_tokens_are_dragged_deleted_and_fewer_by_the_slider(page: Any, server: Any) -> None:
    told(page)
    propagated(page)
    seek(page, 4)
    tokens = [one for one in page.evaluate(TOKENS) if one["seen"]]
    assert 2 <= len(tokens) <= 4
    name = tokens[0]["name"]
    x, y = token_at(page, 4, name)
    far = token_at(page, LAST, name)
    seek(page, 4)
    page.locator(".al-editor").focus()
    page.keyboard.press("v")  # the tool that selects and moves
    page.mouse.move(*at(page, x, y))
    page.mouse.down()
    page.mouse.move(*at(page, x + 14, y - 10), steps=4)
    page.mouse.up()
    page.wait_for_function(
        f"({{x, name}}) => {TOKENS}.some((one) => one.name.join() === name && Math.abs(one.x - x) < 2)",
        arg={"x": x + 14, "name": ",".join(str(value) for value in name)},
    )
    moved = np.array(token_at(page, LAST, name)) - far
    assert abs(moved[0] - 14) < 6 and abs(moved[1] + 10) < 6, "it is carried through the clip"

    seek(page, 4)
    page.mouse.click(*at(page, x + 14, y - 10))
    page.keyboard.press("Delete")
    page.wait_for_function(f"(name) => !{TOKENS}.some((one) => one.name.join() === name)", arg=",".join(str(v) for v in name))
    page.keyboard.press("Control+z")
    page.wait_for_function(f"(name) => {TOKENS}.some((one) => one.name.join() === name)", arg=",".join(str(v) for v in name))

    page.keyboard.press("r")
    page.mouse.click(*at(page, *free_place(page.evaluate(TOKENS))))
    page.wait_for_function("window.anchorline.view.subjects[0].tracks?.points.length === 1")
    page.click("#settings button")
    number = page.locator("#settings input[type=number][aria-label*='Tokens']").locator("visible=true")
    number.fill("1")
    number.press("Tab")
    propagated(page)
    assert len(view(page)["tokens"]["names"]) == 1
