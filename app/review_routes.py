"""Routes of what is known about a run: the problem list and the lanes, the report, the order of waiting jobs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.session import Session
from engine import RecipeError, report_body, report_page

FRESH = {"Cache-Control": "no-cache"}
MAX_BODY = 4096
FURTHEST = 1000  # places by which a job can be moved at once


def review_routes(base: str, project: Callable[..., Any]) -> list[Route]:
    """The routes under `base`; `project` makes an endpoint of a handler (app/routes.py)."""
    return [
        Route(f"{base}/review", project(_review)),
        Route(f"{base}/report.{{kind}}", project(_report)),
        Route(f"{base}/jobs/{{job}}/move", project(_move, most=MAX_BODY), methods=["POST"]),
    ]


def _review(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """Lanes and problems; `key` is that of the view for which they were made."""
    material, instant = session.material, session.instant
    key = session.review.key(material, instant)
    return JSONResponse({"key": key, **session.review.of(material, instant).as_json()}, headers=FRESH)


def _report(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """The report as it is now, always as a download: a browser must not run what a user named."""
    kind, material = request.path_params["kind"], session.material
    if kind not in ("json", "html"):
        return JSONResponse({"error": "The report can be had as JSON and as HTML."}, 404)
    review, proved = session.review.of(material, session.instant), session.review.certificate(material, session.instant)
    told = report_body(material, review, proved)
    text = json.dumps(told, indent=1) if kind == "json" else report_page(material, told, review)
    name = f"{re.sub(r'[^A-Za-z0-9.-]+', '_', material.project.name)[:80].strip('._') or 'clip'}-report.{kind}"
    head = {**FRESH, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="application/json" if kind == "json" else "text/html", headers=head)


def _move(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """Moves a waiting job by `by` places, up where that is negative."""
    by = body.get("by")
    if not isinstance(by, int) or isinstance(by, bool) or abs(by) > FURTHEST:
        raise RecipeError("To move a job needs a whole number of places, by.")
    job = session.jobs.get(request.path_params["job"])
    if job is None or job.journal is not session.editor.journal:
        return JSONResponse({"state": "unknown", "error": "There is no such job in this project."}, 404)
    session.jobs.move(job, by)
    return JSONResponse({"queue": [one.view() for one in session.jobs.queued(session.editor.journal)]})
