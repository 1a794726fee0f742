"""Anchors and their takes: make one by an effect, from a picture or by painting; compare; approve."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from app.panels import fields
from app.panels.base import Panel
from app.panels.empty import how_to_anchor
from app.session import Session
from engine import EFFECTS, OutsideRegion, ProjectError, Take, choose_anchors, read_image

STRIP_SCRIPT = """
/* events: 'pick' */
element.addEventListener('click', (event) => {
  const take = event.target.closest('[data-take]');
  if (take) trigger('pick', {key: take.dataset.take});
});
"""
HOW = "A new take for this frame: by an effect inside the mask, from a picture, or painted on the canvas (D)."


class TakeStrip(gr.HTML):
    """The takes of an anchor side by side; a click picks one."""

    def __init__(self, **more: Any) -> None:
        super().__init__(js_on_load=STRIP_SCRIPT, **more)

    def api_info(self) -> dict[str, Any]:
        return {"type": "string"}


def build() -> Panel:
    """The anchor on the shown frame: effects with their controls, takes, approval."""
    title = gr.HTML(elem_id="anchor-title")
    choose = gr.Button("Choose anchors", size="sm", elem_id="choose-anchors")
    strip = TakeStrip(elem_id="takes")
    with gr.Row():
        approve = gr.Button("Approve", variant="primary", size="sm", min_width=40, elem_id="approve")
        unapprove = gr.Button("Take back", size="sm", min_width=40, elem_id="unapprove")
        delete = gr.Button("Delete take", size="sm", min_width=40, elem_id="delete-take")
    with gr.Group(visible=False, elem_id="outside") as question:
        text = gr.Markdown()
        with gr.Row():
            grow = gr.Button("Grow the region", size="sm", min_width=60, elem_id="outside-grow")
            clip = gr.Button("Clip the take", size="sm", min_width=60, elem_id="outside-clip")
    gr.Markdown(HOW, elem_classes="al-how")
    effect, controls = fields.chooser({name: (one.title, one.Config) for name, one in EFFECTS.items()}, "Effect", "effect")
    make = gr.Button("Make take", variant="primary", size="sm", elem_id="make-take")
    with gr.Row():
        picture = gr.UploadButton("Take from picture…", file_types=["image"], size="sm", min_width=60, elem_id="picture")
        fit = gr.Checkbox(label="Fit other sizes", min_width=60, elem_id="fit")

    def show(session: Session, frame: int) -> list[Any]:
        anchor = session.editor.project.edit.anchor_at(frame)
        asked = session.question if session.question and session.question[0] == frame else None
        return [
            _title(session, frame),
            _strip(session, frame),
            gr.update(interactive=bool(anchor and anchor.takes)),
            gr.update(interactive=bool(anchor and anchor.chosen)),
            gr.update(interactive=bool(anchor and anchor.takes)),
            gr.update(visible=asked is not None),
            asked[2] if asked else "",
        ]

    parts = {"effect": effect, "controls": controls, "make": make, "picture": picture, "fit": fit, "strip": strip}
    more = {"choose": choose, "approve": approve, "unapprove": unapprove, "delete": delete, "grow": grow, "clip": clip}
    return Panel([title, strip, approve, unapprove, delete, question, text], show, {**parts, **more})


def _title(session: Session, frame: int) -> str:
    edit = session.editor.project.edit
    anchor = edit.anchor_at(frame)
    others = ", ".join(f"{a.frame}{' ✓' if a.chosen else ''}" for a in edit.anchors) or "none yet"
    if anchor is None:
        state = "is not an anchor"
    elif anchor.chosen:
        state = f"is an approved anchor{', locked' * anchor.locked}"
    else:
        state = f"is an anchor with {len(anchor.takes)} take{'s' if len(anchor.takes) != 1 else ''}, none approved"
    return f'<div class="al-facts"><b>Frame {frame}</b> {state}.<br>Anchors: {html.escape(others)}</div>'


def _strip(session: Session, frame: int) -> str:
    anchor = session.editor.project.edit.anchor_at(frame)
    if anchor is None or not anchor.takes:
        return how_to_anchor(session.editor.project, frame)
    picked = session.picked_take(frame)
    cells = []
    for take in anchor.takes:
        label = html.escape(take.label or take.source)
        state = "approved" if take.key == anchor.chosen else ""
        pressed = str(take.key == picked).lower()
        cells.append(
            f'<button type="button" class="al-take" data-take="{take.key}" data-state="{state}" aria-pressed="{pressed}">'
            f'<img src="/api/projects/{session.id}/object/{take.key}.png" alt="" loading="lazy">'
            f"<span>{label}{' ✓' if state else ''}</span>{_fit(take)}</button>"
        )
    return f'<div class="al-takes">{"".join(cells)}</div>'


def _fit(take: Take) -> str:
    if take.fit is None:
        return ""
    words = f"Fits what was asked: {100 * take.fit:.0f} of 100, as the model's own picture and word encoder sees it"
    return f'<i class="al-fit" role="img" title="{words}" aria-label="{words}">{100 * take.fit:.0f}</i>'


# --- what the buttons do ----------------------------------------------------------------------------------


def choose(session: Session) -> None:
    """Anchors where none are and some should be: evenly, closer where the motion is lost, as AnchorSync is set."""
    frames = choose_anchors(session.material)
    if not frames:
        raise ProjectError("There are anchors enough: no two are farther apart than AnchorSync's settings allow.")
    session.do("add_anchors", {"frames": frames})


def make_take(session: Session, frame: int, effect: str, config: dict[str, Any]) -> None:
    """A take by a built-in effect inside the mask of the shown frame."""
    session.pick_take(frame, session.editor.effect_take(frame, effect, config).key)


def take_from_picture(session: Session, frame: int, file: str, fit: bool) -> None:
    path = Path(file)
    session.pick_take(frame, session.editor.picture_take(frame, read_image(path), "imported", path.name, fit=fit).key)


def approve(session: Session, frame: int, outside: str = "ask") -> None:
    """Approves the picked take; a take that reaches outside the mask brings up the question."""
    key = session.picked_take(frame)
    if key is None:
        raise ProjectError(f"Frame {frame} has no take to approve; make one first.")
    try:
        session.editor.approve(frame, key, outside)
        session.question = None
    except OutsideRegion as question:
        session.question = (frame, key, str(question))


def unapprove(session: Session, frame: int) -> None:
    session.editor.approve(frame, None)


def delete_take(session: Session, frame: int) -> None:
    key = session.picked_take(frame)
    if key is not None:
        session.do("delete_take", {"frame": frame, "key": key})
