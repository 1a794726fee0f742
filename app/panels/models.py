"""Who does the work of marks, on which device; the models that can be fetched for it, each with its licence and size."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from app.panels import executor
from app.panels.base import Panel
from app.session import Session
from app.store import SessionStore
from engine import MASK_TRACKERS, MODELS, POINT_TRACKERS, SEGMENTERS_BY_MODELS, acts, choose_device, model_row, models_here

OURS = ("without weights", "auto")
BEST = ("the best there is", "")


def build(store: SessionStore) -> Panel:
    """Choices, then the list of models with fetch and check."""
    here = models_here()
    with gr.Accordion("Models and device", open=False, elem_id="models-panel") as panel:
        clicks = gr.Dropdown(_choices(SEGMENTERS_BY_MODELS, here), label="Masks from clicks", elem_id="clicks-by")
        masks = gr.Dropdown(_choices(MASK_TRACKERS, here), label="Masks carried", elem_id="masks-by")
        points = gr.Dropdown(_choices(POINT_TRACKERS, here), label="Points followed", elem_id="points-by")
        device = gr.Dropdown([BEST], value="", label="Device", elem_id="device")
        need = gr.HTML(elem_id="memory")
        renders = executor.build()
        first = next(iter(MODELS))
        chosen = gr.Dropdown([(one.title, name) for name, one in MODELS.items()], value=first, label="Model", elem_id="model")
        facts = gr.HTML(facts_of(first), elem_id="model-facts")
        accept = gr.Checkbox(False, label="I accept this licence", visible=False, elem_id="model-accept")
        with gr.Row():
            fetch = gr.Button("Fetch", size="sm", min_width=40, elem_id="model-fetch")
            check = gr.Button("Check", size="sm", min_width=40, elem_id="model-check")
            stop = gr.Button("Stop", size="sm", min_width=40, elem_id="model-stop")
        errand = gr.HTML(elem_id="model-errand")
    timer = gr.Timer(1.0, active=False)

    def show(session: Session, frame: int) -> list[Any]:
        project, here = session.editor.project, models_here()
        return [
            gr.update(choices=_choices(SEGMENTERS_BY_MODELS, here), value=session.editor.segmenter_name),
            gr.update(choices=_choices(MASK_TRACKERS, here), value=project.masks_by),
            gr.update(choices=_choices(POINT_TRACKERS, here), value=project.points_by),
            gr.update(
                choices=[BEST, *((f"{one['title']} ({one['name']})", one["name"]) for one in store.devices)], value=store.device
            ),
            memory(store, session),
            *renders.show(session, frame),
        ]

    outputs = [clicks, masks, points, device, need, *renders.outputs]
    parts: dict[str, Any] = {"clicks": clicks, "masks": masks, "points": points, "device": device, "need": need, "chosen": chosen}
    parts["panel"], parts["executor"] = panel, renders.parts
    more = {"facts": facts, "accept": accept, "fetch": fetch, "check": check, "stop": stop, "errand": errand, "timer": timer}
    return Panel(outputs, show, {**parts, **more})


def _choices(names: Any, here: set[str]) -> list[tuple[str, str]]:
    """Ours first; a model that is not here says so."""
    return [OURS, *((MODELS[name].title + ("" if name in here else " – not fetched"), name) for name in names)]


def facts_of(name: str) -> str:
    """A model as HTML; every text escaped."""
    row = model_row(MODELS[name])
    lines = {
        "for": row["purpose"],
        "licence": row["licence"],
        "from": f"{row['source']}, state {row['revision']}",
        "to download": row["size"],
        "memory": f"about {row['memory']}",
        "here": row["here"],
    }
    text = "<br>".join(f"{html.escape(key)}: {html.escape(value)}" for key, value in lines.items())
    return f'<div class="al-facts" data-here="{html.escape(row["here"])}">{text}</div>'


def memory(store: SessionStore, session: Session) -> str:
    """What the chosen models need, beside what the device has free."""
    project = session.editor.project
    names = {session.editor.segmenter_name, project.masks_by, project.points_by} & set(MODELS)
    if not names:
        return ""
    need = max(MODELS[name].memory for name in names)
    said = f"The chosen models need about {need:g} GB of memory"
    free = store.free_memory
    if free is None:
        return f'<div class="al-facts">{said}.</div>'
    short = " That is too little: choose smaller ones, or another device." if need * 1e9 > free else ""
    return f'<div class="al-facts" data-short="{str(bool(short)).lower()}">{said}; {free / 1e9:.1f} GB are free.{short}</div>'


# --- what the controls do ---------------------------------------------------------------------------------


def pick_model(name: str) -> list[Any]:
    """Facts of a model, and the question about its licence where there is one."""
    return [facts_of(name), gr.update(visible=MODELS[name].chosen_only, value=False)]


def set_clicks(store: SessionStore, session: Session, name: str) -> None:
    session.editor.use_segmenter(name)
    store.shelf.set_segmenter(name)


def set_trackers(session: Session, **changes: str) -> None:
    project = session.editor.project
    wanted = {"masks": project.masks_by, "points": project.points_by, **changes}
    session.editor.act(acts.set_trackers, "Trackers", "trackers", **wanted)
    session.carry_soon()


def set_device(store: SessionStore, name: str) -> None:
    store.alone("Choosing the device")
    choose_device(name)
    store.shelf.set_device(name)
    store.look_for_devices()


def begin(store: SessionStore, kind: str, name: str, accepted: bool) -> None:
    store.alone("Fetching models")
    store.desk.begin(kind, name, accepted=accepted)


def stop(store: SessionStore) -> None:
    store.alone("Fetching models")
    store.desk.stop()


def errand_of(store: SessionStore) -> tuple[str, bool]:
    """The errand as HTML, and whether it runs."""
    errand = store.desk.errand
    if errand is None:
        return "", False
    runs = errand.state == "running"
    share = 100 * errand.done / max(errand.total, 1)
    text = f"{errand.phase}: {errand.done} of {errand.total} MB" if runs and errand.phase else errand.message or errand.state
    bar = f'<div class="al-bar"><div style="width:{share:.1f}%"></div></div>' if runs else ""
    return f'<div class="al-job" data-state="{errand.state}">{html.escape(text)}{bar}</div>', runs
