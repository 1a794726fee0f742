"""The anchor tokens that a method has found in a project's shots, with the user's changes: what the page draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.methods import card
from engine.rendering.material import Material
from engine.rendering.segments import shots
from engine.store.workspace import content_key
from engine.tracking.trajectories import Found, Trajectories, carried_drag, read_found
from engine.types import TokenChange


@dataclass(frozen=True, eq=False, slots=True)
class TokenView:
    """`names` (P, 3): frame, x, y by which each token is named; `owners` (P,): its subject's number, 0 = none.

    `values` (P, T, 5) float32 over the project's range: x, y, 1 = seen and 0 = hidden (NaN = not there), and x, y where it was
    found, before it was dragged. `key` changes with all of it.
    """

    key: str
    names: np.ndarray
    owners: np.ndarray
    values: np.ndarray


def found_tokens(material: Material) -> TokenView | None:
    """None where the method finds none, or has not been run as it is set now."""
    project = material.project
    if not card(project.edit.method).tracks:
        return None
    keys = [material.shared_key(shot) for shot in shots(project, material.cuts) if len(shot.meet(project.range))]
    parts = [found for key in keys if (found := read_found(material.workspace.prepared(key))) is not None]
    if not parts:
        return None
    rows = [(found, index, _change(project.edit.tokens, found, index)) for found in parts for index in range(found.xy.shape[1])]
    shown = [(found, index, change) for found, index, change in rows if change is None or not change.gone]
    values = np.full((len(shown), len(project.range), 5), np.nan, np.float32)
    for row, (found, index, change) in enumerate(shown):
        start = found.frame0 - project.range.start  # a shot's tokens cover its part of the range
        values[row, start : start + len(found.xy)] = _values(found, index, change)
    names = np.array([found.origin[index] for found, index, _ in shown], np.float32).reshape(-1, 3)
    owners = np.array([found.owner[index] for found, index, _ in shown], np.int32)
    said = [list(one) for one in project.edit.tokens]
    return TokenView(content_key(what="tokens", found=keys, said=said)[:20], names, owners, values)


def _change(changes: tuple[TokenChange, ...], found: Found, index: int) -> TokenChange | None:
    return next((one for one in changes if one.names(*map(float, found.origin[index]))), None)


def _values(found: Found, index: int, change: TokenChange | None) -> np.ndarray:
    """(T, 5) of one token."""
    base, seen = found.xy[:, index], found.visible[:, index]
    place = base
    at = change.at - found.frame0 if change is not None else -1
    if change is not None and 0 <= at < len(base):
        others = Trajectories(found.xy, found.visible, np.zeros(found.xy.shape[1], np.int32))
        place = base + carried_drag(others, base[at], at, change.shift)
    return np.column_stack([place, seen, base]).astype(np.float32)
