"""Gradio controls → session → views. Every event of a panel ends in the same refresh; errors are handled once."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.given import NEVER, Given, Sparing
from app.panels.base import Panel
from app.panels.propagate import card_of
from app.session import Session
from app.store import SessionStore
from engine import EngineError

log = logging.getLogger("anchorline")
Work = Callable[..., Session | None]
"""`work(session, frame, *values)`; gives back another session where it opened one."""

# The frame on the canvas goes with every event: Python never has to remember where the user is.
WITH_FRAME = "(id, frame, ...rest) => [id, window.anchorline?.frame ?? 0, ...rest]"
BUG = "Something went wrong inside Anchorline; its log says what. Nothing of your project was changed."


class Handlers:
    """Binds controls to work on the session and refreshes all panels afterwards."""

    def __init__(self, store: SessionStore, canvas: gr.HTML, dock: tuple[gr.HTML, gr.Button], panels: list[Panel]) -> None:
        """Made inside the page's Blocks, after the components it binds."""
        self.store, self.canvas, self.panels = store, canvas, panels
        self.job, self.cancel = dock
        self.state = gr.State("")
        self.frame = gr.Number(0, visible="hidden")
        self.timer = gr.Timer(0.5, active=False)
        self.seen = gr.State("")
        self.given = gr.State(Given())
        self.echo = gr.Number(NEVER, visible="hidden", elem_id="given")
        self._sparing = Sparing()
        self.fill: list[Any] = []
        self.filled: Callable[[Session], list[Any]] = lambda session: []
        """Controls that are filled from the document when a project is opened, and what they are filled with."""

    # --- what is shown ------------------------------------------------------------------------------------

    @property
    def outputs(self) -> list[Any]:
        """Whoever writes one of them besides the events below writes NEVER to `echo` as well."""
        return [self.echo, self.state, self.canvas, *self.dock, *(output for panel in self.panels for output in panel.outputs)]

    @property
    def dock(self) -> list[Any]:
        return [self.job, self.cancel, self.timer, self.seen]

    def refresh(self, session: Session, frame: int, command: dict[str, Any] | None = None) -> list[Any]:
        """Everything the panels show, from the document and the files as they are now."""
        value = {"project": session.id, "rev": session.editor.rev, "cmd": command}
        shown = [update for panel in self.panels for update in panel.show(session, frame)]
        return [NEVER, session.id, value, *self.show_dock(session), *shown]

    def show_dock(self, session: Session) -> list[Any]:
        job = session.job
        active = job is not None and job.active
        return [card_of(job), gr.update(interactive=active), gr.update(active=active), _mark(session)]

    def spared(self, given: Given, echo: float | None, fresh: list[Any]) -> list[Any]:
        """What `refresh` says, without what the page has."""
        number, told = self._sparing.spare(given, echo, fresh[1:])
        return [number, *told]

    # --- events -------------------------------------------------------------------------------------------

    def on(self, event: Any, work: Work, inputs: Sequence[Any] = (), *, name: str = "", command: Any = None) -> Any:
        """Runs `work(session, frame, *inputs)` on an event, then shows the outcome. `name`: its public endpoint, if any.
        Returns what more can be chained to."""

        def handle(identity: str, frame: float, *values: Any) -> list[Any]:
            def do() -> list[Any]:
                session = self.store.get(identity)
                session = work(session, int(frame or 0), *values) or session
                return self.refresh(session, int(frame or 0), command)

            return said(do)

        return event(
            handle,
            [self.state, self.frame, *inputs],
            self.outputs,
            js=WITH_FRAME,
            **endpoint(name),
        )

    def on_canvas(self, event: Any, work: Work | None = None, inputs: Sequence[Any] = ()) -> None:
        """The canvas did something by itself; the panels follow. Its event carries the frame. Where there is no work to do,
        only what changes is given."""

        def handle(data: gr.EventData, identity: str, given: Given, echo: float, *values: Any) -> list[Any]:
            def do() -> list[Any]:
                session = self.store.get(identity)
                frame = int((data._data or {}).get("frame", 0))
                if work is not None:
                    work(session, frame, *values)
                    return self.refresh(session, frame)
                return self.spared(given, echo, self.refresh(session, frame))

            return said(do)

        event(handle, [self.state, self.given, self.echo, *inputs], self.outputs, trigger_mode="always_last", **endpoint())

    def on_pick(self, event: Any, work: Callable[[Session, int, dict[str, Any]], Session | None], command: Any = None) -> Any:
        """A click inside a panel's own HTML; its data goes to `work`. Returns what more can be chained to."""

        def handle(data: gr.EventData, identity: str, frame: float) -> list[Any]:
            def do() -> list[Any]:
                session = self.store.get(identity)
                session = work(session, int(frame or 0), dict(data._data or {})) or session
                return self.refresh(session, int(frame or 0), command)

            return said(do)

        return event(handle, [self.state, self.frame], self.outputs, js=WITH_FRAME, **endpoint())

    def on_tick(self) -> None:
        """While a job runs: the card; once it changes its state, everything."""

        def handle(identity: str, frame: float, seen: str, given: Given, echo: float) -> list[Any]:
            def do() -> list[Any]:
                session = self.store.get(identity)
                if _mark(session) != seen:
                    return self.refresh(session, int(frame or 0))
                before = self.outputs.index(self.job)
                shown = [gr.skip()] * len(self.outputs)
                shown[before : before + len(self.dock)] = self.show_dock(session)
                return self.spared(given, echo, shown)

            return said(do)

        asked = [self.state, self.frame, self.seen, self.given, self.echo]
        self.timer.tick(handle, asked, self.outputs, js=WITH_FRAME, **endpoint())


def endpoint(name: str = "", show_progress: str = "hidden") -> dict[str, Any]:
    """Options of every listener of the page: several at once (the session has its own lock), out of reach of clients, which
    have endpoints of their own (app/endpoints.py). `name` says in the page's code what the listener does."""
    return {"show_progress": show_progress, "concurrency_limit": None, "api_visibility": "private"}


def _mark(session: Session) -> str:
    """Changes when another job is shown or its state changes."""
    job = session.job
    return f"{job.id}:{job.state}" if job else ""


def said(do: Callable[[], Any]) -> Any:
    """Runs a handler's work; what goes wrong is told to the user as one sentence, once."""
    try:
        return do()
    except EngineError as error:
        raise gr.Error(html.escape(str(error)), title="Not done", duration=12, print_exception=False) from error
    except gr.Error:
        raise
    except Exception as error:
        log.exception("handler failed")
        raise gr.Error(BUG, print_exception=False) from error
