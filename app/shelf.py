"""What an editor remembers beside its projects: those that lie elsewhere, and settings of this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from engine import DEFAULT_CACHE_GB, ProjectError, RecipeError, segmenter_names

FILE = "shelf.json"
MOST_OUTSIDE = 200
MAX_GB = 100_000


class Shelf:
    """A small JSON file in the projects' folder. Read anew each time: another editor may share the folder."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE

    @property
    def outside(self) -> dict[str, Path]:
        """Projects in other folders by id, those opened last at the end."""
        found = self._read().get("outside")
        return {one: Path(place) for one, place in found.items() if isinstance(place, str)} if isinstance(found, dict) else {}

    def put_outside(self, identity: str, folder: Path) -> None:
        kept = {one: place for one, place in self.outside.items() if one != identity}
        kept = dict(list({**kept, identity: folder}.items())[-MOST_OUTSIDE:])
        self._write(outside={one: str(place) for one, place in kept.items()})

    @property
    def cache_gb(self) -> float:
        """The most that the caches of all projects here take together."""
        value = self._read().get("cache_gb")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_GB:
            return float(DEFAULT_CACHE_GB)
        return float(value)

    def set_cache_gb(self, value: Any) -> None:
        """Raises RecipeError for what is no limit."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_GB:
            raise RecipeError(f"The cache limit must be a number of GB from 0 to {MAX_GB:,}, not {str(value)[:40]}.")
        self._write(cache_gb=value)

    @property
    def segmenter(self) -> str:
        """Who makes masks from clicks on this machine."""
        value = self._read().get("segmenter")
        return value if isinstance(value, str) and value in segmenter_names() else "auto"

    def set_segmenter(self, name: str) -> None:
        self._write(segmenter=name)

    @property
    def device(self) -> str:
        """The device that was chosen; "" = the best there is."""
        value = self._read().get("device")
        return value if isinstance(value, str) else ""

    def set_device(self, name: str) -> None:
        self._write(device=name)

    @property
    def executor(self) -> tuple[str, str] | None:
        """Who renders segments, and the address of the cluster; None until somebody chose."""
        value = self._read().get("executor")
        if not isinstance(value, list) or len(value) != 2 or not all(isinstance(one, str) for one in value):
            return None
        return value[0], value[1]

    def set_executor(self, name: str, address: str) -> None:
        self._write(executor=[name, address])

    def _read(self) -> dict[str, Any]:
        try:
            value = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _write(self, **changes: Any) -> None:
        part = self._path.with_name(f".{FILE}.{os.getpid()}.part")
        try:
            part.write_text(json.dumps({**self._read(), **changes}, indent=1), encoding="utf-8")
            os.replace(part, self._path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise ProjectError(f"The setting cannot be kept: {error.strerror}; free some disk space.") from error
