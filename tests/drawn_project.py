"""A project on a drawn clip."""

from __future__ import annotations

from pathlib import Path

import cv2

from engine.editor import Editor
from engine.progress import Progress
from engine.rendering.render import prepare_clip
from tests.drawn import Drawn


def drawn_project(drawn: Drawn, folder: Path) -> Editor:
    """A project in `folder` on the clip's frames, prepared, with nothing marked; whoever asked closes it."""
    (folder / "frames").mkdir()
    for frame, picture in enumerate(drawn.source):
        cv2.imwrite(str(folder / "frames" / f"{frame:05d}.png"), picture[..., ::-1])
    editor = Editor.create(folder / "project", folder / "frames")
    prepare_clip(editor.material, Progress())
    return editor
