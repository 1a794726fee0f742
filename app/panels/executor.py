"""Who renders the segments of the page's jobs: this machine, one after the other or several at once, or Ray."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from app.handlers import Handlers
from app.panels.base import Panel
from app.session import Session
from app.store import SessionStore
from engine import MethodError, check_executor, choose_executor, chosen_executor, why_no_ray

SERIAL = ("one after the other", "serial")
POOL = ("several at once, on this machine's cores", "pool")
RAY = "ray"


def build() -> Panel:
    """The choice, the address of a cluster, and what there is to say about it."""
    chosen = gr.Dropdown(choices_of(why_no_ray()), label="Segments are rendered", elem_id="executor")
    address = gr.Textbox(label="Ray cluster (empty: this machine)", placeholder="HOST:PORT", max_length=200, elem_id="cluster")
    note = gr.HTML(elem_id="executor-note")

    def show(session: Session, frame: int) -> list[Any]:
        (name, where), missing = chosen_executor(), why_no_ray()
        return [
            gr.update(choices=choices_of(missing), value=name),
            gr.update(value=where, interactive=not missing),
            told(name, where, missing),
        ]

    return Panel([chosen, address, note], show, {"chosen": chosen, "address": address})


def choices_of(missing: str) -> list[tuple[str, str]]:
    """`missing`: how Ray is got, "" where it is installed."""
    return [SERIAL, POOL, ("on Ray" + (" – not installed" if missing else ""), RAY)]


def told(name: str, where: str, missing: str) -> str:
    """How Ray is got where it is missing; where it works where it is chosen."""
    place = f"the cluster at {where}" if where else "the cores and GPUs of this machine"
    said = missing or (f"Jobs begun from now on are rendered by Ray on {place}." if name == RAY else "")
    return f'<div class="al-facts">{html.escape(said)}</div>' if said else ""


def wire(on: Handlers, parts: dict[str, Any]) -> None:
    """Choosing Ray takes the address that is written; an address chooses Ray."""
    given = [parts["chosen"], parts["address"]]
    on.on(parts["chosen"].input, lambda s, f, name, address: choose(on.store, name, address), given, name="executor")
    on.on(parts["address"].submit, lambda s, f, address: choose(on.store, RAY, address), [parts["address"]], name="cluster")


def choose(store: SessionStore, name: str, address: str) -> None:
    """For jobs that begin from now on, and remembered. Raises EngineError where it could not be used now."""
    store.alone("Choosing who renders")
    if not isinstance(address, str):
        raise MethodError("The address of a cluster is written HOST:PORT.")
    where = address.strip() if name == RAY else ""
    check_executor(name, where)
    choose_executor(name, where)
    store.shelf.set_executor(name, where)
