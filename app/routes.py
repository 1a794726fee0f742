"""Our own routes beside Gradio's, under /api: pictures by frame, the canvas's acts, jobs, downloads.

The canvas sends its acts here in order, each with the frame it was made on; the answer is the new view, or a refusal
`{"error": sentence}` with a 4xx status. Pictures carry a content key in their address wherever they can change, so
they may be cached for ever.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from app.audition_routes import audition_routes
from app.review_routes import review_routes
from app.session import Session
from app.settings_routes import settings_routes
from app.sheet_routes import sheet_routes
from app.store import SessionStore, UnknownProject
from app.view import pack_view
from engine import (
    EngineError,
    Job,
    RecipeError,
    found_tokens,
    layer_of,
    mask_png,
    poster_of,
    sound_file,
    summary_of,
    track_values,
)

ASSETS = Path(__file__).resolve().parent.parent / "assets"
ASSET_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png"}
MAX_ACT = 4 * 2**20
MAX_PAINT = 256 * 2**20
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
FRESH = {"Cache-Control": "no-cache"}

BUG = "Something went wrong inside Anchorline; its log says what. Nothing was changed."
log = logging.getLogger("anchorline")
Handler = Callable[[Session, Request, dict[str, Any]], Response]


class NotHere(EngineError):
    """There is nothing at that address (any more)."""


class TooMuch(EngineError):
    """The body is larger than this address takes."""


def build_api(store: SessionStore) -> Starlette:
    """The data plane of all projects in the store."""

    async def poster(request: Request) -> Response:
        """A small picture of a project for lists. Does not open the project: that would take it from another editor."""
        folder = store.folder_of(request.path_params["project"])
        blob = None if folder is None else await run_in_threadpool(lambda: poster_of(summary_of(folder)))
        if blob is None:
            return refusal(404, "There is no picture of this project yet.")
        return Response(blob, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    return Starlette(
        routes=[
            Route("/static/{name}", _asset),
            Route("/posters/{project}.jpg", poster),
            *settings_routes(store, _body),
            *_project_routes("/projects/{project}", partial(_of_project, store)),
        ],
        exception_handlers={HTTPException: _no_route},
    )


def _project_routes(base: str, project: Callable[..., Any]) -> list[Route]:
    """What there is under the address of a project; `project` makes endpoints of handlers."""
    return [
        Route(f"{base}/view", project(_view)),
        Route(f"{base}/status", project(_status)),
        Route(f"{base}/acts", project(_act, most=MAX_ACT), methods=["POST"]),
        Route(f"{base}/paint", project(_paint, most=MAX_PAINT), methods=["POST"]),
        Route(f"{base}/jobs/{{job}}", project(_job)),
        Route(f"{base}/jobs/{{job}}/cancel", project(_cancel, most=MAX_ACT), methods=["POST"]),
        Route(f"{base}/pack/{{part}}", project(_pack)),
        Route(f"{base}/frame/{{frame}}.jpg", project(_frame)),
        Route(f"{base}/edited/{{frame}}.jpg", project(_edited)),
        Route(f"{base}/instant/{{frame}}.jpg", project(_instant)),
        Route(f"{base}/object/{{key}}.png", project(_object)),
        Route(f"{base}/mask/{{subject}}/{{frame}}.png", project(_mask)),
        Route(f"{base}/tracks/{{subject}}", project(_tracks)),
        Route(f"{base}/tokens", project(_tokens)),
        Route(f"{base}/preview/{{subject}}/{{frame}}.png", project(_preview)),
        Route(f"{base}/times", project(_times)),
        Route(f"{base}/audio", project(_audio)),
        Route(f"{base}/exports/{{name}}", project(_export)),
        *review_routes(base, project),
        *audition_routes(base, project),
        *sheet_routes(base, project),
    ]


def _of_project(store: SessionStore, handler: Handler, *, most: int = 0) -> Callable[[Request], Any]:
    """An endpoint of one project; `most` is the size in bytes of the JSON body that it takes, 0 for none."""

    async def endpoint(request: Request) -> Response:
        try:
            given = await _body(request, most) if most else {}
            return await run_in_threadpool(lambda: handler(store.get(request.path_params["project"]), request, given))
        except (UnknownProject, NotHere) as error:
            return refusal(404, error)
        except TooMuch as error:
            return refusal(413, error)
        except EngineError as error:
            return refusal(400, error)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:
            log.exception("%s %s", request.method, request.url.path)
            return refusal(500, BUG)

    return endpoint


def refusal(status: int, error: object) -> JSONResponse:
    """One sentence as JSON. What a stranger sent may stand in it, so it is made printable first."""
    return JSONResponse({"error": str(error).encode("utf-8", "replace").decode()}, status)


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = {404: "There is nothing at this address.", 405: "This address does not take that kind of request."}
    return refusal(status, said.get(status, "The request was refused."))


async def _body(request: Request, most: int) -> dict[str, Any]:
    """A JSON object. The content type is required: other sites cannot send it without asking first."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise RecipeError("This address takes application/json.")
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > most:
            raise TooMuch(f"This address takes at most {most // 2**20} MB.")
    return await run_in_threadpool(_parsed, bytes(raw))


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RecipeError("The request is not valid JSON.") from error
    if not isinstance(value, dict):
        raise RecipeError("The request must be a JSON object.")
    return value


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    path = ASSETS / name
    if Path(name).name != name or path.suffix not in ASSET_TYPES or not path.is_file():
        return refusal(404, "There is no such file.")
    return FileResponse(path, media_type=ASSET_TYPES[path.suffix], headers=FRESH)


