"""Small runs of `bench fuzz`: damaged files through every import, odd requests to every route of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.bench.fuzz import fuzz_imports, no_sentence
from tests.bench.route_fuzz import fault_of, fuzz_routes
from tests.mutants import KINDS, Originals, mutants


def test_damaged_files_cost_one_sentence(tmp_path: Path) -> None:
    tally = fuzz_imports(tmp_path, 30, seed=11)
    assert tally.faults == []
    assert len(tally.seconds) >= 29 and sum(tally.refused.values()) > 10, tally.refused


@pytest.mark.slow
def test_more_damaged_files_cost_one_sentence_and_no_memory(tmp_path: Path) -> None:
    tally = fuzz_imports(tmp_path, 150, seed=12)
    assert tally.faults == [] and set(tally.refused) == set(KINDS)
    assert tally.growth() <= 20


def test_odd_requests_are_refused_with_a_sentence(tmp_path: Path) -> None:
    asked = fuzz_routes(tmp_path, seed=21, each=4)
    assert asked.faults == []
    assert asked.requests > 80 and {200, 400, 404, 405} <= set(asked.statuses)


@pytest.mark.slow
def test_more_odd_requests_are_refused_with_a_sentence(tmp_path: Path) -> None:
    assert fuzz_routes(tmp_path, seed=22, each=30).faults == []


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    originals = Originals(tmp_path / "good")
    found = [[(one.kind, one.how) for one in mutants(originals, tmp_path / name, 14, 5)] for name in "ab"]
    assert found[0] == found[1] and {kind.split()[0] for kind, _ in found[0]} == set(KINDS)


def test_the_judge_of_words_sees_what_is_wrong(tmp_path: Path) -> None:
    assert no_sentence("The clip “a.mp4” is empty; copy it again.", tmp_path) == ""
    for wrong in (
        "",
        "No.",
        f"{tmp_path}/a.mp4 is empty; copy it again.",
        "line one\nline two is here.",
        'File "a.py", line 3 is bad.',
    ):
        assert no_sentence(wrong, tmp_path)


def test_the_judge_of_answers_sees_what_is_wrong(tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, PlainTextResponse

    said = {
        "/good": JSONResponse({"error": "There is nothing at this address."}, 404),
        "/path": JSONResponse({"error": f"{tmp_path} is not there."}, 404),
        "/plain": PlainTextResponse("Not Found", 404),
        "/crash": JSONResponse({"error": "Something went wrong."}, 500),
    }

    async def answer(request):
        return said[request.url.path]

    page = TestClient(Starlette(routes=[Route(path, answer) for path in said]))
    assert {path for path in said if fault_of(page.get(path), tmp_path)} == {"/path", "/plain", "/crash"}
