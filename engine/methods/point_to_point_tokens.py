"""Point-to-Point's anchor tokens: what is followed, which of it is chosen, and the adapter that learns them.

See point_to_point.py for the paper's names. All of it is per window: the 16 or so frames that a model takes at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.diffusion.adapt import train
from engine.diffusion.backbone import Condition, DiffusionBackbone, Prediction, Text
from engine.diffusion.motion_tokens import Basis, MotionTokens, along, motion_of, normalised, select
from engine.diffusion.point_adapter import PointAdapter, splat
from engine.diffusion.windows import SharedNoise, Window
from engine.methods.base import Shot
from engine.tracking.trajectories import (
    Found,
    Trajectories,
    carried_drag,
    inside,
    joined,
    keyframes,
    latent_trajectories,
    trajectories,
)
from engine.types import FrameIndex, FrameRange

ENSEMBLE = 4
"""Noises over which features are averaged (our choice; VideoSwap takes 8)."""
DROPPED = 0.2
"""Share of tokens left out in a step of tuning."""
RATES = {"bundled": 2e-3}
"""AdamW's where VideoSwap's 5e-4 is not right: small models learn at larger ones."""
TUNED_FROM = 0.5
"""Least noise level that the adapter is tuned at: it is used where there is much noise."""
AROUND = 2
"""Cells around a token that tuning looks at (VideoSwap's local loss)."""


@dataclass(frozen=True, eq=False, slots=True)
class Seen:
    """A window as the model sees it: source latents X (1, C, F, h, w), the clip's frames, the mark of each latent frame."""

    source: Tensor
    span: FrameRange
    marks: tuple[FrameIndex, ...]
    condition: Condition | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Candidates:
    """What may become an anchor token in a window: trajectories, the subject of each (0: not known), which are the user's own
    points; `places` (F, N, 2) in [−1, 1] and `visible` (F, N) on latent frames."""

    paths: Trajectories
    owner: np.ndarray
    own: np.ndarray
    places: Tensor
    visible: Tensor

    def __len__(self) -> int:
        return len(self.paths)


# --- what is followed -------------------------------------------------------------------------------------


def candidates(shot: Shot, seen: Seen, stride: int, keys: int) -> Candidates:
    """Trajectories from the window's keyframes that lie on a subject, and the user's tracked points."""
    span = seen.span
    found = trajectories(_flows(shot, seen), len(span), shot.size, keyframes(len(span), keys))
    numbers: Sequence[int] = shot.subjects or (0,)
    parts, owners = [], []
    for number in numbers:
        chosen = found[inside(found, lambda i, number=number: _mask(shot, number, span.start + i))]  # type: ignore[misc]
        parts.append(chosen)
        owners.append(np.full(len(chosen), number))
    users = _users(shot, span)
    owners.append(np.array([_owner(shot, users, index, span) for index in range(len(users))], int))
    paths, own = joined([*parts, users]), np.zeros(sum(map(len, parts)) + len(users), bool)
    own[len(own) - len(users) :] = True
    xy, visible = latent_trajectories(paths.xy, paths.visible, stride)
    places = normalised(torch.from_numpy(xy), shot.size)
    return Candidates(paths, np.concatenate(owners), own, places, torch.from_numpy(visible))


def _flows(shot: Shot, seen: Seen) -> Callable[[int, int], np.ndarray]:
    """Flow between neighbours of the window on the grid of the latents, in cells; each is read once."""
    rows, columns = seen.source.shape[-2:]
    read: dict[tuple[int, int], np.ndarray] = {}

    def flow(a: int, b: int) -> np.ndarray:
        if (a, b) not in read:
            whole = shot.steps.flow(seen.span.start + a, seen.span.start + b)
            scale = np.array([columns / whole.shape[1], rows / whole.shape[0]], np.float32)
            read[a, b] = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA) * scale
        return read[a, b]

    return flow


