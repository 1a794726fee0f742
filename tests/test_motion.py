"""Flow, steps and chains: what goes where, kept on disk, carried without drifting away."""

import cv2
import numpy as np
import pytest

from engine.composite import edit_region, inside
from engine.errors import MediaError
from engine.motion.align import Affine, compare, compare_outlines, correction, fit_affine, outline
from engine.motion.blend import Carried, completed, fill, mixed
from engine.motion.flow import DenseFlow, consistency, grid, motion_size, sample, upsample_positions
from engine.motion.ground import Ground, cloned, shows_ground
from engine.motion.parts import shared_out
from engine.motion.recolour import carried, cell_centres, recoloured, solid, split
from engine.motion.sight import Sight, SightStore
from engine.motion.steps import Steps
from engine.motion.surface import Looks, Surface
from engine.types import FrameRange
from tests.drawn import DrawnPictures, drawn_clip, psnr, texture


def moved(shift: tuple[float, float], size: tuple[int, int] = (160, 240)) -> tuple[np.ndarray, np.ndarray]:
    """Two grey pictures; what is at x in the first is at x + shift in the second."""
    big = cv2.cvtColor(texture((size[0] + 80, size[1] + 80), 3), cv2.COLOR_RGB2GRAY)
    matrix = np.array([[1, 0, -40 + shift[0]], [0, 1, -40 + shift[1]]], np.float32)
    return big[40 : 40 + size[0], 40 : 40 + size[1]], cv2.warpAffine(big, matrix, size[::-1], flags=cv2.INTER_CUBIC)


@pytest.mark.parametrize("shift", [(3, 0), (0, -5), (6.5, 4.25)])
def test_flow_points_from_a_to_b(shift):
    a, b = moved(shift)
    flow = DenseFlow().flow(a, b)[20:-20, 20:-20]
    assert np.abs(np.median(flow.reshape(-1, 2), axis=0) - shift).max() < 0.3


def test_consistency_falls_where_there_and_back_disagree():
    pixels = grid((20, 30))
    there = np.full((20, 30, 2), 2, np.float32)
    assert consistency(there, -there, pixels)[5:15, 5:20].min() > 0.99
    assert consistency(there, there, pixels)[5:15, 5:20].max() < 0.1
    assert consistency(there, -there, pixels)[:, -1].max() == 0  # leaves the picture


@pytest.mark.parametrize("size", [(480, 854), (720, 1280), (90, 120), (1080, 1920)])
def test_positions_keep_pixel_centres_at_full_size(size):
    small = motion_size(size)
    assert min(small) <= 288 and small[0] % 2 == 0 and small[1] % 2 == 0
    at = upsample_positions(grid(small), size)
    assert np.abs(at - grid(size)).max() < 1e-2
    window = (slice(10, 30), slice(20, 60))
    assert np.abs(upsample_positions(grid(small), size, window) - grid(size)[window]).max() < 1e-2


def test_steps_are_computed_once_and_read_back(tmp_path):
    drawn = drawn_clip(6, (120, 200), 1)
    steps = Steps(DrawnPictures(drawn.source), drawn.size, tmp_path / "motion")
    assert steps.missing([FrameRange(0, 3), FrameRange(2, 6)]) == [0, 1, 2, 3, 4]
    steps.ensure([0, 1, 2], lambda done, total: None)
    assert steps.missing([FrameRange(0, 6)]) == [3, 4]
    steps.ensure([3, 4], lambda done, total: None)
    direct = DenseFlow().flow(steps.gray(4), steps.gray(3))
    assert np.abs(steps.flow(4, 3) - direct).mean() < 0.1
    with pytest.raises(MediaError, match="not known"):
        steps.flow(0, 2)


def test_sights_survive_the_disk(tmp_path):
    rng = np.random.default_rng(0)
    shift, certain = rng.normal(0, 9, (8, 12, 2)).astype(np.float32), rng.random((8, 12)).astype(np.float32)
    light = np.exp2(rng.uniform(-0.9, 0.9, (8, 12))).astype(np.float32)
    sight = Sight((slice(3, 11), slice(5, 17)), (4.0, 4.5), shift, certain, light)
    store = SightStore(tmp_path / "s")
    store.put(7, sight)
    back = store.get(7)
    assert back.nodes == sight.nodes and back.cell == sight.cell
    assert np.abs(back.shift - shift).max() <= 1 / 64 + 1e-4 and np.abs(back.certain - certain).max() <= 1 / 510 + 1e-6
    assert np.abs(back.light / light - 1).max() < 0.01


