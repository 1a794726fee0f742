"""The whole of marking: masks from clicks, masks carried through clips, point tracks."""

from __future__ import annotations

import argparse

from tests.bench import marks_clicks, marks_masks, marks_points
from tests.bench.harness import Report

PARTS = (marks_clicks, marks_masks, marks_points)
FIGURES = tuple(figure for part in PARTS for figure in part.FIGURES)


def run(report: Report, options: argparse.Namespace) -> None:
    for part in PARTS:
        part.run(report, options)
