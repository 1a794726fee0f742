"""What each method can run with here, and what it would need: ready ones first, the others with a button that fetches."""

from __future__ import annotations

import html
from dataclasses import fields as fields_of
from typing import Any

import gradio as gr

from app.given import NEVER
from app.handlers import Handlers, endpoint, said
from app.panels import models
from app.panels.base import Panel
from app.session import Session
from app.store import SessionStore
from engine import METHODS, MODELS, Fitting, Option, fittings

PICK_SCRIPT = """
/* events: 'pick' */
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-fetch]');
  if (button && !button.disabled) trigger('pick', {model: button.dataset.fetch});
});
"""


class ModelRows(gr.HTML):
    """Methods with their models; a click on a button fetches one."""

    def __init__(self, **more: Any) -> None:
        super().__init__(js_on_load=PICK_SCRIPT, **more)

    def api_info(self) -> dict[str, Any]:
        return {"type": "string"}


def build(store: SessionStore, chosen: gr.Dropdown, controls: dict[str, list[Any]]) -> Panel:
    """`chosen` and `controls` are the method panel's: their choices say what is here."""
    with gr.Accordion("Methods and their models", open=False, elem_id="method-models") as panel:
        rows = ModelRows(elem_id="method-rows")
        errand = gr.HTML(elem_id="method-errand")
        stop = gr.Button("Stop", size="sm", visible=False, elem_id="method-fetch-stop")
    timer = gr.Timer(1.0, active=False)
    places = _places(controls)

    def show(session: Session, frame: int) -> list[Any]:
        found = fittings(store.free_memory)
        by_name = {one.name: one for one in found}
        labels = [
            gr.update(choices=[(one.label, one.value) for one in by_name[name].of_field(field)]) for name, field, _ in places
        ]
        return [rows_of(found, _fetching(store)), gr.update(choices=[(_title(one), one.name) for one in found]), *labels]

    outputs = [rows, chosen, *(control for _, _, control in places)]
    parts = {"panel": panel, "rows": rows, "errand": errand, "stop": stop, "timer": timer}
    return Panel(outputs, show, parts)


def _places(controls: dict[str, list[Any]]) -> list[tuple[str, str, Any]]:
    """(method, field, control) of every field that says which model is used."""
    found = []
    for one in fittings():
        named = {option.field for option in one.options}
        for field, control in zip(fields_of(METHODS[one.name].Config), controls[one.name], strict=True):
            if field.name in named:
                found.append((one.name, field.name, control))
    return found


def wire(on: Handlers, parts: dict[str, Any]) -> None:
    """Fetching with progress; opening the list looks what the device has free."""
    store = on.store
    told = [parts["rows"], parts["errand"], parts["stop"], parts["timer"], on.echo]

    def now() -> list[Any]:
        text, runs = models.errand_of(store)
        found = rows_of(fittings(store.free_memory), _fetching(store))
        return [found, text, gr.update(visible=runs), gr.update(active=runs), NEVER]

    def begin(data: gr.EventData) -> list[Any]:
        said(lambda: models.begin(store, "fetch", str((data._data or {}).get("model", "")), False))
        return now()

    def halt() -> list[Any]:
        said(lambda: models.stop(store))
        return now()

    quiet = endpoint()
    parts["rows"].pick(begin, None, told, **quiet)
    parts["stop"].click(halt, None, told, **quiet)
    parts["timer"].tick(now, None, told, **quiet)
    on.on(parts["panel"].expand, lambda session, frame: store.look_for_devices(), name="")


def _fetching(store: SessionStore) -> str:
    """The model that is being fetched, or ""."""
    errand = store.desk.errand
    return errand.model if errand is not None and errand.state == "running" else ""


def _title(one: Fitting) -> str:
    return one.title if one.ready else f"{one.title} – not ready here"


def rows_of(found: list[Fitting], fetching: str = "") -> str:
    """Methods and options as HTML; every text escaped."""
    return "".join(_method(one, fetching) for one in found)


def _method(one: Fitting, fetching: str) -> str:
    state = "ready" if one.ready else f"needs {one.lacks}, which is not installed" if one.lacks else "needs a model"
    rows = "".join(_option(option, fetching) for option in one.options)
    head = f"<b>{html.escape(one.title)}</b> <small>{html.escape(state)}</small>"
    return (
        f'<div class="al-method" data-method="{html.escape(one.name)}" data-ready="{str(one.ready).lower()}">{head}{rows}</div>'
    )


def _option(option: Option, fetching: str) -> str:
    mark = "✓" if option.ready else "○"
    said = html.escape(f"{option.title}: {option.need}" if option.need else f"{option.title}: here")
    buttons = "".join(_button(name, fetching, alone=len(option.missing) == 1) for name in option.missing)
    return f'<div class="al-option" data-value="{html.escape(option.value)}"><span>{mark} {said}</span>{buttons}</div>'


def _button(name: str, fetching: str, *, alone: bool) -> str:
    title = html.escape(MODELS[name].title)
    text = "Fetching …" if name == fetching else "Fetch" if alone else f"Fetch {title}"
    off = "disabled" if fetching else ""
    about = f'data-fetch="{html.escape(name)}" aria-label="Fetch {title}"'
    return f'<button type="button" class="al-fetch" {about} {off}>{text}</button>'
