"""Files that a setting names, such as a LoRA: they are taken into the project, so that it stays whole wherever it goes.

In a project such a setting says NAME:KEY, the file's own name and the key of the stored object; in a recipe it is a path.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import PurePath
from typing import Any

KEPT = re.compile(r"(?P<name>[^/\\:\x00-\x1f]{1,120}):(?P<key>[0-9a-f]{64})")


def file_fields(config: type) -> list[str]:
    """The settings that name a file."""
    return [field.name for field in fields(config) if field.metadata.get("kind") == "file"]


def kept_as(path: str, key: str) -> str:
    """What a setting says of a file that was stored under a key."""
    name = re.sub(r"[/\\:\x00-\x1f]", "_", PurePath(path).name)[-120:] or "file"
    return f"{name}:{key}"


def name_and_key(value: str) -> tuple[str, str] | None:
    """Of a file that was taken in; None for a path and for nothing."""
    found = KEPT.fullmatch(value)
    return (found["name"], found["key"]) if found else None


def name_of(value: str) -> str:
    """What the user calls it."""
    kept = name_and_key(value)
    return kept[0] if kept else value


def as_shown(config: dict[str, Any], of: type) -> dict[str, Any]:
    """The settings with files by their names alone, as the page shows them."""
    return {name: name_of(value) if name in file_fields(of) else value for name, value in config.items()}
