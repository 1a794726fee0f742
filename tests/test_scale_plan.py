"""The simulation behind the plan for scale, where its answer can be told by hand."""

from __future__ import annotations

import pytest

from tests.bench import scale_costs
from tests.bench.scale import work_of
from tests.bench.scale_costs import PROPAGATING, SHARING, Costs, Measured, dit, growing, wan_tokens
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


def test_a_shared_step_that_grows_with_the_shot_is_a_line_through_two_lengths() -> None:
    short = Measured(10, {SHARING: 7.0, PROPAGATING: 20.0}, 100)
    costs = growing(short, Measured(30, {SHARING: 11.0, PROPAGATING: 30.0}, 600))
    assert (costs.growing, costs.shared, costs.frame, costs.sent) == pytest.approx((0.2, 5.0, 1.0, 20.0))
    assert work_of("point_to_point", costs).shared == pytest.approx(60 * (5 + 0.2 * 240))
    flat = growing(short, Measured(30, {SHARING: 6.0}, 600))
    assert (flat.growing, flat.shared) == (0.0, 6.0)


def test_what_the_clip_itself_costs_is_taken_from_the_longest_run() -> None:
    base, mine = Costs(0.2, 0.0, 0.1, 0.1, 5.0), Costs(0.5, 3.0, 2.0, 0.4, 7.0, growing=0.1)
    assert mine.on(base) == Costs(0.2, 3.0, 2.0, 0.1, 7.0, growing=0.1)


def test_what_a_user_does_between_is_in_no_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 1.0, 4.0, 9.0, 10.0))
    monkeypatch.setattr(scale_costs.time, "process_time", lambda: next(clock))
    progress = scale_costs.CpuProgress()
    progress.part("masks", 1)
    progress.elsewhere()
    progress.part("writing", 1)
    progress.close()
    assert progress.cpu == {"": 6.0, "masks": 3.0, "writing": 1.0}
