"""Point tracks by models from the hub: the same stretches as the tracker without weights solves, answered by a network.

A model sees windows of a shot, at most `WINDOW` frames, and is asked from both ends of a stretch where there are spots;
two answers are mixed, the nearer spot weighing more. A stretch longer than a window goes on from where its point was
last seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from itertools import groupby
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from engine.errors import MethodError
from engine.media.pictures import Pictures
from engine.tracking.points import Stretch, Trail
from engine.types import FrameIndex

WINDOW = 120  # frames; 384 × 512 pictures of so many take 0.3 GB
POINT_TRACKERS = {"cotracker3": "engine.tracking.cotracker:CoTracker", "bootstapir": "engine.tracking.tapir:Tapir"}
"""Trackers that need a model of the same name from the catalogue (engine/models)."""
Step = Callable[[int, int], None]


class Followed(NamedTuple):
    """xy (T, P, 2) float32 px of the video, pixel centres at integers; visible (T, P) bool; confidence (T, P) float32 0–1."""

    xy: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray


class PointModel(Protocol):
    """A network that follows points. `size` (h, w): of the pictures it wants."""

    size: tuple[int, int]

    def follow(self, video: np.ndarray, queries: np.ndarray) -> Followed:
        """video (T, h, w, 3) uint8, queries (P, 3) float32 (t, x, y) in px of the video."""
        ...


def point_model(name: str) -> PointModel:
    """Raises MethodError for a name that is none, a model or a package that is not here."""
    if name not in POINT_TRACKERS:
        raise MethodError(f'There is no tracker "{name}"; there are: auto, {", ".join(POINT_TRACKERS)}.')
    module, _, attribute = POINT_TRACKERS[name].partition(":")
    made: PointModel = getattr(import_module(module), attribute)()
    return made


def solve_by(
    model: PointModel, pictures: Pictures, size: tuple[int, int], stretches: Sequence[Stretch], step: Step
) -> list[Trail]:
    """The trails of stretches, in their order; `size` (H, W) of the clip. Like `engine.tracking.points.solve`."""
    total = sum(len(stretch.range) for stretch in stretches)
    trails, done = [], 0
    for span, group in groupby(stretches, key=lambda stretch: stretch.range):
        together = list(group)
        scale = np.array([model.size[1] / size[1], model.size[0] / size[0]], np.float32)
        ahead = _one_way(model, pictures, together, span.start, scale)
        back = _one_way(model, pictures, together, span.stop - 1, scale)
        trails += [_met(stretch, *both) for stretch, *both in zip(together, ahead, back, strict=True)]
        done += len(span) * len(together)
        step(done, max(total, 1))
    return trails


def _one_way(
    model: PointModel, pictures: Pictures, stretches: Sequence[Stretch], start: FrameIndex, scale: np.ndarray
) -> list[Trail | None]:
    """Trails of stretches of one range from the spots on its frame `start`; None where there is none."""
    span = stretches[0].range
    forward = start == span.start
    spots = [stretch.left if forward else stretch.right for stretch in stretches]
    asked = [i for i, spot in enumerate(spots) if spot is not None]
    if not asked:
        return [None] * len(stretches)
    count = len(span)
    xy, seen, sure = (
        np.zeros((count, len(asked), 2), np.float32),
        np.zeros((count, len(asked)), bool),
        np.zeros((count, len(asked))),
    )
    now = np.array([(spots[i].x, spots[i].y) for i in asked], np.float32)  # type: ignore[union-attr]
    for first in range(0, count, WINDOW - 1):
        rows = range(first, min(first + WINDOW, count))
        if len(rows) < 2 and first:
            break
        order = [row if forward else count - 1 - row for row in rows]
        video = np.stack(
            [cv2.resize(pictures.rgb(span.start + row), model.size[::-1], interpolation=cv2.INTER_AREA) for row in order]
        )
        queries = np.column_stack([np.zeros(len(asked), np.float32), (now + 0.5) * scale - 0.5]).astype(np.float32)
        found = model.follow(video, queries)
        xy[order], seen[order], sure[order] = (found.xy + 0.5) / scale - 0.5, found.visible, found.confidence
        now = xy[order[-1]]
    trails: list[Trail | None] = [None] * len(stretches)
    for column, i in enumerate(asked):
        trails[i] = Trail(xy[:, column], seen[:, column], sure[:, column].astype(np.float32))
    return trails


def _met(stretch: Stretch, ahead: Trail | None, back: Trail | None) -> Trail:
    """One trail from the two; the nearer spot weighs more where both see the point."""
    if ahead is None or back is None:
        only = ahead or back
        assert only is not None  # a stretch has a spot at one end at least
        return only
    weight = np.linspace(1, 0, len(stretch.range), dtype=np.float32)
    weight = np.where(ahead.visible == back.visible, weight, ahead.visible.astype(np.float32))
    xy = weight[:, None] * ahead.xy + (1 - weight[:, None]) * back.xy
    confidence = weight * ahead.confidence + (1 - weight) * back.confidence
    return Trail(xy.astype(np.float32), ahead.visible | back.visible, confidence.astype(np.float32))


def missing_package(package: str, source: str, more: Iterable[str] = ()) -> MethodError:
    """How to install what is on no package index: said, not done, because it runs code from there."""
    parts = " ".join([f'"git+{source}"', *more])
    return MethodError(
        f"The package {package} is not installed, and no package index has it: run .venv/bin/python -m pip install {parts}"
    )
