"""What an effect is shown of a project beside the frame that it works on."""

from __future__ import annotations

import numpy as np

from engine.effects.nearby import Nearby
from engine.rendering.material import Material
from engine.rendering.segments import shots
from engine.types import FrameIndex, FrameRange


def nearby_of(material: Material, frame: FrameIndex, subject: int | None = None) -> Nearby:
    """The frames around `frame`, with the masks of the edited subjects, or of `subject` alone."""
    project = material.project
    shot = next((one for one in shots(project, material.cuts) if frame in one), FrameRange(frame, frame + 1))
    span = shot.meet(project.range)
    subjects = [one.id for one in project.edited_subjects()] if subject is None else [subject]

    def region(other: FrameIndex) -> np.ndarray | None:
        if any(material.alpha(one, other) is None for one in subjects):
            return None
        return material.subjects_region(other, subject)

    return Nearby(frame, span if frame in span else FrameRange(frame, frame + 1), material.picture, region)
