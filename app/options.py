"""The editor's options. Nothing heavy is imported here: a wrong one is answered at once."""

from __future__ import annotations

import argparse
from pathlib import Path

USER_GB = 50.0


def parser() -> argparse.ArgumentParser:
    one = argparse.ArgumentParser(prog="launch.py", description="Opens the Anchorline editor.")
    one.add_argument("what", nargs="?", metavar="CLIP or PROJECT", help="a video file, a folder of frames, or a project folder")
    one.add_argument("--no-browser", action="store_true", help="do not open a browser")
    one.add_argument("--port", type=int, default=7860, help="default 7860")
    one.add_argument("--host", default="127.0.0.1", help="address to listen on; default 127.0.0.1: this machine only")
    one.add_argument("--auth-file", type=Path, metavar="FILE", help="users log in; made with launch.py user add")
    one.add_argument("--name", action="append", default=[], metavar="HOST", help="a host name this server is reached by")
    one.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    one.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    one.add_argument("--proxy", action="append", default=[], metavar="ADDRESS", help="a reverse proxy in front, by IP address")
    one.add_argument("--insecure-http", action="store_true", help="let users in over plain http")
    one.add_argument("--user-gb", type=float, default=USER_GB, metavar="N", help=f"room of each user; default {USER_GB:g}")
    one.add_argument("--mcp", action="store_true", help="also be an MCP server, for this machine only")
    return one
