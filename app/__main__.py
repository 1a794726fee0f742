"""Starts the editor: `python -m app [CLIP or PROJECT] [--port N] [--host H] [--no-browser]` (launch.py does this)."""

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

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_UPLOAD = 8 * 2**30


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.host not in LOOPBACK or options.auth_file:
        print(
            "This version has no login, so it only listens on this machine; leave out --host and --auth-file, "
            "and reach it from elsewhere through an SSH tunnel.",
            file=sys.stderr,
        )
        return 1
    home = Path(os.environ.get("ANCHORLINE_HOME") or Path.home() / "Anchorline").expanduser()
    try:
        (home / "projects").mkdir(parents=True, exist_ok=True)
        (home / "uploads").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        print(f"Cannot write to {home}: {error.strerror}; set ANCHORLINE_HOME to a folder you own.", file=sys.stderr)
        return 1
    _quiet(home / "uploads")
    return serve(options, home / "projects")


def parser() -> argparse.ArgumentParser:
    one = argparse.ArgumentParser(prog="launch.py", description="Opens the Anchorline editor.")
    one.add_argument("what", nargs="?", metavar="CLIP or PROJECT", help="a video file, a folder of frames, or a project folder")
    one.add_argument("--port", type=int, default=7860, help="default 7860")
    one.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine only")
    one.add_argument("--auth-file", type=Path, help="logins, for other hosts than this machine")
    one.add_argument("--no-browser", action="store_true", help="do not open a browser")
    return one


def _quiet(uploads: Path) -> None:
    """Settings that Gradio and the hub library read when they are imported: nothing leaves this machine unasked."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.pop("GRADIO_SHARE", None)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def serve(options: argparse.Namespace, projects: Path) -> int:
    """Builds the page, serves it until a signal comes."""
    # Imported here: a wrong option is answered at once, and the settings above come first.
    from starlette.middleware import Middleware
    from starlette.routing import Mount

    from app.guard import Guard
    from app.layout import ASSETS, build_page
    from app.routes import build_api
    from app.store import SessionStore
    from engine import EngineError

    store = SessionStore(projects)
    try:
        first = store.open(Path(options.what).expanduser()) if options.what else store.sample()
    except EngineError as error:
        print(str(error), file=sys.stderr)
        store.close()
        return 1
    page = build_page(store, first)
    page.queue(max_size=256, default_concurrency_limit=None, api_open=False)
    try:
        page.launch(
            server_name=options.host,
            server_port=options.port,
            share=False,
            quiet=True,
            show_error=False,
            prevent_thread_lock=True,
            max_file_size=MAX_UPLOAD,
            allowed_paths=[],
            strict_cors=True,
            state_session_capacity=64,
            run_history=False,
            mcp_server=False,
            footer_links=[],
            enable_monitoring=False,
            css_paths=ASSETS / "page.css",
            app_kwargs={
                "routes": [Mount("/api", app=build_api(store))],
                "middleware": [Middleware(Guard, hosts=LOOPBACK, max_body=MAX_UPLOAD)],
            },
        )
    except OSError:
        print(f"Port {options.port} is taken; give another with --port, or close what uses it.", file=sys.stderr)
        store.close()
        return 1
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"http://{host}:{options.port}/?project={first.id}"
    print(f"Anchorline is at {address}", flush=True)
    if not options.no_browser:
        webbrowser.open(address)
    return _wait(store, page)


def _wait(store: object, page: object) -> int:
    """Until Ctrl+C or a polite kill; then workers are stopped and files closed."""
    stop = threading.Event()

    def handler(number: int, frame: FrameType | None) -> None:
        stop.set()

    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), handler)
    while not stop.wait(1.0):
        pass
    print("Closing; everything is saved.", file=sys.stderr)
    page.close(verbose=False)  # type: ignore[attr-defined]
    store.close()  # type: ignore[attr-defined]
    return 130


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Gradio's server thread may still be finishing a request; everything that matters is on disk.
    os._exit(code)
