"""Point-to-Point: trajectories, motion tokens, sampling of the farthest, the adapter, alignment, and the method as a whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.backbones import animatediff
from engine.backbones.analytic import AnalyticBackbone
from engine.backbones.shelf import Backbones
from engine.diffusion.backbone import DiffusionBackbone
from engine.diffusion.motion_tokens import MotionTokens, along, basis_of, best_matches, motion_of, normalised, select
from engine.diffusion.point_adapter import PointAdapter, splat
from engine.diffusion.sampling import farthest_points
from engine.errors import MethodError
from engine.methods import point_to_point_tokens as tokens
from engine.methods.base import Context, Prepared, Segment, Shot
from engine.methods.cards import PointToPointConfig as Config
from engine.methods.point_to_point import AREA, PointToPoint
from engine.tracking import trajectories as paths
from engine.types import Edit, FrameRange, TokenChange, Tracks
from tests.tiny_models import snapshot

SIZE = (64, 64)


# --- trajectories -----------------------------------------------------------------------------------------


def drift(dx: float, dy: float, cells: int = 8):
    """Flow that moves everything by (dx, dy) cells a frame."""

    def flow(a: int, b: int) -> np.ndarray:
        return np.full((cells, cells, 2), (b - a) * np.array([dx, dy]), np.float32)

    return flow


def test_trajectories_follow_the_flow_both_ways_until_they_leave() -> None:
    found = paths.trajectories(drift(1, 0), 5, SIZE, [2])
    assert len(found) == 64 and set(found.origin) == {2}
    one = next(i for i in range(64) if np.allclose(found.starts()[i], [3.5 + 16, 3.5 + 24]))  # cell (2, 3)
    assert np.allclose(found.xy[:, one], [[8 * (t - 2) + 19.5, 27.5] for t in range(5)])
    assert found.visible[:, one].all()
    edge = next(i for i in range(64) if np.allclose(found.starts()[i], [3.5 + 48, 3.5]))  # leaves after one step
    assert found.visible[:, edge].tolist() == [True, True, True, True, False]


def test_what_two_keyframes_both_found_is_kept_once() -> None:
    still = paths.trajectories(drift(0, 0), 5, SIZE, [0, 2, 4])
    assert len(still) == 64
    moving = paths.trajectories(drift(1, 0), 5, SIZE, [0, 4])
    assert len(moving) == 64 + 4 * 8  # what came in after the first frame is new


def test_a_trajectory_ends_where_going_and_coming_back_do_not_agree() -> None:
    def flow(a: int, b: int) -> np.ndarray:
        made = drift(1, 0)(a, b)
        if (a, b) == (2, 1):
            made[:, 4:] = 0
        return made

    found = paths.trajectories(flow, 4, SIZE, [0])
    hidden = ~found.visible[2]
    assert hidden[:32].reshape(4, 8)[0].tolist() == [False, False, True, True, True, True, True, True]
    assert not found.visible[3][hidden].any()


def test_only_what_lies_on_the_subject_is_kept() -> None:
    found = paths.trajectories(drift(0, 0), 3, SIZE, [1])
    mask = np.zeros(SIZE, np.uint8)
    mask[:16, :16] = 255
    assert paths.inside(found, lambda i: mask).sum() == 4
    assert paths.inside(found, lambda i: mask if i == 1 else None).sum() == 0


def test_a_drag_turns_and_grows_with_what_is_around_it() -> None:
    angle = np.linspace(0, np.pi / 2, 5)
    turn = np.exp(1j * angle) * np.linspace(1, 2, 5)
    start = np.array([5, 5j, -5, -5j, 3 + 3j])
    z = 32 + 32j + turn[:, None] * start
    around = paths.Trajectories(np.stack([z.real, z.imag], -1).astype(np.float32), np.ones(z.shape, bool), np.zeros(5, np.int32))
    moved = paths.carried_drag(around, around.xy[0, 0], 0, (2.0, 0.0))
    assert np.allclose(moved[0], [2, 0], atol=1e-4) and np.allclose(moved[4], [0, 4], atol=1e-3)
    blind = replace(around, visible=np.zeros(z.shape, bool))
    assert np.allclose(paths.carried_drag(blind, around.xy[0, 0], 0, (2.0, 0.0)), [2, 0])


def test_latent_frames_take_the_mean_place_of_their_frames() -> None:
    xy = np.arange(9, dtype=np.float32)[:, None, None] * np.ones((9, 1, 2), np.float32)
    visible = np.ones((9, 1), bool)
    visible[5:] = False
    visible[4] = False
    places, seen = paths.latent_trajectories(xy, visible, 4)
    assert places[:, 0, 0].tolist() == [0, 2, 5] and seen[:, 0].tolist() == [True, True, False]


def test_found_tokens_come_back_from_the_disk(tmp_path: Path) -> None:
    assert paths.read_found(tmp_path) is None
    found = paths.Found(
        np.ones((3, 2, 2), np.float32), np.ones((3, 2), bool), np.ones((2, 3), np.float32), np.ones(2, np.int32), 7
    )
    paths.write_found(tmp_path, found)
    back = paths.read_found(tmp_path)
    assert back is not None and back.frame0 == 7 and np.array_equal(back.xy, found.xy)
    (tmp_path / paths.FOUND).write_bytes(b"nothing")
    assert paths.read_found(tmp_path) is None


# --- tokens -----------------------------------------------------------------------------------------------


def planted(groups: int, each: int, frames: int = 6, width: int = 16) -> MotionTokens:
    """Tokens of `groups` different motions, many alike."""
    dice = torch.Generator().manual_seed(1)
    bases = torch.linalg.qr(torch.randn(frames * width, groups, generator=dice))[0].T.reshape(groups, frames, width)
    values = bases.repeat_interleave(each, 0) + 0.02 * torch.randn(groups * each, frames, width, generator=dice)
    return MotionTokens(torch.nn.functional.normalize(values, dim=-1), torch.ones(groups * each, frames, dtype=torch.bool))


def test_the_farthest_are_one_of_each_motion() -> None:
    made = planted(5, 20)
    chosen = select(made, 3, 0.65, 64)
    assert sorted(index // 20 for index in chosen) == [0, 1, 2, 3, 4] and chosen[0] == 3
    assert select(made, 3, 0.65, 2) == chosen[:2]  # fewer are the first of many
    assert select(made, 3, 0.65, 0) == []


def test_a_higher_threshold_leaves_fewer() -> None:
    line = torch.linspace(0, 1, 101)
    counts = [len(farthest_points(lambda i: (line - line[i]).abs(), 0, stop, 200)) for stop in (0.05, 0.2, 0.6)]
    assert counts == sorted(counts, reverse=True) and counts[2] == 2


def test_tokens_without_a_common_frame_are_strangers() -> None:
    seen = torch.tensor([[True, False], [False, True], [True, True]])
    made = MotionTokens(torch.ones(3, 2, 1) * seen[..., None], seen)
    assert made.distance_to(made, 0).tolist() == [0.0, 1.0, 0.0]


def test_what_stands_still_has_no_motion_and_the_basis_keeps_the_rest() -> None:
    dice = torch.Generator().manual_seed(0)
    shown = torch.randn(8, 1, 4, 4, generator=dice).expand(8, 5, 4, 4)
    assert motion_of(shown).abs().max() < 1e-6
    features = motion_of(torch.randn(8, 5, 4, 4, generator=dice))
    kept = basis_of(features, 8)(features)
    assert torch.allclose(kept.square().sum(0), features.square().sum(0), atol=1e-4)
    assert basis_of(features, 3)(features).shape == (3, 5, 4, 4)


def test_features_are_read_along_the_trajectory() -> None:
    features = torch.zeros(2, 3, 4, 4)
    features[0, 0, 1, 1] = features[0, 1, 1, 2] = features[1, 2, 1, 3] = 5.0
    xy = torch.tensor([[[5.5, 5.5]], [[9.5, 5.5]], [[13.5, 5.5]]])  # cells of 4 px
    visible = torch.tensor([[True], [True], [True]])
    got = along(features, normalised(xy, (16, 16)), visible)
    assert torch.allclose(got.values[0], torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), atol=1e-5)


def test_each_token_goes_to_its_best_match_of_its_own_subject() -> None:
    made = planted(4, 5)
    anchors = made[[0, 5]]
    allowed = torch.ones(2, 20, dtype=torch.bool)
    allowed[1, 5:10] = False  # the second's own kind belongs to another subject
    first, second = best_matches(anchors, made, allowed)
    assert first == 0 and second // 5 != 1
    assert best_matches(anchors, made, torch.zeros(2, 20, dtype=torch.bool)) == [-1, -1]


# --- the adapter ------------------------------------------------------------------------------------------


def test_tokens_are_laid_where_they_are_and_nowhere_else() -> None:
    places = normalised(torch.tensor([[[6.0, 2.0], [0.0, 0.0]]]), (8, 8))
    laid = splat(torch.tensor([[1.0], [10.0]]), places, torch.tensor([[True, False]]), (1, 4, 4))
    assert laid.shape == (1, 1, 1, 4, 4) and laid.sum() == pytest.approx(1.0)
    assert laid[0, 0, 0, 0:2, 2:4].sum() == pytest.approx(1.0)
    both = splat(torch.ones(2, 1), places[:, [0, 0]], torch.ones(1, 2, dtype=torch.bool), (1, 4, 4))
    assert both.sum() == pytest.approx(2.0)


def test_an_untrained_adapter_changes_nothing_and_a_trained_one_is_gone_after_the_block() -> None:
    model = AnalyticBackbone()
    z = torch.randn(1, 48, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    adapter = PointAdapter({"mean": 48}, 3)
    told = torch.ones(1, 3), torch.zeros(2, 1, 2), torch.ones(2, 1, dtype=torch.bool)
    text = model.encode_text("")
    plain = model.predict(z, 0.5, text).x0
    with adapter.on(model, *told):
        assert torch.equal(model.predict(z, 0.5, text).x0, plain)
    torch.nn.init.ones_(adapter.levels[0][-1].bias)  # type: ignore[index]
    with adapter.on(model, *told):
        assert (model.predict(z, 0.5, text).x0 - plain).abs().max() > 0.1
    assert torch.equal(model.predict(z, 0.5, text).x0, plain)


# --- the method -------------------------------------------------------------------------------------------


class Frames:
    def __init__(self, pictures: np.ndarray) -> None:
        self._pictures = pictures

    def get(self, frame: int) -> np.ndarray:
        return self._pictures[frame]

    def frames(self, span: FrameRange):  # type: ignore[no-untyped-def]
        yield from self._pictures[span.start : span.stop]


class StepsOf:
    """Flow of the made clip at motion scale: the square's own motion on the square, none elsewhere."""

    def __init__(self, masks: np.ndarray) -> None:
        self._masks = masks

    def flow(self, a: int, b: int) -> np.ndarray:
        return np.where(self._masks[a][..., None] > 0, np.array([2.0 * (b - a), 0.0]), 0.0).astype(np.float32)


