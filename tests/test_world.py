"""The drawn world is what it says it is: reproducible, exact at every size, and its truths agree with its pictures."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from engine.world import draw as drawing
from engine.world.draw import PHOTO, PLAIN, Painter, Style, draw, frames
from engine.world.edits import edits
from engine.world.geometry import from_ground, from_surface, poses, to_ground, to_surface
from engine.world.language import captions, looks, names
from engine.world.scene import Lot, Scenes, sample
from engine.world.truth import flow, tracks
from engine.world.words import BACKGROUNDS, CAMOUFLAGE, COLOURS, KINDS, MATERIALS, SHAPES, VOCABULARY, held_out

SIZE = (48, 48)


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)  # type: ignore[arg-type]
    if isinstance(a, tuple):
        return all(same(x, y) for x, y in zip(a, b, strict=True))  # type: ignore[arg-type]
    if isinstance(a, float):
        return a == b
    return all(same(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))  # type: ignore[arg-type]


def test_a_scene_is_named_by_seed_split_and_number_alone() -> None:
    together = sample(7, range(10, 20), "validation")
    assert same(together[[3]], sample(7, [13], "validation"))
    assert same(together[[3, 0]], sample(7, [13, 10], "validation"))
    assert torch.equal(draw(together[[3]], SIZE, 3).video, draw(sample(7, [13], "validation"), SIZE, 3).video)


def test_splits_seeds_and_numbers_draw_different_scenes() -> None:
    middles = [sample(seed, range(200), split).subjects.middle for seed in (0, 1) for split in ("train", "validation", "test")]
    rows = torch.cat(middles).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_some_looks_are_kept_for_the_test_split(split: str) -> None:
    subjects = sample(0, range(600), split).subjects
    assert not held_out(subjects.shape, subjects.colour).any()
    made = edits(sample(0, range(600), split), split)
    assert not (held_out(made.target.subjects.shape, made.target.subjects.colour) & made.target.subjects.present).any()
    kept = sample(0, range(600), "test").subjects
    assert held_out(kept.shape, kept.colour).float().mean() > 0.05


def test_every_word_of_the_world_turns_up() -> None:
    said = " ".join([*captions(sample(0, range(300))), *(order.instruction for order in edits(sample(0, range(600))).orders)])
    assert set(VOCABULARY) - set(said.split()) <= {"edit", "plain"} | set(VOCABULARY) - set(said.split()) & {"edit"}
    assert set(said.split()) <= set(VOCABULARY)


def test_a_subject_never_hides_in_its_background_nor_looks_like_the_other() -> None:
    scenes = sample(3, range(500), "test")
    subjects = scenes.subjects
    for place, colour in CAMOUFLAGE:
        assert not (subjects.colour[scenes.background == place] == colour).any()
    alike = (subjects.shape[:, 0] == subjects.shape[:, 1]) & (subjects.colour[:, 0] == subjects.colour[:, 1])
    assert not alike.any()


def test_unknown_splits_and_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="train, validation, test"):
        sample(0, [0], "holdout")
    with pytest.raises(ValueError, match="numbered from 0"):
        sample(0, [-1])


def test_maps_between_frame_surface_and_ground_are_exact_inverses() -> None:
    scenes, t = sample(1, range(20)), torch.linspace(0, 90, 7)
    x, y = torch.rand(20, 7, 50), torch.rand(20, 7, 50)
    for k in range(2):
        pose = poses(scenes, t).subject(k)
        back = from_surface(*to_surface(x, y, pose), pose)
        assert max((back[0] - x).abs().max(), (back[1] - y).abs().max()) < 1e-4
    back = from_ground(*to_ground(x, y, scenes, t), scenes, t)
    assert max((back[0] - x).abs().max(), (back[1] - y).abs().max()) < 1e-4


def test_a_frame_is_the_same_whatever_is_drawn_with_it() -> None:
    scenes = sample(2, range(3), "train", Lot(octaves=4))
    for style in (PLAIN, PHOTO):
        clip = draw(scenes, SIZE, 6, style)
        alone = Painter(scenes, SIZE, style).draw(torch.tensor([4]))
        assert torch.allclose(clip.video[:, 4:5], alone.video, atol=2e-6)
        assert torch.allclose(clip.visible[:, :, 4:5], alone.visible, atol=2e-6)


def test_a_scene_drawn_large_and_made_small_is_the_scene_drawn_small() -> None:
    scenes = sample(4, range(4))
    small, large = draw(scenes, (48, 48), 2), draw(scenes, (192, 192), 2)
    shrunk = torch.nn.functional.avg_pool2d(large.video.flatten(0, 1), 4).unflatten(0, (4, 2))
    assert (shrunk - small.video).abs().mean() < 0.012
    area = large.whole.mean((2, 3, 4)) - small.whole.mean((2, 3, 4))
    assert area.abs().max() < 0.01


def test_the_window_around_a_subject_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = sample(5, range(6), "train", Lot(subjects=3, width=1.6))
    cut = [draw(scenes[[b]], (40, 64), 30) for b in range(6)]
    monkeypatch.setattr(drawing, "_window", lambda scenes, pose, k, size: (slice(0, size[0]), slice(0, size[1])))
    full = [draw(scenes[[b]], (40, 64), 30) for b in range(6)]
    assert all(torch.equal(a.video, b.video) and torch.equal(a.whole, b.whole) for a, b in zip(cut, full, strict=True))


def test_masks_of_the_visible_parts_never_overlap_and_upper_subjects_hide_lower_ones() -> None:
    clip = draw(sample(6, range(30)), SIZE, 3)
    assert clip.visible.sum(1).max() <= 1 + 1e-5
    assert torch.equal(clip.visible[:, -1], clip.whole[:, -1])
    assert (clip.visible <= clip.whole + 1e-6).all()


def test_frames_come_one_by_one_as_bytes() -> None:
    scene = sample(8, [0], "test", Lot(width=1.5))
    seen = list(frames(scene, (32, 48), 5))
    assert len(seen) == 5
    picture, masks = seen[3]
    assert picture.shape == (32, 48, 3) and picture.dtype == np.uint8
    assert masks.shape == (2, 32, 48) and masks.dtype == np.uint8
    whole = draw(scene, (32, 48), 5)
    assert np.abs(picture / 255 - whole.video[0, 3].permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6


def test_camera_like_pictures_have_texture_noise_and_blur() -> None:
    scene = sample(9, [1], "test", Lot(octaves=5))
    sharp, photo = draw(scene, (96, 96), 2, Style(relief=0.45)), draw(scene, (96, 96), 2, PHOTO)
    assert photo.video.diff(dim=-1).abs().mean() > draw(scene, (96, 96), 2, PLAIN).video.diff(dim=-1).abs().mean()
    half = ((sharp.whole > 0.02) & (sharp.whole < 0.98)).float().mean()
    assert ((photo.whole > 0.02) & (photo.whole < 0.98)).float().mean() > half  # a moving edge is wider than one pixel


def corrected(scene: Scenes) -> torch.Tensor:
    """The video without the change of light, so that a followed point keeps its colour."""
    video = draw(scene, (96, 96), 13, Style(relief=0.3)).video[0]
    return video / (1 + scene.light.at(torch.arange(13.0))[0])[:, None, None, None]


@pytest.mark.parametrize("number", range(6))
def test_tracked_points_keep_their_colour_while_they_are_visible(number: int) -> None:
    scene = sample(10, [number], "test", Lot(octaves=4))
    video = corrected(scene)
    points = torch.rand(400, 2, generator=torch.Generator().manual_seed(number)) * 94 + 0.5
    true = tracks(scene, (96, 96), torch.arange(13), points)
    grid = (true.xy + 0.5) / 96 * 2 - 1
    seen = torch.nn.functional.grid_sample(video, grid[:, None], align_corners=False)[:, :, 0]  # (T, 3, P)
    error = (seen - seen[:1]).abs().mean(1)
    assert true.visible.float().mean() > 0.5
    assert error[true.visible].median() < 0.02
    assert (error[true.visible] < 0.08).float().mean() > 0.93
    assert torch.equal(true.xy[0], points) or (true.xy[0] - points).abs().max() < 1e-3
    if (hidden := ~true.visible & (grid.abs() < 1).all(-1)).sum() > 50:
        assert error[hidden].mean() > 2 * error[true.visible].mean()


def test_flow_brings_the_next_picture_back() -> None:
    scene = sample(11, [2], "test", Lot(octaves=4))
    video = corrected(scene)
    forward, seen = flow(scene, (96, 96), 0, 3)
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    at = (torch.stack([columns, rows], -1) + forward + 0.5) / 96 * 2 - 1
    back = torch.nn.functional.grid_sample(video[3:4], at[None], align_corners=False)[0]
    moved, still = ((video[0] - picture).abs().mean(0)[seen].mean() for picture in (back, video[3]))
    assert moved < 0.012 and moved < 0.4 * still


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_changes_what_was_asked_and_nothing_else(kind: str) -> None:
    made = edits(sample(12, range(24), "test"), "test", [kind])
    before, after = draw(made.source, SIZE, 2), draw(made.target, SIZE, 2)
    words = {"colour": COLOURS, "material": MATERIALS, "shape": SHAPES, "background": BACKGROUNDS}
    for b, order in enumerate(made.orders):
        assert order.kind == kind
        change = (after.video[b] - before.video[b]).abs().amax(1)
        if kind == "background":
            kept = before.visible[b].sum(0) > 0.99999
        else:
            kept = torch.maximum(before.whole[b, order.subject], after.whole[b, order.subject]) == 0
        assert change.max() > 0.1
        assert change[kept].max() < 2e-5
        if kind in words:
            wanted = words[kind][order.wanted]
            assert wanted in order.instruction.split()
            assert wanted in order.target_words or wanted == "plain"


def test_a_name_means_one_subject_only() -> None:
    for seen in looks(sample(13, range(300), "test")):
        said = [set(names(look, seen)) for look in seen]
        assert all(len(names_) >= 1 for names_ in said)
        if len(said) == 2:
            assert not said[0] & said[1]


def test_prompts_differ_in_the_words_named() -> None:
    for order in edits(sample(14, range(200))).orders:
        assert order.source_prompt != order.target_prompt
        assert all(word in order.target_prompt.split() for word in order.target_words)
        assert all(word in order.source_prompt.split() for word in order.source_words)


def test_edits_leave_the_scenes_they_are_given_alone() -> None:
    scenes = sample(15, range(40))
    kept = scenes.subjects.present.clone(), scenes.subjects.colour.clone(), scenes.background.clone()
    edits(scenes)
    assert all(
        torch.equal(a, b) for a, b in zip(kept, (scenes.subjects.present, scenes.subjects.colour, scenes.background), strict=True)
    )
