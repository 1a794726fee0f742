"""A small run of `bench load`: the same parts with few people; no answer may fail, whatever the time it takes."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from tests.bench import load
from tests.bench.harness import Report

SMALL = {"EDITORS": 2, "MORE_EDITORS": 3, "IDLE": 4, "QUEUE": 6, "PART": 3.0, "WARM": 2.0}


@pytest.mark.slow
def test_few_editors_a_job_idle_ones_and_a_queue_without_an_error(monkeypatch: Any) -> None:
    for name, value in SMALL.items():
        monkeypatch.setattr(load, name, value)
    report = Report(load.FIGURES)
    load.run(report, argparse.Namespace(minutes=0.15, quick=True))
    assert report.values["errors"] == 0, report.notes
    assert report.values["queued"] == SMALL["QUEUE"] and report.values["events"] > 4
    assert {"light_p95_ms", "scrub_p95_ms", "growth_mb", "twenty_p95_ms", "idle_p95_ms"} <= set(report.values)
