"""Painting an anchor in another program: sent as files, watched, taken back by itself."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.handlers import WITH_FRAME, Handlers, endpoint, said
from app.panels.base import Panel
from app.session import Session
from engine import ProjectError

LIST_SCRIPT = """
/* events: 'answer' */
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-answer]');
  if (button) trigger('answer', {answer: button.dataset.answer, stem: button.dataset.stem});
});
"""
LOOK_EVERY = 1.0  # seconds in which the page asks whether a painting came back
OFFERS = {
    "fit": (("fit", "Fit it to the frame"), ("leave", "Leave it out")),
    "shift": (("undo_shift", "Undo the shift"), ("leave", "Leave it as it is")),
}
"""What is offered for each question."""


class PaintingList(gr.HTML):
    """What is painted elsewhere, a line each; its buttons answer what is asked."""

    def __init__(self, **more: Any) -> None:
        super().__init__(js_on_load=LIST_SCRIPT, **more)

    def api_info(self) -> dict[str, Any]:
        return {"type": "string"}


def build() -> Panel:
    """The button that sends the shown frame, and the lines of what is waited for."""
    send = gr.Button("Paint elsewhere…", size="sm", elem_id="paint-elsewhere")
    lines = PaintingList(elem_id="paintings")
    timer = gr.Timer(LOOK_EVERY, active=False)
    seen = gr.State("")  # what this page shows

    def show(session: Session, frame: int) -> list[Any]:
        return [_lines(session), gr.update(active=bool(session.painting.watched))]

    return Panel([lines, timer], show, {"send": send, "lines": lines, "timer": timer, "seen": seen})


def wire(on: Handlers, parts: dict[str, Any]) -> None:
    """Binds the panel's controls; the page follows when a painting comes back by itself."""
    on.on(parts["send"].click, send, name="paint_elsewhere")
    on.on_pick(parts["lines"].answer, answer, {"mode": "edited"})

    def tick(identity: str, frame: float, seen: str) -> list[Any]:
        def do() -> list[Any]:
            session = on.store.get(identity)
            now = f"{identity} {session.painting.mark}"
            if now == seen:
                return [gr.skip()] * (len(on.outputs) + 1)
            return [*on.refresh(session, int(frame or 0), _news(session, int(frame or 0))), now]

        return said(do)

    parts["timer"].tick(tick, [on.state, on.frame, parts["seen"]], [*on.outputs, parts["seen"]], js=WITH_FRAME, **endpoint())


def send(session: Session, frame: int) -> None:
    """Writes the shown take of the frame, or its source, for another program and waits for it to come back."""
    if session.shared:
        raise ProjectError("The files would lie on the server, out of reach: use “Take from picture…” instead.")
    session.painting.send(frame, session.picked_take(frame))


def answer(session: Session, frame: int, data: dict[str, Any]) -> None:
    """What a button of a line says. Raises ProjectError for what is no answer."""
    watch, stem = session.painting, str(data.get("stem", ""))
    known: dict[str, Callable[[str], object]] = {
        "stop": watch.stop,
        "leave": watch.leave,
        "fit": watch.fit,
        "undo_shift": watch.undo_shift,
    }
    chosen = known.get(str(data.get("answer", "")))
    if chosen is None:
        raise ProjectError("That is no answer to what was asked; reload the page.")
    chosen(stem)


def _news(session: Session, frame: int) -> dict[str, Any] | None:
    """What the canvas is told when a painting came back: its sentence, and to show the edit where it is in sight."""
    news = session.painting.news()
    if not news:
        return None
    shown = {"mode": "edited"} if any(one.frame == frame for one in news) else {}
    return {**shown, "say": " ".join(f"Frame {one.frame}: {one.said}" for one in news)}


def _lines(session: Session) -> str:
    watched = session.painting.watched
    if not watched:
        said = "Paint this frame in another program: its layers go to a folder, and what you save there comes back as a take."
        return f'<div class="al-empty">{said}</div>'
    rows = "".join(_line(one) for one in watched)
    place = html.escape(str(session.painting.folder))
    where = f'<div>Open and save in <code tabindex="0">{place}</code></div>'
    return f'<div class="al-paintings">{where}<div role="list">{rows}</div></div>'


def _line(one: Any) -> str:
    stem = html.escape(one.stem)
    offers = [*OFFERS.get(one.asked, ()), ("stop", "Stop watching")]
    buttons = "".join(
        f'<button type="button" class="al-small" data-answer="{name}" data-stem="{stem}"'
        f' aria-label="{text}: {stem}">{text}</button>'
        for name, text in offers
    )
    said = f'<div role="status">{html.escape(one.said)}</div>' if one.said else ""
    state = "asks" if one.asked else "waits"
    row = f'<div class="al-painting" role="listitem" data-state="{state}" data-stem="{stem}">'
    return f"{row}<b>watching {stem}.ora</b> and .png{said}<div>{buttons}</div></div>"
