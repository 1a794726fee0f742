"""The MCP server (`--mcp`): the named endpoints (app/endpoints.py) as tools of a language model on this machine."""

from __future__ import annotations

import importlib.util
import sys

NEEDS = "mcp>=1.21,<2"
PATH = "gradio_api/mcp/"
HERE_ONLY = (
    "The MCP server is for this machine only, where its tools act without login: leave out --mcp, or what lets others in "
    "(--host, --name, --proxy, --auth-file)."
)


def mcp_refusal(*, beyond: bool) -> str:
    """Why the MCP server cannot be switched on, as one sentence; "" = it can. `beyond`: others can reach this editor."""
    if beyond:
        return HERE_ONLY
    if importlib.util.find_spec("mcp") is None:
        return f'The MCP server needs one more package: {sys.executable} -m pip install "{NEEDS}" (then start again).'
    return ""
