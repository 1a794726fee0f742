"""Jobs that wait, under the one that runs; the page's own code fills it (assets/queue.js)."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.canvas import STATIC

TEMPLATE = '<div class="al-queue" role="group"></div>'
SCRIPT = f"import('{STATIC}queue.js').then((module) => module.mount(element));"


class Queue(gr.HTML):
    """The waiting jobs of the project that the canvas shows. It has no value."""

    def __init__(self, **more: Any) -> None:
        super().__init__(None, html_template=TEMPLATE, js_on_load=SCRIPT, apply_default_css=False, **more)
