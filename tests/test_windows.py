"""Masks on a model's grids, and clips longer than a model takes: windows, the noise they share, how their pictures meet."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from engine.diffusion.masks import causal, latent_frames, pool, token_mask
from engine.diffusion.windows import SharedNoise, Window, agree, cross_fade, plan_windows, shares


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_latent_frames_are_causal() -> None:
    assert [latent_frames(frames, 4) for frames in (1, 2, 5, 6, 41, 81)] == [1, 2, 2, 3, 11, 21]
    assert latent_frames(7, 1) == 7
    with pytest.raises(ValueError, match="one frame"):
        latent_frames(0, 4)


@pytest.mark.parametrize(("frame", "latent"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_a_mask_in_one_frame_is_in_one_latent_frame(frame: int, latent: int) -> None:
    mask = torch.zeros(10, 8, 8, dtype=torch.bool)
    mask[frame, 5, 2] = True
    found = causal(pool(mask, (2, 2)), 4)
    assert found.nonzero().tolist() == [[latent, 1, 0]]
    assert token_mask(mask, (4, 2, 2), 4).nonzero().flatten().tolist() == [4 * latent + 2]


def test_no_thin_part_of_a_mask_is_lost() -> None:
    mask = torch.zeros(1, 37, 50, dtype=torch.bool)
    mask[0, :, 31] = True
    cells = pool(mask, (5, 7))[0]
    assert cells.any(1).all() and cells.any(0).sum() <= 2
    assert pool(mask, (74, 100))[0].any(1).all()  # finer grids too


def test_a_mask_must_fill_its_grid() -> None:
    with pytest.raises(ValueError, match="latent frames"):
        token_mask(torch.zeros(9, 8, 8, dtype=torch.bool), (4, 2, 2), 4)


@pytest.mark.parametrize(
    ("frames", "longest", "stride"), [(1, 17, 4), (17, 17, 4), (18, 17, 4), (65, 17, 4), (200, 81, 4), (30, 8, 1)]
)
def test_windows_cover_the_clip_in_step_with_the_model(frames: int, longest: int, stride: int) -> None:
    windows = plan_windows(frames, longest, stride)
    assert windows[0].start == 0 and windows[-1].stop == frames
    for window in windows:
        assert window.start % stride == 0 and 0 < len(window) <= longest
    for a, b in pairwise(windows):
        assert b.start > a.start and a.stop - b.start > stride  # at least two latent frames in common
    for frame in range(frames):
        weights = shares(windows, frame)
        assert sum(weights.values()) == pytest.approx(1) and min(weights.values()) > 0


def test_windows_that_cannot_advance_are_refused() -> None:
    with pytest.raises(ValueError, match="do not advance"):
        plan_windows(40, 9, 4, overlap=7)


def test_a_frame_has_its_noise_in_every_window() -> None:
    noise, like = SharedNoise(7), torch.zeros(1, 3, 3, 4, 4)
    one, other = noise.draw(2, (0, 4, 8), like), noise.draw(2, (4, 8, 12), like)
    assert torch.equal(one[:, :, 1:], other[:, :, :2])
    for different in (noise.draw(3, (0, 4, 8), like), SharedNoise(8).draw(2, (0, 4, 8), like)):
        assert (one - different).abs().mean() > 0.5
    many = noise.draw(0, range(0, 400, 4), torch.zeros(1, 4, 100, 8, 8))
    assert abs(float(many.mean())) < 0.02 and abs(float(many.std()) - 1) < 0.02
    assert abs(float((many[:, :, 1:] * many[:, :, :-1]).mean())) < 0.02  # fresh for each frame


def test_windows_agree_where_they_hold_the_same_frames() -> None:
    windows = (Window(0, 17), Window(8, 25))
    changes = [normal(1, 2, 5, 2, 2), normal(1, 2, 5, 2, 2, seed=1)]
    first, second = agree(changes, windows, 4)
    # Marks 12 and 16 are in both; mark 8 begins the second window, where it holds one frame only.
    assert torch.equal(first[:, :, 3:], second[:, :, 1:3])
    assert torch.equal(first[:, :, :3], changes[0][:, :, :3]) and torch.equal(second[:, :, 0], changes[1][:, :, 0])
    low, high = torch.minimum(changes[0][:, :, 3], changes[1][:, :, 1]), torch.maximum(changes[0][:, :, 3], changes[1][:, :, 1])
    assert ((first[:, :, 3] >= low) & (first[:, :, 3] <= high)).all()
    assert torch.equal(agree(changes[:1], windows[:1], 4)[0], changes[0])


def test_pictures_fade_from_window_to_window() -> None:
    windows, made = plan_windows(30, 8, 1), []

    def make(k: int) -> Tensor:
        made.append(k)
        return torch.arange(windows[k].start, windows[k].stop).float()

    pictures = list(cross_fade(windows, make))
    assert [frame for frame, _ in pictures] == list(range(30))
    assert all(float(picture) == pytest.approx(frame) for frame, picture in pictures)
    assert made == list(range(len(windows)))
