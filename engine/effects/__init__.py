"""Built-in edits for takes, by name. A new one is one file here and one line below."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from engine.effects import background, blur, grade, perspective, recolour
from engine.effects.nearby import Nearby
from engine.errors import RecipeError

MAX_PATH = 4096
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class Effect:
    """`apply(image, alpha, config)` → image; (H, W, 3) uint8, changed only where alpha (H, W) uint8 is not 0.

    `looks_around`: `apply` has a fourth argument, the clip around the frame (nearby.py), None where there is none.
    `again`: it can be made again on another frame; else its take is carried there.
    """

    name: str
    title: str
    Config: type
    apply: Callable[..., np.ndarray]
    looks_around: bool = False
    again: bool = True


EFFECTS = {
    effect.name: effect
    for effect in (
        Effect("recolour", "Recolour (keeps shading)", recolour.Recolour, recolour.apply),
        Effect("grade", "Brightness, contrast, saturation", grade.Grade, grade.apply),
        Effect("blur", "Blur or pixelate", blur.Blur, blur.apply),
        Effect("background", "Remove: show what is behind", background.Background, background.apply, looks_around=True),
        Effect("picture", "Picture in perspective", perspective.Perspective, perspective.apply, again=False),
    )
}


def apply_effect(
    name: str, image: np.ndarray, alpha: np.ndarray, config: dict[str, Any], nearby: Nearby | None = None
) -> np.ndarray:
    """The named effect with values by field name, `nearby` for those that look at other frames.

    Raises:
        RecipeError: an unknown effect, field or value.
        EngineError: what the effect itself cannot do.
    """
    effect = EFFECTS.get(name)
    if effect is None:
        raise RecipeError(f'There is no effect "{str(name)[:40]}"; there are: {", ".join(EFFECTS)}.')
    checked = checked_config(effect.Config, config, f"effect {name}")
    return effect.apply(image, alpha, checked, nearby) if effect.looks_around else effect.apply(image, alpha, checked)


def picture_fields(config: type) -> list[str]:
    """The names of the fields that name a picture's file."""
    return [field.name for field in fields(config) if field.metadata.get("kind") == "picture"]


def checked_config(config: type, given: dict[str, Any], where: str) -> Any:
    """A config dataclass from plain values, checked against its fields' metadata.

    Raises:
        RecipeError: names the field and what it may be.
    """
    known = {field.name: field for field in fields(config)}
    for name in given:
        if name not in known:
            raise RecipeError(f'{where} has no setting "{str(name)[:40]}"; it has: {", ".join(known) or "none"}.')
    return config(**{name: _checked(value, known[name], where) for name, value in given.items()})


def _checked(value: Any, field: Any, where: str) -> Any:
    about, what = field.metadata, f"{where}: {field.name}"
    if about.get("kind") == "colour":
        if not isinstance(value, str) or not COLOUR.fullmatch(value):
            raise RecipeError(f'{what} must be a colour such as "#2050ff", not {str(value)[:40]!r}.')
        return value.lower()
    if about.get("kind") == "picture":
        if value is not None and not isinstance(value, str):
            raise RecipeError(f"{what} must be the path of a picture, not {str(value)[:40]!r}.")
        return value or ""
    if about.get("kind") == "file":
        if value is not None and (not isinstance(value, str) or len(value) > MAX_PATH):
            raise RecipeError(f"{what} must be the path of a file, not {str(value)[:40]!r}.")
        return value or ""
    if about.get("kind") == "choice":
        if value not in about["choices"]:
            raise RecipeError(f"{what} must be one of {', '.join(about['choices'])}, not {str(value)[:40]!r}.")
        return value
    if isinstance(field.default, bool):
        if not isinstance(value, bool):
            raise RecipeError(f"{what} must be true or false.")
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not about["min"] <= value <= about["max"]:
        raise RecipeError(f"{what} must be a number from {about['min']:g} to {about['max']:g}, not {str(value)[:40]}.")
    if field.type in (int, "int"):
        if value != int(value):
            raise RecipeError(f"{what} must be a whole number, not {value}.")
        return int(value)
    return value
