"""The contact sheet, comparing on the canvas and the onion skin, in a real headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine.document import acts
from engine.editor import Editor
from engine.media.reader import open_video
from engine.progress import Progress
from engine.rendering.render import prepare_clip, read_motion
from engine.types import FrameRange
from tests.bench.editor import EditorServer, editor_server
from tests.e2e.driving import FRAMES, HEIGHT, PIXELS, WIDTH, disc, open_tab, seek, view, wait_job

pytestmark = [pytest.mark.browser, pytest.mark.slow]
BLUE = {"colour": "#2050ff"}
ALPHA = """([x, y]) => {
  const skin = document.querySelector('.al-onion');
  return skin.getContext('2d').getImageData(Math.round(x * skin.width), Math.round(y * skin.height), 1, 1).data[3];
}"""


FLICKERED = """([x, y]) => new Promise((resolve) => {
  const root = document.querySelector('.al-editor');
  const seen = [];
  const observer = new MutationObserver(async () => {
    const { phase } = root.dataset;
    await window.anchorline.seeker.idle();
    const [red, , blue] = document.querySelector('.al-picture').getContext('2d').getImageData(x, y, 1, 1).data;
    if (phase === root.dataset.phase) seen.push([phase, blue > red + 60]);
    if (seen.length >= 4) { observer.disconnect(); resolve(seen); }
  });
  observer.observe(root, { attributes: true, attributeFilter: ['data-phase'] });
})"""
"""Four changes of the flicker: the phase, and whether the pixel is blue."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[EditorServer]:
    """An editor on a project with masks on all frames and anchors on 0 (two takes), 12 (one) and 24 (none)."""
    folder = tmp_path_factory.mktemp("made") / "project"
    made = Editor.create(folder, clip)
    prepare_clip(made.material, Progress())
    for frame in range(26):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        made.import_mask(frame, 1, cv2.circle(mask, disc(frame), HEIGHT // 8, 255, -1))
    read_motion(made.material, [FrameRange(0, FRAMES)], Progress())
    made.act(acts.set_range, "Range", start=0, stop=26)
    for frame, effect, config in ((0, "recolour", BLUE), (0, "blur", {}), (12, "blur", {})):
        made.effect_take(frame, effect, config)
    made.act(acts.add_anchor, "Anchor", frame=24)
    made.close()
    with editor_server(tmp_path_factory.mktemp("home"), str(folder)) as running:
        running.wait_for("/")
        yield running


def colour(page: Any, frame: int) -> np.ndarray:
    """(3,) mean RGB that the canvas shows at the middle of the disc."""
    x, y = disc(frame)
    return np.array(page.evaluate(PIXELS, [x - 4, y - 4, 8, 8]), float).reshape(-1, 4)[:, :3].mean(0)


def is_blue(page: Any, frame: int) -> bool:
    red, _, blue = colour(page, frame)
    return bool(blue > red + 60)


def anchors(page: Any) -> list[dict[str, Any]]:
    return sorted(view(page)["anchors"], key=lambda one: one["frame"])


def approve(page: Any, frame: int) -> None:
    """The first take of an anchor, however the tests before left it."""
    key = next(one for one in anchors(page) if one["frame"] == frame)["takes"][0]["key"]
    page.evaluate("(asked) => window.anchorline.api.order('sheet/approve', asked)", {"frame": frame, "key": key})


def told(page: Any, text: str) -> None:
    page.locator(".al-sheet-said", has_text=text).wait_for(timeout=120_000)


def test_the_sheet_is_driven_by_keys(page: Any) -> None:
    box = page.locator(".al-stage").bounding_box()
    page.locator(".al-editor").focus()
    page.keyboard.press("g")
    page.wait_for_selector(".al-sheet:not([hidden]) [data-column='24']")
    assert page.locator(".al-sheet section").count() == 3
    page.keyboard.press("Home")
    page.keyboard.press("1")
    told(page, "Approved for frame 0")
    first = anchors(page)[0]
    assert first["chosen"] == first["takes"][0]["key"]
    page.keyboard.press("l")
    told(page, "Frame 0 is locked")
    page.keyboard.press("2")
    told(page, "Anchor 0 is locked")
    assert anchors(page)[0]["chosen"] == first["chosen"]
    page.keyboard.press("Control+z")
    page.wait_for_selector("[data-column='0'][aria-label='Frame 0, approved']")
    assert not anchors(page)[0]["locked"], "a lock is an act like any other"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("u")
    page.wait_for_selector("[data-column='24'] [data-take]:not([data-take=''])", timeout=120_000)
    assert [len(one["takes"]) for one in anchors(page)] == [2, 2, 1]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("2")
    told(page, "Approved for frame 12")
    score = page.locator("[data-pair='0-12']")
    page.wait_for_function("/^[0-9]+$/.test(document.querySelector('[data-pair=\"0-12\"]').textContent)", timeout=120_000)
    assert int(score.inner_text()) >= 80, "the same recolouring"
    assert "Anchors 0 and 12 agree" in (score.get_attribute("aria-label") or "")
    page.keyboard.press("r")
    told(page, "draws nothing by chance")
    page.keyboard.press("Escape")
    assert page.locator(".al-sheet").is_hidden()
    assert page.locator(".al-stage").bounding_box() == box, "nothing under it has moved"
    assert page.evaluate("document.activeElement.classList.contains('al-editor')")


def test_two_takes_side_by_side_and_with_a_wipe(page: Any) -> None:
    page.locator(".al-editor").focus()
    page.keyboard.press("g")
    page.wait_for_selector(".al-sheet:not([hidden]) [data-column='0']")
    for key in ("Home", "c", "ArrowDown", "ArrowUp", "ArrowRight", "c"):
        page.keyboard.press(key)
    two = page.locator(".al-two:not([hidden])")
    two.wait_for()
    assert "on the left, Frame 12" in (page.locator(".al-two-area").get_attribute("aria-label") or "")
    before = two.get_attribute("data-view")
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(was) => document.querySelector('.al-two').dataset.view !== was", arg=before)
    page.keyboard.press("v")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".al-two[data-mode='wipe'][data-wipe='0.45']")
    area = page.locator(".al-two-area").bounding_box()
    scale, left, _ = map(float, str(two.get_attribute("data-view")).split(","))
    line = area["x"] + left + 0.45 * WIDTH * scale
    page.mouse.move(line, area["y"] + 40)
    page.mouse.down()
    page.mouse.move(line + 0.2 * WIDTH * scale, area["y"] + 60, steps=4)
    page.mouse.up()
    assert abs(float(str(two.get_attribute("data-wipe"))) - 0.65) < 0.02
    page.keyboard.press("Escape")
    assert page.locator(".al-two").is_hidden() and page.locator(".al-sheet").is_visible()
    page.keyboard.press("g")
    assert page.locator(".al-sheet").is_hidden()


def test_source_and_result_by_key_flicker_and_wipe(page: Any) -> None:
    page.evaluate(
        "(a) => window.anchorline.api.order('sheet/approve', a)", {"frame": 0, "key": anchors(page)[0]["takes"][0]["key"]}
    )
    view(page)
    page.locator(".al-editor").focus()
    page.keyboard.press("F3")
    seek(page, 0)
    page.wait_for_selector(".al-editor[data-edited='take']")
    assert is_blue(page, 0)
    page.keyboard.down("s")
    page.wait_for_function("document.querySelector('.al-chip').textContent === 'Source'")
    assert not is_blue(page, 0)
    page.keyboard.up("s")
    page.wait_for_selector(".al-editor[data-held='']")
    assert is_blue(page, 0)
    page.evaluate("window.anchorline.stage.zoom(1.5)")
    looked = page.evaluate("window.anchorline.stage.view")
    page.keyboard.press("Shift+W")
    seen = page.evaluate(FLICKERED, [*disc(0)])
    assert {phase for phase, _ in seen} == {"source", "edited"}
    assert all(blue == (phase == "edited") for phase, blue in seen)
    page.keyboard.press("w")
    place = page.get_by_role("slider", name="Place of the wipe")
    place.focus()
    page.keyboard.press("Home")
    page.wait_for_function("window.anchorline.wipe === 0 && window.anchorline.seeker.settled")
    assert is_blue(page, 0), "the edit lies right of the line"
    page.keyboard.press("End")
    page.wait_for_function("window.anchorline.wipe === 1 && window.anchorline.seeker.settled")
    assert not is_blue(page, 0)
    assert page.evaluate("window.anchorline.stage.view") == looked, "one zoom and pan for all ways of looking"


def test_neighbours_lie_warped_on_a_frame_before_anything_is_rendered(page: Any) -> None:
    page.locator(".al-editor").focus()
    seek(page, 6)
    page.keyboard.press("y")
    page.wait_for_selector(".al-editor[data-skins='0,12']", timeout=120_000)
    x, y = disc(6)
    assert page.evaluate(ALPHA, [x / WIDTH, y / HEIGHT]) > 40, "where the disc is now"
    there = disc(0)
    assert page.evaluate(ALPHA, [(there[0] - 20) / WIDTH, there[1] / HEIGHT]) == 0, "not where it was at the anchor"
    note = page.locator("[data-name='onion-note']")
    assert "From 0: " in note.inner_text() and "12: " in note.inner_text()
    page.get_by_role("combobox", name="Onion skin: which neighbours").select_option("before")
    page.wait_for_selector(".al-editor[data-skins='0']", timeout=120_000)
    seek(page, 30)
    page.wait_for_selector(".al-editor[data-skins='24'], .al-editor[data-skins='']", timeout=120_000)
    page.keyboard.press("y")
    page.wait_for_selector(".al-editor[data-onion='0']")
    assert page.locator(".al-onion").is_hidden() and page.locator(".al-compare").is_hidden()


def test_before_and_after_is_exported_side_by_side(page: Any, server: EditorServer, tmp_path: Path) -> None:
    page.evaluate(
        "(a) => window.anchorline.api.order('sheet/approve', a)", {"frame": 0, "key": anchors(page)[0]["takes"][0]["key"]}
    )
    open_tab(page, "Export")
    page.locator("#format input").click()
    page.get_by_role("option", name="before and after: side by side").click()
    page.click("#export")
    wait_job(page, "export", "done")
    link = page.locator("#exports a").first
    (tmp_path / "both.mp4").write_bytes(server.get(str(link.get_attribute("href"))))
    with open_video(tmp_path / "both.mp4") as reader:
        assert reader.video.size == (HEIGHT, 2 * WIDTH) and reader.video.frames == 26
        assert [one.codec for one in reader.video.audio] == ["aac"]
        first, (x, y) = reader.get(0).astype(int), disc(0)
        assert first[y, x, 0] > first[y, x, 2] and first[y, WIDTH + x, 2] > first[y, WIDTH + x, 0]
