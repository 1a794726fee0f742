"""The bench of propagation: its clips, its rivals and its measures say what they claim. The bench itself is run by hand."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bench.harness import BenchError
from tests.bench.propagation import _chosen, layouts
from tests.bench.propagation_clips import KINDS, TrueClip, draw_clip
from tests.bench.propagation_measures import BEST, compare, psnr, ssim
from tests.bench.propagation_next import next_anchor
from tests.bench.propagation_real import flicker, real_clips
from tests.bench.propagation_rivals import EbSynth, Layout, plain_chain, shares
from tests.bench.propagation_run import Run, segments

SMALL = (72, 128)


@pytest.fixture(scope="module")
def clip() -> TrueClip:
    return draw_clip("turning", 1, size=SMALL)


@pytest.mark.parametrize("name", ["turning", "picture", "removal", "grown", "hidden", "graded"])
def test_edits_stay_in_their_region_and_do_something(name: str) -> None:
    drawn = draw_clip(name, 3, size=(48, 86))
    assert drawn.source.shape == drawn.edited.shape == (*drawn.region.shape, 3) and drawn.frames >= 61
    same = drawn.region == 0
    assert np.array_equal(drawn.source[same], drawn.edited[same])
    first = np.abs(drawn.source[0].astype(int) - drawn.edited[0]).max(-1)
    assert (first > 8).sum() > 30


def test_a_clip_is_named_by_its_seed(tmp_path: Path) -> None:
    one = draw_clip("recolour", 4, tmp_path, (48, 86))
    again = draw_clip("recolour", 4, tmp_path, (48, 86))
    other = draw_clip("recolour", 5, None, (48, 86))
    assert len(list(tmp_path.iterdir())) == 1
    assert np.array_equal(one.edited, again.edited) and np.array_equal(one.region, again.region)
    assert not np.array_equal(one.source[0], other.source[0])


def test_few_clips_are_those_of_the_whole_run() -> None:
    everything = _chosen(Namespace(only=None, scenes=None, seed=10))
    assert [name for name, _ in everything] == list(KINDS)
    assert _chosen(Namespace(only="picture", scenes=None, seed=10)) == [one for one in everything if one[0] == "picture"]
    with pytest.raises(BenchError, match="magic"):
        _chosen(Namespace(only="magic", scenes=None, seed=0))


def test_the_chain_is_exact_at_anchors_and_better_than_nothing(clip: TrueClip) -> None:
    layout = Layout("b", (0, 20), 21, (0, 2, 10, 19))
    chained = plain_chain(clip, [layout]).pictures["b"]
    assert np.array_equal(chained[0], clip.edited[0]) and np.array_equal(chained[20], clip.edited[20])
    for frame in (2, 10, 19):
        assert compare(clip, frame, chained[frame]).psnr > compare(clip, frame, clip.source[frame]).psnr + 2
    assert compare(clip, 2, chained[2]).psnr > compare(clip, 10, chained[10]).psnr


def test_the_method_runs_in_every_layout(clip: TrueClip, tmp_path: Path) -> None:
    ran = Run(clip, tmp_path)
    for layout in (Layout("a", (0,), 12, (5, 10)), Layout("c", (0, 8), 12, (3, 10))):
        result = ran.render(layout)
        assert result.outside == 0 and result.anchor == 0 and set(result.pictures) == layout.wanted
        for frame in layout.reads:
            assert compare(clip, frame, result.pictures[frame]).psnr > compare(clip, frame, clip.source[frame]).psnr


def test_layouts_cut_as_the_engine_does() -> None:
    a, b, c = layouts(100)
    assert [(s.start, s.stop, s.left, s.right) for s in segments(c)] == [
        (0, 30, 0, 30),
        (30, 60, 30, 60),
        (60, 90, 60, 90),
        (90, 100, 90, None),
    ]
    assert segments(a)[-1].stop == 62 and b.anchors == (0, 99)
    assert shares(c, 40) == pytest.approx({30: 2 / 3, 60: 1 / 3}) and shares(c, 95) == {90: 1.0} and shares(c, 30) == {30: 1.0}


def test_measures() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    off = np.clip(picture.astype(int) + 10, 0, 255).astype(np.uint8)
    everywhere = np.ones((40, 40), bool)
    assert psnr(picture, picture) == BEST
    assert psnr(np.zeros(9, np.uint8), np.full(9, 10, np.uint8)) == pytest.approx(28.13, abs=0.01)
    assert ssim(picture, picture, everywhere) == pytest.approx(1)
    assert ssim(picture, rng.permutation(picture), everywhere) < 0.2 < ssim(picture, off, everywhere)


@pytest.mark.slow
def test_one_more_anchor_takes_error_away(clip: TrueClip, tmp_path: Path) -> None:
    gains = next_anchor(clip, Run(clip, tmp_path))
    assert gains.frame is not None and 0 < gains.frame < 62
    assert 0 < gains.middle < 100 and 0 < gains.suggested < 100


def test_flicker_is_against_the_source(clip: TrueClip, tmp_path: Path) -> None:
    few = TrueClip("few", 0, True, clip.source[:6], clip.edited[:6], clip.region[:6])
    seen = flicker(few, tmp_path)
    assert 0 < seen.source < 30 and 0 < seen.ours < 60 and 0 < seen.chain < 60


def test_real_clips_need_masks_for_all_frames(tmp_path: Path, clip: TrueClip) -> None:
    for folder, masks in (("whole", 4), ("first", 1)):
        for kind, count in (("frames", 4), ("masks", masks)):
            (tmp_path / folder / kind).mkdir(parents=True)
            for frame in range(count):
                picture = clip.source[frame] if kind == "frames" else clip.region[frame]
                Image.fromarray(picture).save(tmp_path / folder / kind / f"{frame:05d}.png")
    found = real_clips(tmp_path)
    assert [(one.name, one.frames, one.size) for one in found] == [("whole", 4, SMALL)]
    assert np.array_equal(found[0].edited[1], found[0].source[1]) and not np.array_equal(found[0].edited[0], found[0].source[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match="empty"):
        real_clips(tmp_path / "empty")


def test_ebsynth_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="nowhere"):
        EbSynth(tmp_path / "nowhere")
