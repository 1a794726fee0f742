"""A user's whole way in a real headless Chromium: open, scrub, mark, make anchors, propagate, cancel, reload, export."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engine.media.reader import open_video
from tests.bench.editor import EditorServer
from tests.e2e.driving import FRAMES, HEIGHT, WIDTH, at, barcode, disc, open_tab, seek, stored, view, wait_job

pytestmark = pytest.mark.browser


def test_stage_shows_frames_exactly(page):
    assert page.locator(".al-picture").bounding_box()["height"] > 200
    for frame in (0, 17, FRAMES - 1, 5):
        seek(page, frame)
        assert barcode(page) == frame
    page.keyboard.press("Home")
    page.locator(".al-editor").focus()
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector(".al-editor[data-frame='7']")
    assert barcode(page) == 7


def test_timeline_seeks_and_help_sheet_opens(page):
    box = page.locator(".al-timeline canvas").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 12)
    page.evaluate("window.anchorline.settled()")
    shown = int(page.locator(".al-editor").get_attribute("data-frame"))
    assert FRAMES * 0.5 < shown < FRAMES and barcode(page) == shown
    page.locator(".al-editor").focus()
    page.keyboard.press("?")
    page.wait_for_selector("text=Make this frame an anchor")
    page.keyboard.press("Escape")


def test_foreign_origin_gets_nothing(server):
    request = urllib.request.Request(
        f"{server.base}/api/projects/{server.project}/acts",
        data=json.dumps({"name": "add_anchor", "args": {"frame": 3}}).encode(),
        headers={"Content-Type": "application/json", "Origin": "http://evil.example"},
    )
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)


def test_refusals_reach_the_user_as_one_sentence(page):
    answer = page.evaluate("window.anchorline.act('add_point', {frame: 999, subject: 1, x: 1, y: 1, label: 1})")
    assert answer is None
    page.wait_for_selector("text=There is no frame 999")


def test_from_clicks_to_a_finished_clip(page, server, clip, tmp_path):
    mark_with_click_and_brush(page, server)
    make_anchor(page, 0)
    page.keyboard.press("Home")
    wait_job(page, "carry", "done")
    make_anchor(page, FRAMES - 1)
    propagate_with_cancel_and_reload(page)
    rendered = view(page)
    assert {segment["state"] for segment in rendered["segments"]} == {"done"}
    export(page)
    check_file(server, clip, rendered)


def mark_with_click_and_brush(page: Any, server: EditorServer) -> None:
    seek(page, 0)
    x, y = disc(0)
    page.mouse.click(*at(page, x, y))
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.length === 1")
    keyframe = view(page)["subjects"][0]["keyframes"][0]
    assert np.allclose(keyframe["points"][0][:2], (x, y), atol=0.6)
    mask = stored(server, keyframe["mask"])
    assert mask[y, x] == 255 and mask[5, 5] == 0
    page.locator(".al-editor").focus()
    page.keyboard.press("b")
    page.mouse.move(*at(page, x - 40, y + 40))
    page.mouse.down()
    page.mouse.move(*at(page, x - 10, y + 45), steps=5)
    page.mouse.up()
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes[0].strokes === 1")
    painted = stored(server, view(page)["subjects"][0]["keyframes"][0]["mask"])
    assert painted[y + 40, x - 40] == 255 and (painted > 127).sum() > (mask > 127).sum()
    page.keyboard.press("Control+z")
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes[0].strokes === 0")
    assert view(page)["can_redo"]
    page.keyboard.press("p")


def make_anchor(page: Any, frame: int) -> None:
    seek(page, frame)
    page.locator(".al-editor").focus()
    page.keyboard.press("a")
    page.wait_for_function("(frame) => window.anchorline.view.anchors.some((a) => a.frame === frame)", arg=frame)
    open_tab(page, "Anchors")
    page.locator("#anchor-title", has_text=f"Frame {frame} is an anchor").wait_for()
    page.click("#make-take")
    page.wait_for_selector("#takes [data-take]")
    page.click("#approve")
    page.locator("#anchor-title", has_text=f"Frame {frame} is an approved anchor").wait_for()


def propagate_with_cancel_and_reload(page: Any) -> None:
    open_tab(page, "Propagate")
    page.click("#propagate")
    wait_job(page, "propagate", "running")
    page.click("#cancel")
    wait_job(page, "propagate", "cancelled", 5)
    page.click("#propagate")
    wait_job(page, "propagate", "running")
    page.reload()
    page.wait_for_selector(".al-editor[data-ready='1']")
    page.wait_for_selector("#job .al-job[data-kind='propagate']")
    wait_job(page, "propagate", "done")


def export(page: Any) -> None:
    open_tab(page, "Export")
    page.click("#export")
    wait_job(page, "export", "done")
    page.wait_for_selector("#exports a")


def check_file(server: EditorServer, clip: Path, rendered: dict[str, Any]) -> None:
    home = Path(server.log).parent
    (out,) = (home / "projects" / server.project / "exports").glob("*.mp4")
    with open_video(out) as finished, open_video(clip) as source:
        assert finished.video.frames == FRAMES and finished.video.size == (HEIGHT, WIDTH)
        assert finished.video.seconds().tolist() == source.video.seconds().tolist()
        for frame in (0, FRAMES - 1):
            key = next(a["chosen"] for a in rendered["anchors"] if a["frame"] == frame)
            assert mean_error(finished.get(frame), stored(server, key)) < 3
        for frame in range(0, FRAMES, 7):
            far = np.ones((HEIGHT, WIDTH), bool)
            x, y = disc(frame)
            far[y - 60 : y + 60, max(0, x - 90) : x + 90] = False
            assert mean_error(finished.get(frame)[far], source.get(frame)[far]) < 3
            blue = finished.get(frame)[y, x].astype(int)
            assert blue[2] > blue[0], f"the recolouring is not on the disc in frame {frame}: {blue}"
    assert sound_of(out) == sound_of(clip)
    job = server.status()["job"]
    assert job["state"] == "done"


def mean_error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def sound_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
