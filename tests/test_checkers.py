"""The checkers are right on true edits, also softened ones, and wrong on every kind of wrong edit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.world.checkers import AGREEMENT, attributes_present, check, motion_agreement
from engine.world.draw import draw
from engine.world.edits import Edits, edits
from engine.world.recognise import shape_of
from engine.world.scene import Lot, sample
from engine.world.words import KINDS, SHAPES

SIZE, FRAMES, COUNT = (64, 64), 9, 20


def made(kind: str) -> tuple[Edits, torch.Tensor, torch.Tensor]:
    """Edits of one kind on scenes of the test split, their sources and exact answers."""
    orders = edits(sample(1, range(COUNT), "test"), "test", [kind])
    return orders, draw(orders.source, SIZE, FRAMES).video, draw(orders.target, SIZE, FRAMES).video


def softened(video: torch.Tensor) -> torch.Tensor:
    """Blurred by about a pixel, with noise: what a good but small model gives."""
    row = torch.tensor([0.25, 0.5, 0.25])
    kernel = (row[:, None] * row).expand(3, 1, 3, 3)
    soft = F.conv2d(video.flatten(0, 1), kernel, padding=1, groups=3).unflatten(0, video.shape[:2])
    return soft + 0.03 * torch.randn(soft.shape, generator=torch.Generator().manual_seed(0))


def share(flags: list) -> float:
    return sum(map(bool, flags)) / len(flags)


@pytest.mark.parametrize("kind", KINDS)
def test_true_edits_pass_and_undone_ones_fail(kind: str) -> None:
    orders, source, target = made(kind)
    true = check(orders, target)
    assert share([v.done for v in true]) >= 0.95
    assert all(v.rest for v in true)
    assert min(v.exact_psnr for v in true) > 60 and max(v.temporal_error for v in true) < 1e-5
    assert share([v.done for v in check(orders, softened(target))]) >= 0.85
    assert share([v.done for v in check(orders, source)]) == 0


@pytest.mark.parametrize("kind", ["colour", "material", "shape", "background"])
def test_another_value_than_the_asked_one_fails(kind: str) -> None:
    orders, _, _ = made(kind)
    field, values = {"colour": ("colour", 8), "material": ("material", 3), "shape": ("shape", 6), "background": ("", 6)}[kind]
    before = [int(orders.source.background[b]) if kind == "background" else -1 for b in range(COUNT)]
    for b, order in enumerate(orders.orders):
        tensor = orders.target.background[b : b + 1] if kind == "background" else getattr(orders.target.subjects, field)[b]
        at = 0 if kind == "background" else order.subject
        other = next(v for v in range(values) if v not in (order.wanted, before[b]))
        tensor[at] = other
    wrong = draw(orders.target, SIZE, FRAMES).video
    for b, order in enumerate(orders.orders):  # the truth is again what was asked
        tensor = orders.target.background[b : b + 1] if kind == "background" else getattr(orders.target.subjects, field)[b]
        tensor[0 if kind == "background" else order.subject] = order.wanted
    assert share([v.done for v in check(orders, wrong)]) == 0


def test_an_edit_of_the_wrong_subject_fails_and_is_seen_in_the_rest() -> None:
    orders = edits(sample(2, range(COUNT), "test", Lot(alone=0.0)), "test", ["colour"])
    target = draw(orders.target, SIZE, FRAMES).video
    wrong = edits(sample(2, range(COUNT), "test", Lot(alone=0.0)), "test", ["colour"]).source
    for b, order in enumerate(orders.orders):
        wrong.subjects.colour[b, 1 - order.subject] = order.wanted
    verdicts = check(orders, draw(wrong, SIZE, FRAMES).video)
    seen = [v for b, v in enumerate(verdicts) if wrong.subjects.colour[b, 1 - orders.orders[b].subject] != 0]
    assert share([v.success for v in verdicts]) == 0
    assert share([v.rest for v in seen]) < 0.3
    assert all(v.success for v in check(orders, target))


def test_a_pattern_in_another_colour_is_no_success() -> None:
    orders, _, target = made("material")
    swapped = target[:, :, [1, 2, 0]]
    assert share([v.done for v in check(orders, swapped)]) < 0.15


def test_half_a_removal_and_a_ghost_fail() -> None:
    orders, source, target = made("removal")
    assert share([v.done for v in check(orders, 0.5 * source + 0.5 * target)]) == 0
    late = torch.cat([source[:, : FRAMES // 2], target[:, FRAMES // 2 :]], 1)
    assert share([v.done for v in check(orders, late)]) < 0.1


def test_an_addition_on_the_other_side_or_of_another_shape_fails() -> None:
    orders, _, target = made("addition")
    assert share([v.done for v in check(orders, target.flip(-1))]) < 0.1
    subjects = orders.target.subjects
    true = subjects.shape.clone()
    subjects.shape.copy_(torch.where(true == 1, 4, 1))  # boxes, and crosses for boxes
    wrong = draw(orders.target, SIZE, FRAMES).video
    subjects.shape.copy_(true)
    assert share([v.done for v in check(orders, wrong)]) < 0.15


def test_changes_elsewhere_are_seen() -> None:
    orders, _, target = made("colour")
    assert not any(v.rest for v in check(orders, (target + 0.15).clamp(0, 1)))
    assert share([v.rest for v in check(orders, target.roll(6, -1))]) < 0.3  # snow rolled is still snow


def test_motion_that_stops_runs_back_or_lags_is_seen() -> None:
    _, _, target = made("colour")
    for video in target[:8]:
        true = motion_agreement(video, video)
        if true is None:
            continue
        assert true == pytest.approx(1)
        for wrong in (video[:1].expand_as(video), video.flip(0)):
            agreement = motion_agreement(wrong, video)
            assert agreement is not None and agreement < AGREEMENT
        assert motion_agreement(video.mean(0).expand_as(video), video) == pytest.approx(0, abs=1e-4)


def test_a_still_clip_has_no_motion_to_judge() -> None:
    still = torch.rand(3, 32, 32).expand(5, 3, 32, 32)
    assert motion_agreement(still, still) is None


def test_attributes_are_seen_in_true_videos_and_not_in_others() -> None:
    scenes = sample(3, range(24), "test")
    videos = draw(scenes, SIZE, 5).video
    true = attributes_present(scenes, videos)
    assert min(true.values()) > 0.93
    assert min(attributes_present(scenes, softened(videos)).values()) > 0.85
    mixed = attributes_present(scenes, videos.roll(1, 0))
    assert mixed["t2v_attributes"] < 0.4 and mixed["t2v_shape"] < 0.25


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_told_from_its_silhouette(shape: str) -> None:
    lot = Lot(subjects=1, radius=(0.16, 0.22))
    scenes = sample(4, range(30), "test", lot)
    scenes.subjects.shape[:] = SHAPES.index(shape)
    scenes.subjects.middle[:] = 0.5
    covers = draw(scenes, SIZE, 1).whole[:, 0, 0] > 0.5
    assert share([shape_of(cover.numpy()) == shape for cover in covers]) >= 0.9
