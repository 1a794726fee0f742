"""A stand-in checkout for the tests of set-up: requirement files, and a venv that looks sound."""

import sys
from pathlib import Path

from app.setup import stages
from app.setup.stages import Place

VERSION = ".".join(map(str, sys.version_info[:3]))
REQUIREMENTS = "# page\ngradio>=6 # why\n\nav>=18\n# --- second stage: models ---\ntorch==2.13.0\n"


def make_place(root: Path) -> Place:
    """Its python prints what it was given and exits with 7."""
    (root / "requirements.txt").write_text(REQUIREMENTS)
    (root / "pyproject.toml").write_text('[dependency-groups]\ntest = ["pytest>=9"]\n')
    place = Place(root)
    place.python.parent.mkdir(parents=True)
    place.python.write_text('#!/bin/sh\necho "$PYTHONPATH|$PWD|$*|$ANCHORLINE_SETUP_STATUS"\nexit 7\n')
    place.python.chmod(0o755)
    write_cfg(place)
    return place


def write_cfg(place: Place, version: str = VERSION, folder: str = "") -> None:
    command = f"/usr/bin/python3 -m venv {folder or place.venv}"
    (place.venv / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}\ncommand = {command}\n")


def make_stamps(place: Place, *which: stages.Stage) -> None:
    place.state.mkdir(parents=True, exist_ok=True)
    for stage in which:
        stages.write_json(place.state / f"installed-{stage.name}.json", stages.expected_stamp(place, stage))
