"""Seeking in the real page: how long until the right frame is drawn, for clips of 120 frames and for three minutes.

"Drawn" ends after the picture is on the view's canvas, like the bare decode-and-draw that it is compared with; "read"
includes putting it there in pixels and reading them back. The order of frames is random, the same in every run.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.barcode import Scene, cell_of, write_scene
from tests.bench.browser import chromium, editor_page
from tests.bench.editor import EditorServer, editor_server
from tests.bench.harness import BenchError, Figure, Report, percentile, say

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCRIPT = (Path(__file__).parent / "scrub.js").read_text("utf-8")
RATE = 30
SHORT, LONG = 120, 3 * 60 * RATE
SIZES = {"480p": (480, 854), "720p": (720, 1280), "1080p": (1080, 1920)}
SEEKS = 60
PAUSE = 30  # ms between two seeks, so that what one prepares ahead does not stand in the way of the next
FAR_PAUSE = 150  # ms between two jumps to frames that are not in memory: a hand is no faster
DRAGS, EVENT_EVERY = 60, 16  # events of a drag, ms between them
GUTTER = 120  # px of the timeline that hold no frame, at most
PACK_WITHIN = 900.0


def _limits(key: str, what: str, p50: float | None, p95: float | None) -> tuple[Figure, Figure]:
    return Figure(f"{key}_p50_ms", f"{what}, p50", "ms", p50), Figure(f"{key}_p95_ms", f"{what}, p95", "ms", p95)


def _short_figures(key: str, what: str, p50: float, p95: float) -> tuple[Figure, ...]:
    return (
        *_limits(f"{key}_seek", f"{what}: seek to frame drawn", p50, p95),
        *_limits(f"{key}_read", f"{what}: seek to pixels read", None, None),
        *_limits(f"{key}_rapid", f"{what}: seeks without a pause", None, None),
        *_limits(f"{key}_bare", f"{what}: bare decode and draw", None, None),
        Figure(f"{key}_ratio_p50", f"{what}: seek over bare decode and draw, p50", "×"),
        Figure(f"{key}_ratio_p95", f"{what}: the same, p95", "×"),
        Figure(f"{key}_drag_shown", f"{what}: drag events that show their frame, of 60", "events", 60, "higher"),
        Figure(f"{key}_drag_lag_p95_ms", f"{what}: drag event to frame drawn, p95", "ms"),
    )


FIGURES = (
    *_short_figures("480p", "120 frames of 480p", 8, 25),
    *_short_figures("720p", "120 frames of 720p", 14, 35),
    *_short_figures("1080p", "3 min of 1080p, in memory", 14, 35),
    *_limits("1080p_cold", "3 min of 1080p, not in memory", 30, 60),
    *_limits("1080p_building", "3 min of 1080p, not in the pack yet", None, 600),
    Figure("pack_480p", "480p: time to build the pack over the clip's", "×", 1),
    Figure("pack_720p", "720p: time to build the pack over the clip's", "×", 1),
    Figure("pack_1080p", "1080p: time to build the pack over the clip's", "×", 1),
    Figure("wrong_frames", "wrong frames, by the barcode in the pixels", "frames", 0),
)


class Scrub:
    """One run: the wrong frames add up over all parts."""

    def __init__(self, report: Report, browser: Browser) -> None:
        self.report, self.browser = report, browser
        self.random = random.Random(1)
        self.wrong = 0

    def seeks(self, page: Page, frames: list[int], cell: int, pause: int) -> list[dict[str, Any]]:
        rows = page.evaluate("([frames, cell, pause]) => bench.seeks(frames, cell, pause)", [frames, cell, pause])
        self.wrong += sum(row["code"] != row["frame"] or row["said"] != row["frame"] for row in rows)
        return rows

    def reach(self, key: str, times: list[float]) -> None:
        self.report.reach(f"{key}_p50_ms", percentile(times, 0.5))
        self.report.reach(f"{key}_p95_ms", percentile(times, 0.95))

    def in_memory(self, page: Page, key: str, cell: int) -> None:
        """Seeks among frames that the page holds, beside the bare decoding of the same frames; then a drag."""
        held = page.evaluate("bench.frames('held')")
        frames = self.random.sample(held, SEEKS)
        rows, bare = [], []
        for at in range(0, SEEKS, 10):  # in turns: both meet the same load of the machine
            rows += self.seeks(page, frames[at : at + 10], cell, PAUSE)
            bare += page.evaluate("([frames, pause]) => bench.bare(frames, pause)", [frames[at : at + 10], PAUSE])
        fresh = [row["drawn"] for row in rows if not row["decoded"]]
        self.report.note(f"{key}: {SEEKS - len(fresh)} of {SEEKS} frames were decoded already; seek times leave them out.")
        self.reach(f"{key}_seek", fresh)
        self.reach(f"{key}_read", [row["read"] for row in rows if not row["decoded"]])
        self.reach(f"{key}_rapid", [row["drawn"] for row in self.seeks(page, self.random.sample(held, SEEKS), cell, 0)])
        self.reach(f"{key}_bare", bare)
        for share in (0.5, 0.95):
            self.report.reach(f"{key}_ratio_p{share * 100:.0f}", percentile(fresh, share) / percentile(bare, share))
        self.drag(page, key, cell)

    def drag(self, page: Page, key: str, cell: int) -> None:
        """Drags along the timeline, an event every 16 ms, each to another frame. The pointer is pressed for real."""
        page.evaluate("anchorline.seek(0)")
        page.wait_for_timeout(500)
        xs, y = _path(page)
        page.mouse.move(xs[0], y)
        page.mouse.down()
        seen = page.evaluate("([xs, y, every, cell]) => bench.drag(xs, y, every, cell)", [xs[1:], y, EVENT_EVERY, cell])
        page.mouse.up()
        asked, shown, drawn = seen["asked"], seen["shown"], set(seen["drawn"])
        self.report.reach(f"{key}_drag_shown", sum(frame in drawn for _, frame in asked))
        first = {frame: at for at, frame in reversed(shown)}
        self.report.reach(f"{key}_drag_lag_p95_ms", percentile([first[want] - at for at, want in asked if want in first], 0.95))
        self.wrong += sum(code != frame for code, (_, frame) in zip(seen["codes"], shown, strict=True))


def _path(page: Page) -> tuple[list[float], float]:
    """61 places on the timeline, each on another frame that is in the page's memory; their height. In px of the window."""
    box = page.locator(".al-timeline canvas").bounding_box()
    if box is None:
        raise BenchError("The page shows no timeline.")
    held = set(page.evaluate("bench.frames('held')"))
    frames = page.evaluate("anchorline.view.clip.frames")
    step = 1 + int(frames / (box["width"] - GUTTER))
    wanted = [frame for frame in range(step, frames, step) if frame in held][: DRAGS + 1]
    if len(wanted) <= DRAGS:
        raise BenchError("Too few frames are in the page's memory for a drag.")
    xs = page.evaluate("(frames) => frames.map((frame) => anchorlineTimeline.clientX(frame))", wanted)
    return xs, box["y"] + 20


