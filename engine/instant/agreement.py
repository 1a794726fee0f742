"""How far two neighbouring approved anchors say the same edit.

The left anchor's edit is carried along the motion to the right one, by the motion method at preview size, and compared there
with the right anchor's own take. With c the carried edit and d the take's (each: picture − source, inside the region, both
smoothed by 1.5 px, because where fine paint lies to the pixel is the motion's doing and not the takes'):

    score = 100 · max(0, 2⟨c, d⟩ / (|c|² + |d|²))

100: the same edit; 0: nothing in common. It does not depend on how strong the edit is. `psnr` says the same in dB of the
pictures, which does. What the motion loses on the way counts against the score: `seen` is the share of the region that the
left anchor showed. One direction only, left to right (our choice: the other one says the same and costs as much again).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from engine.errors import MediaError
from engine.instant.chains import Chains
from engine.instant.pictures import LONGEST, QuickPictures
from engine.methods.base import Segment
from engine.motion.flow import sample, upsample, upsample_positions
from engine.rendering.material import Material
from engine.rendering.segments import segment_key, shots
from engine.store.workspace import content_key, touch
from engine.types import FrameIndex, FrameRange

SMOOTH = 1.5
NO_EDIT = 1.0
"""Levels² by which a pixel is changed on average, below which a take changes nothing."""
LEAST_SEEN = 0.2
"""Share of the region that the left anchor must have shown for a score to mean anything (our choice)."""
MOST_DB = 99.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """`score` 0–100, None where too little of the region was seen; `psnr` dB (at most 99); `seen` 0–1."""

    left: FrameIndex
    right: FrameIndex
    score: int | None
    psnr: float
    seen: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two neighbouring approved anchors. `why`: a sentence where they cannot be compared, "" where they can; `key` names the
    answer among the computed files."""

    left: FrameIndex
    right: FrameIndex
    key: str
    why: str = ""


def pairs_of(material: Material) -> list[Pair]:
    """The neighbouring approved anchors of the edit, in order."""
    project, cuts = material.project, material.cuts
    spans = [shot.meet(project.range) for shot in shots(project, cuts)]
    edit = replace(project.edit, method="motion", config={}, seed=0, source_prompt="", target_prompt="", instruction="")
    plain = project.with_edit(replace(edit, target_words=(), tokens=()))
    found = []
    for left, right in pairwise(sorted(anchor.frame for anchor in project.edit.carried)):
        shot = next((span for span in spans if left in span and right in span), None)
        if shot is None:
            found.append(
                Pair(left, right, "", "In different shots, or outside the in–out range: nothing can be carried between them.")
            )
        elif right - left > LONGEST:
            found.append(
                Pair(left, right, "", f"More than {LONGEST} frames apart: carried so far, a comparison would say little.")
            )
        else:
            inner = segment_key(plain, cuts, Segment(0, left, right, left, right, shot))
            found.append(Pair(left, right, content_key(what="agreement", of=inner)))
    return found


def known(material: Material, pair: Pair) -> Agreement | None:
    """The answer where it has been computed."""
    if not pair.key:
        return None
    folder = material.workspace.agreement(pair.key)
    try:
        told = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        found = Agreement(**{**told, "left": pair.left, "right": pair.right})
    except (OSError, ValueError, TypeError):
        return None
    touch(folder)
    return found


def can_compare(pictures: QuickPictures, pair: Pair) -> bool:
    """Whether motion between the two anchors is there, and masks, where the edit goes by masks."""
    if pictures.material.steps.missing([FrameRange(pair.left, pair.right + 1)]):
        return False
    return _unmarked(pictures) or pictures.can_refine(_way(pictures, pair))


