"""Export: a finished clip with its sound, into the project, to download."""

from __future__ import annotations

import html
import re
import time
from typing import Any
from urllib.parse import quote

import gradio as gr

from app.panels.base import Panel
from app.panels.empty import how_to_export
from app.session import Session
from engine import FORMATS, HANDOVER_FORMS

CHOICES = {form.title: (codec, form.suffixes[0]) for codec, form in FORMATS.items()}
HANDOVERS = {form.title: (name, form.suffix) for name, form in HANDOVER_FORMS.items()}
"""Forms that are no clip: another program's job, the share package."""


def build() -> Panel:
    form = gr.Dropdown([*CHOICES, *HANDOVERS], value=next(iter(CHOICES)), label="Format", elem_id="format")
    quality = gr.Slider(0, 51, 18, step=1, label="Quality of H.264 (CRF)", info="Lower is better and larger.", elem_id="quality")
    run = gr.Button("Export", variant="primary", elem_id="export")
    files = gr.HTML(elem_id="exports")

    def show(session: Session, frame: int) -> list[Any]:
        return [_files(session)]

    return Panel([files], show, {"format": form, "quality": quality, "run": run})


def _files(session: Session) -> str:
    folder = session.editor.workspace.exports
    done = sorted((p for p in folder.glob("*") if not p.name.startswith(".")), key=lambda p: p.stat().st_mtime, reverse=True)
    if not done:
        material = session.material
        return how_to_export(bool(material.segments) and all(map(material.is_done, material.segments)))
    rows = []
    for path in done[:20]:
        name = html.escape(path.name)
        if path.is_file():
            size = f"{path.stat().st_size / 2**20:.1f} MB"
            address = f"/api/projects/{session.id}/exports/{quote(path.name)}"
            rows.append(f'<li><a href="{address}" download="{name}">{name}</a> ({size})</li>')
        else:
            rows.append(f"<li>{name}: a folder in the project's exports folder</li>")
    return f'<div class="al-facts"><ul>{"".join(rows)}</ul></div>'


def run(session: Session, form: str, quality: float) -> None:
    """Queues the export under a name that is not taken."""
    codec, suffix = (CHOICES | HANDOVERS)[form]
    folder = session.editor.workspace.exports
    folder.mkdir(exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "_", session.editor.project.name)[:80].strip("._") or "clip"
    name = f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    number = 1
    while (folder / f"{name}{suffix}").exists():
        number += 1
        name = f"{name}-{number}"
    if form in HANDOVERS:
        session.submit("handover", {"out": str(folder / f"{name}{suffix}"), "form": codec})
        return
    crf = int(quality) if codec.startswith("h264") else None
    session.submit("export", {"out": str(folder / f"{name}{suffix}"), "codec": codec, "quality": crf})