# --- the document -----------------------------------------------------------------------------------------


def _view(session: Session, request: Request, body: dict[str, Any]) -> Response:
    return JSONResponse(session.view(), headers=FRESH)


def _status(session: Session, request: Request, body: dict[str, Any]) -> Response:
    material = session.material
    job = session.job
    state = {
        "rev": session.editor.rev,
        "pack": pack_view(material),
        "job": job.view() if job else None,
        **session.progress(),
    }
    return JSONResponse(state, headers=FRESH)


def _act(session: Session, request: Request, body: dict[str, Any]) -> Response:
    name, args, gesture = body.get("name"), body.get("args", {}), body.get("gesture", "")
    if not isinstance(name, str) or not isinstance(args, dict) or not isinstance(gesture, str):
        raise RecipeError("An act is an object with a name, args and perhaps a gesture.")
    return JSONResponse({"view": session.do(name, args, gesture)})


def _paint(session: Session, request: Request, body: dict[str, Any]) -> Response:
    frame, png, over = body.get("frame"), body.get("png"), body.get("over")
    if not isinstance(frame, int) or not isinstance(png, str) or not (over is None or isinstance(over, str)):
        raise RecipeError("A painted take is an object with frame, png and over.")
    size = session.editor.project.video.size
    try:
        layer = layer_of(base64.b64decode(png.removeprefix("data:image/png;base64,"), validate=True), size)
    except ValueError as error:
        raise RecipeError("The painted layer is not base64.") from error
    session.editor.paint_take(frame, layer, over)
    return JSONResponse({"view": session.view()})


# --- jobs -------------------------------------------------------------------------------------------------


