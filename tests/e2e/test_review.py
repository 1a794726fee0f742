"""Before, during and after a run in a real browser: the estimate, the preview, the queue, problems by key, the certificates."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.store.lock import FileLock
from tests.bench.editor import EditorServer
from tests.e2e.driving import open_tab, seek, view, wait_job
from tests.media_fixtures import Clip, write_drawn_clip
from tests.recipes import box_in

pytestmark = pytest.mark.browser
SIZE, LENGTH = (368, 480), 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that is larger than a preview."""
    return write_drawn_clip(tmp_path_factory.mktemp("review") / "larger.mp4", Clip(frames=LENGTH, size=SIZE))


def act(page: Any, verb: str, **args: Any) -> None:
    assert page.evaluate("([name, args]) => window.anchorline.act(name, args).then(Boolean)", [verb, args])


def kinds(page: Any) -> list[str]:
    """What the list shows, once it belongs to the view."""
    page.evaluate("window.anchorline.review.settled()")
    return page.evaluate("[...document.querySelectorAll('.al-problem')].map((one) => one.dataset.kind)")


def waiting(page: Any) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('.al-queue li')].map((one) => one.dataset.kind)")


@pytest.mark.slow
def test_a_job_from_its_estimate_to_its_certificate(page, server, tmp_path):
    open_tab(page, "Check")
    page.locator("#problems", has_text="Nothing to check yet").wait_for()
    mark_and_approve_from_the_list(page)
    preview_first(page)
    run_with_a_queue(page, server)
    certificates_and_report(page, tmp_path)
    problems_by_key(page)


def mark_and_approve_from_the_list(page: Any) -> None:
    act(page, "set_box", frame=0, subject=1, box=box_in(SIZE))
    act(page, "add_anchor", frame=0)
    page.locator(".al-problem[data-kind='empty_anchor']").wait_for()
    open_tab(page, "Anchors")
    page.click("#make-take")
    page.wait_for_selector("#takes [data-take]")
    open_tab(page, "Check")
    page.locator(".al-problem[data-kind='waiting']").wait_for()
    page.get_by_role("button", name="Approve this take, frame 0").click()
    page.wait_for_function("window.anchorline.view.anchors.some((one) => one.chosen)")
    page.get_by_role("tab", name="Anchors", selected=True).wait_for()
    assert page.evaluate("window.anchorline.mode") == "edited"
    wait_job(page, "carry", "done")


def preview_first(page: Any) -> None:
    open_tab(page, "Propagate")
    page.locator("#plan", has_text=f"To render: {LENGTH} frames (1 segment)").wait_for()
    assert "Time: not measured yet on this machine" in page.locator("#plan").inner_text()
    page.click("#proxy")
    wait_job(page, "proxy", "done")
    page.wait_for_function(f"window.anchorline.view.segments[0].instant?.proper?.[0]?.[1] === {LENGTH}")
    seek(page, 5)
    page.wait_for_function("window.anchorline.root.dataset.edited === 'preview'")
    page.locator("#plan", has_text="scaled by pixels").wait_for()
    page.evaluate("window.anchorline.review.settled()")
    assert not re.search("-", page.evaluate("window.anchorline.review.lanes.doubt")), "measured before anything is rendered"


def run_with_a_queue(page: Any, server: EditorServer) -> None:
    held = FileLock(Path(server.log).parent / "projects" / server.project / "cache" / "work.lock")
    held.wait(lambda: None)  # the run waits for it, so that the queue stays as it is for as long as it is looked at
    try:
        queue_and_reorder(page)
    finally:
        held.free()
    wait_job(page, "export", "done")
    assert {one["state"] for one in view(page)["segments"]} == {"done"}
    open_tab(page, "Propagate")
    page.locator("#plan", has_text="Everything is rendered").wait_for()


