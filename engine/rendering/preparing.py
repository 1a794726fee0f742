"""What a method shares over a shot: done once before its segments, kept in the cache under a key of all it depends on.

The method's own files lie in that folder. `done.json`, written last, says what the segments' keys need of it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from engine.errors import MediaError
from engine.methods.base import Prepared
from engine.rendering.segments import Shared
from engine.store.workspace import Workspace
from engine.types import FrameIndex


def read_shared(workspace: Workspace, keys: Mapping[FrameIndex, str]) -> dict[FrameIndex, Shared]:
    """What is prepared already under the keys of shots (see `shared_key`), by the first frame of the shot."""
    found: dict[FrameIndex, Shared] = {}
    for first, key in keys.items():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # not there, or not finished
            said = json.loads((workspace.prepared(key) / "done.json").read_text("utf-8"))
            parts = {int(frame): part for frame, part in said["parts"].items()}
            found[first] = Shared(said["digest"], parts, tuple(said.get("warnings", ())))
    return found


def write_shared(folder: Path, prepared: Prepared, warnings: list[str]) -> None:
    """Notes that a shot is prepared. Raises MediaError when the disk is full."""
    part = folder / "done.json.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        body = {"digest": prepared.digest, "parts": dict(prepared.parts), "warnings": warnings}
        part.write_text(json.dumps(body), "utf-8")
        os.replace(part, folder / "done.json")
    except OSError as error:
        raise MediaError(f"Cannot write to the project's cache: {error.strerror}; free some disk space and run again.") from error
