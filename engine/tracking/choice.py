"""Who carries masks and who follows points: ourselves, without weights, or a model from the hub."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import MethodError
from engine.models import digest_of
from engine.tracking.by_models import POINT_TRACKERS

AUTO = "auto"
MASK_TRACKERS = ("sam2.1-tiny", "sam2.1-base-plus", "sam2.1-large", "sam3")
"""Names of models (engine/models) that carry masks (engine/segmentation/sam_video.py)."""


def tracker_names() -> tuple[str, ...]:
    return (AUTO, *MASK_TRACKERS, *POINT_TRACKERS)


def chosen(names: str | Sequence[str]) -> tuple[str, str]:
    """(who carries masks, who follows points) of one name or several. Raises MethodError for two of a kind, or an unknown one."""
    wanted = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if name not in tracker_names()]
    if unknown:
        raise MethodError(f"tracker {unknown[0]!r} is not known here; there are: {', '.join(tracker_names())}.")
    masks = [name for name in wanted if name in MASK_TRACKERS]
    points = [name for name in wanted if name in POINT_TRACKERS]
    if len(masks) > 1 or len(points) > 1:
        raise MethodError(f"tracker names two for the same work: {', '.join((masks if len(masks) > 1 else points)[:2])}.")
    return (masks or [AUTO])[0], (points or [AUTO])[0]


def key_part(name: str) -> dict[str, object]:
    """What a content key says about a tracker: nothing for ours, else the model with its state."""
    return {} if name == AUTO else {"by": digest_of(name)}