def _job(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """A job of this project; one of an earlier editor as it was written down. Unknown is not done."""
    name = request.path_params["job"]
    job = session.jobs.get(name)
    if job is not None and job.journal is session.editor.journal:
        return JSONResponse(job.view(), headers=FRESH)
    written = session.editor.journal.job(name)
    if written is None:
        return JSONResponse({"state": "unknown", "error": "There is no such job in this project."}, 404)
    return JSONResponse(Job.of_body(session.editor.journal, written).view(), headers=FRESH)


def _cancel(session: Session, request: Request, body: dict[str, Any]) -> Response:
    job = session.jobs.get(request.path_params["job"])
    if job is None or job.journal is not session.editor.journal:
        return JSONResponse({"state": "unknown", "error": "There is no such job in this project."}, 404)
    session.jobs.cancel(job)
    return JSONResponse({"job": job.view()})


# --- pictures and sound -----------------------------------------------------------------------------------


def _pack(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """The frame pack's files, also while they grow: `index` (24 bytes a frame) and `data` (JPEGs); HTTP ranges."""
    part = request.path_params["part"]
    pack = session.material.pack
    if part == "index" and (pack is None or not (pack.folder / part).is_file()):
        # Nothing is packed yet: an empty index, not an error in the browser's console.
        return Response(media_type="application/octet-stream", headers={**FRESH, "X-Complete": "0"})
    if part not in ("index", "data") or pack is None or not (pack.folder / part).is_file():
        raise NotHere("The preview pictures are not there yet.")
    complete = {"X-Complete": "1" if pack.complete else "0"}
    return FileResponse(pack.folder / part, media_type="application/octet-stream", headers={**FRESH, **complete})


def _frame(session: Session, request: Request, body: dict[str, Any]) -> Response:
    frame = _frame_number(session, request)
    return Response(session.viewer.source_jpeg(session.material, frame), media_type="image/jpeg", headers=FRESH)


def _edited(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """A frame with the edits up to the one that is worked on; `below`: without that one."""
    material = session.material
    below = material.below if "below" in request.query_params else None
    jpeg = session.viewer.edited_jpeg(below or material, _frame_number(session, request))
    if jpeg is None:
        raise NotHere("This frame is not rendered yet.")
    return Response(jpeg, media_type="image/jpeg", headers=FOR_EVER if "v" in request.query_params else FRESH)


def _instant(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """The edited frame before it is rendered, small; waits a little for it. 204 = it is not there (yet)."""
    picture = session.instant.picture(session.material, _frame_number(session, request))
    if picture is None:
        return Response(status_code=204, headers=FRESH)
    return Response(picture.jpeg, media_type="image/jpeg", headers=FRESH)


def _object(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """Stored pictures by content: always PNG."""
    path = session.editor.journal.objects.path(request.path_params["key"])
    if not path.is_file():
        raise NotHere("There is no such picture in this project.")
    return FileResponse(path, media_type="image/png", headers=FOR_EVER)


def _mask(session: Session, request: Request, body: dict[str, Any]) -> Response:
    frame, subject = _frame_number(session, request), _number(request.path_params["subject"])
    if subject not in {one.id for one in session.editor.project.subjects}:
        raise NotHere("There is no such subject in this project.")
    alpha = session.material.alpha(subject, frame)
    if alpha is None:
        raise NotHere("The mask is not carried to this frame yet.")
    return Response(mask_png(alpha), media_type="image/png", headers=FRESH)


def _tracks(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """Float32 [points, frames of the range, 3]: x, y, confidence of the subject's tracked points; NaN = not known yet."""
    subject = _number(request.path_params["subject"])
    if subject not in {one.id for one in session.editor.project.subjects}:
        raise NotHere("There is no such subject in this project.")
    values = track_values(session.material, subject).astype("<f4")
    return Response(values.tobytes(), media_type="application/octet-stream", headers=FRESH)


def _tokens(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """Float32 [tokens, frames of the range, 5]: x, y, 1 = seen, and x, y as found; NaN = not there. See assets/tokens.js."""
    found = found_tokens(session.material)
    if found is None:
        raise NotHere("No anchor tokens are found yet.")
    return Response(found.values.astype("<f4").tobytes(), media_type="application/octet-stream", headers=FRESH)


def _preview(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """The mask that a click at x, y (source pixels; label 1 inside, -1 outside) would give. Changes nothing."""
    frame, subject = _frame_number(session, request), _number(request.path_params["subject"])
    height, width = session.editor.project.video.size
    try:
        x, y, label = (float(request.query_params.get(name, "")) for name in ("x", "y", "label"))
    except ValueError as error:
        raise RecipeError("A preview needs the numbers x, y and label.") from error
    if not (0 <= x <= width - 1 and 0 <= y <= height - 1 and label in (1, -1)):
        raise RecipeError("A preview is of a click inside the picture, with label 1 or -1.")
    mask = session.editor.preview_click(frame, subject, (x, y), int(label))
    return Response(mask_png(mask), media_type="image/png", headers={"Cache-Control": "no-store"})


def _times(session: Session, request: Request, body: dict[str, Any]) -> Response:
    seconds = session.editor.project.video.seconds().astype("<f4")
    return Response(np.ascontiguousarray(seconds).tobytes(), media_type="application/octet-stream", headers=FRESH)


def _audio(session: Session, request: Request, body: dict[str, Any]) -> Response:
    path = sound_file(session.editor.workspace, session.editor.project.video)
    if path is None:
        raise NotHere("The clip has no sound.")
    return FileResponse(path, media_type="audio/mp4", headers=FRESH)


def _export(session: Session, request: Request, body: dict[str, Any]) -> Response:
    """A finished clip, always as a download: a browser must not run what a user named."""
    name = request.path_params["name"]
    path = session.editor.workspace.exports / name
    if Path(name).name != name or not path.is_file():
        raise NotHere("There is no such export in this project.")
    return FileResponse(path, filename=name, content_disposition_type="attachment")


def _frame_number(session: Session, request: Request) -> int:
    frame = _number(request.path_params["frame"])
    if frame not in session.editor.project.video.span:
        raise NotHere(f"There is no frame {frame} in this clip." if frame >= 0 else "That is no frame of this clip.")
    return frame


def _number(text: str) -> int:
    """A number in an address; -1 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
