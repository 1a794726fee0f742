"""What a unit of work costs, from the notes of earlier runs that are most like it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.review.pace import Note


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one unit: `seconds`, from the fastest (`low`) to the slowest (`high`) run; `disk` bytes; `memory` bytes of a whole run,
    0 where it was not measured at this size. `basis` says what it was measured on, for the user."""

    seconds: float
    low: float
    high: float
    disk: float
    memory: int
    basis: str


def config_mark(config: Mapping[str, Any]) -> str:
    """Short name of a method's settings."""
    return hashlib.sha256(json.dumps(dict(config), sort_keys=True).encode()).hexdigest()[:8] if config else ""


def cost_of(notes: Sequence[Note], like: Note, recent: int) -> Cost | None:
    """From the latest notes of the first kind that there is: the same settings and size, the same size, the same settings,
    any. Of another size they are scaled by the pixels, and the basis says so. None without notes."""
    tiers: list[Callable[[Note], bool]] = [
        lambda note: note.config == like.config and note.size == like.size,
        lambda note: note.size == like.size,
        lambda note: note.config == like.config,
        lambda note: True,
    ]
    chosen = next((found for fits in tiers if (found := [note for note in notes if fits(note)])), [])[-recent:]
    if not chosen:
        return None
    scales = [like.pixels / note.pixels for note in chosen]
    rates = [note.seconds / note.units * scale for note, scale in zip(chosen, scales, strict=True)]
    work = sum(note.units for note in chosen)
    mean = sum(rate * note.units for rate, note in zip(rates, chosen, strict=True)) / work
    same = [note for note in chosen if note.clip == like.clip] or chosen
    disk = sum(note.disk * like.pixels / note.pixels for note in same) / sum(note.units for note in same)
    memory = max((note.memory for note in chosen if note.size == like.size), default=0)
    return Cost(mean, min(rates), max(rates), disk, memory, _basis(chosen[-1], like))


def _basis(note: Note, like: Note) -> str:
    said = "measured on this machine"
    if note.size != like.size:
        said += f" at {note.size[1]}×{note.size[0]} and scaled by pixels"
    return said if note.config == like.config else f"{said}, with other settings"
