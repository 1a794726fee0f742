"""What a panel is: components it updates, and a pure function from the session to those updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from app.session import Session

Show = Callable[[Session, int], list[Any]]
"""`show(session, frame)`: one update per output of the panel, in order."""
Wire = Callable[..., Any]


@dataclass(frozen=True)
class Panel:
    """`outputs` are set again from `show` after every change of the document."""

    outputs: list[gr.components.Component]
    show: Show
    parts: dict[str, Any] = field(default_factory=dict)
