"""The project as a whole: where it stands, copies, zips, backups, a clip that moved, the cache, the other projects."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path
from typing import Any

import gradio as gr

from app.panels.base import Panel
from app.session import Session
from app.store import SessionStore
from engine import AnotherClip, Summary, backups_of

LIST_SCRIPT = """
/* events: 'pick' */
element.addEventListener('click', (event) => {
  const row = event.target.closest('[data-project]');
  if (row) trigger('pick', {project: row.dataset.project});
});
"""
MOST_LISTED = 40


class ProjectList(gr.HTML):
    """The projects with a picture each; a click opens one."""

    def __init__(self, **more: Any) -> None:
        super().__init__(js_on_load=LIST_SCRIPT, **more)

    def api_info(self) -> dict[str, Any]:
        return {"type": "string"}


def build(store: SessionStore) -> Panel:
    """Controls of whole projects; `store` knows them all."""
    state = gr.HTML(elem_id="project-state")
    with gr.Group(visible=False, elem_id="missing") as missing:
        place = gr.Textbox(label="The clip's file now, or a folder to search", elem_id="relink-path", max_length=4096)
        find = gr.Button("Find it there", size="sm", elem_id="relink")
        accept = gr.Button("Use this one anyway", size="sm", visible=False, elem_id="relink-accept")
    with gr.Accordion("Copies, zips, backups, cache", open=False, elem_id="project-panel"):
        name = gr.Textbox(label="Another name", max_length=120, elem_id="project-name")
        with gr.Row():
            rename = gr.Button("Rename", size="sm", min_width=40, elem_id="project-rename")
            copy = gr.Button("Save a copy", size="sm", min_width=40, elem_id="project-copy")
        clip = gr.Checkbox(True, label="Zips hold the clip", elem_id="zip-clip")
        with gr.Row():
            pack = gr.Button("Export zip", size="sm", min_width=40, elem_id="project-zip")
            unpack = gr.UploadButton("Open zip…", file_types=[".zip"], size="sm", min_width=40, elem_id="project-unzip")
        backups = gr.Dropdown(label="Backups", choices=[], interactive=True, elem_id="backups")
        restore = gr.Button("Open backup as a new project", size="sm", elem_id="restore")
        limit = gr.Number(label="Cache limit, all projects (GB)", minimum=0, maximum=100_000, elem_id="cache-limit")
        clean = gr.Button("Empty this project's cache", size="sm", elem_id="cache-clean")
    with gr.Accordion("All projects", open=False, elem_id="all-projects"):
        others = ProjectList(elem_id="project-list")

    def show(session: Session, frame: int) -> list[Any]:
        gone, project = session.missing_clip(), session.editor.project
        earlier = _backups(session)
        return [
            _state(session, gone),
            gr.update(visible=bool(gone or session.other_clip)),
            gr.update(visible=session.other_clip is not None),
            gr.update(placeholder=project.name),  # not the value: somebody may be typing
            gr.update(choices=earlier, value=earlier[0][1] if earlier else None),
            gr.update(interactive=bool(earlier)),
            store.shelf.cache_gb,
            _list(store.summaries(), session.id),
        ]

    parts = {"place": place, "find": find, "accept": accept, "name": name, "rename": rename, "copy": copy, "pack": pack}
    more = {"unpack": unpack, "clip": clip, "backups": backups, "restore": restore, "limit": limit, "clean": clean}
    outputs = [state, missing, accept, name, backups, restore, limit, others]
    return Panel(outputs, show, {**parts, **more, "others": others})


def _state(session: Session, gone: str) -> str:
    """Whether everything is saved, or why nothing can be; what the cache takes."""
    said = session.editor.why_read_only or "Every change is on disk the moment it is made."
    lines = [said, *([gone] if gone else []), f"Cache of this project: {_size(session.cache_size())}."]
    kind = "readonly" if session.editor.why_read_only else "missing" if gone else "saved"
    return f'<div class="al-facts" data-state="{kind}">{"<br>".join(map(html.escape, lines))}</div>'


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _backups(session: Session) -> list[tuple[str, str]]:
    """(when, path) of the project's backups, newest first."""
    found = backups_of(session.editor.workspace.folder)
    return [(time.strftime("%d %b %Y, %H:%M", time.localtime(one.at)), one.path.name) for one in found]


def _list(summaries: list[tuple[str, Summary]], current: str) -> str:
    rows = []
    for identity, one in summaries[:MOST_LISTED]:
        size = f"{one.size[1]}×{one.size[0]}, {one.seconds:.1f} s, {one.approved} of {one.anchors} anchors approved"
        what = html.escape(one.trouble or f"{one.clip}: {size}")
        when = time.strftime("%d %b, %H:%M", time.localtime(one.changed))
        pressed = str(identity == current).lower()
        rows.append(
            f'<button type="button" class="al-project" data-project="{identity}" aria-pressed="{pressed}">'
            f'<img src="/api/posters/{identity}.jpg" alt="" loading="lazy" onerror="this.style.visibility=\'hidden\'">'
            f"<span><b>{html.escape(one.name)}</b><small>{what}</small><small>{when}</small></span></button>"
        )
    return f'<div class="al-projects">{"".join(rows)}</div>'


# --- what the buttons do ----------------------------------------------------------------------------------


def pack_zip(session: Session, clip: bool) -> None:
    """Queues a zip of the project into its exports."""
    stem = re.sub(r"[^\w.-]+", "_", session.editor.project.name)[:80].strip("._") or "project"
    out = session.editor.workspace.exports / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}.anchorline.zip"
    session.submit("zip", {"out": str(out), "clip": bool(clip)})


def relink(session: Session, text: str, accept: bool = False) -> None:
    """Looks for the clip where the user says. Another clip brings up the button that accepts it."""
    place = session.other_clip if accept and session.other_clip else Path(text.strip().strip('"')).expanduser()
    try:
        session.relink(place, accept=accept)
    except AnotherClip as error:
        gr.Warning(html.escape(str(error)))


def restore(store: SessionStore, session: Session, name: str) -> Session:
    folder = session.editor.workspace.folder
    return store.restore(folder, folder / "backups" / Path(str(name)).name)


def set_limit(store: SessionStore, gigabytes: float) -> None:
    store.alone("The cache limit")
    store.shelf.set_cache_gb(gigabytes)
    store.tidy()


def clean(session: Session) -> None:
    session.clean_cache()
