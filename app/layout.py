"""The page: which panels where, and which control does what. No logic beyond that."""

from __future__ import annotations

import html
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from app.canvas import EditorCanvas, Timeline
from app.controls import listed
from app.endpoints import add_endpoints
from app.given import NEVER, Page
from app.handlers import Handlers, endpoint, said
from app.panels import (
    anchors,
    check,
    edits,
    executor,
    export,
    method_models,
    models,
    painting,
    project,
    propagate,
    segment_method,
    source,
    subjects,
    who,
)
from app.panels.fields import chosen_values
from app.panels.queue import Queue
from app.session import Session
from app.store import SessionStore
from engine import EFFECTS, METHODS, EngineError

TITLE = "Anchorline"
SETUP_SILENT = 300.0  # seconds without a word from the installer after which it counts as gone
ASSETS = Path(__file__).resolve().parent.parent / "assets"
# The id goes into the address, so that a reload, a bookmark or a second tab finds the project again.
REMEMBER = """(value) => {
  if (!value?.project) return;
  const address = new URL(location); address.searchParams.set('project', value.project); history.replaceState(null, '', address);
}"""


def build_page(store: SessionStore, first: Session | None) -> gr.Blocks:
    """The whole page over a store of sessions; `first` opens where the address names no project (None: each user's own)."""
    with Page(title=TITLE, fill_width=True, fill_height=True, analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        with gr.Row(elem_id="top"):
            gr.HTML(f"<b>{TITLE}</b>", elem_id="brand")
            setup = gr.HTML(elem_id="setup")
            page.load(who.shown, None, [who.build()], **endpoint())
        with gr.Row(equal_height=False, elem_id="middle"):
            with gr.Column(scale=0, min_width=230, elem_id="left"):
                of_source = source.build(store)
                of_project = project.build(store)
                of_models = models.build(store)
            with gr.Column(scale=5, min_width=420, elem_id="centre"):
                canvas = EditorCanvas(elem_id="canvas")
            with gr.Column(scale=0, min_width=360, elem_id="right"):
                edits.build()
                with gr.Tabs(elem_id="tabs"):
                    with gr.Tab("Mark"):
                        of_subjects = subjects.build()
                    with gr.Tab("Anchors"):
                        of_anchors = anchors.build()
                        of_painting = painting.build()
                    with gr.Tab("Propagate"):
                        of_propagate = propagate.build()
                        of_segment = segment_method.build()
                        of_methods = method_models.build(store, of_propagate.parts["chosen"], of_propagate.parts["controls"])
                    with gr.Tab("Check"):
                        of_check = check.build()
                    with gr.Tab("Export"):
                        of_export = export.build()
                with gr.Row(elem_id="dock"):
                    dock = propagate.dock()
                Queue(elem_id="queue")
        Timeline(elem_id="timeline")
        listed(page)
        add_endpoints(store)
        rest = [of_check, of_export, of_project, of_models]
        handlers = Handlers(
            store,
            canvas,
            dock,
            [of_source, of_subjects, of_anchors, of_painting, of_propagate, of_segment, of_methods, *rest],
        )
        handlers.fill, handlers.filled = of_propagate.parts["fill"], propagate.filled(of_propagate.parts)
        edits.wire(handlers)
        _wire_source(handlers, of_source.parts)
        _wire_subjects(handlers, of_subjects.parts)
        _wire_anchors(handlers, of_anchors.parts)
        painting.wire(handlers, of_painting.parts)
        _wire_work(handlers, of_propagate.parts, of_export.parts, of_segment.parts)
        check.wire(handlers, of_check.parts)
        method_models.wire(handlers, of_methods.parts)
        _wire_project(handlers, of_project.parts)
        _wire_models(handlers, of_models.parts)
        _wire_page(page, handlers, canvas, first, setup)
    return page


def _wire_source(on: Handlers, parts: dict[str, Any]) -> None:
    store = on.store

    def opened(session: Session) -> list[Any]:
        return on.refresh(session, 0)

    def by_id(identity: str) -> list[Any]:
        return said(lambda: opened(store.get(identity)))

    def by_upload(file: str, deinterlace: bool = False) -> list[Any]:
        return said(lambda: opened(source.opened_by_upload(store, file, deinterlace)))

    def by_path(text: str, deinterlace: bool = False) -> list[Any]:
        return said(lambda: opened(source.opened_by_path(store, text, deinterlace)))

    events: tuple[tuple[Any, Any, list[Any], str], ...] = (
        (parts["projects"].input, by_id, [parts["projects"]], "open_project"),
        (parts["upload"].upload, by_upload, [parts["upload"], parts["deinterlace"]], "open_upload"),
        (parts["open_path"].click, by_path, [parts["path"], parts["deinterlace"]], "open_path"),
        (parts["sample"].click, lambda: said(lambda: opened(store.sample())), [], "open_sample"),
        (parts["world"].click, lambda: said(lambda: opened(store.world_sample())), [], "open_world_sample"),
        (parts["path"].submit, by_path, [parts["path"], parts["deinterlace"]], ""),
    )
    for event, handle, given, name in events:
        _remember(on, event(handle, given, on.outputs, **endpoint(name, "minimal")))
    on.on(parts["markers"].upload, lambda s, f, file: source.markers(s, file), [parts["markers"]], name="take_markers")


def _wire_subjects(on: Handlers, parts: dict[str, Any]) -> None:
    def do(session: Session, name: str, **args: Any) -> None:
        session.do(name, args)

    on.on(parts["chosen"].input, lambda s, f, chosen: do(s, "select_subject", subject=chosen), [parts["chosen"]])
    on.on(parts["add"].click, lambda s, f: do(s, "add_subject"), name="add_subject")
    on.on(parts["remove"].click, lambda s, f: do(s, "remove_subject", subject=s.subject))
    on.on(parts["clear"].click, lambda s, f: do(s, "clear_keyframe", frame=f, subject=s.subject))
    on.on(parts["name"].submit, lambda s, f, name: subjects.shape(s, name=name), [parts["name"]])
    on.on(parts["grow"].release, lambda s, f, grow: subjects.shape(s, grow=grow), [parts["grow"]])
    on.on(parts["feather"].release, lambda s, f, feather: subjects.shape(s, feather=feather), [parts["feather"]])
    on.on(parts["mask"].upload, lambda s, f, file: subjects.import_mask(s, f, file), [parts["mask"]], name="import_mask")
    on.on(parts["carry"].click, lambda s, f: s.carry() and None, name="carry")
    words = [parts["words"]]
    for event, name in ((parts["find"].click, "find_by_words"), (parts["words"].submit, "")):
        on.on(event, lambda s, f, text: subjects.find_by_words(s, f, text), words, name=name)


def _wire_anchors(on: Handlers, parts: dict[str, Any]) -> None:
    edited = {"mode": "edited"}
    flat = [control for controls in parts["controls"].values() for control in controls]

    configs = {name: effect.Config for name, effect in EFFECTS.items()}

    def make(session: Session, frame: int, effect: str, *given: Any) -> None:
        anchors.make_take(session, frame, effect, chosen_values(configs, parts["controls"], effect, given))

    on.on(parts["choose"].click, lambda s, f: anchors.choose(s), name="choose_anchors")
    on.on(parts["make"].click, make, [parts["effect"], *flat], name="make_take", command=edited)
    on.on(
        parts["picture"].upload,
        lambda s, f, file, fit: anchors.take_from_picture(s, f, file, fit),
        [parts["picture"], parts["fit"]],
        name="take_from_picture",
        command=edited,
    )
    on.on_pick(parts["strip"].pick, lambda s, f, data: s.pick_take(f, str(data.get("key", ""))), edited)
    on.on(parts["approve"].click, lambda s, f: anchors.approve(s, f), name="approve", command=edited)
    on.on(parts["unapprove"].click, lambda s, f: anchors.unapprove(s, f))
    on.on(parts["delete"].click, lambda s, f: anchors.delete_take(s, f))
    on.on(parts["grow"].click, lambda s, f: anchors.approve(s, f, "grow"), name="approve_and_grow", command=edited)
    on.on(parts["clip"].click, lambda s, f: anchors.approve(s, f, "clip"), name="approve_and_clip", command=edited)


def _wire_work(on: Handlers, run: dict[str, Any], out: dict[str, Any], of_segment: dict[str, Any]) -> None:
    flat = [control for controls in run["controls"].values() for control in controls]
    configs = {name: card.Config for name, card in METHODS.items()}
    told = [*run["texts"], run["seed"]]

    def tell(session: Session, name: str, given: Sequence[Any]) -> None:
        *given, mark = given
        *said, seed = given[: len(told)]
        if not propagate.says(mark, session):
            return  # another edit was picked this moment, and the controls still say the one before
        propagate.tell(session, name, chosen_values(configs, run["controls"], name, tuple(given[len(told) :])), said, seed)

    def propagate_now(session: Session, frame: int, name: str, *given: Any) -> None:
        tell(session, name, given)
        propagate.run(session, frame)

    def proxy_now(session: Session, frame: int, name: str, *given: Any) -> None:
        tell(session, name, given)
        propagate.preview(session, frame)

    def take_now(session: Session, frame: int, count: int, name: str, *given: Any) -> None:
        tell(session, name, given)
        propagate.make_takes(session, frame, count)

    def lora_now(session: Session, frame: int, file: str, name: str, *given: Any) -> None:
        tell(session, name, given)
        propagate.take_file(session, file)

    def stop(session: Session, frame: int) -> None:
        if session.job:
            session.jobs.cancel(session.job)

    def try_now(session: Session, frame: int, name: str, *given: Any) -> None:
        if propagate.says(given[-1], session):
            propagate.tell_texts(session, given[: len(told) - 1], given[len(told) - 1])

    def chosen(session: Session, name: str, given: Sequence[Any]) -> tuple[str, dict[str, Any]]:
        try_now(session, 0, name, *given)
        return name, chosen_values(configs, run["controls"], name, tuple(given[len(told) : -1]))

    asked = [run["chosen"], *told, *flat, run["of"]]
    for event in (on.canvas.audition, of_segment["try"].click):
        on.on(event, try_now, asked).then(None, js="() => { window.anchorline?.audition.open(); }", **endpoint())
    segment_method.wire(on, of_segment, asked, chosen)

    def forecast(identity: str, name: str) -> list[Any]:
        return [said(lambda: propagate.plan_by(on.store.get(identity), name)), NEVER]

    run["chosen"].input(forecast, [on.state, run["chosen"]], [run["plan"], on.echo], **endpoint())
    on.on(run["proxy"].click, proxy_now, asked, name="preview_first", command={"mode": "edited"})
    on.on(run["run"].click, propagate_now, asked, name="propagate", command={"mode": "edited"})
    on.on_canvas(on.canvas.run, propagate_now, asked)
    on.on(run["take"].click, take_now, [run["count"], *asked], name="make_method_takes")
    taken = on.on(run["lora"].upload, lora_now, [run["lora"], *asked], name="take_lora")
    taken.then(lambda identity: said(lambda: on.filled(on.store.get(identity))), on.state, on.fill, **endpoint())
    on.on(out["run"].click, lambda s, f, form, crf: export.run(s, form, crf), [out["format"], out["quality"]], name="export")
    on.on(on.cancel.click, stop, name="cancel")
    on.on_tick()


def _wire_project(on: Handlers, parts: dict[str, Any]) -> None:
    store = on.store
    name = parts["name"]
    renamed = {"event": parts["rename"].click, "name": "rename_project"}, {"event": name.submit, "name": ""}
    for one in renamed:
        on.on(one["event"], lambda s, f, text: s.do("rename", {"name": text}) and None, [name], name=one["name"])
    on.on(parts["pack"].click, lambda s, f, clip: project.pack_zip(s, clip), [parts["clip"]], name="zip_project")
    on.on(parts["find"].click, lambda s, f, text: project.relink(s, text), [parts["place"]], name="relink")
    on.on(parts["accept"].click, lambda s, f, text: project.relink(s, text, True), [parts["place"]], name="relink_accept")
    on.on(parts["limit"].submit, lambda s, f, most: project.set_limit(store, most), [parts["limit"]], name="cache_limit")
    on.on(parts["clean"].click, lambda s, f: project.clean(s), name="cache_clean")
    opened = (
        on.on(parts["copy"].click, lambda s, f, text: store.save_copy(s, text), [name], name="save_copy"),
        on.on(parts["unpack"].upload, lambda s, f, file: store.import_zip(Path(file)), [parts["unpack"]], name="open_zip"),
        on.on(parts["restore"].click, lambda s, f, one: project.restore(store, s, one), [parts["backups"]], name="restore"),
        on.on_pick(parts["others"].pick, lambda s, f, data: store.get(str(data.get("project", "")))),
    )
    for event in opened:
        _remember(on, event)


def _remember(on: Handlers, opened: Any) -> None:
    """After a project was opened: its id goes into the address, what its edit is told into the method's controls."""
    opened.then(None, [on.canvas], None, js=REMEMBER)
    opened.then(lambda identity: said(lambda: on.filled(on.store.get(identity))), on.state, on.fill, **endpoint())


def _wire_models(on: Handlers, parts: dict[str, Any]) -> None:
    store, errand = on.store, [parts["errand"], parts["timer"]]
    on.on(parts["clicks"].input, lambda s, f, name: models.set_clicks(store, s, name), [parts["clicks"]], name="clicks_by")
    on.on(parts["masks"].input, lambda s, f, name: models.set_trackers(s, masks=name), [parts["masks"]], name="masks_by")
    on.on(parts["points"].input, lambda s, f, name: models.set_trackers(s, points=name), [parts["points"]], name="points_by")
    on.on(parts["panel"].expand, lambda s, f: store.look_for_devices(), name="devices")
    on.on(parts["device"].input, lambda s, f, name: models.set_device(store, name), [parts["device"]], name="device")
    executor.wire(on, parts["executor"])
    quiet = {**endpoint()}
    parts["chosen"].change(models.pick_model, [parts["chosen"]], [parts["facts"], parts["accept"]], **quiet)

    def told() -> list[Any]:
        text, runs = models.errand_of(store)
        return [text, gr.Timer(active=runs)]

    def begin(kind: str) -> Any:
        def handle(name: str, accepted: bool) -> list[Any]:
            said(lambda: models.begin(store, kind, name, accepted))
            return told()

        return handle

    for kind in ("fetch", "check"):
        parts[kind].click(begin(kind), [parts["chosen"], parts["accept"]], errand, **endpoint(f"{kind}_model"))

    def stop() -> list[Any]:
        said(lambda: models.stop(store))
        return told()

    parts["stop"].click(stop, None, errand, **quiet)
    parts["timer"].tick(told, None, errand, **quiet).then(models.facts_of, [parts["chosen"]], [parts["facts"]], **quiet)


def _wire_page(page: gr.Blocks, on: Handlers, canvas: EditorCanvas, first: Session | None, setup: gr.HTML) -> None:
    def load(request: gr.Request) -> list[Any]:
        wanted = request.query_params.get("project", "")

        def do() -> list[Any]:
            try:
                session = on.store.get(wanted) if wanted else first or on.store.first()
            except EngineError:
                gr.Warning("The project in the address is not on this machine; this is the one that opened last.")
                session = first or on.store.first()
            return on.refresh(session, 0)

        return said(do)

    _remember(on, page.load(load, None, on.outputs, **endpoint()))
    page.load(setup_status, None, [setup], **endpoint())
    gr.Timer(3).tick(setup_status, None, [setup], **endpoint())
    on.on_canvas(canvas.changed)
    on.on_canvas(canvas.frame)
    on.on_canvas(canvas.carry, lambda session, frame: session.carry() and None)


def setup_status() -> str:
    """What launch.py is still installing in the background, in one line; empty when all is there."""
    path = os.environ.get("ANCHORLINE_SETUP_STATUS", "")
    if not path or not Path(path).is_file():
        return ""
    try:
        status = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        return ""  # being replaced this very moment; the next tick reads it
    texts = {
        "waiting": "Setting up model packages in the background …",
        "installing": "Installing model packages in the background: {package} … The editor works meanwhile.",
        "failed": "Model packages are not installed: {message}",
        "conflict": "Model packages will be installed at the next start.",
    }
    state = status.get("state", "")
    if state in ("waiting", "installing") and time.time() - float(status.get("time", 0)) > SETUP_SILENT:
        return "Installing model packages has stopped; it goes on at the next start. The editor works without them."
    text = texts.get(state, "")
    return html.escape(text.format(package=status.get("package", ""), message=status.get("message", "")))
