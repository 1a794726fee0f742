"""For everybody: names for screen readers, room on small windows, a page that stays where it is while one works."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.driving import at, disc, open_tab, opened, seek, wait_job

pytestmark = pytest.mark.browser
INTERACTIVE = {
    "button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "slider", "spinbutton", "tab", "option",
    "listbox", "switch", "menuitem", "ColorWell", "application", "dialog",
}  # fmt: skip
TABS = ("Mark", "Anchors", "Propagate", "Check", "Export")
SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const names = entry.sources.map((one) => one.node?.id || one.node?.className || one.node?.nodeName);
      window.shifts.push({ value: entry.value, input: entry.hadRecentInput, names });
    }
  }).observe({ type: 'layout-shift', buffered: false });
}"""
PLACES = """() => ['.al-stage', '.al-timeline', '.al-rows', '#tabs'].map((name) => {
  const { left, top, width } = document.querySelector(name).getBoundingClientRect();
  return [name, Math.round(left), Math.round(top), Math.round(width)];
})"""


def unnamed(page: Any) -> list[str]:
    """What can be used on the page as it is now and has no name, as the browser's own accessibility tree tells it."""
    session = page.context.new_cdp_session(page)
    session.send("Accessibility.enable")
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    found = []
    assert sum(node.get("role", {}).get("value", "") in INTERACTIVE for node in nodes) > 40  # the tree was read
    for node in nodes:
        role = node.get("role", {}).get("value", "")
        if not node.get("ignored") and role in INTERACTIVE and not node.get("name", {}).get("value", "").strip():
            described = session.send("DOM.describeNode", {"backendNodeId": node["backendDOMNodeId"]})["node"]
            attributes = described.get("attributes", [])
            found.append(f"{role}: <{described['localName']} {' '.join(attributes)}>")
    session.detach()
    return found


def test_everything_that_can_be_used_has_a_name(page):
    for folded in ("project-panel", "all-projects", "models-panel"):
        page.evaluate("(name) => window.anchorline.controls.use(name)", folded)
    faults = {}
    for tab in TABS:
        open_tab(page, tab)
        page.wait_for_timeout(300)
        faults[tab] = unnamed(page)
    page.locator(".al-editor").focus()
    for key, name in (("Control+k", "palette"), ("?", "keys")):
        page.keyboard.press(key)
        page.wait_for_selector(".al-veil:not([hidden])")
        faults[name] = unnamed(page)
        page.keyboard.press("Escape")
    assert [f"{where}: {fault}" for where, found in faults.items() for fault in found] == []


def test_what_is_empty_offers_the_next_act(page):
    seek(page, 0)
    page.get_by_role("button", name="Draw a box").click()
    page.wait_for_selector(".al-editor[data-tool='box']")
    assert page.locator(".al-hint-next").inner_text() == "Next: Draw a box round what you want to change."
    open_tab(page, "Propagate")
    page.get_by_role("button", name="Go to Anchors").click()
    page.locator("#takes").get_by_role("button", name="Make this frame an anchor").click()
    page.wait_for_function("window.anchorline.view.anchors.length === 1")
    page.get_by_role("button", name="Make a take by the effect").click()
    page.wait_for_selector("text=There is no mask on frame 0 yet")
    open_tab(page, "Export")
    assert page.locator("#exports").get_by_role("button", name="Export the clip").is_visible()
    page.locator(".al-editor").focus()
    page.keyboard.press("Control+z")
    page.wait_for_function("window.anchorline.view.anchors.length === 0")


def test_nothing_jumps_during_the_main_acts(page):
    seek(page, 0)
    page.locator(".al-editor").focus()
    page.wait_for_timeout(500)
    page.evaluate(SHIFTS)
    before = page.evaluate(PLACES)
    page.mouse.click(*at(page, *disc(0)))
    page.wait_for_function("window.anchorline.view.subjects[0].keyframes.length === 1")
    wait_job(page, "carry", "done")
    page.keyboard.press("a")
    page.wait_for_function("window.anchorline.view.anchors.length === 1")
    open_tab(page, "Anchors")
    page.click("#make-take")
    page.wait_for_selector("#approve:not([disabled])")
    page.click("#approve")
    page.locator(".al-editor").focus()
    page.keyboard.press("Control+Enter")
    wait_job(page, "propagate", "done")
    page.wait_for_timeout(600)
    assert page.evaluate(PLACES) == before
    shifts = page.evaluate("window.shifts")
    jumped = [one for one in shifts if not one["input"]]
    assert sum(one["value"] for one in jumped) <= 0.02, jumped  # a tenth is what the web calls good; the picture is still


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (360, 740)])
def test_small_windows_hold_the_page(browser, server, width, height):
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.goto(server.page)
    opened(page)
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """(width) => [...document.querySelectorAll('.al-editor button')].filter((one) => one.offsetParent !== null)
            .filter((one) => one.getBoundingClientRect().right > width).map((one) => one.ariaLabel)""",
        width,
    )
    assert outside == []
    timeline = page.locator(".al-timeline").bounding_box()
    assert timeline["y"] + timeline["height"] <= height
    stage = page.locator(".al-stage").bounding_box()
    assert stage["height"] >= 200 and stage["width"] <= width
    context.close()
