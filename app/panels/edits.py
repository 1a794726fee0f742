"""The list of edits above the tabs. Its rows are drawn by assets/edits.js from the view; every act goes to the data plane."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.canvas import STATIC
from app.handlers import Handlers, endpoint, said
from app.panels import propagate

TEMPLATE = '<section class="al-edits" aria-label="Edits"></section>'
SCRIPT = f"""
import('{STATIC}edits.js').then((module) => module.mount(element));
"""


class EditList(gr.HTML):
    """The stack of edits, the topmost first. It has no value."""

    def __init__(self, **options: Any) -> None:
        super().__init__(None, html_template=TEMPLATE, js_on_load=SCRIPT, apply_default_css=False, **options)


def build() -> EditList:
    return EditList(elem_id="edits", padding=False)


def wire(on: Handlers) -> None:
    """Whenever another edit is worked on, the method's controls say what it is told."""
    fill, mark = on.fill, on.fill[-1]

    def refilled(identity: str, seen: str) -> list[Any]:
        def do() -> list[Any]:
            session = on.store.get(identity)
            return [gr.skip()] * len(fill) if seen == propagate.mark_of(session) else on.filled(session)

        return said(do)

    on.canvas.changed(refilled, [on.state, mark], fill, trigger_mode="always_last", **endpoint())