EDIT = Edit(source_prompt="a red ball on grass", target_prompt="a red star on grass")
QUICK = Config(steps=3, tune_steps=2, adapt_steps=0, tokens=4, threshold=0.1)


def shot(frames: int, edit: Edit = EDIT, anchors: tuple[int, ...] = (), points: Tracks | None = None) -> Shot:
    """A red square of 24 px on green, going right by 2 px a frame."""
    pictures = np.full((frames, *SIZE, 3), (60, 110, 40), np.uint8)
    masks = np.zeros((frames, *SIZE), np.uint8)
    for t in range(frames):
        pictures[t, 20:44, 4 + 2 * t : 28 + 2 * t] = (220, 30, 30)
        pictures[t, 28:36, 12 + 2 * t : 20 + 2 * t] = (120, 20, 20)
        masks[t, 20:44, 4 + 2 * t : 28 + 2 * t] = 255
    return Shot(
        frames=Frames(pictures),
        steps=StepsOf(masks),  # type: ignore[arg-type]
        size=SIZE,
        span=FrameRange(0, frames),
        anchors=anchors,
        region=lambda frame: masks[frame],
        alpha=lambda subject, frame: masks[frame],
        take=lambda frame: pictures[frame],
        tracks=lambda: points,
        edit=edit,
        subjects=(1,),
    )


