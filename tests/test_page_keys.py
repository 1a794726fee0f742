"""The keys that controls of the page have by default, against those of the canvas's commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

from app.controls import KEYS

ROOT = Path(__file__).resolve().parent.parent


def canvas_keys() -> list[str]:
    """Every chord of the table in assets/keys.js, in its order."""
    table = (ROOT / "assets" / "keys.js").read_text("utf-8").split("export const SHORTCUTS = [")[1].split("\n];")[0]
    return [chord for row in re.findall(r'entry\("[^"]*", (\[[^\n]*?\]), "', table) for chord in json.loads(row)]


def test_no_key_is_given_twice() -> None:
    given = [*canvas_keys(), *(chord for chords in KEYS.values() for chord in chords)]
    assert len(given) > 60
    assert sorted(chord for chord in set(given) if given.count(chord) > 1) == []
