"""A scripted new user: opens a clip by its path, clicks on the subject, makes one anchor by an effect, propagates, exports.

They know nothing but what the page says: a click where the subject is, the buttons by their names, and the next act under the
stage. Every press of the pointer counts; waiting costs seconds only.
"""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.bench.editor import EditorServer
from tests.bench.harness import BenchError
from tests.bench.marks_clicks import correction

if TYPE_CHECKING:
    from playwright.sync_api import Page

GOOD, CLICKS = 0.9, 6  # J of the marked frame at which they stop; clicks after which they go on anyway
LOOKED_AT = 12  # frames whose carried mask is compared with the truth
WITHIN = 570_000.0  # ms that one piece of work may take
OPENED = "(before) => window.anchorline.project !== before && window.anchorline.root.dataset.ready === '1'"
MARKED = "(count) => window.anchorline.view.subjects.some((s) => s.keyframes.some((k) => k.points.length === count))"
KEYFRAME = "window.anchorline.view.subjects.find((s) => s.keyframes.length)?.keyframes[0]"
JOB = (
    "([kind]) => { const job = window.anchorline.view.job; return job?.kind === kind && ['done', 'failed'].includes(job.state); }"
)
WATCH = """() => {
  window.refused = [];
  const look = (node) => node.getAttribute?.('role') === 'alert' && window.refused.push(node.textContent);
  const watch = new MutationObserver((seen) => seen.forEach((one) => one.addedNodes.forEach(look)));
  watch.observe(document.body, { childList: true, subtree: true });
}"""


@dataclass
class Journey:
    """What a journey took."""

    clip: str
    frames: int = 0
    acts: int = 0
    clicks: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """By part, in order: open, mark, anchor, propagate, export."""
    alerts: list[str] = field(default_factory=list)
    """What the page refused on the way."""
    marked: float | None = None
    """J of the marked frame after the clicks."""
    carried: float | None = None
    """Mean J over frames of the clip at the end."""

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


class NewUser:
    """Drives one page. `truth` is (T, H, W) bool of what they want to change: all frames, or the first alone, or None."""

    def __init__(self, page: Page, server: EditorServer, clip: Path, truth: np.ndarray | None) -> None:
        self._page, self._server, self._clip, self._truth = page, server, clip, truth
        self.journey = Journey(clip.parent.name)

    def go(self) -> Journey:
        """The whole way. Raises BenchError where the page does not lead on."""
        self._page.evaluate(WATCH)
        for part in (self._open, self._mark, self._anchor, self._propagate, self._export):
            started = time.monotonic()
            part()
            self.journey.seconds[part.__name__.strip("_")] = time.monotonic() - started
        self.journey.alerts = self._page.evaluate("window.refused")
        self._compare()
        return self.journey

    # --- the parts ----------------------------------------------------------------------------------------

    def _open(self) -> None:
        before = self._page.evaluate("window.anchorline.project")
        self._press("#path textarea")
        self._page.fill("#path textarea", str(self._clip))
        self._press("#open-path")
        self._page.wait_for_function(OPENED, arg=before, timeout=WITHIN)
        self.journey.frames = self._page.evaluate("window.anchorline.view.clip.frames")

    def _mark(self) -> None:
        size = self._page.evaluate("[window.anchorline.view.clip.width, window.anchorline.view.clip.height]")
        truth = None if self._truth is None else self._truth[0]
        for count in range(1, CLICKS + 1):
            if truth is None:
                self._click(size[0] / 2, size[1] / 2, 1)
            else:
                point = correction(truth, self._mask_marked(truth.shape))
                self._click(point.x, point.y, point.label)
            self._page.wait_for_function(MARKED, arg=count, timeout=WITHIN)
            self.journey.clicks = count
            if truth is None:
                return
            self.journey.marked = overlap(self._mask_marked(truth.shape), truth)
            if self.journey.marked >= GOOD:
                return

    def _anchor(self) -> None:
        self._press("[data-name=anchor]")
        self._page.wait_for_function("window.anchorline.view.anchors.length === 1", timeout=WITHIN)
        self._press("role=tab[name='Anchors']")
        self._press("#make-take")
        self._page.wait_for_selector("#approve:not([disabled])", timeout=WITHIN)
        self._press("#approve")
        self._page.wait_for_function("window.anchorline.view.anchors[0].chosen !== null", timeout=WITHIN)

    def _propagate(self) -> None:
        self._next("Propagate")
        self._wait_for("propagate")

    def _export(self) -> None:
        self._next("Export the clip")
        self._wait_for("export")
        self._page.wait_for_selector("#exports a", timeout=WITHIN)

    # --- hands and eyes -----------------------------------------------------------------------------------

    def _press(self, what: str) -> None:
        self._page.locator(what).first.click(timeout=WITHIN)
        self.journey.acts += 1

    def _click(self, x: float, y: float, label: int) -> None:
        """On the picture, at a source pixel: the left button inside the subject, the right one outside."""
        box = self._page.evaluate(
            "(() => { const b = document.querySelector('.al-content').getBoundingClientRect(); return [b.x, b.y]; })()"
        )
        scale = self._page.evaluate("window.anchorline.stage.view.scale")
        at = box[0] + (x + 0.5) * scale, box[1] + (y + 0.5) * scale
        self._page.mouse.click(*at, button="left" if label > 0 else "right")
        self.journey.acts += 1

    def _next(self, label: str) -> None:
        """Presses what the page offers as the next act once it is that one."""
        self._page.wait_for_selector(f"[data-name=next]:visible:has-text('{label}')", timeout=WITHIN)
        self._press("[data-name=next]")

    def _wait_for(self, kind: str) -> None:
        self._page.wait_for_function(JOB, arg=[kind], timeout=WITHIN)
        job = self._page.evaluate("window.anchorline.view.job")
        if job["state"] != "done":
            raise BenchError(f"{self.journey.clip}: {kind} failed: {job['message']}")

    # --- the masks ----------------------------------------------------------------------------------------

    def _mask_marked(self, shape: tuple[int, int]) -> np.ndarray:
        keyframe: dict[str, Any] | None = self._page.evaluate(KEYFRAME)
        if keyframe is None or keyframe["mask"] is None:
            return np.zeros(shape, bool)
        return self._picture(f"object/{keyframe['mask']}.png") > 127

    def _picture(self, path: str) -> np.ndarray:
        project = self._page.evaluate("window.anchorline.project")
        picture = np.array(Image.open(io.BytesIO(self._server.get(f"/api/projects/{project}/{path}"))))
        return picture if picture.ndim == 2 else picture[..., -1]  # masks for the canvas are in their alpha

    def _compare(self) -> None:
        if self._truth is None or len(self._truth) < 2:
            return
        subject = self._page.evaluate("window.anchorline.view.subject")
        frames = np.unique(np.linspace(0, len(self._truth) - 1, LOOKED_AT).astype(int))
        found = [overlap(self._picture(f"mask/{subject}/{frame}.png") > 127, self._truth[frame]) for frame in frames]
        self.journey.carried = float(np.mean(found))


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """J of two (H, W) bool masks; 1 where both are empty."""
    union = (mask | truth).sum()
    return 1.0 if union == 0 else float((mask & truth).sum() / union)