def context(tmp_path: Path, model: DiffusionBackbone) -> Context:
    (tmp_path / "store").mkdir(exist_ok=True)
    return Context(lambda done, total: None, 0, tmp_path, tmp_path / "store", lambda name: model)


@pytest.fixture(scope="module")
def bundled() -> DiffusionBackbone:
    return Backbones()("bundled")


def rendered(given: Shot, prepared: Prepared, at: Context, start: int, stop: int) -> np.ndarray:
    segment = Segment(0, start, stop, None, None, given.span)
    frames = list(PointToPoint().render(given, segment, prepared, at))
    assert [frame for frame, _ in frames] == list(range(start, stop))
    return np.stack([image for _, image in frames])


def test_tokens_lie_on_the_subject_and_go_with_it(tmp_path: Path, bundled: DiffusionBackbone) -> None:
    given, at = shot(9), context(tmp_path, bundled)
    PointToPoint().prepare(given, QUICK, at)
    found = paths.read_found(at.store)
    assert found is not None and 1 <= found.xy.shape[1] <= 4 and set(found.owner) == {1}
    cell = 64 / 16
    for t in range(9):  # flow at the latents' size is not exact at the subject's edge: within a cell of it
        x, y = found.xy[t][found.visible[t]].T
        assert (x > 3 + 2 * t - cell).all() and (x < 28 + 2 * t + cell).all() and (y > 19 - cell).all() and (y < 44 + cell).all()
    for xy, seen in zip(found.xy.swapaxes(0, 1), found.visible.T, strict=True):
        first, last = np.flatnonzero(seen)[[0, -1]]
        assert xy[last, 0] - xy[first, 0] > last - first  # of 2 px a frame; the background stands still


