"""The method with its controls, the run, and the dock that shows the job whatever else is open."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from app.panels import fields
from app.panels.base import Panel
from app.session import Session
from engine import METHODS, Job, acts, dirty_segments

KINDS = {
    "prepare": "Preparing the clip",
    "carry": "Carrying masks",
    "propagate": "Propagating",
    "export": "Exporting",
    "zip": "Zipping the project",
}


def build() -> Panel:
    """Method, its config, what there is to do."""
    configs = {name: (card.title, card.Config) for name, card in METHODS.items()}
    chosen, controls = fields.chooser(configs, "Method", "method")
    plan = gr.HTML(elem_id="plan")
    run = gr.Button("Propagate (Ctrl+Enter)", variant="primary", elem_id="propagate")

    def show(session: Session, frame: int) -> list[Any]:
        return [_plan(session)]

    return Panel([plan], show, {"chosen": chosen, "controls": controls, "run": run})


def _plan(session: Session) -> str:
    material = session.material
    if not material.project.edit.approved:
        return '<div class="al-facts">Approve a take on at least one anchor first.</div>'
    dirty = dirty_segments(material)
    frames = sum(segment.stop - segment.start for segment in dirty)
    rest = len(material.segments) - len(dirty)
    if not dirty:
        return f'<div class="al-facts">All {rest} segments are rendered: export, or change something.</div>'
    return f'<div class="al-facts">To render: {len(dirty)} segments, {frames} frames. To reuse: {rest} segments.</div>'


def run(session: Session, name: str, config: dict[str, Any]) -> None:
    """Sets the method and its config, then hands the work to a worker."""
    edit = session.editor.project.edit
    if (edit.method, edit.config) != (name, config):
        session.editor.act(acts.set_edit, "Method", "method", method=name, config=config)
    session.submit("propagate")


# --- the dock ---------------------------------------------------------------------------------------------


def dock() -> tuple[gr.HTML, gr.Button]:
    """Always visible: kind, phase, progress, time left; cancel."""
    card = gr.HTML(card_of(None), elem_id="job")
    cancel = gr.Button("Cancel", variant="stop", size="sm", interactive=False, elem_id="cancel")
    return card, cancel


def card_of(job: Job | None) -> str:
    """The job as HTML; every text escaped."""
    if job is None:
        return '<div class="al-job" data-state="idle">No job is running.</div>'
    share = 100 * job.done / max(job.total, 1)
    parts = [f"<b>{KINDS.get(job.kind, html.escape(job.kind))}</b>", html.escape(job.state)]
    if job.active:
        parts += [html.escape(job.phase), f"{job.done} of {job.total}", f"{job.seconds:.0f} s"]
        if job.eta is not None:
            parts.append(f"about {_time(job.eta)} left")
    text = " · ".join(part for part in parts if part)
    note = f'<div class="al-note">{html.escape(job.message)}</div>' if job.message else ""
    bar = f'<div class="al-bar"><div style="width:{share:.1f}%"></div></div>' if job.active else ""
    about = f'data-state="{job.state}" data-kind="{job.kind}" data-job="{job.id}"'
    return f'<div class="al-job" role="status" {about}>{text}{bar}{note}</div>'


def _time(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 90 else f"{whole // 60} min {whole % 60} s"
