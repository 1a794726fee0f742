"""How long the editor takes from process start to its first answers, and that models are not loaded for it."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from tests.bench.editor import EditorServer, editor_server
from tests.bench.harness import Figure, Report, say

ROUNDS = 3
FIGURES = (
    Figure("start_page_s", "set up: process start to page answering, median of 3", "s", 6.0),
    Figure("start_page_worst_s", "the same, worst of 3", "s", 6.0),
    Figure("start_view_s", "set up: process start to the sample's view answering, median of 3", "s", 6.0),
    Figure("start_view_worst_s", "the same, worst of 3", "s", 6.0),
    Figure("first_page_s", "empty home (draws the sample): process start to page answering, median of 3", "s"),
    Figure("first_page_worst_s", "the same, worst of 3", "s"),
    Figure("torch_loaded", "starts after which the server had torch loaded", "of 6", 0),
)


def run(report: Report, options: argparse.Namespace) -> None:
    first: list[float] = []
    pages: list[float] = []
    views: list[float] = []
    loaded: list[bool | None] = []
    for turn in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
            home = Path(folder) / "home"
            for again in (False, True):
                with editor_server(home) as server:
                    page = server.wait_for("/")
                    view = server.wait_for(f"/api/projects/{server.project}/view")
                    loaded.append(holds_torch(server))
                say(f"round {turn + 1}, {'set up' if again else 'empty home'}: page {page:.2f} s, view {view:.2f} s")
                (pages if again else first).append(page)
                if again:
                    views.append(view)
    for key, values in (("start_page", pages), ("start_view", views), ("first_page", first)):
        report.reach(f"{key}_s", statistics.median(values))
        report.reach(f"{key}_worst_s", max(values))
    if None in loaded:
        report.lack("This system does not tell which libraries a process holds.", "torch_loaded")
    else:
        report.reach("torch_loaded", sum(map(bool, loaded)))


def holds_torch(server: EditorServer) -> bool | None:
    """Whether torch's library is mapped into the server's process: it is once torch is imported. None = unknown."""
    maps = Path(f"/proc/{server.process.pid}/maps")
    return "libtorch" in maps.read_text("utf-8", "replace") if maps.exists() else None