def run(report: Report, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder, chromium() as browser:
        scrub = Scrub(report, browser)
        for key, part in (("480p", short), ("720p", short), ("1080p", long)):
            _part(scrub, Path(folder), key, part)
        report.reach("wrong_frames", scrub.wrong)
    report.note("Clips: drawn, 30 fps, x264 ultrafast with g=60, bf=2 and CABAC; pictures of the 1080p pack are 1280×720.")


def _part(scrub: Scrub, folder: Path, key: str, measure: Callable[[Scrub, EditorServer, str], None]) -> None:
    """One clip in an editor of its own; what goes wrong with one leaves the others' figures."""
    frames = LONG if measure is long else SHORT
    say(f"{key}: drawing {frames} frames")
    clip = write_scene(folder / f"{key}.mp4", Scene(SIZES[key]), frames, RATE)
    say(f"{key}: measuring")
    try:
        with editor_server(folder / f"home-{key}", str(clip)) as server:
            server.wait_for("/")
            measure(scrub, server, key)
    except BenchError as error:
        scrub.report.lack(str(error), key)
        scrub.report.lack(str(error), f"pack_{key}")
    clip.unlink()


def short(scrub: Scrub, server: EditorServer, key: str) -> None:
    with editor_page(scrub.browser, server, SCRIPT) as page:
        scrub.report.reach(f"pack_{key}", wait_for_pack(server) / (SHORT / RATE))
        page.wait_for_function(f"bench.frames('held').length === {SHORT}", timeout=60_000)
        page.wait_for_timeout(1000)
        scrub.in_memory(page, key, cell_of(SIZES[key][0]))


def long(scrub: Scrub, server: EditorServer, key: str) -> None:
    cell = cell_of(720)
    with editor_page(scrub.browser, server, SCRIPT) as page:
        rows = []
        for _ in range(SEEKS):
            waiting = page.evaluate("bench.frames('unpacked')")
            if len(waiting) < LONG // 10:
                break
            # From the second half of what is missing: it is still missing when the seek comes.
            rows += scrub.seeks(page, [scrub.random.choice(waiting[len(waiting) // 2 :])], cell, FAR_PAUSE)
        scrub.reach(f"{key}_building", [row["drawn"] for row in rows if not row["packed"]])
        scrub.report.note(f"{key}: {len(rows)} seeks to frames not in the pack yet.")
        scrub.report.reach(f"pack_{key}", wait_for_pack(server) / (LONG / RATE))
        page.wait_for_function("anchorline.source.complete && !anchorline.source.filling", timeout=60_000)
        page.wait_for_timeout(1000)
        scrub.in_memory(page, key, cell)
    with editor_page(scrub.browser, server, SCRIPT) as page:
        page.wait_for_function("anchorline.source.complete", timeout=60_000)
        rows = []
        for _ in range(SEEKS):
            cold = page.evaluate("bench.frames('cold')")
            if not cold:
                break
            rows += scrub.seeks(page, [scrub.random.choice(cold)], cell, FAR_PAUSE)
        scrub.reach(f"{key}_cold", [row["drawn"] for row in rows if not row["held"]])


def wait_for_pack(server: EditorServer) -> float:
    """Seconds that the worker took to build the pack.

    Raises:
        BenchError: it failed, or takes too long.
    """
    deadline = time.monotonic() + PACK_WITHIN
    while time.monotonic() < deadline:
        status = server.status()
        job = status["job"]
        if status["pack"]["complete"] and job["state"] == "done":
            return job["seconds"]
        if job["state"] == "failed":
            raise BenchError(f"The pack could not be built: {job['message']}")
        time.sleep(0.2)
    raise BenchError(f"The pack was not complete after {PACK_WITHIN:.0f} s.")
