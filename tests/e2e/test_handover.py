"""Work that goes to other programs and comes back: painting elsewhere, jobs, timelines, the share package."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.interchange.openraster import Layer, read_openraster, write_openraster
from tests.e2e.driving import at, disc, open_tab, opened, seek, stored, view, wait_job
from tests.test_handover import ebs_job

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def choose(page: Any, button: str, file: str) -> None:
    with page.expect_file_chooser() as chooser:
        page.click(button)
    chooser.value.set_files(file)


def takes(page: Any, frame: int) -> list[dict[str, Any]]:
    return next((one["takes"] for one in view(page)["anchors"] if one["frame"] == frame), [])


def painter_saves(path: Path, picture: np.ndarray) -> None:
    """As a painting program does: beside, then renamed over the old file."""
    beside = path.with_suffix(".saving")
    if path.suffix == ".ora":
        write_openraster(beside, [Layer("Flat", picture)], picture)
    else:
        Image.fromarray(picture).save(beside, "PNG")
    os.replace(beside, path)


def says(page: Any, stem: str, text: str) -> Any:
    line = page.locator(f"#paintings [data-stem='{stem}'].al-painting", has_text=text)
    line.wait_for(timeout=120_000)
    return line


def test_an_anchor_is_painted_elsewhere_and_comes_back(page, server):
    seek(page, 20)
    page.mouse.click(*at(page, *disc(20)))
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.length > 0")
    open_tab(page, "Anchors")
    page.click("#paint-elsewhere")
    says(page, "anchor-0020", "watching anchor-0020.ora")
    folder = Path(page.inner_text("#paintings code"))
    found = read_openraster(folder / "anchor-0020.ora")
    picture = found.picture.copy()
    inside = np.array(Image.open(folder / "anchor-0020-mask.png")) > 128
    assert inside.any() and "Paint here" in found.shown
    picture[inside] = (20, 220, 40)
    painter_saves(folder / "anchor-0020.ora", picture)
    says(page, "anchor-0020", "Came back as the take “anchor-0020.ora”.")
    (take,) = takes(page, 20)
    assert (stored(server, take["key"]) == picture).all() and take["source"] == "painted"
    page.wait_for_function("window.anchorline.mode === 'edited'")

    page.reload()
    opened(page)
    open_tab(page, "Anchors")
    says(page, "anchor-0020", "watching anchor-0020.ora")
    picture[inside] = (200, 20, 240)
    painter_saves(folder / "anchor-0020.png", np.roll(picture, (4, -6), (0, 1)))
    says(page, "anchor-0020", "6 px to the left and 4 px down")
    page.click("#paintings [data-answer='undo_shift']")
    says(page, "anchor-0020", "The shift is undone")
    labels = [one["label"] for one in takes(page, 20)]
    assert labels == ["anchor-0020.ora", "anchor-0020.png, 2", "anchor-0020.png, 2, moved back"]
    page.click("#paintings [data-answer='stop']")
    page.wait_for_selector("#paintings .al-painting", state="detached")
    assert (folder / "anchor-0020.ora").exists()


def test_another_size_is_offered_to_fit_and_the_key_sends(page, server):
    seek(page, 5)
    page.locator(".al-editor").focus()
    page.keyboard.press("Shift+D")
    open_tab(page, "Anchors")
    says(page, "anchor-0005", "watching")
    folder = Path(page.inner_text("#paintings code"))
    painter_saves(folder / "anchor-0005.png", np.full((120, 192, 3), 90, np.uint8))
    says(page, "anchor-0005", "came back with 192×120 px and the clip has 384×240")
    assert takes(page, 5) == []
    page.click("#paintings [data-answer='fit']")
    page.wait_for_function("window.anchorline.view.anchors.find((a) => a.frame === 5)?.takes.length === 1")
    (folder / "anchor-0005.ora").write_bytes(b"PK\3\4half")
    says(page, "anchor-0005", "is cut off, or no OpenRaster picture")
    assert len(takes(page, 5)) == 1


def export(page: Any, server: Any, form: str) -> bytes:
    """Exports in a form, by the page's own controls; the newest file of it."""
    open_tab(page, "Export")
    before = set(page.locator("#exports a").all_inner_texts())
    page.click("#format input")
    page.get_by_role("option", name=form).click()
    page.click("#export")
    page.wait_for_function("(n) => document.querySelectorAll('#exports a').length > n", arg=len(before), timeout=120_000)
    (name,) = set(page.locator("#exports a").all_inner_texts()) - before
    return server.get(f"/api/projects/{server.project}/exports/{name}")


