"""How much of an AnchorSync run is done again after one approved anchor was changed, where the others are approved."""

from __future__ import annotations

import tempfile
from pathlib import Path

from engine.document import acts
from engine.editor import Editor
from engine.methods.cards import AnchorSyncConfig
from engine.progress import Progress
from engine.rendering.render import carry, prepare_clip, propagate, spans_to_carry
from tests.bench.harness import Figure, Report
from tests.recipes import BOX, clip_in

FRAMES, ANCHORS, CHANGED = 9, (0, 2, 4, 6, 8), 4
REUSE_FIGURES = (Figure("segments_again", "segments done again after one of five anchors was changed", "segments", 2),)


def approved_project(folder: Path) -> Editor:
    """A marked clip with an approved take on every anchor, for AnchorSync."""
    editor = Editor.create(folder / "project", clip_in(folder, FRAMES))
    editor.act(acts.set_box, "Box", frame=0, subject=1, box=BOX)
    config = {"interval": AnchorSyncConfig.interval}
    editor.act(acts.set_edit, "Method", method="anchorsync", config=config, instruction="make the ball blue")
    prepare_clip(editor.material, Progress())
    carry(editor.material, spans_to_carry(editor.material), Progress())
    for frame in ANCHORS:
        recolour(editor, frame, "#2050ff")
    return editor


def recolour(editor: Editor, frame: int, colour: str) -> None:
    """A new approved take on the frame."""
    editor.approve(frame, editor.effect_take(frame, "recolour", {"colour": colour}).key)


def done_again(editor: Editor) -> tuple[int, int]:
    """(segments rendered, segments reused) by a second run, after another take was approved on one anchor."""
    propagate(editor.material, Progress())
    recolour(editor, CHANGED, "#20c040")
    report = propagate(editor.material, Progress())
    return report.rendered, report.reused


def reuse(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="anchorline-bench-") as folder:
        editor = approved_project(Path(folder))
        try:
            rendered, reused = done_again(editor)
        finally:
            editor.close()
    report.reach("segments_again", rendered)
    report.note(f"After one of {len(ANCHORS)} anchors was changed, {rendered} segments were rendered and {reused} reused.")
