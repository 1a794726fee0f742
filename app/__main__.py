"""Starts the editor: `python -m app [CLIP or PROJECT] [--port N] [--host H] …` (launch.py does this)."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import webbrowser
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from app.options import parser

if TYPE_CHECKING:
    import gradio as gr

    from app.people import People
    from app.serving import Serving
    from app.session import Session
    from app.store import SessionStore


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    home = Path(os.environ.get("ANCHORLINE_HOME") or Path.home() / "Anchorline").expanduser()
    try:
        (home / "projects").mkdir(parents=True, exist_ok=True)
        (home / "uploads").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        print(f"Cannot write to {home}: {error.strerror}; set ANCHORLINE_HOME to a folder you own.", file=sys.stderr)
        return 1
    _quiet(home / "uploads")
    return serve(options, home)


def _quiet(uploads: Path) -> None:
    """Settings that Gradio and the hub library read when they are imported: nothing leaves this machine unasked."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    # Gradio makes statistics of the last 10,000 events anew after each one; nobody sees them here.
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(10**9)
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "100"
    os.environ["FORWARDED_ALLOW_IPS"] = ""  # the guard alone decides whose word on a visitor's address counts
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.pop("GRADIO_SHARE", None)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def serve(options: argparse.Namespace, home: Path) -> int:
    """Builds the page, serves it until a signal comes."""
    # Imported here: a wrong option is answered at once, and the settings above come first.
    from app.layout import build_page
    from app.mcp import PATH
    from app.people import People, store_of_asking
    from app.serving import ServingError, serving
    from engine import EngineError

    try:
        reached = serving(options, home)
    except ServingError as error:
        print(str(error), file=sys.stderr)
        return 2
    people = People(home, shared=reached.shared, room=reached.room)
    try:
        first = None if reached.shared else _first(people.of(""), options.what)
    except EngineError as error:
        print(str(error), file=sys.stderr)
        people.close()
        return 1
    store = store_of_asking(people)
    page = build_page(store, first)
    page.queue(max_size=256, default_concurrency_limit=None, api_open=False)
    try:
        _launch(page, store, reached, options.mcp)
    except OSError:
        print(f"Port {options.port} is taken; give another with --port, or close what uses it.", file=sys.stderr)
        people.close()
        return 1
    reached.uploads.start()
    address = reached.address + (f"?project={first.id}" if first else "")
    print(f"Anchorline is at {address}", flush=True)
    if options.mcp:
        print(f"Its MCP server is at {reached.address}{PATH}", flush=True)
    if not options.no_browser:
        webbrowser.open(address)
    return _wait(people, page)


def _first(store: SessionStore, what: str | None) -> Session:
    return store.open(Path(what).expanduser()) if what else store.sample()


def _launch(page: gr.Blocks, store: SessionStore, reached: Serving, mcp: bool) -> None:
    """Raises OSError when the port is taken."""
    from starlette.middleware import Middleware
    from starlette.routing import Mount

    from app.guard import Guard
    from app.layout import ASSETS
    from app.people import OnBehalf
    from app.routes import build_api

    page.launch(
        server_name=f"[{reached.host}]" if ":" in reached.host else reached.host,
        server_port=reached.port,
        share=False,
        quiet=True,
        show_error=False,
        prevent_thread_lock=True,
        max_file_size=reached.rules.max_body,
        allowed_paths=[],
        strict_cors=True,
        state_session_capacity=64,
        run_history=False,
        mcp_server=mcp,
        footer_links=[],
        enable_monitoring=False,
        css_paths=[ASSETS / "page.css", ASSETS / "who.css"],
        app_kwargs={
            "routes": [Mount("/api", app=OnBehalf(build_api(store)))],
            "middleware": [Middleware(Guard, rules=reached.rules)],
        },
        **reached.launch,
    )


def _wait(people: People, page: gr.Blocks) -> int:
    """Until Ctrl+C or a polite kill; then workers are stopped and files closed."""
    stop = threading.Event()

    def handler(number: int, frame: FrameType | None) -> None:
        stop.set()

    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), handler)
    while not stop.wait(1.0):
        pass
    print("Closing; everything is saved.", file=sys.stderr)
    page.close(verbose=False)
    people.close()
    return 130


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Gradio's server thread may still be finishing a request; everything that matters is on disk.
    os._exit(code)
