"""What a picture of the world shows, told from its pixels alone: colours, materials, shapes, backgrounds.

Thresholds were set on scenes of the validation split; tests measure them on scenes of the test split.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import pi

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from engine.world.geometry import outline
from engine.world.words import BACKGROUND_RGB, BACKGROUNDS, COLOUR_RGB, COLOURS, MATERIALS, SHAPES

SMALLEST = 0.005
"""Share of the frame under which a blob is no subject."""
TEMPLATE = 32
TURNS = 24


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """A blob: mask (H, W) bool, and the shape it is most like."""

    mask: Tensor
    shape: str


def colour_shares(video: Tensor, mask: Tensor) -> Tensor:
    """(8,): of the mask's pixels, the share that is nearest to each of COLOURS. video (T, 3, H, W), mask (T, H, W)."""
    nearest = nearest_colour(video)
    counts = torch.stack([((nearest == index) * mask).sum() for index in range(len(COLOURS))])
    return counts / mask.sum().clamp_min(1)


def nearest_colour(video: Tensor) -> Tensor:
    """(T, H, W): which of COLOURS each pixel's hue is nearest to, whatever its brightness (shade and dark stripes keep hue)."""
    directions = F.normalize(COLOUR_RGB.to(video), dim=1)
    return torch.einsum("tchw,kc->tkhw", F.normalize(video + 1e-4, dim=1), directions).argmax(1)


def material_of(video: Tensor, mask: Tensor) -> str:
    """The material inside mask (T, H, W): how much is dark, and whether the dark parts run in one direction.

    Stripes have one direction of change everywhere, checks have two: the structure tensor's coherence tells them apart.
    """
    bright = video.amax(1)
    inside = mask > 0.5
    if int(inside.sum()) < 16:
        return MATERIALS[0]
    light = torch.quantile(bright[inside][:100_000], 0.9)
    dark = float((bright[inside] < 0.62 * light).float().mean())
    if dark < 0.2:
        return MATERIALS[0]
    return MATERIALS[1] if _coherence(bright, inside) > 0.42 else MATERIALS[2]


def _coherence(bright: Tensor, inside: Tensor) -> float:
    """Mean over frames of (λ1 − λ2) / (λ1 + λ2) of the structure tensor over the mask, in 0 (no direction) … 1 (one)."""
    dy, dx = torch.gradient(bright, dim=(1, 2))
    core = -F.max_pool2d(-inside[:, None].float(), 3, 1, 1)[:, 0]
    core = core if core.sum() >= 8 * len(core) else inside.float()
    xx, yy, xy = ((dx * dx * core).sum((1, 2)), (dy * dy * core).sum((1, 2)), (dx * dy * core).sum((1, 2)))
    total = (xx + yy).clamp_min(1e-6)
    coherence = ((xx - yy).square() + 4 * xy.square()).sqrt() / total
    weight = core.sum((1, 2))
    return float((coherence * weight).sum() / weight.sum().clamp_min(1))


def background_shares(video: Tensor, mask: Tensor) -> Tensor:
    """(6,): of the mask's pixels, the share whose colour is nearest to each background's range of colours."""
    distance = torch.stack([_to_range(video, *ends) for ends in BACKGROUND_RGB.to(video)])
    nearest = distance.argmin(0)
    counts = torch.stack([((nearest == index) * mask).sum() for index in range(len(BACKGROUNDS))])
    return counts / mask.sum().clamp_min(1)


def _to_range(video: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(T, H, W): squared distance of each pixel to the line between two colours, drawn out a little at both ends."""
    along, away = high - low, video - low[:, None, None]
    share = (torch.einsum("tchw,c->thw", away, along) / along.square().sum()).clamp(-0.3, 1.6)
    return (away - share[:, None] * along[:, None, None]).square().sum(1)


def find_subject(picture: Tensor, where: Tensor | None, colour: str, shape: str | None = None) -> Found | None:
    """A blob of `colour` in picture (3, H, W), within `where` (H, W) if given: the largest, or if `shape` is given, the first
    of that shape, else the largest. None where there is none of the smallest size."""
    mask = (nearest_colour(picture[None])[0] == COLOURS.index(colour)) & ~_looks_like_ground(picture, colour)
    if where is not None:
        mask &= where > 0.5
    labels, count = ndimage.label(mask.cpu().numpy(), structure=np.ones((3, 3)))
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(1, count + 1)) if count else np.zeros(0)
    order = [index + 1 for index in np.argsort(-sizes) if sizes[index] >= SMALLEST * mask.numel()]
    found = [Found(torch.from_numpy(labels == label), shape_of(labels == label)) for label in order]
    alike = [one for one in found if one.shape == shape]
    return next(iter(alike or found), None)


def _looks_like_ground(picture: Tensor, colour: str) -> Tensor:
    """(H, W): pixels nearer to some background's range than to the subject colour, bright or dark."""
    own = COLOUR_RGB[COLOURS.index(colour)].to(picture)
    to_own = _to_range(picture[None], 0.3 * own, 1.05 * own)[0]
    to_ground = torch.stack([_to_range(picture[None], *ends)[0] for ends in BACKGROUND_RGB.to(picture)]).amin(0)
    return (to_ground < to_own) | (to_own > 0.06)


def shape_of(mask: np.ndarray) -> str:
    """Which of SHAPES a silhouette (H, W) bool is most like, over all turns, at equal area and centre."""
    ys, xs = np.nonzero(mask)
    span = 1.6 * np.sqrt(len(xs))  # half the window's side: shapes of equal area fill it about equally
    steps = (np.arange(TEMPLATE) + 0.5) / TEMPLATE * 2 - 1
    rows, columns = ys.mean() + span * steps, xs.mean() + span * steps
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"))
    seen = torch.from_numpy(ndimage.map_coordinates(mask.astype(np.float32), grid, order=1))
    both = (_templates() * seen).sum((-1, -2))
    either = torch.maximum(_templates(), seen).sum((-1, -2))
    return SHAPES[int((both / either).amax(1).argmax())]


@cache
def _templates() -> Tensor:
    """(6, TURNS, TEMPLATE, TEMPLATE): each shape at equal area, turned."""
    steps = (torch.arange(TEMPLATE) + 0.5) / TEMPLATE * 2 - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    fine = torch.linspace(-1.5, 1.5, 300)
    v, u = torch.meshgrid(fine, fine, indexing="ij")
    rows = []
    for shape in range(len(SHAPES)):
        inside = outline(shape, u, v) < 0
        area = float(inside.float().mean()) * 9
        centre = float(v[inside].mean())  # only the triangle's middle is not its centroid
        scale = 1.6 * area**0.5
        turned = []
        for turn in range(TURNS):
            angle = 2 * pi * turn / TURNS
            cos, sin = torch.tensor(angle).cos(), torch.tensor(angle).sin()
            distance = outline(shape, scale * (x * cos + y * sin), scale * (y * cos - x * sin) + centre)
            turned.append((0.5 - distance * TEMPLATE / (2 * scale)).clamp(0, 1))
        rows.append(torch.stack(turned))
    return torch.stack(rows)
