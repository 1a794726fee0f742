"""Clips for the bench of propagation: scenes of the drawn world as a camera sees them, and the same scenes truly edited.

Each kind sets one difficulty and one edit; everything else (shapes, colours, paths, camera, light) is drawn by lot from the
clip's seed. Edits are part of the drawn surface, so their truth is exact in every frame, motion blur and light included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.composite import edit_region, inside
from engine.world.draw import PHOTO, Painter, Style
from engine.world.geometry import Poses, from_surface, to_surface
from engine.world.scene import Lot, Scenes, Subjects, Wave, sample
from engine.world.words import COLOURS
from tests.drawn import texture

SIZE = (480, 854)
LENGTHS = (61, 120)
SEARCHED = 180
"""Frames among which a clip's first one is chosen: the subject must be well seen there, as a user would choose it."""
DRAWN_AS = 2
"""Counts up when the same seed gives other clips; kept clips of other numbers are not taken."""
CHUNK = 2

Dress = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(u, v, colour, cover, pixels per radius) of a subject's surface -> (colour, cover) as edited."""


@dataclass(frozen=True, eq=False, slots=True)
class TrueClip:
    """source, edited (T, H, W, 3), region (T, H, W) uint8: where they may differ. `attached`: the edit is surface-attached."""

    name: str
    seed: int
    attached: bool
    source: np.ndarray
    edited: np.ndarray
    region: np.ndarray

    @property
    def frames(self) -> int:
        return len(self.source)

    @property
    def size(self) -> tuple[int, int]:
        return self.region.shape[1], self.region.shape[2]


@dataclass(frozen=True, eq=False, slots=True)
class Kind:
    """`change` makes the scene of this kind from one by lot, `edit` its edited twin, `dress` what is painted on subject 0."""

    change: Callable[[Scenes, np.random.Generator], Scenes] = lambda scene, rng: scene
    edit: Callable[[Scenes, np.random.Generator], Scenes] = lambda scene, rng: scene
    dress: Callable[[np.random.Generator], Dress] | None = None
    style: Style = PHOTO
    tilt: float = 0.0
    grade: bool = False

    @property
    def attached(self) -> bool:
        return self.dress is not None