def test_timelines_and_the_share_package_are_exported_and_opened_again(page, server, tmp_path, clip):
    for frame in (8, 24):
        seek(page, frame)
        page.locator(".al-editor").focus()
        page.keyboard.press("a")
        page.wait_for_function("(f) => window.anchorline.view.anchors.some((a) => a.frame === f)", arg=frame)
    page.evaluate("window.anchorline.act('set_range', {start: 4, stop: 30})")
    body = json.loads(export(page, server, "OpenTimelineIO"))
    shown = body["tracks"]["children"][0]["children"][0]
    marked = {one["marked_range"]["start_time"]["value"] for one in shown["markers"]}
    assert {8, 24} <= marked and shown["source_range"]["start_time"]["value"] == 4
    shown["markers"].append(
        {**shown["markers"][0], "marked_range": {**shown["source_range"], "start_time": {"rate": 24, "value": 28}}}
    )
    (tmp_path / "more.otio").write_text(json.dumps(body))
    choose(page, "#markers", str(tmp_path / "more.otio"))
    page.wait_for_function("window.anchorline.view.anchors.some((a) => a.frame === 28)")

    package = zipfile.ZipFile(io.BytesIO(export(page, server, "share package")))
    assert package.testzip() is None and {"before-after.mp4", "sheet.png", "recipe.json"} <= set(package.namelist())

    (tmp_path / "job.otio").write_text(json.dumps(body))
    page.fill("#path input, #path textarea", str(tmp_path / "job.otio"))
    page.click("#open-path")
    page.wait_for_function("(id) => window.anchorline.project !== id", arg=server.project, timeout=120_000)
    opened(page)
    now = view(page)
    assert now["range"] == [4, 30] and {8, 24, 28} <= {one["frame"] for one in now["anchors"]}


def test_an_ebsynth_job_opens_by_its_path_and_wrong_ones_say_why(page, tmp_path):
    job = ebs_job(tmp_path / "job", keys=2, frames=12)
    page.fill("#path input, #path textarea", str(job))
    page.click("#open-path")
    page.wait_for_function("window.anchorline.view?.clip.frames === 12", timeout=120_000)
    opened(page)
    assert [one["frame"] for one in view(page)["anchors"] if one["chosen"]] == [0, 11]
    choose(page, "#upload", str(job))
    page.wait_for_selector("text=are not beside it")
    job.write_bytes(b"EBS05 but not really")
    page.fill("#path input, #path textarea", str(job))
    page.click("#open-path")
    page.wait_for_selector("text=damaged or not a project of EbSynth")


def test_the_folder_for_ebsynth_is_exported(page, server):
    seek(page, 10)
    page.mouse.click(*at(page, *disc(10)))
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.some((k) => k.frame === 10)")
    open_tab(page, "Anchors")
    page.click("#make-take")
    page.wait_for_function("window.anchorline.view.anchors.find((a) => a.frame === 10)?.takes.length > 0")
    page.click("#approve")
    page.wait_for_function("window.anchorline.view.anchors.find((a) => a.frame === 10)?.chosen")
    open_tab(page, "Export")
    page.click("#format input")
    page.get_by_role("option", name="EbSynth").click()
    page.click("#export")
    wait_job(page, "handover", "done")
    page.wait_for_selector("#exports >> text=.ebsynth")
    exports = Path(server.log).parent / "projects" / server.project / "exports"
    (folder,) = exports.glob("*.ebsynth")
    assert (folder / "job.ebs").read_bytes().startswith(b"EBS05\0") and (folder / "keys" / "00010.png").exists()
