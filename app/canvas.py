"""The canvas and the timeline as Gradio components.

Both are `gr.HTML` with a constant template: the page's own JavaScript (`assets/`, served by the data plane at
`/api/static/`) builds what is inside, once, and reads `value` when Python changes it. Pixels, masks and the project
itself never pass through `value`; they come from the data plane.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

STATIC = "/api/static/"

CANVAS_TEMPLATE = (
    '<div class="al-editor" tabindex="0" role="application" aria-label="Video canvas" aria-describedby="al-hint"></div>'
)
# The quoted names become event listeners of the component: canvas.changed(fn, …) and so on.
CANVAS_SCRIPT = f"""
/* events: 'changed' 'frame' 'run' 'carry' 'audition' */
import('{STATIC}mount.js').then((module) => module.mount(element, {{ trigger, props, watch }}));
"""

TIMELINE_TEMPLATE = '<div class="al-timeline" tabindex="0" role="slider" aria-label="Timeline"></div>'
TIMELINE_SCRIPT = f"""
import('{STATIC}timeline.js').then((module) => module.mount(element));
"""


class EditorCanvas(gr.HTML):
    """The stage with its tools.

    `value` is `{"project": id, "rev": revision, "cmd": command or None}`: another project is opened, another revision is
    fetched, a command is obeyed once. Commands: `{"seek": frame}`, `{"mode": "source" | "edited" | "wipe" | "flicker"}`,
    `{"tool": name}`, `{"say": sentence}`.

    Events (their data are attributes of `gr.EventData`): `changed` (rev, frame) after each act that the server took,
    `frame` (frame) when another frame is shown, `run`, `carry` and `audition` when their keys are pressed.
    """

    def __init__(self, value: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(value, html_template=CANVAS_TEMPLATE, js_on_load=CANVAS_SCRIPT, apply_default_css=False, **options)

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}


class Timeline(gr.HTML):
    """The whole clip from left to right, below the page's canvas, to which it binds itself. It has no value."""

    def __init__(self, **options: Any) -> None:
        super().__init__(None, html_template=TIMELINE_TEMPLATE, js_on_load=TIMELINE_SCRIPT, apply_default_css=False, **options)