class SurfacePainter(Painter):
    """Draws subject 0 tilting in depth (`tilt`: its amplitude in radians) and dressed."""

    def __init__(self, scene: Scenes, size: tuple[int, int], kind: Kind, dress: Dress | None) -> None:
        super().__init__(scene, size, kind.style)
        self._dress, self._tilt, self._now = dress, kind.tilt, torch.zeros(1)

    def _expose(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self._now = t
        return super()._expose(t)

    def _subject(self, k: int, x: Tensor, y: Tensor, pose: Poses) -> tuple[Tensor, Tensor]:
        if k == 0 and self._tilt > 0:
            angle = self._tilt * torch.sin(self._now * (2 * pi / 50))
            x, y = from_surface(*_untilt(*to_surface(x, y, pose), angle[None, :, None, None]), pose)
        colour, cover = super()._subject(k, x, y, pose)
        if k > 0 or self._dress is None:
            return colour, cover
        return self._dress(*to_surface(x, y, pose), colour, cover, pose.radius[..., None, None] * self.size[0])


def _untilt(u: Tensor, v: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Points of a plane that is turned about its v axis and seen from 4 radii away -> points on it."""
    far = 4.0
    along = u * far / (far * angle.cos() - u * angle.sin())
    return along, v * (far + along * angle.sin()) / far


def draw_clip(name: str, seed: int, kept: Path | None = None, size: tuple[int, int] = SIZE) -> TrueClip:
    """The clip of this kind and seed; found in the folder `kept`, or left there."""
    place = kept and kept / f"{name}-{seed}-{size[0]}-{DRAWN_AS}.npz"
    if place and place.exists():
        with np.load(place) as found:
            return TrueClip(name, seed, KINDS[name].attached, found["source"], found["edited"], found["region"])
    clip = _drawn(name, seed, size)
    if place:
        place.parent.mkdir(parents=True, exist_ok=True)
        np.savez(place, source=clip.source, edited=clip.edited, region=clip.region)
    return clip


def _drawn(name: str, seed: int, size: tuple[int, int]) -> TrueClip:
    kind, rng = KINDS[name], np.random.default_rng([seed, 77])
    lot = Lot(subjects=3, width=size[1] / size[0], octaves=6, alone=0.0, radius=(0.15, 0.25))
    scene = kind.change(sample(seed, [0], "test", lot), rng)
    count = int(rng.integers(LENGTHS[0], LENGTHS[1] + 1))
    start = _first_frame(scene, kind)
    before = SurfacePainter(scene, size, kind, None)
    after = SurfacePainter(kind.edit(scene, rng), size, kind, kind.dress(rng) if kind.dress else None)
    source, edited = (np.empty((count, *size, 3), np.uint8) for _ in range(2))
    region = np.full((count, *size), 255, np.uint8)
    for first in range(0, count, CHUNK):
        span = slice(first, min(count, first + CHUNK))
        times = torch.arange(start + span.start, start + span.stop)
        one, other = before.draw(times), after.draw(times)
        graded = _grade(one.video) if kind.grade else other.video
        source[span], edited[span] = _pictures(one.video), _pictures(graded)
        if not kind.grade:
            touched = torch.maximum(one.visible[0, 0], other.visible[0, 0]).numpy() > 0
            region[span] = [edit_region(255 * mask.astype(np.uint8), 1, 2) for mask in touched]
    edited = np.stack([inside(*frame) for frame in zip(source, edited, region, strict=True)])
    return TrueClip(name, seed, kind.attached, source, edited, region)


def _first_frame(scene: Scenes, kind: Kind) -> int:
    """The first time at which nearly as much of subject 0 is seen as ever (small and plain pictures tell)."""
    visible = SurfacePainter(scene, (48, 86), replace(kind, style=Style()), None).draw(torch.arange(0, SEARCHED, 4)).visible
    area = visible[0, 0].sum((1, 2))
    return 4 * int((area >= 0.9 * area.max()).nonzero()[0, 0])


def _pictures(video: Tensor) -> np.ndarray:
    return (video[0] * 255).round().byte().permute(0, 2, 3, 1).numpy()


def _grade(video: Tensor) -> Tensor:
    """A grade of the whole frame: a contrast curve, warm lights, cold shadows."""
    curve = video.clamp(0, 1) ** 1.3 * (1.6 - 0.6 * video)
    warm = torch.tensor([1.1, 0.98, 0.8])[None, None, :, None, None]
    cold = torch.tensor([0.02, 0.04, 0.1])[None, None, :, None, None]
    return (curve * warm + cold * (1 - curve)).clamp(0, 1)


# --- edits ------------------------------------------------------------------------------------------------


def _other_colour(scene: Scenes, rng: np.random.Generator) -> Scenes:
    colour = scene.subjects.colour.clone()
    colour[0, 0] = (colour[0, 0] + int(rng.integers(1, len(COLOURS)))) % len(COLOURS)
    return replace(scene, subjects=replace(scene.subjects, colour=colour))


def _gone(scene: Scenes, rng: np.random.Generator) -> Scenes:
    present = scene.subjects.present.clone()
    present[0, 0] = False
    return replace(scene, subjects=replace(scene.subjects, present=present))


def _stripes(rng: np.random.Generator) -> Dress:
    """The subject in another colour with fine stripes across, 10 to 15 px wide at this size; its shading stays."""
    tone, direction, width = rng.uniform(0.4, 1.5, 3), rng.uniform(0, pi), rng.uniform(0.1, 0.14)
    tint = torch.tensor(tone, dtype=torch.float32)[None, None, :, None, None]

    def dress(u: Tensor, v: Tensor, colour: Tensor, cover: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        wave = torch.sin((u * np.cos(direction) + v * np.sin(direction)) * (2 * pi / width))
        stripe = 0.5 + 0.5 * (2.5 * wave).clamp(-1, 1)
        return (colour.mean(2, keepdim=True) * tint * (0.55 + 0.45 * stripe)[:, :, None]).clamp(0, 1), cover

    return dress


def _poster(rng: np.random.Generator) -> Dress:
    """A picture with writing on it, laid on the surface in perspective; the light of the surface falls on it."""
    print_ = cv2.GaussianBlur(texture((256, 256), int(rng.integers(1 << 30)), (150, 140, 120)), (0, 0), 1)
    for line, text in enumerate(("ANCHOR", "LINE 60", "FRAMES")):
        cv2.putText(print_, text, (10, 70 + 76 * line), cv2.FONT_HERSHEY_DUPLEX, 1.7, (250, 245, 230), 5, cv2.LINE_AA)
    picture = torch.from_numpy(print_).permute(2, 0, 1)[None].float() / 255
    corners = np.array([[-0.62, -0.5], [0.6, -0.62], [0.6, 0.62], [-0.62, 0.5]]) + rng.uniform(-0.08, 0.08, (4, 2))
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    plane = torch.from_numpy(cv2.getPerspectiveTransform(corners.astype(np.float32), square.astype(np.float32))).float()

    def dress(u: Tensor, v: Tensor, colour: Tensor, cover: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        a, b, c = (plane[row, 0] * u + plane[row, 1] * v + plane[row, 2] for row in range(3))
        x, y = a / c, b / c
        printed = F.grid_sample(picture.expand(u.shape[1], -1, -1, -1), torch.stack([x, y], -1)[0], align_corners=False)
        edge = ((1 - torch.maximum(x.abs(), y.abs())) * 0.6 * pixels + 0.5).clamp(0, 1)
        return torch.lerp(colour, printed[None] * (1 - 0.2 * v[:, :, None].clamp(-1.2, 1.2)), edge[:, :, None]).clamp(0, 1), cover

    return dress


def _ears(rng: np.random.Generator) -> Dress:
    """Two banded discs on the outline, reaching well beyond it."""
    angles = rng.uniform(0, 2 * pi) + np.array([-0.7, 0.7])
    tint = torch.tensor(rng.uniform(0.2, 0.95, 3), dtype=torch.float32)[None, None, :, None, None]

    def dress(u: Tensor, v: Tensor, colour: Tensor, cover: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        for angle in angles.tolist():
            away = torch.hypot(u - 0.9 * np.cos(angle), v - 0.9 * np.sin(angle))
            ear = (0.5 - (away - 0.3) * pixels).clamp(0, 1)
            shade = 0.75 + 0.25 * torch.sin(away * 40)
            colour = torch.lerp(colour, tint * shade[:, :, None], ear[:, :, None])
            cover = torch.maximum(cover, ear)
        return colour, cover

    return dress


# --- difficulties -----------------------------------------------------------------------------------------


def _with(scene: Scenes, **changes: Tensor | Wave) -> Scenes:
    """The scene whose subject 0 has these fields; a wave gives amplitude, pace and phase."""
    fields: dict[str, Tensor | Wave] = {}
    for name, value in changes.items():
        old = getattr(scene.subjects, name)
        if isinstance(value, Wave):
            parts = {part: _first(getattr(old, part), getattr(value, part)) for part in ("amplitude", "pace", "phase")}
            fields[name] = Wave(**parts)
        else:
            fields[name] = _first(old, value)
    subjects: Subjects = replace(scene.subjects, **fields)  # type: ignore[arg-type]
    return replace(scene, subjects=subjects)


def _first(values: Tensor, value: Tensor) -> Tensor:
    values = values.clone()
    values[0, 0] = value
    return values


def _wave(amplitude: float | list[float], period: float, phase: float | list[float] = 0.0) -> Wave:
    return Wave(torch.tensor(amplitude), torch.tensor(2 * pi / period), torch.tensor(phase))


def _calm(scene: Scenes) -> Scenes:
    """Subject 0 turns and bends little, so that its kind's difficulty is the one that counts."""
    return _with(scene, spin=scene.subjects.spin[0, 0] * 0.15, bend=_wave([0.02, 0.02], 40))


def _turning(scene: Scenes, rng: np.random.Generator) -> Scenes:
    return _with(scene, spin=torch.tensor(rng.choice([-1, 1]) * rng.uniform(0.03, 0.06)), bend=_wave([0.02, 0.02], 40))


def _scaling(scene: Scenes, rng: np.random.Generator) -> Scenes:
    return _with(_calm(scene), swell=_wave(0.38, rng.uniform(60, 110), rng.uniform(0, 6)))


def _bending(scene: Scenes, rng: np.random.Generator) -> Scenes:
    phases = rng.uniform(0, 6, 2).tolist()
    return _with(scene, spin=scene.subjects.spin[0, 0] * 0.15, bend=_wave([0.17, 0.17], rng.uniform(24, 50), phases))


def _hidden(scene: Scenes, rng: np.random.Generator) -> Scenes:
    """Subject 1, which lies on top, sways over subject 0 from side to side."""
    scene = _calm(scene)
    middle, sway = scene.subjects.middle.clone(), scene.subjects.sway
    middle[0, 1] = middle[0, 0]
    amplitude, pace = sway.amplitude.clone(), sway.pace.clone()
    amplitude[0, 1] = torch.tensor([0.5, 0.05])
    pace[0, 1] = 2 * pi / rng.uniform(60, 90)
    size = scene.subjects.size.clone()
    size[0, 1] = 0.8 * size[0, 0]
    return replace(scene, subjects=replace(scene.subjects, middle=middle, size=size, sway=Wave(amplitude, pace, sway.phase)))


def _quick(scene: Scenes, rng: np.random.Generator) -> Scenes:
    return _with(_calm(scene), sway=_wave([0.22, 0.12], rng.uniform(26, 36), rng.uniform(0, 6, 2).tolist()))


def _lit(scene: Scenes, rng: np.random.Generator) -> Scenes:
    light = Wave(torch.tensor([0.28]), torch.tensor([2 * pi / rng.uniform(24, 48)]), torch.tensor([rng.uniform(0, 6)]))
    return replace(_calm(scene), light=light.__class__(*(part.float() for part in (light.amplitude, light.pace, light.phase))))


def _leaving(scene: Scenes, rng: np.random.Generator) -> Scenes:
    """Subject 0 sways across the left border of the frame."""
    return _with(
        _calm(scene),
        middle=torch.tensor([0.08, 0.5]),
        sway=_wave([0.24, 0.05], rng.uniform(60, 90), rng.uniform(0, 6, 2).tolist()),
    )


KINDS = {
    "recolour": Kind(edit=_other_colour),
    "turning": Kind(_turning, dress=_stripes),
    "picture": Kind(lambda scene, rng: _calm(scene), dress=_poster, tilt=0.6),
    "removal": Kind(edit=_gone),
    "grown": Kind(lambda scene, rng: _calm(scene), dress=_ears),
    "bending": Kind(_bending, dress=_stripes),
    "hidden": Kind(_hidden, dress=_stripes),
    "blurred": Kind(_quick, dress=_stripes, style=replace(PHOTO, shutter=0.9, exposures=5)),
    "lit": Kind(_lit, dress=_stripes, style=replace(PHOTO, dusk=0.6)),
    "scaling": Kind(_scaling, dress=_stripes),
    "leaving": Kind(_leaving, dress=_poster),
    "graded": Kind(grade=True),
}
"""recolour … graded: what the clip is about; `attached` ones are paint that sticks to a surface."""
