"""What has to be computed: spans and segments cover what they must, exactly once, and keys change only with their content."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.document import acts
from engine.document.project import Project
from engine.rendering.segments import mask_spans, plan, segment_key
from engine.types import FrameRange, Keyframe, Take
from tests.test_journal import blank

FRAMES = 50


def project_with(marks: set[int], anchors: set[int], start: int = 0, stop: int = FRAMES) -> Project:
    project = replace(blank(FRAMES), range=FrameRange(start, stop))
    project = replace(project, keyframes=tuple(Keyframe(f, 1, mask=f"{f:064x}") for f in sorted(marks)))
    for frame in sorted(anchors):
        project = acts.add_take(project, frame=frame, take=Take(f"{frame:064d}", "effect"))
        project = acts.choose_take(project, frame=frame, key=f"{frame:064d}")
    return project


frames = st.sets(st.integers(0, FRAMES - 1), max_size=6)


@given(frames, frames, st.integers(0, FRAMES - 1), st.integers(1, FRAMES), frames)
@settings(deadline=None, max_examples=200)
def test_segments_cover_each_frame_of_edited_shots_once(marks, anchors, start, length, cuts):
    project = project_with(marks, anchors, start, min(FRAMES, start + length))
    covered: list[int] = []
    for segment in plan(project, sorted(cuts)):
        assert segment.start in segment.shot and segment.stop - 1 in segment.shot
        assert segment.left in (None, segment.start) and segment.right in (None, segment.stop)
        assert segment.left is not None or segment.right is not None
        covered += range(segment.start, segment.stop)
    assert covered == sorted(set(covered)) and set(covered) <= set(project.range)
    assert {anchor for anchor in anchors if anchor in project.range} <= set(covered)


@given(frames, st.integers(0, FRAMES - 1), st.integers(1, FRAMES), frames)
@settings(deadline=None, max_examples=200)
def test_masks_reach_the_range_and_no_further(marks, start, length, cuts):
    project = project_with(marks, set(), start, min(FRAMES, start + length))
    edges = [0, *sorted(c for c in cuts if c > 0), FRAMES]
    spans = mask_spans(project, sorted(cuts), 1)
    held = {frame for span in spans for frame in span.range} | marks
    for low, high in pairwise(edges):
        inside = [mark for mark in marks if low <= mark < high]
        shot = set(range(low, high))
        wanted = (shot & set(project.range)) | set(range(min(inside), max(inside) + 1)) if inside else set()
        assert held & shot >= wanted
        reach = wanted | set(range(min([*wanted, *inside]), max([*wanted, *inside]) + 1)) if inside else set()
        assert held & shot <= reach
    assert all(any(low <= s.range.start and s.range.stop <= high for low, high in pairwise(edges)) for s in spans)


def test_a_correction_dirties_only_what_it_touches():
    before = project_with({0, 20, 40}, {0, 10, 30, 49})
    after = project_with({0, 20, 40, 45}, {0, 10, 30, 49})
    keys = [[segment_key(p, [], s) for s in plan(p, [])] for p in (before, after)]
    changed = [s.start for s, a, b in zip(plan(before, []), *keys, strict=True) if a != b]
    assert changed == [30, 49]  # the span after frame 40 ends in these two


def test_an_anchor_dirties_its_two_neighbours():
    before = project_with({0}, {0, 10, 30, 40})
    other = acts.add_take(before, frame=30, take=Take("f" * 64, "painted"))
    after = acts.choose_take(other, frame=30, key="f" * 64)
    assert [segment_key(before, [], s) for s in plan(before, [])] == [segment_key(other, [], s) for s in plan(other, [])]
    changed = [s.start for s in plan(before, []) if segment_key(before, [], s) != segment_key(after, [], s)]
    assert changed == [10, 30]


def test_a_blind_anchor_is_passed_over_and_counts_only_where_it_lies():
    """The subject is out of the picture there: what was carried before it goes on behind it."""
    project = project_with({0}, {0, 20, 40})
    seen = plan(project, [])
    blind = acts.choose_take(project, frame=20, key=f"{20:064d}", blind=True)
    over = plan(blind, [])
    assert [(one.left, one.right) for one in over] == [(0, 40), (40, None)] != [(one.left, one.right) for one in seen]
    other = acts.add_take(blind, frame=20, take=Take("b" * 64, "imported"))
    other = acts.choose_take(other, frame=20, key="b" * 64, blind=True)
    assert segment_key(blind, [], over[0]) != segment_key(other, [], over[0])
    assert segment_key(blind, [], over[1]) == segment_key(other, [], over[1])
    assert not acts.choose_take(blind, frame=20, key=None).edit.anchor_at(20).blind