def _mask(shot: Shot, number: int, frame: FrameIndex) -> np.ndarray | None:
    return shot.alpha(number, frame) if number else shot.region(frame)


def _users(shot: Shot, span: FrameRange) -> Trajectories:
    """The user's points that are seen on two frames of the span; each begins on the first of them."""
    tracks, frames = shot.tracks(), len(span)
    if tracks is None:
        return Trajectories(np.zeros((frames, 0, 2), np.float32), np.zeros((frames, 0), bool), np.zeros(0, np.int32))
    rows = np.arange(span.start, span.stop) - tracks.frame0
    known = (rows >= 0) & (rows < len(tracks.xy))
    rows = np.clip(rows, 0, len(tracks.xy) - 1)
    visible = tracks.visible[rows] & known[:, None]
    kept = visible.sum(0) >= min(2, frames)
    return Trajectories(
        tracks.xy[rows][:, kept].astype(np.float32), visible[:, kept], visible[:, kept].argmax(0).astype(np.int32)
    )


def _owner(shot: Shot, users: Trajectories, index: int, span: FrameRange) -> int:
    """The subject that a point lies on where it begins; else the first one."""
    begin = int(users.origin[index])
    x, y = np.rint(users.xy[begin, index]).astype(int)
    for number in shot.subjects:
        alpha = shot.alpha(number, span.start + begin)
        if alpha is not None and alpha[np.clip(y, 0, alpha.shape[0] - 1), np.clip(x, 0, alpha.shape[1] - 1)] > 127:
            return number
    return shot.subjects[0] if shot.subjects else 0


# --- which of it is chosen --------------------------------------------------------------------------------


