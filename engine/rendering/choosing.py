"""Anchors where the user has put too few: frames of the clip that AnchorSync's settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.methods.cards import AnchorSyncConfig
from engine.motion.spacing import spread
from engine.rendering.segments import shots
from engine.types import FrameIndex

if TYPE_CHECKING:
    from engine.rendering.material import Material


def choose_anchors(material: Material) -> list[FrameIndex]:
    """Frames of the project's range that should become anchors, beside those that are: shot by shot, as AnchorSync is set.

    Raises MediaError while the clip is still being prepared.
    """
    project = material.project
    config = AnchorSyncConfig(**project.edit.config) if project.edit.method == "anchorsync" else AnchorSyncConfig()
    there = {anchor.frame for anchor in project.edit.anchors}
    found: list[FrameIndex] = []
    for shot in shots(project, material.cuts):
        found += spread(material.steps, shot.meet(project.range), there, config.interval, config.most_anchors)
    return [frame for frame in found if frame not in there]