def test_a_sight_is_read_at_pixel_centres():
    """A field that is linear over the picture comes back exactly between its nodes."""
    nodes, cell = (slice(2, 9), slice(1, 12)), (4.0, 4.0)
    y, x = np.mgrid[nodes].astype(np.float32) * 4 + 1.5
    sight = Sight(nodes, cell, np.stack([0.5 * x + y, -0.25 * y], axis=-1), np.ones_like(x), np.ones_like(x))
    rows, columns = np.arange(12, 30), np.arange(8, 40)
    at, certain, light = sight.at(rows, columns)
    x, y = np.meshgrid(columns, rows)
    assert np.abs(at[..., 0] - (1.5 * x + y)).max() < 1e-2 and np.abs(at[..., 1] - 0.75 * y).max() < 1e-2
    assert certain.min() == light.min() == 1


def test_a_small_deformation_is_found_to_a_few_hundredths():
    big = cv2.GaussianBlur(texture((200, 260), 4), (0, 0), 1.5)[..., 1].astype(np.float32)
    pixels = grid((160, 220)) + 20
    bend = np.stack([0.8 * np.sin(pixels[..., 1] / 30), 0.5 * np.cos(pixels[..., 0] / 40) + 0.3], axis=-1).astype(np.float32)
    target, warped = sample(big, pixels + bend, cv2.INTER_CUBIC), sample(big, pixels, cv2.INTER_CUBIC)
    weight = np.ones(target.shape, np.float32)
    delta = correction([compare(target, warped, weight)], affine=True)
    better = sample(big, pixels + cv2.resize(delta, (220, 160)), cv2.INTER_CUBIC)
    again = correction([compare(target, better, weight)], affine=False)
    error = delta + again - cv2.resize(bend, (55, 40), interpolation=cv2.INTER_AREA)
    assert np.abs(error[4:-4, 4:-4]).mean() < 0.04


def test_a_change_of_light_is_no_motion():
    picture = cv2.GaussianBlur(texture((120, 160), 9), (0, 0), 1.5)[..., 1].astype(np.float32)
    weight = np.ones(picture.shape, np.float32)
    found = compare(picture * 1.2, picture, weight)
    assert np.abs(correction([found], affine=True)).max() < 0.08 and abs(float(np.median(found.light)) - 1.19) < 0.02


def test_the_affine_part_ignores_what_does_not_fit():
    places = grid((20, 30)) * 4 + 100
    x, y = places[..., 0], places[..., 1]
    values = np.stack([0.02 * x - 1, 0.01 * y + 0.02 * x], axis=-1)
    broken = values.copy()
    broken[:5, :6] += 25
    everywhere = np.ones((20, 30), np.float32)
    fitted = fit_affine(places, broken, everywhere)
    assert np.abs(fitted.shift(places) - values).max() < 0.2
    corner = np.zeros((20, 30), np.float32)
    corner[:3, :3] = 1
    held = fit_affine(places, values + 0.5 * x[..., None] / 400, corner, around=fitted, hold=600.0)
    assert np.abs(held.matrix[1:] - fitted.matrix[1:]).max() < 1e-4  # a small sight says nothing of turning and growing


def test_affine_motions_follow_one_another():
    rng = np.random.default_rng(2)
    first, second = (Affine(np.vstack([rng.normal(0, 5, 2), rng.normal(0, 0.1, (2, 2))])) for _ in range(2))
    places = grid((4, 5)) * 7
    between = places + first.shift(places)
    assert np.abs(second.after(first).shift(places) - (between + second.shift(between) - places)).max() < 1e-3


def carried_by_surface(drawn, steps, frames, **parts):
    surface = Surface(Looks(steps, drawn.size), 0, drawn.masks[0], **parts)
    for frame in range(1, frames):
        surface.advance(frame, drawn.masks[frame])
    rows, columns = np.arange(drawn.size[0]), np.arange(drawn.size[1])
    difference = drawn.edited[0].astype(np.float32) - drawn.source[0]
    return sample(difference, surface.sight().at(rows, columns)[0], cv2.INTER_CUBIC)


def test_paint_carried_far_stays_on_the_subject(tmp_path):
    """Over 20 frames of turning and growing, the locked surface beats the motion alone by a wide margin, and does not drift."""
    drawn = drawn_clip(21, (240, 400), 3, turn=0.7, growth=0.25, light=0.1)
    steps = Steps(DrawnPictures(drawn.source), drawn.size, tmp_path / "motion")
    steps.ensure(steps.missing([FrameRange(0, 21)]), lambda done, total: None)

    def reached(frames, **parts):
        layer, last = carried_by_surface(drawn, steps, frames, **parts), frames - 1
        image = np.clip(drawn.source[last] + layer * (drawn.masks[last] > 0)[..., None], 0, 255)
        return psnr(image, drawn.edited[last], drawn.masks[last])

    near, far, loose, plain = reached(6), reached(21), reached(21, lock=False), reached(21, lock=False, smooth=False)
    assert far > plain + 5 and far > loose + 3 and far > near - 3, (near, far, loose, plain)


