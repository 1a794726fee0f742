"""Point trackers and flow by models, against recorded interfaces of packages that are on no index: places, order, ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engine.errors import MethodError
from engine.models import MODELS
from engine.tracking.by_models import POINT_TRACKERS, WINDOW, Followed, point_model, solve_by
from engine.tracking.points import Stretch
from engine.types import FrameRange, Spot
from tests.tiny_marks import installed


class Pictures:
    """The number of a frame in every pixel."""

    def rgb(self, frame: int) -> np.ndarray:
        return np.full((54, 96, 3), frame % 250, np.uint8)

    def gray(self, frame: int, size: tuple[int, int] | None = None) -> np.ndarray:
        return self.rgb(frame)[..., 0]


class Slide:
    """Says that everything moves by one of its px to the right a frame; hidden on the frames of `hides`."""

    size = (27, 48)

    def __init__(self, hides: tuple[int, ...] = ()) -> None:
        self.hides = hides
        self.lengths: list[int] = []

    def follow(self, video: np.ndarray, queries: np.ndarray) -> Followed:
        numbers = video[:, 0, 0, 0].astype(int)
        self.lengths.append(len(video))
        xy = np.repeat(queries[None, :, 1:], len(video), 0)
        xy[..., 0] += (numbers - numbers[0])[:, None]
        seen = np.repeat(~np.isin(numbers, self.hides)[:, None], len(queries), 1)
        return Followed(xy, seen, seen.astype(np.float32))


def test_stretches_are_followed_from_both_ends_and_over_windows() -> None:
    span = FrameRange(3, 3 + WINDOW + 40)
    stretches = [
        Stretch(span, Spot(3, 10.0, 20.0), None),
        Stretch(span, None, Spot(span.stop - 1, 400.0, 9.0)),
        Stretch(FrameRange(3, 14), Spot(3, 10.0, 20.0), Spot(13, 34.0, 20.0)),
    ]
    steps: list[tuple[int, int]] = []
    model = Slide(hides=(8,))
    trails = solve_by(model, Pictures(), (54, 96), stretches, lambda done, total: steps.append((done, total)))
    assert [len(trail.xy) for trail in trails] == [len(span), len(span), 11] and steps[-1][0] == steps[-1][1]
    assert max(model.lengths) <= WINDOW
    assert np.allclose(trails[0].xy[:, 0], 10 + 2 * np.arange(len(span)), atol=1e-3)  # one of its px is two of ours
    assert np.allclose(trails[1].xy[:, 0], 400 - 2 * np.arange(len(span))[::-1], atol=1e-3)
    assert np.allclose(trails[2].xy[0], (10, 20), atol=1e-3) and np.allclose(trails[2].xy[-1], (34, 20), atol=1e-3)
    assert not trails[0].visible[5] and trails[0].visible[4]


# --- recorded interfaces ----------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANCHORLINE_HOME", str(tmp_path))
    monkeypatch.setenv("ANCHORLINE_DEVICE", "cpu")
    return tmp_path


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """cotracker and tapnet as they are called: signatures, shapes and ranges as read in their sources."""
    import torch

    seen: dict[str, Any] = {}

    class CoTrackerPredictor(torch.nn.Module):
        def __init__(self, checkpoint: str | None, offline: bool = True, v2: bool = False, window_len: int = 60) -> None:
            super().__init__()
            assert checkpoint is None and offline and not v2 and window_len == 60
            self.model = torch.nn.Linear(3, 2)

        def forward(self, video: Any, queries: Any = None, backward_tracking: bool = False) -> tuple[Any, Any]:
            batch, count, channels, height, width = video.shape
            assert (batch, channels) == (1, 3) and video.max() > 1 and queries.shape[0] == 1 and queries.shape[2] == 3
            seen["cotracker3"] = (height, width)
            tracks = queries[:, None, :, 1:].repeat(1, count, 1, 1)
            return tracks, torch.ones(1, count, queries.shape[1], dtype=torch.bool)

    class TAPIR(torch.nn.Module):
        def __init__(self, pyramid_level: int = 1) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(2))

        def forward(self, video: Any, query_points: Any) -> dict[str, Any]:
            assert video.shape[0] == 1 and video.shape[-1] == 3 and video.min() >= -1 and video.max() <= 1
            count, height, width = video.shape[1:4]
            seen["bootstapir"] = (height, width)
            places = query_points[..., [2, 1]][:, :, None].repeat(1, 1, count, 1)  # (t, y, x) → (x, y)
            logits = torch.full(places.shape[:3], -9.0)
            logits[..., 1] = 9.0
            return {"tracks": places, "occlusion": logits, "expected_dist": torch.full(places.shape[:3], -9.0)}

    modules: dict[str, dict[str, Any]] = {
        "cotracker": {},
        "cotracker.predictor": {"CoTrackerPredictor": CoTrackerPredictor},
        "tapnet": {},
        "tapnet.torch": {},
        "tapnet.torch.tapir_model": {"TAPIR": TAPIR},
    }
    for name, parts in modules.items():
        module = ModuleType(name)
        module.__spec__ = type(sys.__spec__)(name, None)
        for key, value in parts.items():
            setattr(module, key, value)
        monkeypatch.setitem(sys.modules, name, module)
    yield seen


@pytest.mark.parametrize("name", POINT_TRACKERS)
def test_a_point_stays_where_it_was_put(home: Path, packages: dict[str, Any], name: str) -> None:
    import torch

    weights: Any = {
        "cotracker3": ("scaled_offline.pth", {"model": torch.nn.Linear(3, 2).state_dict()}),
        "bootstapir": (MODELS["bootstapir"].downloads[0].name, {"weight": torch.ones(2)}),
    }[name]
    installed(name, lambda folder: torch.save(weights[1], folder / weights[0]))
    model = point_model(name)
    spot, span = Spot(0, 33.25, 40.5), FrameRange(0, 4)
    trail = solve_by(model, Pictures(), (54, 96), [Stretch(span, spot, None)], lambda done, total: None)[0]
    assert packages[name] == model.size
    assert np.allclose(trail.xy, (33.25, 40.5), atol=1e-3)
    assert trail.visible.tolist() == ([True] * 4 if name == "cotracker3" else [True, False, True, True])


@pytest.mark.parametrize("name", POINT_TRACKERS)
def test_what_is_missing_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(MethodError, match=f"models fetch {name}"):
        point_model(name)
    with pytest.raises(MethodError, match="auto, cotracker3"):
        point_model("x")
    installed(name, lambda folder: (folder / "a").write_bytes(b"a"))
    for package in ("cotracker", "tapnet"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MethodError, match="pip install"):
        point_model(name)


def test_raft_keeps_dis_s_convention(home: Path) -> None:
    """Runs where torchvision does; elsewhere the sentence is checked."""
    from engine.motion.raft import RaftFlow

    with pytest.raises(MethodError, match="models fetch raft-small"):
        RaftFlow("small")
    try:
        import torch
        from torchvision.models.optical_flow import raft_small
    except (ImportError, RuntimeError, OSError):
        installed("raft-small", lambda folder: (folder / MODELS["raft-small"].downloads[0].name).write_bytes(b"x"))
        with pytest.raises(MethodError, match="needs torchvision"):
            RaftFlow("small")
        pytest.skip("torchvision is not installed, or does not fit this torch: RAFT itself was not run")
    made = raft_small(weights=None)
    installed("raft-small", lambda folder: torch.save(made.state_dict(), folder / MODELS["raft-small"].downloads[0].name))
    found = RaftFlow("small").flow(np.zeros((130, 150), np.uint8), np.zeros((130, 150), np.uint8))
    assert found.shape == (130, 150, 2) and found.dtype == np.float32
