"""What is exactly known about a scene's motion: point tracks with visibility, and optical flow.

Pixel coordinates here have pixel centres at integers, as everywhere else in the engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.world.geometry import from_ground, from_surface, outlines, poses, to_ground, to_surface
from engine.world.scene import Scenes


@dataclass(frozen=True, eq=False, slots=True)
class TruePoints:
    """xy (T, P, 2) pixels, visible (T, P), subject (P,): index of the subject, −1 for the background."""

    xy: Tensor
    visible: Tensor
    subject: Tensor


def tracks(scene: Scenes, size: tuple[int, int], times: Tensor, points: Tensor) -> TruePoints:
    """Follows points (P, 2), pixels at times[0] where they must be in the frame, through all times.

    Each belongs to what is on top there. A point is visible where it is in the frame and no subject above covers it.
    """
    t = times.to(torch.float32)
    x, y = _units(points, size, scene)
    owner = _on_top(scene, x[None, None], y[None, None], t[:1])[0, 0]
    place = torch.stack([x, y], -1)
    xs, ys = place.new_empty(len(t), len(points)), place.new_empty(len(t), len(points))
    hidden = torch.zeros(len(t), len(points), dtype=torch.bool)
    pose = poses(scene, t)
    for k in range(-1, scene.subjects.shape.shape[1]):
        mine = owner == k
        if not mine.any():
            continue
        start = x[mine][None, None], y[mine][None, None]
        if k < 0:
            u, v = to_ground(*start, scene, t[:1])
            at = from_ground(*_along(u, v, len(t)), scene, t)
        else:
            u, v = to_surface(*start, pose.subject(k).at(0))
            at = from_surface(*_along(u, v, len(t)), pose.subject(k))
        xs[:, mine], ys[:, mine] = at[0][0], at[1][0]
        hidden[:, mine] = _on_top(scene, *at, t)[0] > k
    xy = _pixels(xs, ys, size, scene)
    inside = (xy[..., 0] >= -0.5) & (xy[..., 0] < size[1] - 0.5) & (xy[..., 1] >= -0.5) & (xy[..., 1] < size[0] - 0.5)
    return TruePoints(xy, inside & ~hidden, owner)


def flow(scene: Scenes, size: tuple[int, int], start: float, stop: float) -> tuple[Tensor, Tensor]:
    """Displacement (H, W, 2) in pixels of what each pixel shows at `start`, until `stop`; and (H, W) whether it is seen then."""
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    points = torch.stack([columns, rows], -1).reshape(-1, 2).float()
    true = tracks(scene, size, torch.tensor([start, stop]), points)
    return (true.xy[1] - points).reshape(*size, 2), true.visible[1].reshape(size)


def _along(u: Tensor, v: Tensor, times: int) -> tuple[Tensor, Tensor]:
    return u.expand(1, times, -1), v.expand(1, times, -1)


def _on_top(scene: Scenes, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """(1, T, P): the index of the topmost subject over each point, −1 for none."""
    top = torch.full(x.shape, -1)
    pose = poses(scene, t)
    for k in range(scene.subjects.shape.shape[1]):
        if scene.subjects.present[0, k]:
            u, v = to_surface(x, y, pose.subject(k))
            top[outlines(scene.subjects.shape[:, k], u, v) < 0] = k
    return top


def _units(points: Tensor, size: tuple[int, int], scene: Scenes) -> tuple[Tensor, Tensor]:
    return (points[..., 0] + 0.5) / size[1] * scene.width, (points[..., 1] + 0.5) / size[0]


def _pixels(x: Tensor, y: Tensor, size: tuple[int, int], scene: Scenes) -> Tensor:
    return torch.stack([x / scene.width * size[1] - 0.5, y * size[0] - 0.5], -1)
