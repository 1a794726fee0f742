"""The contact sheet: every anchor of an edit with its takes, how each was made, and how far neighbours agree. For the page."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from engine.errors import MediaError
from engine.instant.agreement import Pair, known, pairs_of
from engine.rendering.material import Material
from engine.rendering.takes import how_made, why_not_again
from engine.types import FrameIndex, FrameRange

THUMB_HEIGHT = 180
QUALITY = 82


def contact_sheet(material: Material) -> dict[str, Any]:
    """`anchors`: frame, chosen, locked and takes (key, label, how it was made, why it cannot be made again or "",
    fit 0–100 or None), by frame.
    `pairs` of neighbouring approved anchors: left, right, score 0–100 or None, psnr in dB, seen 0–1, and in words where there is
    no score: `why` for good, or what it `waits` for; `open`: nothing keeps them from being compared now."""
    anchors = [
        {
            "frame": anchor.frame,
            "chosen": anchor.chosen,
            "locked": anchor.locked,
            "takes": [
                {
                    "key": take.key,
                    "label": take.label or take.source,
                    "how": how_made(take),
                    "again": why_not_again(take),
                    "fit": None if take.fit is None else round(100 * take.fit),
                }
                for take in anchor.takes
            ],
        }
        for anchor in material.project.edit.anchors
    ]
    ready = material.pack is not None and material.pack.complete
    pairs = [_pair(material, pair, ready=ready) for pair in pairs_of(material)]
    return {"anchors": sorted(anchors, key=lambda one: one["frame"]), "pairs": pairs}


def _pair(material: Material, pair: Pair, *, ready: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"left": pair.left, "right": pair.right, "score": None, "psnr": None, "seen": None, "open": False}
    found = known(material, pair)
    if found is not None:
        why = "" if found.score is not None else "The two frames show too little of the same for a comparison."
        return {**said, "score": found.score, "psnr": found.psnr, "seen": found.seen, "why": why, "waits": ""}
    waits = "" if pair.why else _waits(material, pair) if ready else "Waits for the clip to be prepared."
    now = not waits and not pair.why
    return {**said, "why": pair.why, "waits": "Being measured." if now else waits, "open": now}


def _waits(material: Material, pair: Pair) -> str:
    between = FrameRange(pair.left, pair.right + 1)
    subjects = material.project.edited_subjects()
    spans = [span for subject in subjects for span in material.spans(subject.id) if len(span.range.meet(between))]
    return "Waits for the masks between them to be carried." if any(not material.carried(span) for span in spans) else ""


def take_thumbnail(material: Material, key: str) -> bytes:
    """A stored picture as a small JPEG, at most 180 lines. Raises MediaError where there is no such picture."""
    blob = material.objects.get(key) if material.objects.path(key).is_file() else b""
    picture = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR) if blob else None
    if picture is None:
        raise MediaError("There is no such picture in this project.")
    height, width = picture.shape[:2]
    scale = min(1.0, THUMB_HEIGHT / height)
    small = cv2.resize(picture, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
    done, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise MediaError("A picture for the page could not be encoded; reload the page.")
    return jpeg.tobytes()


def in_one_shot(material: Material, a: FrameIndex, b: FrameIndex) -> bool:
    """Whether no cut lies between two frames."""
    low, high = min(a, b), max(a, b)
    return not any(low < cut <= high for cut in material.cuts)