def test_what_entered_later_is_not_certain(tmp_path):
    """A surface that lay outside the anchor's picture has no place in it."""
    drawn = drawn_clip(8, (160, 240), 2)
    source, masks = drawn.source[:, :, 60:], drawn.masks[:, :, 60:]
    steps = Steps(DrawnPictures(source[::-1]), source.shape[1:3], tmp_path / "motion")
    steps.ensure(steps.missing([FrameRange(0, 8)]), lambda done, total: None)
    surface = Surface(Looks(steps, source.shape[1:3]), 0, masks[-1])
    for frame in range(1, 8):
        surface.advance(frame, masks[-1 - frame])
    at, _, _ = surface.sight().at(np.arange(160), np.arange(180))
    assert np.isfinite(at).all()


TINT = np.array([[0.3, 0.1, 0], [0.1, 0.5, 0.1], [0, 0.2, 0.9]], np.float32)


def recoloured_clip(size=(120, 160)):
    source = texture(size, 5)
    tinted = np.clip(
        source.astype(np.float32) @ np.array([[0.3, 0.1, 0], [0.1, 0.5, 0.1], [0, 0.2, 0.9]], np.float32) + 6, 0, 255
    )
    region = np.full(size, 255, np.uint8)
    return source, np.rint(tinted).astype(np.uint8), region


def test_a_tint_is_a_change_of_colour_and_follows_new_light():
    source, take, region = recoloured_clip()
    found = split(source, take, region)
    assert found.gain is not None
    size, whole = region.shape, (slice(0, 120), slice(0, 160))
    darker = source.astype(np.float32) * 0.7
    y, x = cell_centres(size, whole)
    gain = carried(found.gain, size, np.stack(np.meshgrid(x, y), axis=-1))
    edited = darker + recoloured(gain, darker, size, whole) * solid(region)[..., None] + found.layer
    truth = darker @ TINT + 6
    plain = darker + take - source.astype(np.float32)
    assert np.abs(edited - truth).mean() < 0.4 * np.abs(plain - truth).mean()


def test_paint_is_no_change_of_colour():
    source = texture((120, 160), 5)
    take = source.copy()
    take[40:80, 50:110] = texture((40, 60), 77)
    region = np.full((120, 160), 255, np.uint8)
    gain = split(source, take, region).gain
    untouched = split(source, source, region)
    assert untouched.gain is None and not untouched.layer.any()
    assert gain is None or np.abs(gain[:3]).max() < 0.05


def both(first, second, share):
    weight = np.full(first.shape[:2], share, np.float32)
    return [Carried(first, weight, weight), Carried(second, 1 - weight, 1 - weight)]


def test_anchors_that_agree_are_mixed_and_others_not_doubled():
    rng = np.random.default_rng(3)
    inside = np.ones((64, 96), bool)
    one = rng.normal(0, 40, (64, 96, 3)).astype(np.float32)
    agreeing, _ = mixed(both(one, one + 8, 0.7), inside)
    assert np.abs(agreeing - (one + 2.4)).max() < 0.5
    other = np.roll(one, 5, axis=1)
    ghost, _ = mixed(both(one, other, 0.7), inside, bands=False)
    clear, _ = mixed(both(one, other, 0.7), inside)
    assert np.abs(clear - one).mean() < 0.2 * np.abs(ghost - one).mean()


def test_what_no_anchor_saw_is_filled_and_counted():
    edit = np.full((40, 60, 3), 20, np.float32)
    edit[:, 30:] = -99
    weight = np.ones((40, 60), np.float32)
    weight[:, 30:] = 0
    region = np.full((40, 60), 255, np.uint8)
    whole, unseen = completed(edit, weight, region, [Carried(edit, weight, weight)])
    assert unseen == 0.5 and np.abs(whole - 20).max() < 0.5
    untouched, unseen = completed(edit, np.zeros_like(weight), region, [Carried(edit, weight, weight)])
    assert unseen == 1 and np.array_equal(untouched, edit)


def test_filling_keeps_what_is_known():
    values, known = np.zeros((33, 47, 3), np.float32), np.zeros((33, 47), bool)
    values[5:9], known[5:9] = 7, True
    filled = fill(values, known)
    assert np.array_equal(filled[5:9], values[5:9]) and np.abs(filled - 7).max() < 1e-3


