"""Small pictures of the frames that problems are about, for the report's page."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from engine.errors import MediaError
from engine.instant.pictures import as_jpeg
from engine.rendering.material import Material
from engine.review.problems import Problem
from engine.types import FrameIndex

WIDTH = 320
MOST = 8


def problem_pictures(material: Material, problems: Sequence[Problem]) -> dict[FrameIndex, bytes]:
    """JPEGs of the edited frames of the worst problems, at most MOST; the source where a frame is not rendered.

    Raises MediaError where the clip cannot be read.
    """
    whole, found = material.whole, dict[FrameIndex, bytes]()
    for problem in problems:
        if len(found) < MOST and problem.frame not in found:
            found[problem.frame] = as_jpeg(_small(_shown(whole, problem.frame)))
    return found


def _shown(whole: Material, frame: FrameIndex) -> np.ndarray:
    original = whole.original(frame)
    try:
        edited = whole.edited(frame, original)
    except MediaError:  # an edit below is not rendered there
        return original
    return original if edited is None else edited


def _small(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(1.0, WIDTH / width)
    return cv2.resize(picture, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
