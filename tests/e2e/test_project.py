"""Whole projects in a real headless Chromium: undo that shows what it changed, copies, zips, a moved clip, two editors."""

from __future__ import annotations

import os
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.bench.editor import EditorServer, editor_server
from tests.e2e.driving import FRAMES, at, disc, open_tab, opened, seek, view, wait_job

pytestmark = pytest.mark.browser


def panel(page: Any, name: str) -> None:
    page.get_by_role("button", name=name).click()


def wait_named(page: Any, name: str) -> None:
    page.wait_for_function("(name) => window.anchorline.view?.name === name", arg=name, timeout=120_000)
    opened(page)


def test_undo_goes_to_where_it_changed_something_and_never_takes_back_looking(page):
    for frame in (3, 20):
        seek(page, frame)
        page.evaluate(f"window.anchorline.act('add_anchor', {{frame: {frame}}})")
    before = view(page)["rev"]
    seek(page, 30)
    page.evaluate("window.anchorline.act('select_subject', {subject: 1})")
    assert view(page)["rev"] == before
    page.locator(".al-editor").focus()
    page.keyboard.press("Control+z")
    page.wait_for_selector(".al-editor[data-frame='20']")
    page.wait_for_selector("text=Undone: Add anchor (frame 20)")
    assert [anchor["frame"] for anchor in view(page)["anchors"]] == [3]
    seek(page, 0)
    page.locator(".al-editor").focus()
    page.keyboard.press("Control+Shift+z")
    page.wait_for_selector(".al-editor[data-frame='20']")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.wait_for_function("window.anchorline.view.anchors.length === 0")


def test_a_copy_a_zip_and_the_list_lead_from_project_to_project(page, server, tmp_path):
    first = view(page)["name"]
    page.evaluate("window.anchorline.act('add_anchor', {frame: 7})")
    panel(page, "Copies, zips, backups, cache")
    page.fill("#project-name input, #project-name textarea", "Second <b>")
    page.click("#project-copy")
    wait_named(page, "Second <b>")
    assert server.project not in page.url and [anchor["frame"] for anchor in view(page)["anchors"]] == [7]
    page.click("#project-zip")
    wait_job(page, "zip", "done")
    open_tab(page, "Export")
    link = page.locator("#exports a", has_text=".anchorline.zip")
    with page.expect_download() as download:
        link.click()
    archive = tmp_path / "p.zip"
    download.value.save_as(archive)
    assert any(name.startswith("media/") for name in zipfile.ZipFile(archive).namelist())
    panel(page, "All projects")
    page.locator(".al-project b", has_text=first).click()
    wait_named(page, first)
    with page.expect_file_chooser() as chooser:
        page.click("#project-unzip")
    chooser.value.set_files(str(archive))
    wait_named(page, "Second <b>")
    assert view(page)["can_undo"]  # the history came along


@pytest.mark.slow
def test_a_moved_clip_is_found_from_the_page(browser, tmp_path, clip):
    moved = tmp_path / "in" / "clip.mp4"
    moved.parent.mkdir()
    moved.write_bytes(clip.read_bytes())
    home = tmp_path / "home"
    with editor_server(home, str(moved)) as first:
        first.wait_for("/")
        project = first.project
    elsewhere = tmp_path / "archive" / "2024"
    elsewhere.mkdir(parents=True)
    moved.rename(elsewhere / "other name.mp4")
    with editor_server(home, str(home / "projects" / project)) as second:
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.goto(second.page)
        page.locator("#project-state", has_text="gone from where it was").wait_for(timeout=120_000)
        page.fill("#relink-path input, #relink-path textarea", str(tmp_path / "archive"))
        page.click("#relink")
        page.locator("#project-state [data-state='saved']").wait_for(timeout=120_000)
        opened(page)
        seek(page, FRAMES - 1)
        page.context.close()


def test_a_second_editor_on_the_same_home_reads_along_and_leaves_jobs_alone(page, server):
    home = Path(server.log).parent
    with editor_server(home, str(home / "projects" / server.project)) as second:
        other = page.context.new_page()
        second.wait_for("/")
        other.goto(second.page)
        opened(other)
        other.locator(".al-banner", has_text="open in another Anchorline").wait_for()
        page.evaluate("window.anchorline.act('add_anchor', {frame: 11})")
        other.wait_for_function("window.anchorline.view.anchors.some((a) => a.frame === 11)", timeout=120_000)
        assert other.evaluate("window.anchorline.act('add_anchor', {frame: 12})") is None
        assert [a["frame"] for a in view(page)["anchors"]] == [a["frame"] for a in view(other)["anchors"]]
        other.close()
    page.evaluate("window.anchorline.act('undo')")


@pytest.mark.slow
def test_a_closed_tab_is_back_on_its_job_within_two_seconds_and_a_killed_editor_goes_on(browser, tmp_path, clip):
    home = tmp_path / "home"
    with editor_server(home, str(clip)) as first:
        page = start_propagating(browser, first)
        context = page.context
        page.close()
        page = context.new_page()
        page.goto(first.page)
        page.wait_for_selector("#job .al-job", timeout=120_000)
        loaded = time.monotonic()
        page.wait_for_selector("#job .al-job[data-kind='propagate']:not([data-state='queued'])", timeout=120_000)
        assert time.monotonic() - loaded < 10, "two seconds are promised and measured by the bench; a busy machine takes longer"
        job = first.status()["job"]
        if job["state"] == "running":
            os.killpg(first.process.pid, signal.SIGKILL)
            first.process.wait()
        context.close()
    if job["state"] != "running":
        pytest.skip("the job was over before the editor could be killed")
    with editor_server(home, str(home / "projects" / first.project)) as second:
        second.wait_for("/")
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.goto(second.page)
        opened(page)
        wait_job(page, "propagate", "done")
        assert {segment["state"] for segment in view(page)["segments"]} == {"done"}
        page.context.close()


def start_propagating(browser: Any, server: EditorServer) -> Any:
    server.wait_for("/")
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(server.page)
    opened(page)
    x, y = disc(0)
    page.mouse.click(*at(page, x, y))
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.length === 1")
    page.keyboard.press("a")
    page.wait_for_function("window.anchorline.view.anchors.length === 1")
    open_tab(page, "Anchors")
    page.click("#make-take")
    page.wait_for_selector("#takes [data-take]")
    page.click("#approve")
    page.locator("#anchor-title", has_text="Frame 0 is an approved anchor").wait_for()
    open_tab(page, "Propagate")
    page.click("#propagate")
    wait_job(page, "propagate", "running")
    return page
