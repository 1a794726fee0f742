"""What there is to check: the list of problems by severity. The page's own code fills it (assets/check.js)."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.canvas import STATIC
from app.panels.base import Panel
from app.session import Session

TEMPLATE = '<div class="al-check"></div>'
SCRIPT = f"import('{STATIC}check.js').then((module) => module.mount(element));"


class ProblemList(gr.HTML):
    """The problems of the project that the canvas shows; it binds itself to the canvas and has no value."""

    def __init__(self, **more: Any) -> None:
        super().__init__(None, html_template=TEMPLATE, js_on_load=SCRIPT, apply_default_css=False, **more)


def build() -> Panel:
    """The list; the report stands below it."""
    ProblemList(elem_id="problems")

    def show(session: Session, frame: int) -> list[Any]:
        return []

    return Panel([], show, {})
