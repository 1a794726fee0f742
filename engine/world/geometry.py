"""Where everything is: poses, the maps between frame, subject and background, and the outline of each shape.

Convention: frame points (x, y) are in units (1 = frame height), origin top left, and pixel i covers [i, i+1)/H, so the
centre of pixel i is (i + 0.5)/H. A subject's own plane has its radius as unit. Every map is inverted exactly, so tracks
and flow are as true as the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.world.scene import Scenes

BEND = 2.2
"""Radians per radius of the deformation's wave over the surface."""


@dataclass(frozen=True, eq=False, slots=True)
class Poses:
    """Poses of K subjects at T times: centre (B, K, T, 2), angle, radius (B, K, T), bend (B, K, 2, T)."""

    centre: Tensor
    angle: Tensor
    radius: Tensor
    bend: Tensor

    def subject(self, k: int) -> Poses:
        return Poses(self.centre[:, k], self.angle[:, k], self.radius[:, k], self.bend[:, k])

    def at(self, i: int) -> Poses:
        """One subject's poses at the i-th time alone."""
        return Poses(self.centre[:, i : i + 1], self.angle[:, i : i + 1], self.radius[:, i : i + 1], self.bend[..., i : i + 1])


def poses(scenes: Scenes, t: Tensor) -> Poses:
    """Poses of all subjects at times t (T,), in frames."""
    subjects = scenes.subjects
    return Poses(
        centre=subjects.middle[:, :, None] + subjects.sway.at(t).transpose(-1, -2),
        angle=subjects.angle[..., None] + subjects.spin[..., None] * t + subjects.rock.at(t),
        radius=subjects.size[..., None] * (1 + subjects.swell.at(t)),
        bend=subjects.bend.at(t),
    )


def to_surface(x: Tensor, y: Tensor, pose: Poses) -> tuple[Tensor, Tensor]:
    """Frame points (B, T, ...) -> (u, v) on the surface of one subject whose poses are (B, T)."""
    shape = (*pose.angle.shape, *[1] * (x.dim() - 2))
    x, y = x - pose.centre[..., 0].reshape(shape), y - pose.centre[..., 1].reshape(shape)
    cos, sin = pose.angle.cos().reshape(shape), pose.angle.sin().reshape(shape)
    radius = pose.radius.reshape(shape)
    u, v = (x * cos + y * sin) / radius, (y * cos - x * sin) / radius
    v = v - pose.bend[:, 1].reshape(shape) * torch.sin(BEND * u)
    return u - pose.bend[:, 0].reshape(shape) * torch.sin(BEND * v), v


def from_surface(u: Tensor, v: Tensor, pose: Poses) -> tuple[Tensor, Tensor]:
    """The inverse of `to_surface`."""
    shape = (*pose.angle.shape, *[1] * (u.dim() - 2))
    u = u + pose.bend[:, 0].reshape(shape) * torch.sin(BEND * v)
    v = v + pose.bend[:, 1].reshape(shape) * torch.sin(BEND * u)
    cos, sin = pose.angle.cos().reshape(shape), pose.angle.sin().reshape(shape)
    radius = pose.radius.reshape(shape)
    x, y = (u * cos - v * sin) * radius, (u * sin + v * cos) * radius
    return x + pose.centre[..., 0].reshape(shape), y + pose.centre[..., 1].reshape(shape)


def to_ground(x: Tensor, y: Tensor, scenes: Scenes, t: Tensor) -> tuple[Tensor, Tensor]:
    """Frame points (B, T, ...) -> points of the background, at times t (T,)."""
    shape = (len(scenes), len(t), *[1] * (x.dim() - 2))
    pan, (cos, sin, zoom) = _camera(scenes, t)
    cos, sin, zoom = cos.reshape(shape), sin.reshape(shape), zoom.reshape(shape)
    x, y = x - scenes.width / 2, y - 0.5
    return (x * cos + y * sin) / zoom + pan[:, 0].reshape(shape), (y * cos - x * sin) / zoom + pan[:, 1].reshape(shape)


def from_ground(x: Tensor, y: Tensor, scenes: Scenes, t: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `to_ground`."""
    shape = (len(scenes), len(t), *[1] * (x.dim() - 2))
    pan, (cos, sin, zoom) = _camera(scenes, t)
    cos, sin, zoom = cos.reshape(shape), sin.reshape(shape), zoom.reshape(shape)
    x, y = (x - pan[:, 0].reshape(shape)) * zoom, (y - pan[:, 1].reshape(shape)) * zoom
    return x * cos - y * sin + scenes.width / 2, x * sin + y * cos + 0.5


def _camera(scenes: Scenes, t: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    camera = scenes.camera
    roll = camera.roll.at(t)
    return camera.start[..., None] + camera.pan.at(t), (roll.cos(), roll.sin(), 1 + camera.zoom.at(t))


def outline(shape: int, u: Tensor, v: Tensor) -> Tensor:
    """Signed distance to the outline of SHAPES[shape], in radii, negative inside (exact near the outline, roughly beyond)."""
    if shape == 0:  # ball
        return torch.hypot(u, v) - 1
    au, av = u.abs(), v.abs()
    if shape == 1:  # box
        return torch.maximum(au, av) - 0.86
    if shape == 2:  # triangle
        return torch.maximum(au * 0.866 + v * 0.5, -v) - 0.55
    if shape == 3:  # star with five points
        turn = torch.remainder(torch.atan2(u, v) + torch.pi / 5, 2 * torch.pi / 5) - torch.pi / 5
        return (torch.hypot(u, v) * (turn.cos() + 2 * turn.abs().sin()) - 1.05) * 0.45
    if shape == 4:  # cross
        return torch.minimum(torch.maximum(au - 0.34, av - 1), torch.maximum(av - 0.34, au - 1))
    return (torch.hypot(u, v) - 0.72).abs() - 0.3  # ring


def outlines(shapes: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """`outline` for each scene's own shape: shapes (B,), u and v (B, ...)."""
    distance = torch.empty_like(u)
    for shape in shapes.unique().tolist():
        chosen = shapes == shape
        distance[chosen] = outline(shape, u[chosen], v[chosen])
    return distance
