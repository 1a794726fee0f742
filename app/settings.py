"""What the page keeps for its user beside the projects: own keys, whether the tour was seen. A small file in the home."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from engine import ProjectError, RecipeError

FILE = "page.json"
MOST_ROWS = 400
MOST_KEYS = 8
MOST_NAME = 120
MOST_CHORD = 40
TOURS = ("", "seen", "done")


class PageSettings:
    """`keys`: command id -> chords in the spelling of assets/keys.js; `tour`: "", "seen" or "done"."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._lock = threading.Lock()

    def read(self) -> dict[str, Any]:
        """What is kept; what another hand broke counts as not kept."""
        try:
            value = json.loads(self._path.read_text(encoding="utf-8"))
            return checked(value) if isinstance(value, dict) else {}
        except (OSError, ValueError, RecipeError):
            return {}

    def keep(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Takes changes of some settings; gives back all. Raises RecipeError for what is none, ProjectError when they
        cannot be written."""
        fresh = checked(changes)
        with self._lock:
            kept = {**self.read(), **fresh}
            part = self._path.with_name(f".{FILE}.{os.getpid()}.part")
            try:
                part.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
                os.replace(part, self._path)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise ProjectError(f"The setting cannot be kept: {error.strerror}; free some disk space.") from error
        return kept


def checked(value: dict[str, Any]) -> dict[str, Any]:
    """The settings in `value`, which may come from anywhere. Raises RecipeError, by name."""
    unknown = sorted(set(value) - {"keys", "tour"})
    if unknown:
        raise RecipeError(f"There is no setting {unknown[0][:40]!r}.")
    if value.get("tour", "") not in TOURS:
        raise RecipeError("The tour is seen, done or neither.")
    keys = value.get("keys", {})
    if not isinstance(keys, dict) or len(keys) > MOST_ROWS or not all(map(_is_row, keys.items())):
        raise RecipeError("Keys are lists of chords by the name of a command.")
    return value


def _is_row(item: tuple[Any, Any]) -> bool:
    name, chords = item
    if not isinstance(name, str) or len(name) > MOST_NAME or not isinstance(chords, list) or len(chords) > MOST_KEYS:
        return False
    return all(isinstance(one, str) and 0 < len(one) <= MOST_CHORD for one in chords)
