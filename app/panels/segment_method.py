"""Under the method: trying all of them on the second around the playhead, and another method for one segment."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.handlers import Handlers, endpoint, said
from app.panels.base import Panel
from app.session import Session
from engine import METHODS, ProjectError, Segment

Chosen = Callable[[Session, str, Sequence[Any]], tuple[str, dict[str, Any]]]
"""Tells the edit the texts and seed of the controls; gives the method and config that they say."""


def build() -> Panel:
    """The button of the audition; the segment at the playhead with its method."""
    trying = gr.Button("Try the methods here (Shift+A)", size="sm", elem_id="audition")
    about = gr.HTML(elem_id="segment-method")
    with gr.Row():
        only = gr.Button("Use for this segment only", size="sm", min_width=60, elem_id="segment-only")
        clear = gr.Button("As the rest", size="sm", min_width=60, interactive=False, elem_id="segment-clear")

    def show(session: Session, frame: int) -> list[Any]:
        text, own = _about(session, frame)
        return [f'<div class="al-facts">{html.escape(text)}</div>', gr.update(interactive=bool(own))]

    return Panel([about, clear], show, {"only": only, "clear": clear, "try": trying})


def _about(session: Session, frame: int) -> tuple[str, bool]:
    """What is said of the segment at a frame, and whether it has a method of its own."""
    found = session.material.segment_at(frame)
    if found is None:
        return "This frame is in no segment: approve an anchor, or write what a method reads.", False
    name = session.material.of(found).project.edit.method
    own = own_span(session, found) is not None
    title = METHODS[name].title.split(" (")[0]
    return f"This segment, frames {found.start}–{found.stop - 1}: by {title}{', its own method' if own else ''}.", own


def own_span(session: Session, segment: Segment) -> tuple[int, int] | None:
    """The frames for which the segment's own method was chosen; None where it has none."""
    kept = session.editor.project.edit.by_segment
    return next(((one.start, one.stop) for one in kept if one.start <= segment.start and segment.stop <= one.stop), None)


def between(session: Session, frame: int) -> tuple[int, int]:
    """The frames between the approved anchors, cuts or ends of the range around a frame.

    Raises:
        ProjectError: the frame is outside the range.
    """
    project = session.editor.project
    if frame not in project.range:
        raise ProjectError(f"Frame {frame} is outside the in–out range; go to a frame inside it.")
    edges = [*session.material.cuts, *(anchor.frame for anchor in project.edit.carried)]
    start = max([project.range.start, *(edge for edge in edges if edge <= frame)])
    return start, min([project.range.stop, *(edge for edge in edges if edge > frame)])


def wire(on: Handlers, parts: dict[str, Any], asked: Sequence[Any], chosen: Chosen) -> None:
    """`asked`: the controls of the method, whose values `chosen` reads."""

    def only(session: Session, frame: int, name: str, *given: Any) -> None:
        start, stop = between(session, frame)
        method, config = chosen(session, name, given)
        session.do("set_segment_method", {"start": start, "stop": stop, "method": method, "config": config})

    def clear(session: Session, frame: int) -> None:
        found = session.material.segment_at(frame)
        span = own_span(session, found) if found else None
        if span:
            session.do("clear_segment_method", {"start": span[0], "stop": span[1]})

    def again(identity: str) -> list[Any]:
        return said(lambda: on.filled(on.store.get(identity)))

    set_ = on.on(parts["only"].click, only, asked, name="segment_method")
    set_.then(again, on.state, on.fill, **endpoint())  # the controls say the edit's method again
    on.on(parts["clear"].click, clear, name="segment_as_the_rest")