def feature_site(model: DiffusionBackbone) -> str:
    """The intermediate block whose states are read: the second of a UNet's way up, a transformer's middle one."""
    up = [site for site in model.sites if site.startswith("up_blocks.1.")]
    blocks = [site for site in model.sites if site.startswith("block.")]
    return up[-1] if up else blocks[len(blocks) // 2] if blocks else "descriptors"


def adapter_sites(model: DiffusionBackbone) -> tuple[str, ...]:
    """Where tokens are put in: the end of each block of a UNet's way down, the first half of a transformer's blocks."""
    down = {site.split(".")[1]: site for site in model.sites if site.startswith("down_blocks.")}
    blocks = [site for site in model.sites if site.startswith("block.")]
    return tuple(down.values()) or tuple(blocks[: max(1, len(blocks) // 2)]) or ("mean",)


@torch.no_grad()
def read_features(
    model: DiffusionBackbone, clean: Tensor, seen: Seen, text: Text, *, level: float, noises: Sequence[Tensor]
) -> Tensor:
    """Motion features f̂ (C, F, h, w) of clean latents at a level, over several noises."""
    a, b = model.scales(level)
    with model.features(feature_site(model)) as got:
        for noise in noises:
            model.predict(a * clean + b * noise, level, text, seen.condition)
    return motion_of(torch.stack([one[0].float() for one in got]).mean(0))


def ensemble(seen: Seen, seed: int, count: int = ENSEMBLE) -> list[Tensor]:
    """Noises for features; a step of −1 and below belongs to no step of sampling."""
    noise = SharedNoise(seed)
    return [noise.draw(-1 - index, seen.marks, seen.source) for index in range(count)]


def choose(found: Candidates, tokens: MotionTokens, stop: float, most: int) -> list[int]:
    """Anchor tokens: of each subject the same share, farthest from each other; the user's own points are always among them.

    Each subject's begins with what moves the farthest.
    """
    own = np.flatnonzero(found.own).tolist()
    numbers = sorted(set(found.owner[~found.own].tolist()))
    lengths = found.paths.lengths()
    chosen: list[int] = []
    for number in numbers if most else []:
        rows = np.flatnonzero((found.owner == number) & ~found.own)
        first = int(lengths[rows].argmax())
        few = select(tokens[torch.from_numpy(rows)], first, stop, max(1, most // len(numbers)))
        chosen += [int(rows[index]) for index in few]
    return chosen + own


# --- the adapter ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Anchors:
    """Anchor tokens of a window: their motion tokens, places (F, A, 2) and visibility (F, A) on latent frames, whose they are."""

    tokens: MotionTokens
    places: Tensor
    visible: Tensor
    owner: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, kept: Tensor) -> Anchors:
        return Anchors(self.tokens[kept], self.places[:, kept], self.visible[:, kept], self.owner[kept])


def anchors_of(found: Candidates, tokens: MotionTokens, chosen: list[int]) -> Anchors:
    """The chosen candidates, whose own tokens these are."""
    return Anchors(tokens, found.places[:, chosen], found.visible[:, chosen], torch.from_numpy(found.owner[chosen]))


def new_adapter(model: DiffusionBackbone, seen: Seen, text: Text, width: int) -> PointAdapter:
    """For the states that the model has at its sites, which one pass tells."""
    with ExitStack() as stack:
        got = {site: stack.enter_context(model.features(site)) for site in adapter_sites(model)}
        stack.enter_context(torch.no_grad())
        model.predict(seen.source, model.levels(1)[0], text, seen.condition)
    return PointAdapter({site: states[0].shape[1] for site, states in got.items()}, width).to(seen.source.device)


def tune(
    model: DiffusionBackbone,
    adapter: PointAdapter,
    clips: Sequence[tuple[Seen, Anchors]],
    text: Text,
    *,
    steps: int,
    seed: int,
    tick: Callable[[], None],
) -> None:
    """Learns, on the source, what the model needs to be told at the tokens' places; the model itself stays as it is."""
    dice = torch.Generator().manual_seed(seed)
    clips = [one for one in clips if len(one[1])]
    if not clips:
        return

    def loss(step: int) -> Tensor:
        seen, anchors = clips[int(torch.randint(len(clips), (1,), generator=dice))]
        kept = torch.rand(len(anchors), generator=dice) >= DROPPED
        kept[int(torch.randint(len(anchors), (1,), generator=dice))] = True
        some = anchors[kept]
        level = TUNED_FROM + (1 - TUNED_FROM) * float(torch.rand(1, generator=dice))
        noise = torch.randn(seen.source.shape, generator=dice).to(seen.source)
        a, b = model.scales(level)
        with adapter.on(model, some.tokens.mean(), some.places, some.visible):
            said = model.predict(a * seen.source + b * noise, level, text, seen.condition)
        near = _near(some, seen.source)
        error = _error(model, said, seen.source, noise, level).square().mean(1, keepdim=True)
        return (error * near).sum() / near.sum().clamp_min(1)

    with frozen(model):
        train(dict(adapter.named_parameters()), loss, steps, RATES.get(model.name, 5e-4), lambda step, value: tick())


def _error(model: DiffusionBackbone, said: Prediction, clean: Tensor, noise: Tensor, level: float) -> Tensor:
    """Of what the model was trained to say: noise, or velocity where it is a rectified flow."""
    a, b = model.scales(level)
    error = said.noise - noise
    return error - (said.x0 - clean) if abs(a + b - 1) < 1e-6 else error


def _near(anchors: Anchors, like: Tensor) -> Tensor:
    """(1, 1, F, h, w): 1 within AROUND cells of a visible token."""
    ones = torch.ones(len(anchors), 1, device=like.device)
    laid = splat(ones, anchors.places, anchors.visible, (like.shape[2], like.shape[3], like.shape[4]))
    size = (1, 2 * AROUND + 1, 2 * AROUND + 1)
    return (F.max_pool3d(laid, size, 1, (0, AROUND, AROUND)) > 0).float()


@contextmanager
def frozen(model: DiffusionBackbone) -> Iterator[None]:
    """Within the block the model's own weights take no gradients, which saves their memory and time."""
    trained = [one for one in model.denoiser.parameters() if one.requires_grad] if model.denoiser is not None else []
    for one in trained:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for one in trained:
            one.requires_grad_(True)


# --- kept between processes -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Told:
    """What is prepared for a window."""

    window: Window
    found: Candidates
    chosen: list[int]
    anchors: Anchors

    def state(self) -> dict[str, Any]:
        """Tensors, numbers and lists only, so that it can be read safely."""
        paths = self.found.paths
        return {
            "window": [self.window.start, self.window.stop],
            "xy": torch.from_numpy(paths.xy),
            "seen": torch.from_numpy(paths.visible),
            "origin": torch.from_numpy(paths.origin),
            "owner": torch.from_numpy(self.found.owner),
            "own": torch.from_numpy(self.found.own),
            "places": self.found.places,
            "visible": self.found.visible,
            "chosen": self.chosen,
            "values": self.anchors.tokens.values,
        }


def told_of(state: dict[str, Any]) -> Told:
    """What `Told.state` wrote."""
    paths = Trajectories(state["xy"].numpy(), state["seen"].numpy(), state["origin"].numpy())
    found = Candidates(paths, state["owner"].numpy(), state["own"].numpy(), state["places"], state["visible"])
    chosen = list(state["chosen"])
    tokens = MotionTokens(state["values"], found.visible[:, chosen].T)
    return Told(Window(*state["window"]), found, chosen, anchors_of(found, tokens, chosen))


def tokens_along(features: Tensor, basis: Basis, found: Candidates) -> MotionTokens:
    """On the CPU: the motion tokens of all candidates, in the basis."""
    return along(basis(features).cpu(), found.places, found.visible)


# --- shown to the user, and changed by them ----------------------------------------------------------------


def shown(shot: Shot, told: Sequence[Told]) -> Found:
    """The tokens that the method found itself, for the page; the user's own points are there already."""
    count = sum(len(one.chosen) for one in told)
    xy, visible = np.zeros((len(shot.span), count, 2), np.float32), np.zeros((len(shot.span), count), bool)
    origin, owner, at, kept = np.zeros((count, 3), np.float32), np.zeros(count, np.int32), 0, []
    for one in told:
        paths = one.found.paths
        for index in one.chosen:
            rows = slice(one.window.start, one.window.stop)
            xy[rows, at], visible[rows, at] = paths.xy[:, index], paths.visible[:, index]
            origin[at], owner[at] = _name(shot, one, index), one.found.owner[index]
            kept += [] if one.found.own[index] else [at]
            at += 1
    return Found(xy[:, kept], visible[:, kept], origin[kept], owner[kept], shot.span.start)


def _name(shot: Shot, told: Told, index: int) -> tuple[float, float, float]:
    """Frame, x, y where a trajectory begins, by which the user's changes name it."""
    begin = int(told.found.paths.origin[index])
    x, y = told.found.paths.xy[begin, index]
    return float(shot.span.start + told.window.start + begin), float(x), float(y)


def changed(shot: Shot, told: Told, stride: int) -> tuple[Anchors, Tensor]:
    """The window's anchor tokens as the user left them, and which were dragged."""
    anchors = told.anchors
    held, kept = torch.zeros(len(anchors), dtype=torch.bool), torch.ones(len(anchors), dtype=torch.bool)
    places = anchors.places.clone()
    for row, index in enumerate(told.chosen):
        name = _name(shot, told, index)
        one = next((one for one in shot.edit.tokens if one.names(*name)), None)
        if one is None or told.found.own[index]:
            continue
        kept[row] = not one.gone
        at = one.at - shot.span.start - told.window.start
        if one.shift != (0.0, 0.0) and 0 <= at < len(told.window):
            paths = told.found.paths
            path = paths.xy[:, index] + carried_drag(paths, paths.xy[at, index], at, one.shift)
            xy, _ = latent_trajectories(path[:, None], paths.visible[:, [index]], stride)
            places[:, row], held[row] = normalised(torch.from_numpy(xy), shot.size)[:, 0], True
    return replace(anchors, places=places)[kept], held[kept]