def queue_and_reorder(page: Any) -> None:
    page.click("#propagate")
    wait_job(page, "propagate", "running")
    open_tab(page, "Export")
    page.click("#export")
    page.locator(".al-queue li[data-kind='export']").wait_for()
    open_tab(page, "Propagate")
    page.click("#proxy")
    page.wait_for_function("document.querySelectorAll('.al-queue li').length === 2")
    assert waiting(page) == ["export", "proxy"]
    page.get_by_role("button", name="Earlier: Preview").click()
    page.wait_for_function("document.querySelector('.al-queue li').dataset.kind === 'proxy'")
    page.get_by_role("button", name="Take out of the queue: Preview").click()
    page.wait_for_function("document.querySelectorAll('.al-queue li').length === 1")


def certificates_and_report(page: Any, folder: Path) -> None:
    open_tab(page, "Check")
    page.locator(".al-seal[data-name='region'][data-holds='']").wait_for()
    page.click("#measure-rendered")
    page.locator(".al-seal[data-name='region'][data-holds='true']").wait_for(timeout=120_000)
    assert page.locator(".al-seal[data-name='anchors']").get_attribute("data-holds") == "true"
    for number, kind in enumerate(("html", "json")):
        with page.expect_download() as download:
            page.locator("#report a").nth(number).click()
        download.value.save_as(folder / f"r.{kind}")
    body = json.loads((folder / "r.json").read_text("utf-8"))
    assert body["certificates"]["complete"] and len(body["frame_proofs"]) == LENGTH
    assert "Nothing outside the region changed" in (folder / "r.html").read_text("utf-8")


def problems_by_key(page: Any) -> None:
    act(page, "add_anchor", frame=4)
    act(page, "add_anchor", frame=6)
    found = kinds(page)
    assert found.count("empty_anchor") == 2
    page.locator(".al-editor").focus()
    places = page.evaluate("window.anchorline.review.problems.map((one) => one.frame)")
    seen = []
    for key in ["q"] * len(places) + ["Shift+Q"]:
        page.keyboard.press(key)
        page.evaluate("window.anchorline.settled()")
        seen.append(int(page.locator(".al-editor").get_attribute("data-frame")))
    assert seen == [*places, places[-2]]
    first = page.locator(".al-problem").first
    first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f".al-editor[data-frame='{places[0]}']")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == page.locator(".al-problem").nth(1).get_attribute(
        "aria-label"
    )
    assert "anchor" in page.locator(".al-timeline").get_attribute("aria-valuetext")


def test_a_suspect_mask_is_corrected_where_it_is(page):
    """The list as the engine would give it: the act goes to the frame, picks the subject and the brush."""
    act(page, "add_subject", name="other")
    act(page, "select_subject", subject=2)
    kinds(page)  # what the engine says has come, and comes no more
    entry = {"kind": "mask", "start": 5, "stop": 9, "frame": 6, "severity": 0.7, "level": "severe", "subject": 1}
    entry |= {"sentence": "<img src=x onerror=window.__xss=1>", "act": "correct_mask", "says": "Correct the mask here"}
    page.evaluate(
        "(entry) => { window.anchorline.review.problems = [entry]; window.anchorline.changed('review'); }",
        entry,
    )
    open_tab(page, "Check")
    page.get_by_role("button", name="Correct the mask here, frames 5–8").click()
    page.wait_for_selector(".al-editor[data-frame='6'][data-tool='brush'][data-mode='source']")
    assert view(page)["subject"] == 1 and page.evaluate("window.__xss") is None


def test_methods_say_what_they_can_run_with(page):
    open_tab(page, "Propagate")
    page.locator("#method-models button").first.click()
    rows = page.locator("#method-rows .al-method")
    rows.first.wait_for()
    states = rows.evaluate_all("(all) => all.map((one) => one.dataset.ready)")
    assert states == sorted(states, reverse=True) and "true" in states
    fetch = page.locator("#method-rows [data-fetch='wan2.1-1.3b']").first
    assert fetch.is_enabled() and "GB to download" in page.locator("#method-rows").inner_text()