def test_outlines_pull_a_surface_that_shows_nothing():
    """A plain disc that has moved by 1.5 px is found by its outline alone; a straight cut far from its outline says nothing."""
    y, x = np.mgrid[:120, :160]
    before, after = np.hypot(x - 80, y - 60) < 40, np.hypot(x - 81.5, y - 60) < 40
    plain = np.full((120, 160), 90, np.float32)
    same = compare(plain, plain, after.astype(np.float32))
    delta = correction([same, compare_outlines(outline(after), outline(before))], affine=True)
    inside = cv2.resize(after.astype(np.float32), (40, 30), interpolation=cv2.INTER_AREA) == 1
    assert np.abs(delta[inside].mean(axis=0) - (-1.5, 0)).max() < 0.25
    hidden = after & (x < 80)
    assert compare_outlines(outline(hidden), outline(after)).weight[30:90, 78:82].max() == 0


def cleared_clip(tmp_path, frames=12):
    """A drawn clip, the same without its subject, and its motion."""
    drawn = drawn_clip(frames, (160, 256), 6, turn=0.2, growth=0)
    plate = texture((160 + 16, 256 + 64), 7)
    behind = []
    for frame in range(frames):
        shift = np.array([[1, 0, 32 * frame / (frames - 1)], [0, 1, 4 + 3 * np.sin(frame / 9)]], np.float32)
        behind.append(cv2.warpAffine(plate, shift, (256, 160), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP))
    steps = Steps(DrawnPictures(drawn.source), drawn.size, tmp_path / "motion")
    steps.ensure(steps.missing([FrameRange(0, frames)]), lambda done, total: None)
    return drawn, behind, [edit_region(mask, 1, 2) for mask in drawn.masks], steps


def test_a_take_without_the_subject_is_told_from_a_painted_one():
    size = (160, 256)
    behind = cv2.GaussianBlur(texture(size, 7), (0, 0), 5)
    y, x = np.mgrid[: size[0], : size[1]]
    region = edit_region(np.where(np.hypot(x - 120, y - 80) < 45, 255, 0).astype(np.uint8), 1, 2)
    source = inside(behind, texture(size, 12, (210, 90, 60)), region)
    tinted = np.clip(source.astype(np.float32) @ TINT, 0, 255).astype(np.uint8)
    assert shows_ground(source, behind, region)
    assert not shows_ground(source, inside(source, tinted, region), region)
    assert not shows_ground(source, inside(source, texture(size, 30, (60, 200, 220)), region), region)
    assert not shows_ground(source, source, region)


def test_what_was_behind_moves_with_its_surroundings(tmp_path):
    drawn, behind, regions, steps = cleared_clip(tmp_path)
    ground = Ground(Looks(steps, drawn.size), 0, regions[0], FrameRange(0, 12))
    assert ground.others[regions[0] > 0].max() == 0 and ground.others.mean() < 0.05
    for frame in range(1, 12):
        ground.advance(frame, regions[frame])
    at, _, _ = ground.sight().at(np.arange(160), np.arange(256))
    take = inside(drawn.source[0], behind[0], regions[0]).astype(np.float32)
    source, known = drawn.source[11].astype(np.float32), at[..., 0] > 0
    picture = cloned(sample(take, at, cv2.INTER_CUBIC), source, regions[11], known)
    there = ((regions[11] == 255) & known).astype(np.uint8) * 255
    assert there.any() and psnr(picture, behind[11], there) > 30
    darker = cloned(sample(take * 0.8, at, cv2.INTER_CUBIC), source, regions[11], known)
    assert psnr(darker, behind[11], there) > 24


def test_a_clone_fills_what_nothing_shows():
    picture, source = np.zeros((40, 60, 3), np.float32), np.full((40, 60, 3), 90, np.float32)
    region = np.zeros((40, 60), np.uint8)
    region[10:30, 20:40] = 255
    filled = cloned(picture, source, region, np.zeros((40, 60), bool))
    assert np.abs(filled[region > 0] - 90).max() < 1


def test_a_region_is_shared_out_without_overlap_or_loss():
    y, x = np.mgrid[:60, :100]
    one, two = (np.where(np.hypot(x - c, y - 30) < 15, 255, 0).astype(np.uint8) for c in (30, 58))
    hat = np.where((abs(x - 58) < 6) & (y < 20), 255, 0).astype(np.uint8)
    region = np.maximum(np.maximum(one, two), hat)
    region[region == 0] = 40 * ((np.hypot(x - 30, y - 30) < 17)[region == 0])
    first, second = shared_out(region, [one, two])
    assert np.array_equal(np.maximum(first, second), region) and not ((first > 0) & (second > 0)).any()
    assert (first[one == 255] == 255).all() and (second[(hat == 255) & (one == 0)] == 255).all()
    alone, nothing = shared_out(region, [one, None])
    assert np.array_equal(alone, region) and not nothing.any()
