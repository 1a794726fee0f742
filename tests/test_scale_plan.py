"""The simulation behind the plan for scale, where its answer can be told by hand."""

from __future__ import annotations

import pytest

from tests.bench.scale_costs import dit, wan_tokens
from tests.bench.scale_plan import Place, Work, cut, enough, simulate

EIGHT = Work("x", before=10, shared=5, segments=(4.0,) * 8, after=3)


def test_segments_go_to_whoever_is_free_first() -> None:
    assert simulate(EIGHT, Place(1, 1, start=0, overhead=0)).total == 10 + 5 + 32 + 3
    assert simulate(EIGHT, Place(1, 2, start=1, overhead=0.5)).segments == 1 + 4 * 4.5
    assert simulate(EIGHT, Place(1, 64, start=0, overhead=0)).segments == 4
    uneven = Work("x", 0, 0, (9.0, 1.0, 1.0, 1.0), 0)
    assert simulate(uneven, Place(1, 2, 0, 0)).segments == 9


def test_a_node_waits_for_the_clip_over_one_cable() -> None:
    place = Place(3, 1, start=1, overhead=0, sent=100, rate=10)
    assert simulate(Work("x", 0, 0, (5.0, 5.0, 5.0), 0), place).segments == pytest.approx(16)
    assert simulate(Work("x", 0, 0, (50.0, 50.0, 50.0), 0), place).segments == pytest.approx(71)


def test_what_limits_a_run_is_named() -> None:
    assert simulate(EIGHT, Place(1, 1, 0, 0)).limit == "segments"
    assert simulate(EIGHT, Place(1, 64, 0, 0)).limit == "one machine before"
    assert simulate(Work("x", 1, 0, (30.0, 1.0), 1), Place(1, 8, 0, 0)).limit == "longest segment"
    assert enough(Work("x", 0, 0, (1.0,) * 64, 0), Place(1, 1, 0, 0)) == 64
    assert enough(Work("x", 100, 0, (1.0,) * 64, 0), Place(1, 1, 0, 0)) <= 8


def test_shots_are_cut_into_pieces() -> None:
    assert cut(480, 2, [96, 144]) == [96, 144, 96, 144]
    assert sum(cut(14400, 60, [24] * 10)) == 14400


def test_operations_of_a_transformer_by_hand() -> None:
    assert wan_tokens(81) == 21 * 30 * 52
    assert dit(10, parameters=100, layers=2, width=3) == 2 * 100 * 10 + 4 * 2 * 3 * 100
