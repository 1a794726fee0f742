"""The list of edits above the tabs. Its rows are drawn by assets/edits.js from the view; every act goes to the data plane."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.canvas import STATIC

TEMPLATE = '<section class="al-edits" aria-label="Edits"></section>'
SCRIPT = f"""
import('{STATIC}edits.js').then((module) => module.mount(element));
"""


class EditList(gr.HTML):
    """The stack of edits, the topmost first. It has no value."""

    def __init__(self, **options: Any) -> None:
        super().__init__(None, html_template=TEMPLATE, js_on_load=SCRIPT, apply_default_css=False, **options)


def build() -> EditList:
    return EditList(elem_id="edits")
