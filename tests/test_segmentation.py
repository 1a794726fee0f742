"""Clicks, boxes, strokes and earlier masks → masks. The conformance part runs over the registry."""

import numpy as np
import pytest

from engine.errors import MethodError
from engine.segmentation import SEGMENTERS, graphcut, keyframe_mask, segmenter
from engine.segmentation.strokes import draw_strokes
from engine.types import Keyframe, Point, Stroke
from tests.drawn import drawn_clip, jaccard


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray, Point]:
    """A picture, the true mask of its subject, a click in the middle of it."""
    drawn = drawn_clip(1, (240, 400), 11)
    y, x = np.nonzero(drawn.masks[0])
    return drawn.source[0], drawn.masks[0], Point(float(x.mean()), float(y.mean()))


def box_of(mask: np.ndarray, room: int = 6) -> tuple[float, float, float, float]:
    y, x = np.nonzero(mask)
    return float(x.min() - room), float(y.min() - room), float(x.max() + 1 + room), float(y.max() + 1 + room)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_clicks_are_law_and_equal_clicks_give_equal_masks(name, scene):
    image, _, click = scene
    points = [click, Point(20, 20, -1), Point(390, 230, -1), Point(click.x + 8, click.y, -1)]
    masks = [segmenter(name).segment(image, points) for _ in range(2)]
    assert np.array_equal(*masks) and masks[0].shape == image.shape[:2] and masks[0].dtype == np.uint8
    for point in points:
        assert masks[0][round(point.y), round(point.x)] == (255 if point.label > 0 else 0)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_box_with_a_click_finds_the_subject(name, scene):
    image, truth, click = scene
    assert jaccard(segmenter(name).segment(image, [click], box_of(truth)), truth) > 0.85


@pytest.mark.parametrize("name", SEGMENTERS)
def test_an_earlier_mask_is_kept_where_nothing_speaks_against_it(name, scene):
    image, truth, click = scene
    assert jaccard(segmenter(name).segment(image, [click], None, truth), truth) > 0.85


@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_correction_changes_the_mask_around_itself_only(name, scene):
    image, truth, click = scene
    one = segmenter(name)
    before = one.segment(image, [click])
    x, y = np.argwhere(truth[:, ::-1].T > 0)[0]
    edge = Point(float(truth.shape[1] - 1 - x - 3), float(y), -1)  # just inside the subject's right end
    after = one.segment(image, [click, edge])
    changed = np.argwhere((before >= 128) != (after >= 128))
    assert len(changed) and after[round(edge.y), round(edge.x)] == 0
    assert jaccard(after, before) > 0.7 and np.hypot(*(changed - (edge.y, edge.x)).T).max() < 60


@pytest.mark.parametrize("name", SEGMENTERS)
def test_corrections_of_an_earlier_mask_leave_its_other_pixels_as_they_were(name, scene):
    image, truth, _ = scene
    prior = truth.copy()
    prior[100:110, 2:12] = 77  # soft, and no subject: nothing that the segmenter would find
    y, x = np.argwhere(truth > 0)[0]
    after = segmenter(name).segment(image, [Point(float(x), float(y + 2), -1)], None, prior)
    assert (after != prior).any() and np.array_equal(after[100:110, 2:12], prior[100:110, 2:12])


def test_the_next_click_reuses_what_the_picture_alone_tells(scene, monkeypatch):
    image, _, click = scene
    built, one = [], graphcut.GraphCut()

    def counted(small: np.ndarray, made: type = graphcut.ColourGraph) -> object:
        built.append(small)
        return made(small)

    monkeypatch.setattr(graphcut, "ColourGraph", counted)
    clicks = [click, Point(20, 20, -1), Point(click.x + 8, click.y, -1)]
    masks = [one.segment(image, clicks[:count]) for count in (1, 2, 3, 2)]
    assert len(built) == 1 and np.array_equal(masks[1], masks[3])
    assert np.array_equal(masks[2], segmenter("graphcut").segment(image, clicks))
    for shift in range(1, graphcut.KEPT + 2):
        one.segment(np.roll(image, shift, axis=1), [click])
    assert len(one._places) == graphcut.KEPT


def test_strokes_add_and_erase_in_order():
    blank = np.zeros((40, 40), np.uint8)
    strokes = [Stroke(((20.0, 20.0),), 10.0), Stroke(((20.0, 20.0),), 4.0, "erase"), Stroke(((20.0, 20.0),), 1.0)]
    mask = draw_strokes(blank, strokes)
    assert mask[20, 20] == 255 and mask[20, 23] == 0 and mask[20, 28] == 255 and mask[20, 31] == 0
    assert not blank.any() and set(np.unique(mask)) == {0, 255}


def test_a_keyframe_of_strokes_starts_from_the_carried_mask(scene):
    image, truth, _ = scene
    key = Keyframe(0, 1, strokes=(Stroke(((2.0, 2.0),), 1.5),))
    mask = keyframe_mask(image, key, None, truth, segmenter())
    assert mask[2, 2] == 255 and jaccard(mask[10:], truth[10:]) == 1


def test_unknown_segmenter_is_named():
    with pytest.raises(MethodError, match="graphcut"):
        segmenter("magic")


def test_one_click_on_a_stripe_means_the_striped_subject():
    rng = np.random.default_rng(3)
    image = np.clip(rng.normal((60, 120, 60), 6, (240, 400, 3)), 0, 255).astype(np.uint8)
    truth = np.zeros((240, 400), np.uint8)
    truth[80:160, 150:250] = 255
    stripes = np.where((np.arange(100) // 12 % 2)[None, :, None] > 0, (220, 40, 40), (40, 10, 90))
    image[80:160, 150:250] = np.clip(stripes + rng.normal(0, 6, (80, 100, 3)), 0, 255)
    assert jaccard(segmenter("graphcut").segment(image, [Point(200.0, 120.0)]), truth) > 0.9