def compare(material: Material, chains: Chains, pair: Pair, step: Callable[[int, int], None]) -> Agreement:
    """Carries the left anchor's edit to the right one, compares, and keeps the answer. `step` may raise Cancelled.

    Raises:
        MediaError: masks or motion between them are not there, or the answer cannot be written.
    """
    pictures = QuickPictures(material, chains)
    if not can_compare(pictures, pair):
        raise MediaError(
            f"Masks or motion between the anchors {pair.left} and {pair.right} are not computed yet; carry them (T)."
        )
    carried, region, seen = _by_chain(pictures, pair) if _unmarked(pictures) else _by_motion(pictures, pair, step)
    score, psnr = agreement(pictures.proxies.source(pair.right), carried, pictures.clean_take(pair.right), region)
    found = Agreement(pair.left, pair.right, score if seen >= LEAST_SEEN else None, psnr, round(seen, 3))
    _keep(material.workspace.agreement(pair.key), found)
    return found


Carried = tuple[np.ndarray, np.ndarray, float]
"""The left anchor's edit in the right one's picture (h, w, 3) uint8, where to compare (h, w) uint8, share seen."""


def _by_motion(pictures: QuickPictures, pair: Pair, step: Callable[[int, int], None]) -> Carried:
    measures: dict[FrameIndex, dict[str, float]] = {}
    carried = pictures.proxies.source(pair.right)
    with pictures.refined(_way(pictures, pair), step, measures) as frames:
        for frame, picture in frames:
            if frame == pair.right:
                carried = picture
    region = np.maximum(pictures.region(pair.right), pictures.proxies.layer(pair.right).region)
    return carried, region, 1 - measures[pair.right].get("unseen", 0.0)


def _by_chain(pictures: QuickPictures, pair: Pair) -> Carried:
    """Where nothing is marked, so that there is no surface to follow: every pixel for itself."""
    proxies = pictures.proxies
    layer, positions, sure = proxies.layer(pair.left), *pictures.chains.field(pair.left, pair.right)
    at = upsample_positions(positions, proxies.size)
    whole = (slice(0, proxies.size[0]), slice(0, proxies.size[1]))
    carried = np.clip(np.rint(proxies.source(pair.right) + sample(layer.difference, at)), 0, 255).astype(np.uint8)
    region = np.maximum(sample(layer.region, at), proxies.layer(pair.right).region)
    certain = upsample(sure, proxies.size, whole)[region > 127]
    return carried, region, float((certain > 0.5).mean()) if certain.size else 1.0


def _unmarked(pictures: QuickPictures) -> bool:
    project = pictures.material.project
    return not project.whole_frame and not any(pictures.material.spans(one.id) for one in project.edited_subjects())


def agreement(source: np.ndarray, carried: np.ndarray, take: np.ndarray, region: np.ndarray) -> tuple[int, float]:
    """Score 0–100 and PSNR in dB of a carried picture against a take, as in the module's docstring.

    source, carried, take (h, w, 3) uint8; region (h, w) uint8. Two takes that both change nothing agree wholly.
    """
    weight = (region.astype(np.float32) / 255)[..., None]
    total = max(float(weight.sum()) * 3, 1e-6)
    c, d = (cv2.GaussianBlur((one.astype(np.float32) - source) * weight, (0, 0), SMOOTH) for one in (carried, take))
    power = float((c**2).sum() + (d**2).sum())
    error = float((weight * (carried.astype(np.float32) - take) ** 2).sum()) / total
    psnr = MOST_DB if error <= 0 else min(MOST_DB, 10 * math.log10(255**2 / error))
    if power / (2 * total) < NO_EDIT:
        return 100, round(psnr, 1)
    return round(100 * max(0.0, 2 * float((c * d).sum()) / power)), round(psnr, 1)


def _way(pictures: QuickPictures, pair: Pair) -> Segment:
    """From the left anchor alone up to and with the right one."""
    around = pictures.span(pair.left)
    assert around is not None, "an approved anchor lies in a shot"
    return Segment(0, pair.left, pair.right + 1, pair.left, None, around.shot)


def _keep(folder: Path, found: Agreement) -> None:
    told = {name: value for name, value in asdict(found).items() if name not in ("left", "right")}
    part = folder / f".done.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(told), encoding="utf-8")
        os.replace(part, folder / "done.json")
    except OSError as error:
        raise MediaError(f"Cannot write to the project's cache: {error.strerror}; free some disk space.") from error
    finally:
        part.unlink(missing_ok=True)
