"""Open a clip or a project; what is open."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from app.panels.base import Panel
from app.panels.empty import how_to_begin
from app.session import Session
from app.store import SessionStore
from app.view import summary
from engine import clip_remarks, is_job, take_markers

VIDEO_TYPES = ["video", ".ebs", ".otio", ".mkv", ".ts", ".mts", ".m2ts", ".mxf", ".avi", ".gif"]


def build(store: SessionStore) -> Panel:
    """Project list, upload, path on this machine, facts."""
    projects = gr.Dropdown(label="Project", choices=[], elem_id="projects", interactive=True)
    upload = gr.UploadButton("Upload a clip…", file_types=VIDEO_TYPES, size="sm", elem_id="upload")
    with gr.Row():
        path = gr.Textbox(
            label="Or open by path on this machine",
            placeholder="/path/to/clip.mp4, a folder of frames, a project, an .ebs or .otio file",
            elem_id="path",
            max_length=4096,
        )
    open_path = gr.Button("Open path", size="sm", elem_id="open-path")
    with gr.Row():
        sample = gr.Button("Open the sample", size="sm", min_width=80, elem_id="open-sample")
        world = gr.Button("Sample for text", size="sm", min_width=80, elem_id="open-world-sample")
    deinterlace = gr.Checkbox(
        label="Deinterlace",
        info="For the next clip that you open: whole frames out of interlaced ones.",
        elem_id="deinterlace",
    )
    markers = gr.UploadButton("Markers from .otio…", file_types=[".otio"], size="sm", elem_id="markers")
    facts = gr.HTML(elem_id="facts")

    def show(session: Session, frame: int) -> list[Any]:
        return [gr.update(choices=_choices(store, session), value=session.id), _facts(session)]

    parts = {"projects": projects, "upload": upload, "path": path, "open_path": open_path, "deinterlace": deinterlace}
    return Panel([projects, facts], show, {**parts, "sample": sample, "world": world, "markers": markers})


def _choices(store: SessionStore, session: Session) -> list[tuple[str, str]]:
    choices = store.projects()
    if session.id not in {identity for _, identity in choices}:
        choices.insert(0, (session.editor.project.name, session.id))
    return choices


def _facts(session: Session) -> str:
    project = session.editor.project
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in _remarks(session))
    facts = f'<div class="al-facts">{html.escape(summary(project))}{f"<ul>{notes}</ul>" if notes else ""}</div>'
    return facts + how_to_begin(session.id)


def _remarks(session: Session) -> list[str]:
    """What the clip's file said, and which frames were found damaged once it is prepared."""
    pack = session.material.pack
    return clip_remarks(session.editor.project.video, pack.damaged if pack and pack.complete else [])


def opened_by_path(store: SessionStore, text: str, deinterlace: bool = False) -> Session:
    """What the path names: a clip, a folder of frames or a project. Raises EngineError."""
    return store.open(Path(text.strip().strip('"')).expanduser(), deinterlace=deinterlace)


def opened_by_upload(store: SessionStore, file: str, deinterlace: bool = False) -> Session:
    """A new project on an uploaded clip, which is kept in it, or of another program's job. Raises EngineError."""
    path = Path(file)
    return store.open_job(path) if is_job(path) else store.create(path, keep=True, deinterlace=deinterlace)


def markers(session: Session, file: str) -> None:
    """Anchors and range from a timeline on the same clip."""
    gr.Info(html.escape(take_markers(session.editor, Path(file))), title="Markers taken")