def test_segments_are_the_same_alone_and_together_also_in_another_process(tmp_path: Path, bundled: DiffusionBackbone) -> None:
    given, at = shot(9), context(tmp_path, bundled)
    first = PointToPoint().prepare(given, QUICK, at)
    again = PointToPoint().prepare(given, QUICK, replace(at, backbone=lambda name: pytest.fail("all is kept")))
    assert again.digest == first.digest
    whole = rendered(given, first, at, 0, 9)
    assert np.array_equal(rendered(given, again, at, 3, 6), whole[3:6])
    assert np.abs(whole.astype(int) - np.stack([given.frames.get(t) for t in range(9)])).max() > 20


def test_outside_the_region_little_changes(tmp_path: Path, bundled: DiffusionBackbone) -> None:
    given, at = shot(9), context(tmp_path, bundled)
    made = rendered(given, PointToPoint().prepare(given, QUICK, at), at, 0, 9)
    for t in range(9):
        change = np.abs(made[t].astype(int) - given.frames.get(t)).mean(-1)
        far = np.ones(SIZE, bool)
        far[10:54, : 40 + 2 * t] = False
        assert change[far].mean() < 4 < change[24:40, 8 + 2 * t : 24 + 2 * t].mean()


def test_the_users_points_join_and_changes_of_tokens_are_heard(tmp_path: Path, bundled: DiffusionBackbone) -> None:
    xy = np.stack([[[16 + 2 * t, 32]] for t in range(9)]).astype(np.float32)
    own = Tracks(xy, np.ones((9, 1), bool), np.ones((9, 1), np.float32), np.array([[0, 16, 32]], np.float32))
    given, at = shot(9, points=own), context(tmp_path, bundled)
    prepared = PointToPoint().prepare(given, QUICK, at)
    told = tokens.told_of(torch.load(prepared.value[0], weights_only=True)["windows"][0])
    assert told.found.own[told.chosen].tolist().count(True) == 1
    found = paths.read_found(at.store)
    assert found is not None
    frame, x, y = map(float, found.origin[0])
    gone = replace(given, edit=replace(EDIT, tokens=(TokenChange(int(frame), x, y, gone=True),)))
    assert len(tokens.changed(gone, told, 4)[0]) == len(told.anchors) - 1
    dragged = replace(given, edit=replace(EDIT, tokens=(TokenChange(int(frame), x, y, at=int(frame), dx=6.0, dy=0.0),)))
    anchors, held = tokens.changed(dragged, told, 4)
    assert held.tolist().count(True) == 1
    moved = (anchors.places - told.anchors.places)[:, held][..., 0]
    # On all frames about as far as on the dragged one; flow at the square's edge is not quite the square's.
    assert ((moved > 0.15) & (moved < 0.25)).all()


def test_longer_than_the_model_by_windows(tmp_path: Path) -> None:
    model = AnalyticBackbone(max_frames=6)
    given, at = shot(10), context(tmp_path, model)
    prepared = PointToPoint().prepare(given, replace(QUICK, backbone="analytic"), at)
    assert len(torch.load(prepared.value[0], weights_only=True)["windows"]) > 1
    made = rendered(given, prepared, at, 0, 10)
    assert np.abs(made.astype(int) - np.stack([given.frames.get(t) for t in range(10)])).max() <= 2  # nothing was asked


def test_animatediff_by_the_same_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AREA, "animatediff", 64 * 64)
    model = animatediff.load(snapshot("motion-adapter"), snapshot("stable-diffusion"), "cpu")
    given, at = shot(5), context(tmp_path, model)
    config = replace(QUICK, backbone="animatediff-1.5.2", adapt_steps=1)
    given = replace(given, anchors=(0,))
    prepared = PointToPoint().prepare(given, config, at)
    assert (at.store / "subject.safetensors").exists()
    assert rendered(given, prepared, at, 0, 5).shape == (5, *SIZE, 3)


def test_a_missing_prompt_is_said(tmp_path: Path, bundled: DiffusionBackbone) -> None:
    with pytest.raises(MethodError, match="no target prompt"):
        PointToPoint().prepare(shot(3, Edit(source_prompt="a red ball")), QUICK, context(tmp_path, bundled))


def test_a_take_is_of_that_frame_alone(tmp_path: Path, bundled: DiffusionBackbone) -> None:
    one = PointToPoint().take(shot(5), 2, QUICK, context(tmp_path, bundled))
    assert one.shape == (*SIZE, 3) and one.dtype == np.uint8
