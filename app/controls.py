"""The controls beside the canvas, listed for the page: its palette, keys, titles and tour find each wherever it stands.

The list is read off the built page, so a new panel's controls are in it without being named twice.
"""

from __future__ import annotations

import html
import json
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext

BUTTONS = (gr.Button, gr.UploadButton, gr.DownloadButton)
FIELDS = (gr.Textbox, gr.Dropdown, gr.Slider, gr.Number, gr.Checkbox, gr.Radio, gr.ColorPicker, gr.CheckboxGroup)

KEYS: dict[str, list[str]] = {
    "make-take": ["Shift+T"],
    "approve": ["Shift+Enter"],
    "export": ["Ctrl+E"],
    "paint-elsewhere": ["Shift+D"],
    "Mark": ["Alt+1"],
    "Anchors": ["Alt+2"],
    "Propagate": ["Alt+3"],
    "Export": ["Alt+4"],
}
"""Keys that controls have until the user gives them others."""

SAME_AS = {"propagate": "run", "carry": "carry", "cancel": "cancelJob"}
"""Buttons that do what a command of the canvas does (assets/commands.js): its name and keys are theirs."""

HELP = {
    "make-take": "Make a take of this frame by the chosen effect, inside the mask",
    "approve": "Approve the take that is shown: this frame becomes an approved anchor",
    "unapprove": "Take the approval of this frame's take back",
    "delete-take": "Delete the take that is shown; undo brings it back",
    "choose-anchors": "Put anchors where the motion asks for them",
    "picture": "Take a picture that you edited elsewhere as a take of this frame",
    "paint-elsewhere": "Paint this frame in another program: what you save there comes back as a take",
    "markers": "Take the markers and the range of a timeline (.otio) on this clip",
    "lora": "Take a LoRA file of your own for the new subject",
    "propagate": "Carry the approved anchors through the clip",
    "cancel": "Cancel the running job; what is finished stays",
    "export": "Render what is missing and write the finished clip",
    "carry": "Carry the masks and tracked points through the shot",
    "upload": "Choose a video file to edit",
    "open-path": "Open the clip, folder of frames or project at this path",
    "subject-add": "Add a subject",
    "subject-remove": "Remove the subject; undo brings it back",
    "subject-clear": "Clear the marks of this subject on this frame",
    "mask-file": "Take a mask picture for this subject on this frame",
    "words-find": "Find the subject by these words",
}
"""What a button does, where its own words say too little."""


def controls_of(page: gr.Blocks) -> list[dict[str, Any]]:
    """Every tab, folded part, button and named field of the page in its order.

    Each is `{name, kind, label, help, group, tab, folded, keys, same}`: `name` the element's id (of a tab: its label),
    `kind` one of tab, folded, button and field, `tab` the tab it stands in or "", `folded` the folded parts round it, the
    outer first, `same` the command of the canvas that it stands for or "".
    """
    found: list[dict[str, Any]] = []

    def visit(block: Any, tab: str, folded: list[str]) -> None:
        if isinstance(block, gr.Tab):
            tab = str(block.label or "")
            found.append(_control(tab, "tab", f"Open {tab}", "", []))
        name = str(block.elem_id or "")
        if isinstance(block, gr.Accordion) and name:
            found.append(_control(name, "folded", f"Open {block.label}", tab, folded))
            folded = [*folded, name]
        elif name and isinstance(block, BUTTONS):
            label = str(getattr(block, "value", "") if isinstance(block, gr.Button) else block.label).rstrip("…")
            found.append(_control(name, "button", label, tab, folded))
        elif name and isinstance(block, FIELDS) and block.label:
            found.append(_control(name, "field", str(block.label), tab, folded))
        if isinstance(block, BlockContext):
            for child in block.children:
                visit(child, tab, folded)

    visit(page, "", [])
    return found


def _control(name: str, kind: str, label: str, tab: str, folded: list[str]) -> dict[str, Any]:
    verb = "Go to: " if kind == "field" else ""
    help_ = HELP.get(name, "")
    more = {"group": tab or ("Page" if kind == "tab" else "Project"), "tab": tab, "folded": folded, "keys": KEYS.get(name, [])}
    more["same"] = SAME_AS.get(name, "")
    return {"name": name, "kind": kind, "label": f"{verb}{label}", "help": help_, **more}


def listed(page: gr.Blocks) -> gr.HTML:
    """The list as a hidden element; made last, inside the page."""
    return gr.HTML(listing(controls_of(page)), visible="hidden", elem_id="controls")


def listing(controls: list[dict[str, Any]]) -> str:
    return f'<div data-controls="{html.escape(json.dumps(controls, ensure_ascii=False), quote=True)}"></div>'
