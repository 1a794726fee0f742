"""The second sample: a clip of the drawn world, which the bundled model knows, with an instruction to carry out."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np

from engine.document import acts
from engine.document.project import Project
from engine.editor import Editor
from engine.errors import MethodError

SCENE = (5, 170)
"""Seed and number in the test split: a big red ball on grass, which no training run has seen."""
SIDE, FRAMES, RATE = 256, 17, 12
INSTRUCTION = "make the ball green"


def draw_world_sample(folder: Path) -> None:
    """Makes the sample project in `folder`. Raises MethodError while torch is not set up."""
    pictures, mask = _drawn()
    media = folder / "media"
    media.mkdir(parents=True)
    clip = media / "drawn-world.mp4"
    _write(clip, pictures)
    editor = Editor.create(folder, clip, "Sample: drawn world")
    try:
        editor.act(_prepared, "Name the ball")
        editor.import_mask(0, 1, mask)
    finally:
        editor.close()


def _prepared(project: Project) -> Project:
    named = acts.shape_subject(project, subject=1, name="Ball", feather=2.0, grow=4)
    return acts.set_edit(named, method="sama", instruction=INSTRUCTION)


def _drawn() -> tuple[list[np.ndarray], np.ndarray]:
    """The clip's frames (SIDE, SIDE, 3) uint8 and the ball's mask in the first, (SIDE, SIDE) uint8."""
    try:
        from engine.world.draw import frames
        from engine.world.scene import sample
    except ImportError as error:
        raise MethodError(
            "The drawn world needs the second part of the set-up, which is not done yet; try again then."
        ) from error
    seed, number = SCENE
    drawn = list(frames(sample(seed, [number], "test"), (SIDE, SIDE), FRAMES))
    return [picture for picture, _ in drawn], drawn[0][1][0]


def _write(path: Path, pictures: list[np.ndarray]) -> None:
    """The clip as H.264, written beside and renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with av.open(str(temporary), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"crf": "12", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
        out.mux(stream.encode(None))
    os.replace(temporary, path)
