"""What there is to check: the problems by severity, which the page's own code fills (assets/check.js), and the report."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from app.canvas import STATIC
from app.panels.base import Panel
from app.session import Session
from engine import Certificate

TEMPLATE = '<div class="al-check"></div>'
SCRIPT = f"import('{STATIC}check.js').then((module) => module.mount(element));"


class ProblemList(gr.HTML):
    """The problems of the project that the canvas shows; it binds itself to the canvas and has no value."""

    def __init__(self, **more: Any) -> None:
        super().__init__(None, html_template=TEMPLATE, js_on_load=SCRIPT, apply_default_css=False, **more)


def build() -> Panel:
    """The list, the certificates, the report to download."""
    ProblemList(elem_id="problems")
    certificates = gr.HTML(elem_id="certificates")
    measure = gr.Button("Measure the rendered frames", size="sm", elem_id="measure-rendered")
    report = gr.HTML(elem_id="report")

    def show(session: Session, frame: int) -> list[Any]:
        proved = session.review.certificate(session.material, session.instant)
        return [seals(proved), gr.update(interactive=proved.missing > 0), downloads(session)]

    return Panel([certificates, measure, report], show, {"measure": measure})


def wire(on: Any, parts: dict[str, Any]) -> None:
    """The button hands the measuring to a worker."""
    on.on(parts["measure"].click, lambda session, frame: session.submit("certify") and None, name="measure_rendered")


def seals(proved: Certificate) -> str:
    """Both certificates as HTML."""
    kept, exactly = "Nothing outside the region changed", "Approved anchors came out exactly"
    region = f"Largest change: {proved.outside} levels over {len(proved.frames)} frames, before encoding."
    anchors = f"{len(proved.anchors)} anchor{'s' * (len(proved.anchors) != 1)}"
    exact = f"Largest difference: {proved.anchor} levels, {anchors}, before encoding."
    rows = [
        _seal("region", proved.region_holds, kept, "Something outside the region changed", region),
        _seal("anchors", proved.anchors_hold, exactly, "An approved anchor came out changed", exact),
    ]
    rest = f"{proved.missing} rendered segments are not measured yet." if proved.missing else ""
    return f'<div class="al-report"><b>Certificates</b>{"".join(rows)}<div class="al-note">{rest}</div></div>'


def _seal(name: str, holds: bool | None, yes: str, no: str, figure: str) -> str:
    unknown = {"region": "Outside the region: not measured yet", "anchors": "Approved anchors: not measured yet"}[name]
    said = {None: ("–", unknown, ""), True: ("✓", yes, figure), False: ("✗", no, figure)}[holds]
    mark, sentence, told = (html.escape(one) for one in said)
    state = "" if holds is None else str(holds).lower()
    body = f"<span><b>{sentence}</b><br>{told}</span>" if told else f"<span>{sentence}</span>"
    return f'<div class="al-seal" data-name="{name}" data-holds="{state}"><span aria-hidden="true">{mark}</span>{body}</div>'


def downloads(session: Session) -> str:
    """Where the report of the project, as it is now, can be had."""
    base = f"/api/projects/{session.id}"
    links = [
        f'<a href="{base}/report.{kind}" download>{text}</a>' for kind, text in (("html", "Report to read"), ("json", "as JSON"))
    ]
    return f'<div class="al-facts">{", ".join(links)}: settings, measures, problems, certificates, a hash of every frame.</div>'
