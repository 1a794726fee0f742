"""A process that imports what it is given, one file after the other, as the editor's own process does it.

On standard input a line of JSON for each: {"kind", "path"}; on standard output the answer: {"said", "seconds", "bytes"}, where
`said` is the sentence of a refusal ("" = taken) and `bytes` what the process holds. Anything else than a sentence ends it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from engine.commands.recipe import read_recipe
from engine.editor import Editor
from engine.errors import EngineError
from engine.interchange.project_zip import import_project
from engine.interchange.registry import MASK_FORMATS, TRACK_FORMATS, mask_format_of, track_format
from engine.media.images import read_image, read_mask
from engine.store.projects import summary_of
from tests.mutants import RATE, SIZE


def take(kind: str, path: Path) -> None:
    """Imports a file as the editor would. Raises EngineError."""
    kind, _, name = kind.partition(" ")
    made = path.parent / "made"
    try:
        if kind == "media":
            Editor.create(made, path, "Fuzz").close()
        elif kind == "masks":
            _take_masks(name, path)
        elif kind == "tracks":
            assert track_format(path) is TRACK_FORMATS[name]
            TRACK_FORMATS[name].read(path, SIZE, RATE)
        elif kind == "recipes":
            _take_recipe(path)
        elif name == "zip":
            import_project(path, made)
            _look(made)
        else:
            _look(path)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _take_masks(name: str, path: Path) -> None:
    if name == "picture":
        read_mask(path, SIZE)
        read_image(path)
        return
    list(mask_format_of(path, SIZE).read(path, SIZE).frames)
    list(MASK_FORMATS[name].read(path, SIZE).frames)


def _take_recipe(path: Path) -> None:
    from engine.commands.batch import look_at, planned

    recipe = read_recipe(path)
    planned(recipe, look_at(recipe))


def _look(folder: Path) -> None:
    summary_of(folder)
    editor = Editor(folder)
    try:
        editor.material.segments  # noqa: B018 - what the page shows first
    finally:
        editor.close()


def held() -> int:
    """Bytes of this process's memory."""
    gc.collect()
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    print("> ready", flush=True)
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        started, said = time.monotonic(), ""
        try:
            take(order["kind"], Path(order["path"]))
        except EngineError as error:
            said = str(error) or "(nothing was said)"
        answer = {"said": said, "seconds": time.monotonic() - started, "bytes": held()}
        print("> " + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
