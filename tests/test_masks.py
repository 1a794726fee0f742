"""Masks carried through a shot: exact where given, close in between, shared between subjects, gone where the subject is gone."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import Cancelled
from engine.motion.steps import Steps
from engine.rendering.segments import mask_spans
from engine.tracking.masks import carry_masks
from engine.types import FrameRange, Keyframe, Subject
from tests.drawn import DrawnPictures, drawn_clip, jaccard, texture
from tests.test_journal import blank

FRAMES = 16


@pytest.fixture(scope="module")
def drawn():
    return drawn_clip(FRAMES, (200, 320), 9, turn=0.4, growth=0.15, light=0.08)


def carried(source, given: dict[int, dict[int, np.ndarray]], folder: Path, span: FrameRange, **options):
    """The frames in order, and for each the masks by subject."""
    steps = Steps(DrawnPictures(source), source.shape[1:3], folder / "motion")
    frames = [frame for masks in given.values() for frame in masks]
    steps.ensure(steps.missing([FrameRange(min(span.start, *frames), max(span.stop - 1, *frames) + 1)]), lambda done, total: None)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    step = options.pop("step", lambda done, total: None)
    return list(carry_masks(steps, source.shape[1:3], given, span, step=step, scratch=scratch, **options))


def alone(drawn, given: dict[int, np.ndarray], folder: Path, span: FrameRange | None = None, **options):
    frames = carried(drawn.source, {1: given}, folder, span or FrameRange(0, FRAMES), **options)
    return [(frame, masks[1].alpha) for frame, masks in frames]


@pytest.mark.parametrize("ends", [(0,), (FRAMES - 1,), (0, FRAMES - 1), (7,)], ids=str)
def test_masks_follow_the_subject(drawn, ends, tmp_path):
    given = {frame: drawn.masks[frame] for frame in ends}
    masks = alone(drawn, given, tmp_path)
    assert [frame for frame, _ in masks] == list(range(FRAMES))
    for frame, alpha in masks:
        assert alpha.shape == drawn.size and alpha.dtype == np.uint8
        if frame in given:
            assert np.array_equal(alpha, given[frame])
    assert min(jaccard(alpha, drawn.masks[frame]) for frame, alpha in masks) > 0.85


def test_an_empty_mask_stays_empty(drawn, tmp_path):
    masks = alone(drawn, {0: np.zeros(drawn.size, np.uint8)}, tmp_path, FrameRange(0, 5))
    assert not any(alpha.any() for _, alpha in masks)


def test_same_inputs_give_same_bytes(drawn, tmp_path):
    runs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        runs.append(alone(drawn, {0: drawn.masks[0]}, tmp_path / name, FrameRange(0, 6)))
    assert all(np.array_equal(one[1], other[1]) for one, other in zip(*runs, strict=True))


def test_progress_reaches_its_total_and_cancel_is_heard(drawn, tmp_path):
    seen = []
    alone(drawn, {0: drawn.masks[0], 5: drawn.masks[5]}, tmp_path, FrameRange(0, 6), step=lambda *at: seen.append(at))
    assert seen[-1][0] == seen[-1][1] and [done for done, _ in seen] == sorted(done for done, _ in seen)

    def stop(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        alone(drawn, {0: drawn.masks[0]}, tmp_path, FrameRange(0, 6), step=stop)


# --- spans ------------------------------------------------------------------------------------------------


def two_subjects(first: set[int], second: set[int]):
    project = replace(blank(60), subjects=(Subject(1, "a", "#ff0000"), Subject(2, "b", "#00ff00")))
    keys = [
        Keyframe(frame, number, mask=f"{number}{frame:063x}") for number, at in ((1, first), (2, second)) for frame in sorted(at)
    ]
    return replace(project, keyframes=tuple(keys))


def keys_of(project, subject: int):
    return {span.range: span.key for span in mask_spans(project, [], subject)}


def test_subjects_marked_on_the_same_frame_are_carried_together():
    project = two_subjects({0}, {0})
    one, other = (mask_spans(project, [], number)[0] for number in (1, 2))
    assert one.problem == other.problem and one.key != other.key and one.reach == one.range


def test_a_correction_changes_the_spans_that_look_at_it_and_no_others():
    before, after = two_subjects({0, 20, 40}, {0, 40}), two_subjects({0, 20, 40, 50}, {0, 40})
    changed = {number: set(keys_of(after, number).items()) - set(keys_of(before, number).items()) for number in (1, 2)}
    assert [sorted(span.start for span, _ in changed[number]) for number in (1, 2)] == [[40, 50], [40]]


def test_a_span_that_is_given_whole_looks_at_nothing_else():
    project = two_subjects({0, 1, 2}, {0})
    assert [span.others for span in mask_spans(project, [], 1)[:2]] == [(), ()]
    assert keys_of(project, 1)[FrameRange(0, 2)] == keys_of(two_subjects({0, 1, 2}, set()), 1)[FrameRange(0, 2)]


def test_marks_outside_a_span_count_where_they_are_not_too_far_away(monkeypatch):
    project = two_subjects({0}, {30, 40})
    spans = {span.range: span for span in mask_spans(project, [], 2)}
    assert spans[FrameRange(30, 41)].reach == FrameRange(0, 41)
    monkeypatch.setattr("engine.rendering.segments.OTHERS_WITHIN", (0, 29))
    assert mask_spans(project, [], 2)[1].reach == FrameRange(30, 41)


# --- several subjects, hiding, leaving --------------------------------------------------------------------

SIZE = (144, 256)


def crossing(frames: int, second: bool = True, post: bool = False):
    """Source (T, H, W, 3) and visible masks by subject (T, H, W): discs 1 and 2 cross, 1 in front; or 1 goes behind a post."""
    backdrop, skins = texture(SIZE, 3), [texture(SIZE, 4, (200, 90, 60)), texture(SIZE, 5, (60, 110, 210))]
    source: list[np.ndarray] = []
    masks: dict[int, list[np.ndarray]] = {1: [], 2: []}
    for frame in range(frames):
        t = frame / (frames - 1)
        picture, inside = backdrop.copy(), {}
        for number, centre in ((2, (200 - 140 * t, 78)), (1, (50 + 150 * t, 66))):
            disc = np.zeros(SIZE, np.uint8)
            if number == 1 or second:
                cv2.circle(disc, (round(centre[0] * 16), centre[1] * 16), 26 * 16, 255, -1, cv2.LINE_AA, 4)
            shift = np.array([[1, 0, centre[0] - 128], [0, 1, centre[1] - 72]], np.float32)
            skin = cv2.warpAffine(skins[number - 1], shift, SIZE[::-1], borderMode=cv2.BORDER_REFLECT)
            picture = np.where(disc[..., None] >= 128, skin, picture)
            inside[number] = disc
        inside[2] = np.where(inside[1] >= 128, 0, inside[2])
        if post:
            picture[:, 112:144] = backdrop[:, :32]
            inside[1][:, 112:144] = 0
        source.append(picture)
        for number in masks:
            masks[number].append(inside[number])
    return np.stack(source), {number: np.stack(one) for number, one in masks.items()}


def good(alpha: np.ndarray, truth: np.ndarray, frame: int) -> bool:
    """Close to the truth wherever at least half of the subject is seen, very close in the last frame."""
    seen = np.count_nonzero(truth[frame]) / np.count_nonzero(truth[0])
    return bool(seen < 0.5 or jaccard(alpha, truth[frame]) > (0.9 if frame == len(truth) - 1 else 0.65))


def test_subjects_that_cross_keep_their_own_pixels(tmp_path):
    source, truth = crossing(20)
    frames = carried(source, {number: {0: truth[number][0]} for number in truth}, tmp_path, FrameRange(0, 20))
    for frame, masks in frames:
        assert not ((masks[1].alpha >= 128) & (masks[2].alpha >= 128)).any()
        assert all(good(masks[number].alpha, truth[number], frame) for number in truth), frame


def test_what_is_asked_for_changes_nothing(tmp_path):
    source, truth = crossing(6)
    given = {number: {0: truth[number][0]} for number in truth}
    both = carried(source, given, tmp_path, FrameRange(0, 6))
    one = carried(source, given, tmp_path, FrameRange(0, 6), wanted=(2,))
    assert all(set(masks) == {2} for _, masks in one)
    assert all(np.array_equal(a[2].alpha, b[2].alpha) for (_, a), (_, b) in zip(both, one, strict=True))


def test_a_mark_outside_the_span_says_where_another_subject_is(tmp_path):
    source, truth = crossing(20)
    given = {1: {7: truth[1][7]}, 2: {1: truth[2][1]}}
    frames = carried(source, given, tmp_path, FrameRange(3, 6))
    assert [frame for frame, _ in frames] == [3, 4, 5]
    assert all(good(masks[number].alpha, truth[number], frame) for frame, masks in frames for number in given)


def test_a_subject_is_followed_past_a_post(tmp_path):
    source, truth = crossing(24, second=False, post=True)
    frames = carried(source, {1: {0: truth[1][0]}}, tmp_path, FrameRange(0, 24))
    assert all(good(masks[1].alpha, truth[1], frame) for frame, masks in frames)


def test_a_subject_that_left_is_found_again_and_confidence_tells(tmp_path):
    source, truth = crossing(12, second=False)
    away = crossing(2, second=False)[0][0].copy()
    away[:] = texture(SIZE, 3)
    source, mask = np.concatenate([source, np.stack([away] * 4), source[::-1]]), truth[1]
    span = FrameRange(0, len(source))
    frames = carried(source, {1: {0: mask[0]}}, tmp_path, span)
    confidence = [masks[1].confidence for _, masks in frames]
    assert confidence[0] == 1 and all(0 <= one <= 1 for one in confidence)
    assert all(not (masks[1].alpha >= 128).any() for frame, masks in frames if 13 <= frame < 16)
    assert all(confidence[frame] < 0.5 * confidence[11] for frame in range(13, 16))
    assert jaccard(frames[-1][1][1].alpha, mask[0]) > 0.8 and confidence[-1] > confidence[15]
