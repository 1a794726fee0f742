"""Subjects and their masks: which one is being marked, how its region is shaped, masks from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from app.panels.base import Panel
from app.panels.empty import how_to_mark
from app.session import Session
from engine import ProjectError, box_of_words, read_mask


def build() -> Panel:
    """Choice of subject, its shape, import and carrying."""
    how = gr.HTML(elem_id="mark-how")
    chosen = gr.Radio(label="Subject", choices=[], elem_id="subject")
    with gr.Row():
        add = gr.Button("Add", size="sm", min_width=40, elem_id="subject-add")
        remove = gr.Button("Remove", size="sm", min_width=40, elem_id="subject-remove")
        clear = gr.Button("Clear frame", size="sm", min_width=40, elem_id="subject-clear")
    name = gr.Textbox(label="Name", max_length=120, elem_id="subject-name")
    grow = gr.Slider(-100, 100, 0, step=1, label="Grow (px)", info="Region beyond the mask; negative shrinks it.", elem_id="grow")
    feather = gr.Slider(0, 100, step=0.5, label="Feather (px)", info="Soft edge of the edit region.", elem_id="feather")
    with gr.Row():
        words = gr.Textbox(label="Find by words", placeholder="the red bag", max_length=200, elem_id="words")
        find = gr.Button("Find", size="sm", min_width=40, elem_id="words-find")
    with gr.Row():
        mask = gr.UploadButton("Mask from file…", file_types=["image"], size="sm", min_width=40, elem_id="mask-file")
        carry = gr.Button("Carry masks", size="sm", min_width=40, elem_id="carry")

    def show(session: Session, frame: int) -> list[Any]:
        project = session.editor.project
        told = how_to_mark(project, frame, session.subject)
        choices = [(one.name, one.id) for one in project.subjects]
        if not choices:
            idle = gr.update(interactive=False)
            return [told, gr.update(choices=[], value=None), gr.update(value="", interactive=False), idle, idle]
        one = project.subject(session.subject)
        return [
            told,
            gr.update(choices=choices, value=one.id),
            gr.update(value=one.name, interactive=True),
            gr.update(value=one.grow, interactive=True),
            gr.update(value=one.feather, interactive=True),
        ]

    parts = {"chosen": chosen, "add": add, "remove": remove, "clear": clear, "name": name, "grow": grow, "feather": feather}
    return Panel([how, chosen, name, grow, feather], show, {**parts, "mask": mask, "carry": carry, "words": words, "find": find})


def import_mask(session: Session, frame: int, file: str) -> None:
    """A mask picture for the current subject on the shown frame."""
    if not session.subject:
        raise ProjectError("There is no subject for this mask; add one first.")
    session.editor.import_mask(frame, session.subject, read_mask(Path(file), session.editor.project.video.size))
    session.carry_soon()


def find_by_words(session: Session, frame: int, words: str) -> None:
    """A box around what the words name, for the current subject; the segmenter makes the mask of it."""
    if not session.subject:
        raise ProjectError("There is no subject to find; add one first.")
    box = box_of_words(session.editor.original(frame), words)
    session.do("set_box", {"frame": frame, "subject": session.subject, "box": list(box)})


def shape(session: Session, **changes: Any) -> None:
    """Name, grow or feather of the current subject, where it differs from what it is."""
    one = session.editor.project.subject(session.subject)
    fresh = {name: value for name, value in changes.items() if value is not None and getattr(one, name) != value}
    if fresh:
        session.do("shape_subject", {"subject": one.id, **fresh})
