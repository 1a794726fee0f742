"""Grade: brightness, contrast, saturation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.composite import inside

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # ITU-R BT.709


@dataclass(frozen=True)
class Grade:
    brightness: float = field(default=0.2, metadata={"min": -1.0, "max": 1.0, "help": "Exposure in stops; 0 changes nothing."})
    contrast: float = field(default=0.0, metadata={"min": -1.0, "max": 1.0, "help": "Around middle grey."})
    saturation: float = field(default=0.0, metadata={"min": -1.0, "max": 1.0, "help": "-1 is black and white."})


def apply(image: np.ndarray, alpha: np.ndarray, config: Grade) -> np.ndarray:
    """Brightness as gain 2^b, contrast as gain 2^c around middle grey, saturation as distance from luma."""
    edited = image.astype(np.float32) * 2.0**config.brightness
    edited = (edited - 118) * 2.0**config.contrast + 118
    luma = (edited @ _LUMA)[..., None]
    edited = luma + (edited - luma) * (1 + config.saturation)
    return inside(image, np.clip(np.rint(edited), 0, 255).astype(np.uint8), alpha)
