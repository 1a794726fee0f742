"""Routes of the contact sheet, and of the onion skin: what is on it, small pictures, approving, making takes after others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.session import Session
from engine import MediaError, OutsideRegion, RecipeError, contact_sheet, in_one_shot, take_thumbnail

FRESH = {"Cache-Control": "no-cache"}
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
MAX_BODY = 4096
OUTSIDE = ("ask", "grow", "clip")


def sheet_routes(base: str, project: Callable[..., Any]) -> list[Route]:
    """The routes under `base`; `project` makes an endpoint of a handler (app/routes.py)."""
    return [
        Route(f"{base}/sheet", project(_sheet)),
        Route(f"{base}/sheet/approve", project(_approve, most=MAX_BODY), methods=["POST"]),
        Route(f"{base}/sheet/again", project(_again, most=MAX_BODY), methods=["POST"]),
        Route(f"{base}/sheet/after", project(_after, most=MAX_BODY), methods=["POST"]),
        Route(f"{base}/thumb/{{key}}.jpg", project(_thumb)),
        Route(f"{base}/onion/{{anchor}}/{{frame}}.png", project(_onion)),
    ]


def _sheet(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """The sheet; what is not compared yet is begun."""
    material = session.material
    sheet = contact_sheet(material)
    if any(pair["open"] for pair in sheet["pairs"]) and not session.editor.why_read_only:
        session.instant.compare(material)
    return JSONResponse({"rev": session.editor.rev, **sheet}, headers=FRESH)


def _approve(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """Approves a take, or with key null takes the approval back: {"view"}, or {"question"} where it reaches outside the mask.
    `outside` answers that: "grow" the region, or "clip" the take."""
    frame, key, outside = body.get("frame"), body.get("key"), body.get("outside", "ask")
    if not _is_number(frame) or not (key is None or isinstance(key, str)) or outside not in OUTSIDE:
        raise RecipeError("Approving needs a frame, a take's key or null, and perhaps what to do outside the mask.")
    try:
        session.editor.approve(frame, key, outside)
    except OutsideRegion as question:
        return JSONResponse({"question": str(question)})
    session.carry_soon()
    return JSONResponse({"view": session.view()})


def _again(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """Has a take made again, as it was made, with another seed."""
    frame, key = body.get("frame"), body.get("key")
    if not _is_number(frame) or not isinstance(key, str):
        raise RecipeError("Making a take again needs its frame and its key.")
    return JSONResponse({"job": session.submit("take", {"frame": frame, "again": key}).view()})


def _after(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """Has a take made for every other anchor after the approved one of a frame."""
    frame = body.get("frame")
    if not _is_number(frame):
        raise RecipeError("A reference is named by its frame.")
    return JSONResponse({"job": session.submit("take", {"frame": frame, "after": True}).view()})


def _thumb(session: Session, request: Request, body: dict[str, Any]) -> Response:
    try:
        jpeg = take_thumbnail(session.material, request.path_params["key"])
    except MediaError as error:
        return JSONResponse({"error": str(error)}, 404)
    return Response(jpeg, media_type="image/jpeg", headers=FOR_EVER)


def _onion(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """A take of an anchor (`take`: its key) warped to a frame, as a PNG with transparency at preview size; waits a little for it.

    204 = it is not there yet; with X-Nothing: 1 there is nothing to show. X-Rough: 1 where motion on the way is not computed and
    was read roughly; X-Seen: how much of the anchor's edit was not lost on the way, 0–1.
    """
    material, take = session.material, request.query_params.get("take", "")
    anchor, frame = (_number(request.path_params[name]) for name in ("anchor", "frame"))
    span = session.editor.project.video.span
    there = session.editor.project.edit.anchor_at(anchor)
    if anchor not in span or frame not in span or there is None or all(one.key != take for one in there.takes):
        return JSONResponse({"error": "There is no such anchor, take or frame in this project."}, 404)
    together = in_one_shot(material, anchor, frame)
    skin = session.instant.onion(material, frame, anchor, take) if together else None
    if skin is None or not skin.png:
        return Response(status_code=204, headers=FRESH if skin is None and together else {**FRESH, "X-Nothing": "1"})
    told = {"X-Rough": str(int(skin.rough)), "X-Seen": f"{skin.seen:.3f}"}
    return Response(skin.png, media_type="image/png", headers={**FRESH, **told})


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(text: str) -> int:
    """A number in an address; -1 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
