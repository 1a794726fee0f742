"""Named endpoints of work (app/endpoints.py): what can be chosen, runs, waiting, the finished clip."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.endpoints_state import address_of, exports_of, job_of, settings_of, state_of, usual_of
from app.panels import export as export_panel
from app.panels import propagate as method_panel
from app.session import Session
from app.store import SessionStore
from engine import EFFECTS, FORMATS, METHODS, ProjectError, RecipeError

LOOK_EVERY = 0.2  # seconds between two looks at a job that is waited for
LONGEST_WAIT = 600.0

Endpoint = Callable[..., Any]


def of_choices(store: SessionStore) -> list[Endpoint]:
    def list_choices() -> dict[str, Any]:
        """
        List what can be chosen: effects and methods with their settings, formats of the finished clip.

        Returns:
            "effects" and "methods" by name with title and settings, "formats" by name with their title.
        """
        effects = {name: {"title": one.title, "settings": usual_of(one.Config)} for name, one in EFFECTS.items()}
        methods = {
            name: {"title": card.title, "reads": list(card.texts), "settings": usual_of(card.Config)}
            for name, card in METHODS.items()
        }
        return {"effects": effects, "methods": methods, "formats": {name: one.title for name, one in FORMATS.items()}}

    def set_method(project: str, method: str = "motion", texts: dict = {}, seed: int = 0, settings: dict = {}) -> dict[str, Any]:  # noqa: B006
        """
        Choose how the edit is made between the anchors, and what the method is told.

        Args:
            project: The project's id.
            method: The method's name; list_choices says which there are. "motion" needs no text and no weights.
            texts: What it reads, of "instruction", "source_prompt", "target_prompt" and "target_words".
            seed: The seed of methods that have one.
            settings: The method's settings where they are not the usual ones.

        Returns:
            The project's state.
        """
        session = store.get(project)
        if method not in METHODS:
            raise RecipeError(f"There is no method {method[:40]!r}; there are {', '.join(METHODS)}.")
        wrong = sorted(set(texts or {}) - set(method_panel.TEXTS))
        if wrong:
            raise RecipeError(f"There is no text {wrong[0][:40]!r}; there are {', '.join(method_panel.TEXTS)}.")
        told = [str((texts or {}).get(name, "")) for name in method_panel.TEXTS]
        method_panel.tell(session, method, settings_of(METHODS[method].Config, settings), told, seed)
        return state_of(session)

    return [list_choices, set_method]


def of_runs(store: SessionStore) -> list[Endpoint]:
    def propagate(project: str) -> dict[str, Any]:
        """
        Carry the edit through the clip, from its approved anchors or by its text. Goes on by itself: see wait.

        Args:
            project: The project's id.

        Returns:
            The job.
        """
        return job_of(store.get(project).submit("propagate"))

    def export(project: str, format: str = "h264", quality: int = 18) -> dict[str, Any]:
        """
        Write the finished clip with its sound; what is not rendered yet is rendered first. Goes on by itself: see wait.

        Args:
            project: The project's id.
            format: The format's name; list_choices says which there are.
            quality: CRF of H.264, 0 (lossless, large) to 51.

        Returns:
            The job and the "name" that download takes.
        """
        if format not in FORMATS:
            raise RecipeError(f"There is no format {format[:40]!r}; there are {', '.join(FORMATS)}.")
        session = store.get(project)
        before = {job.id for job in session.jobs.of(session.editor.journal)}
        title = next(title for title, (codec, _) in export_panel.CHOICES.items() if codec == format)
        export_panel.run(session, title, quality)
        job = next(one for one in session.jobs.of(session.editor.journal) if one.id not in before)
        return {**job_of(job), "name": Path(job.args["out"]).name}

    return [propagate, export]


def of_jobs(store: SessionStore) -> list[Endpoint]:
    def wait(project: str, seconds: float = 60.0) -> dict[str, Any]:
        """
        Wait until the project's work has ended: preparing, carrying masks, propagating, exporting; then tell how it stands.

        Args:
            project: The project's id.
            seconds: How long at most, up to 600; work that takes longer goes on, so call wait again.

        Returns:
            The project's state; "waiting" is true where the work has not ended yet.
        """
        session = store.get(project)
        until = time.monotonic() + min(max(seconds, 0.0), LONGEST_WAIT)
        while (busy := _busy(session)) and time.monotonic() < until:
            time.sleep(LOOK_EVERY)
        state = {**state_of(session), "waiting": busy}
        if state["job"] and state["job"]["state"] == "failed":
            raise ProjectError(state["job"]["message"] or "The work has failed; the editor's log says why.")
        return state

    def cancel(project: str) -> dict[str, Any]:
        """
        Cancel the project's running work; what is finished is kept.

        Args:
            project: The project's id.

        Returns:
            The project's state.
        """
        session = store.get(project)
        if session.job:
            session.jobs.cancel(session.job)
        return state_of(session)

    def download(project: str, name: str = "") -> dict[str, Any]:
        """
        Get an exported clip.

        Args:
            project: The project's id.
            name: The name that export gave; empty = the newest.

        Returns:
            The file; gradio_client stores it and gives back where.
        """
        session = store.get(project)
        done = [path for path in exports_of(session) if not name or path.name == name]
        if not done:
            raise ProjectError(f"There is no export {name[:80]!r}." if name else "Nothing is exported yet; call export first.")
        address = address_of(f"/api/projects/{session.id}/exports/{quote(done[0].name)}")
        # Marked as a stream so that clients fetch it from our own route, which knows whose it is; no path is told.
        file = {"path": done[0].name, "url": address, "orig_name": done[0].name, "size": done[0].stat().st_size}
        return {**file, "is_stream": True, "meta": {"_type": "gradio.FileData"}}

    return [wait, cancel, download]


def _busy(session: Session) -> bool:
    """Whether something is under way, or about to be: marks that are not carried yet are carried now."""
    jobs = session.jobs.of(session.editor.journal)
    if any(job.active for job in jobs):
        return True
    return session.carry() is not None
