"""The two promises of an edit, proved from what lies on the disk: nothing outside the region changed, approved anchors are exact.

Every rendered frame is put together again from its patch, as an export does, before any encoding. It is compared with what is
below outside the region, and with the approved take where it is an anchor; its pixels are hashed. The proof of a segment lies
beside its patches, and counts as long as these are the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.errors import MediaError
from engine.methods.base import Segment
from engine.progress import Progress, Step
from engine.rendering.material import Material
from engine.rendering.patches import apply_patch
from engine.store.entries import Damaged
from engine.types import FrameIndex, FrameRange

FILE = "certificate.json"


@dataclass(frozen=True, slots=True)
class Proof:
    """Of one frame: `sha256` of its (H, W, 3) uint8 RGB pixels; the largest difference, in levels, to what is below outside
    the region (`outside`), and to the approved take (`anchor`, None where the frame is no anchor)."""

    frame: FrameIndex
    sha256: str
    outside: int
    anchor: int | None = None

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"frame": self.frame, "sha256": self.sha256, "outside_max_abs": self.outside}
        return told if self.anchor is None else {**told, "anchor_max_abs": self.anchor}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is proved of a version of a project. `frames`: of the result, by frame, each by the topmost edit that is on it;
    `outside` and `anchor`: largest differences over all edits; `anchors`: proved anchors. `missing`: rendered segments without
    a proof, `unrendered`: segments that are not rendered."""

    frames: tuple[Proof, ...]
    outside: int
    anchor: int
    anchors: tuple[FrameIndex, ...]
    missing: int
    unrendered: int

    @property
    def region_holds(self) -> bool | None:
        """None while nothing is proved."""
        return None if not self.frames else self.outside == 0

    @property
    def anchors_hold(self) -> bool | None:
        return None if not self.anchors else self.anchor == 0

    @property
    def whole(self) -> bool:
        """Whether everything is rendered and proved."""
        return bool(self.frames) and not self.missing and not self.unrendered

    def as_json(self) -> dict[str, Any]:
        return {
            "complete": self.whole,
            "segments_without_proof": self.missing,
            "segments_not_rendered": self.unrendered,
            "region": {"holds": self.region_holds, "max_abs_outside": self.outside, "frames": len(self.frames)},
            "anchors": {"holds": self.anchors_hold, "max_abs": self.anchor, "frames": list(self.anchors)},
        }


def certify(material: Material, progress: Progress) -> Certificate:
    """Proves every rendered segment of all edits that has no proof yet.

    Raises:
        Damaged: what was rendered is damaged on the disk; it is thrown away, and rendered by the next run.
        MediaError: the clip cannot be read, or the disk is full.
        Cancelled: proved segments stay so.
    """
    todo = [(layer, one) for layer in material.whole.layers for one in _unproved(layer)]
    progress.total += sum(one.stop - one.start for _, one in todo)
    for layer, segment in todo:
        _write(
            layer, segment, _proved(layer, segment, progress.part("Measuring what was rendered", segment.stop - segment.start))
        )
    return certificate_of(material)


def certificate_of(material: Material) -> Certificate:
    """What is proved already. Reads no picture."""
    found: dict[FrameIndex, Proof] = {}
    proofs: list[Proof] = []
    missing = unrendered = 0
    for layer in material.whole.layers:
        for segment in layer.segments:
            proved = _read(layer, segment) if layer.is_done(segment) else None
            unrendered += not layer.is_done(segment)
            missing += proved is None and layer.is_done(segment)
            proofs += proved or ()
            found.update({one.frame: one for one in proved or ()})
    outside = max((one.outside for one in proofs), default=0)
    anchor = max((one.anchor for one in proofs if one.anchor is not None), default=0)
    anchors = sorted({one.frame for one in proofs if one.anchor is not None})
    return Certificate(tuple(found[frame] for frame in sorted(found)), outside, anchor, tuple(anchors), missing, unrendered)


def _unproved(layer: Material) -> list[Segment]:
    return [one for one in layer.segments if layer.is_done(one) and _read(layer, one) is None]


def _proved(layer: Material, segment: Segment, step: Step) -> list[Proof]:
    maker, found = layer.of(segment), []
    anchors = {anchor.frame for anchor in layer.project.edit.approved}
    span, entry = FrameRange(segment.start, segment.stop), layer.rendered(segment)
    for frame, original in zip(span, layer.reader.frames(span), strict=True):
        patch = entry.get(frame) if entry else None
        if patch is None:
            raise Damaged("What was rendered is damaged on the disk, or was taken away; propagate again.")
        below = layer.picture(frame, original)
        image = apply_patch(below, patch)
        outside = _max_abs(image, below, maker.region(frame) == 0)
        anchor = _max_abs(image, maker.take(frame)) if frame in anchors else None
        found.append(Proof(frame, hashlib.sha256(image.tobytes()).hexdigest(), outside, anchor))
        step(len(found), len(span))
    return found


def _max_abs(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> int:
    if where is None:
        return int(cv2.norm(a, b, cv2.NORM_INF))
    return int(cv2.norm(a, b, cv2.NORM_INF, where.view(np.uint8)))


# --- on the disk ------------------------------------------------------------------------------------------


def _folder(layer: Material, segment: Segment) -> Path:
    return layer.workspace.segment(layer.key_of(segment))


def _mark(folder: Path) -> list[int]:
    """Changes when the patches are written anew."""
    state = (folder / "data").stat()
    return [state.st_size, state.st_mtime_ns]


def _read(layer: Material, segment: Segment) -> list[Proof] | None:
    """The proof of a segment; None where there is none of these very patches."""
    folder = _folder(layer, segment)
    try:
        body = json.loads((folder / FILE).read_text("utf-8"))
        if body["of"] != _mark(folder):
            return None
        return [Proof(*row) for row in body["frames"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(layer: Material, segment: Segment, proofs: list[Proof]) -> None:
    folder = _folder(layer, segment)
    part = folder / f".{FILE}.part-{os.getpid()}"
    rows = [[one.frame, one.sha256, one.outside, one.anchor] for one in proofs]
    try:
        part.write_text(json.dumps({"of": _mark(folder), "frames": rows}), "utf-8")
        os.replace(part, folder / FILE)
    except OSError as error:
        raise MediaError(f"Cannot write to the project's cache: {error.strerror}; free some disk space and try again.") from error
