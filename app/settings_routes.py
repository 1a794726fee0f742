"""Routes of what the page keeps for its user (app/settings.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.settings import PageSettings
from app.store import SessionStore
from engine import EngineError

FRESH = {"Cache-Control": "no-cache"}
MAX_BODY = 2**17


def settings_routes(store: SessionStore, body: Callable[[Request, int], Awaitable[dict[str, Any]]]) -> list[Route]:
    """GET gives all settings, POST takes changes of some; `body` reads a JSON object of at most so many bytes."""

    async def read(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(lambda: PageSettings(store.home).read()), headers=FRESH)

    async def keep(request: Request) -> Response:
        try:
            changes = await body(request, MAX_BODY)
            return JSONResponse(await run_in_threadpool(lambda: PageSettings(store.home).keep(changes)))
        except EngineError as error:
            return JSONResponse({"error": str(error)}, 400)

    return [Route("/settings", read), Route("/settings", keep, methods=["POST"])]
