"""Takes by painting and from pictures, the question about what reaches outside the mask, several projects, hostile names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.driving import HEIGHT, WIDTH, at, disc, open_tab, opened, seek, stored, view
from tests.media_fixtures import Clip, write_drawn_clip

pytestmark = pytest.mark.browser
SCRIPT = "<img src=x onerror=window.__xss=1>"


def picture(folder: Path, name: str, size: tuple[int, int]) -> str:
    Image.fromarray(np.full((*size, 3), (30, 200, 90), np.uint8)).save(folder / name)
    return str(folder / name)


def choose(page: Any, button: str, file: str) -> None:
    """Clicks an upload button and gives it a file."""
    with page.expect_file_chooser() as chooser:
        page.click(button)
    chooser.value.set_files(file)


def anchor(page: Any, frame: int) -> dict[str, Any]:
    return next(one for one in view(page)["anchors"] if one["frame"] == frame)


def test_pictures_of_another_size_are_refused_or_fitted(page, server, tmp_path):
    seek(page, 8)
    open_tab(page, "Anchors")
    choose(page, "#picture", picture(tmp_path, "small.png", (60, 90)))
    page.wait_for_selector("text=The picture is 90×60 and the clip 384×240")
    page.locator("#fit input").check()
    choose(page, "#picture", picture(tmp_path, "small too.png", (60, 90)))
    page.wait_for_selector("#takes [data-take]")
    take = anchor(page, 8)["takes"][0]
    assert take["source"] == "imported" and stored(server, take["key"]).shape == (HEIGHT, WIDTH, 3)


def test_a_take_outside_the_mask_asks_and_is_clipped(page, server, tmp_path):
    seek(page, 20)
    page.mouse.click(*at(page, *disc(20)))
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.some((k) => k.frame === 20)")
    open_tab(page, "Anchors")
    choose(page, "#picture", picture(tmp_path, "whole.png", (HEIGHT, WIDTH)))
    page.wait_for_selector("#takes [data-take]")
    page.click("#approve")
    page.wait_for_selector("text=pixels outside the mask")
    page.click("#outside-clip")
    page.locator("#anchor-title", has_text="Frame 20 is an approved anchor").wait_for()
    now = anchor(page, 20)
    assert len(now["takes"]) == 2
    clipped = stored(server, now["chosen"])
    x, y = disc(20)
    assert tuple(clipped[y, x]) == (30, 200, 90) and tuple(clipped[5, WIDTH - 5]) != (30, 200, 90)


def test_paint_becomes_a_take(page, server):
    seek(page, 14)
    page.locator(".al-editor").focus()
    page.keyboard.press("a")
    page.keyboard.press("d")
    x, y = disc(14)
    page.mouse.move(*at(page, x - 20, y))
    page.mouse.down()
    page.mouse.move(*at(page, x + 20, y), steps=6)
    page.mouse.up()
    page.keyboard.press("Enter")
    page.wait_for_function("window.anchorline.view.anchors.find((a) => a.frame === 14)?.takes.length === 1")
    take = anchor(page, 14)["takes"][0]
    painted = stored(server, take["key"]).astype(int)
    assert take["source"] == "painted"
    assert painted[y, x, 2] > painted[y, x, 0] + 60, "the default paint is blue"


def test_a_second_project_opens_in_the_same_tab(page, server, tmp_path):
    first = page.url
    other = write_drawn_clip(tmp_path / f"{SCRIPT.replace('/', '')}.mp4", Clip(frames=12, size=(96, 160)))
    page.fill("#path input, #path textarea", str(other))
    page.click("#open-path")
    page.wait_for_function("window.anchorline.view?.clip.width === 160", timeout=120_000)
    opened(page)
    page.wait_for_function("(before) => location.href !== before", arg=first)
    assert page.evaluate("window.anchorline.view.clip.frames") == 12
    page.evaluate("window.anchorline.act('rename', {name: '<img src=x onerror=window.__xss=1>'})")
    page.evaluate("window.anchorline.act('shape_subject', {subject: 1, name: '<img src=x onerror=window.__xss=1>'})")
    page.reload()
    opened(page)
    for tab in ("Mark", "Anchors", "Propagate", "Export"):
        open_tab(page, tab)
    assert page.evaluate("window.__xss") is None
    page.goto(first)
    opened(page)
    assert page.evaluate("window.anchorline.view.clip.width") == WIDTH


def test_uploads_are_kept_in_the_project(page, server, tmp_path):
    small = write_drawn_clip(tmp_path / "up – ü.mp4", Clip(frames=10, size=(80, 128)))
    choose(page, "#upload", str(small))
    page.wait_for_function("window.anchorline.view?.clip.width === 128", timeout=120_000)
    opened(page)
    project = page.evaluate("window.anchorline.project")
    media = Path(server.log).parent / "projects" / project / "media"
    assert [path.read_bytes() for path in media.iterdir()] == [small.read_bytes()]


def test_a_broken_upload_is_one_sentence_and_leaves_nothing(page, server, tmp_path):
    projects = Path(server.log).parent / "projects"
    before = set(projects.iterdir())
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video at all" * 50)
    choose(page, "#upload", str(broken))
    page.wait_for_selector("text=is not a clip that can be read")
    assert set(projects.iterdir()) == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/no/such/clip.mp4", "cannot be opened"),
        ("http://127.0.0.1/clip.mp4", "is an address"),
        ("concat:a.mp4|b.mp4", "is an address"),
    ],
)
def test_wrong_paths_are_one_sentence(page, text, says):
    before = page.url
    page.fill("#path input, #path textarea", text)
    page.click("#open-path")
    page.wait_for_selector(f"text={says}")
    assert page.url == before and "Traceback" not in page.content()


def test_masks_are_carried_by_themselves(page):
    seek(page, 0)
    page.mouse.click(*at(page, *disc(0)))
    page.wait_for_function("window.anchorline.view.subjects[0].carried?.stale === false", timeout=120_000)
    seek(page, 30)
    page.wait_for_function("document.querySelector('.al-tint') && !document.querySelector('.al-tint').hidden")
