"""Routes of auditions: asking for one, and the pictures of its tiles. How it stands is told by its job (app/routes.py)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.session import Session
from engine import Job, MediaError, RecipeError, audition_picture

MAX_BODY = 4096
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}


def audition_routes(base: str, project: Callable[..., Any]) -> list[Route]:
    """The routes under `base`; `project` makes an endpoint of a handler (app/routes.py)."""
    return [
        Route(f"{base}/audition", project(_ask, most=MAX_BODY), methods=["POST"]),
        Route(f"{base}/audition/{{key}}/{{frame}}.jpg", project(_picture)),
    ]


def _ask(session: Session, request: Request, body: dict[str, Any]) -> Response:
    frame = body.get("frame")
    if isinstance(frame, bool) or not isinstance(frame, int) or frame not in session.editor.project.video.span:
        raise RecipeError("An audition is asked for by a frame of the clip.")
    return JSONResponse({"job": hold(session, frame).view()})


def hold(session: Session, frame: int) -> Job:
    """An audition on the second around a frame, run by a worker; an earlier one that still runs is called off."""
    for job in session.jobs.of(session.editor.journal):
        if job.active and job.kind == "audition" and job.args != {"frame": frame}:
            session.jobs.cancel(job)
    return session.submit("audition", {"frame": frame})


def _picture(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """A picture of a tile, by content."""
    key, frame = request.path_params["key"], request.path_params["frame"]
    known = re.fullmatch(r"[0-9a-f]{64}", key) and re.fullmatch(r"[0-9]{1,9}", frame)
    blob = audition_picture(session.editor.workspace, key, int(frame)) if known else None
    if blob is None:
        raise MediaError("This picture of the audition is not there any more; hold it again.")
    return Response(blob, media_type="image/jpeg", headers=FOR_EVER)
