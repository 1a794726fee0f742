"""Who is logged in, with the way out; nothing where nobody logs in."""

from __future__ import annotations

import html

import gradio as gr

from app.people import asking


def build() -> gr.HTML:
    return gr.HTML(elem_id="who")


def shown() -> str:
    """The user's name and the button that logs out."""
    user = asking()
    if not user:
        return ""
    leave = '<form method="post" action="/logout"><button type="submit">Log out</button></form>'
    return f'<div class="al-who"><span>{html.escape(user)}</span>{leave}</div>'
