"""The main job by named endpoints: for `gradio_client`, and as the tools of an MCP server (`--mcp`).

Each names its project explicitly; nothing hangs on a browser or on what was called before. The docstrings are what clients
and language models read of each endpoint. Frames count from 0; x and y are pixels of the clip from its top left corner.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import gradio as gr
from gradio.context import LocalContext

from app.handlers import BUG
from app.panels import export as export_panel
from app.panels import propagate as method_panel
from app.session import Session
from app.store import SessionStore
from engine import EFFECTS, FORMATS, METHODS, EngineError, Job, ProjectError, RecipeError, picture_fields, read_image

LOOK_EVERY = 0.2  # seconds between two looks at a job that is waited for
LONGEST_WAIT = 600.0
JOB_PARTS = ("id", "kind", "state", "phase", "done", "total", "seconds", "eta", "message")
log = logging.getLogger("anchorline")

Endpoint = Callable[..., Any]


def add_endpoints(store: SessionStore) -> None:
    """Adds the endpoints to the page that is being built. Their names are those of the functions."""
    for made in (_of_projects, _of_marks, _of_anchors, _of_work):
        for function in made(store):
            gr.api(_told(function), api_name=function.__name__, concurrency_limit=None)


def _told(function: Endpoint) -> Endpoint:
    """The endpoint with failures as one sentence that reaches the client."""

    @wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except EngineError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except Exception as error:
            log.exception("endpoint %s failed", function.__name__)
            raise gr.Error(BUG, print_exception=False) from error

    return inner


# --- projects ---------------------------------------------------------------------------------------------


def _of_projects(store: SessionStore) -> list[Endpoint]:
    def list_projects() -> list[dict[str, str]]:
        """
        List the projects of this editor, those changed last first.

        Returns:
            Name and id ("project") of each.
        """
        return [{"project": identity, "name": name} for name, identity in store.projects()]

    def open_clip(path: str, deinterlace: bool = False) -> dict[str, Any]:
        """
        Open a video file, a folder of frames or a project on this machine; a clip becomes a new project.

        Args:
            path: Where it lies on the machine that runs the editor.
            deinterlace: Make whole frames out of interlaced ones.

        Returns:
            The project's state; its "project" is the id that the other endpoints take.
        """
        return state_of(store.open(Path(path.strip()).expanduser(), deinterlace=deinterlace))

    def get_state(project: str) -> dict[str, Any]:
        """
        Tell how a project stands: clip, subjects with their marked frames, anchors with their takes, segments, job.

        Args:
            project: The project's id.

        Returns:
            The project's state.
        """
        return state_of(store.get(project))

    return [list_projects, open_clip, get_state]


def state_of(session: Session) -> dict[str, Any]:
    """What an endpoint tells of a project."""
    view = session.view()
    job = session.job
    subjects = [
        {"id": one["id"], "name": one["name"], "marked": [key["frame"] for key in one["keyframes"]]} for one in view["subjects"]
    ]
    anchors = [
        {"frame": one["frame"], "approved": one["chosen"], "takes": [take["key"] for take in one["takes"]]}
        for one in view["anchors"]
    ]
    segments = [{"start": one["start"], "stop": one["stop"], "state": one["state"]} for one in view["segments"]]
    return {
        "project": session.id,
        "name": view["name"],
        "clip": {name: view["clip"][name] for name in ("frames", "width", "height", "rate")},
        "prepared": view["pack"]["complete"],
        "subjects": subjects,
        "anchors": anchors,
        "method": session.editor.project.edit.method,
        "segments": segments,
        "job": job_of(job) if job else None,
        "exports": [path.name for path in _exports(session)],
        "page": _address(f"/?project={session.id}"),
    }


def job_of(job: Job) -> dict[str, Any]:
    view = job.view()
    return {name: view[name] for name in JOB_PARTS}


# --- marks ------------------------------------------------------------------------------------------------


def _of_marks(store: SessionStore) -> list[Endpoint]:
    def mark_points(project: str, frame: int, points: list[list[float]], subject: int = 0) -> dict[str, Any]:
        """
        Mark a subject on a frame by clicks; its mask follows at once and is carried through the shot.

        Args:
            project: The project's id.
            frame: The frame on which the points lie.
            points: One [x, y, label] for each click; label 1 is inside the subject, -1 outside.
            subject: The subject's id; 0 = the first one, which is made where there is none.

        Returns:
            The project's state.
        """
        session = store.get(project)
        one = _subject(session, subject)
        for point in points:
            if not isinstance(point, list) or len(point) != 3:
                raise RecipeError("A point is [x, y, label], with label 1 inside the subject or -1 outside.")
            x, y, label = point
            session.do("add_point", {"frame": frame, "subject": one, "x": x, "y": y, "label": label})
        return state_of(session)

    def mark_box(project: str, frame: int, box: list[float], subject: int = 0) -> dict[str, Any]:
        """
        Mark a subject on a frame by a box around it.

        Args:
            project: The project's id.
            frame: The frame.
            box: [left, top, right, bottom] in pixels.
            subject: The subject's id; 0 = the first one, which is made where there is none.

        Returns:
            The project's state.
        """
        session = store.get(project)
        session.do("set_box", {"frame": frame, "subject": _subject(session, subject), "box": box})
        return state_of(session)

    def add_subject(project: str, name: str = "") -> dict[str, Any]:
        """
        Add a subject to mark beside those that are there.

        Args:
            project: The project's id.
            name: Its name; empty = a number.

        Returns:
            The project's state; the new subject is the last of "subjects".
        """
        session = store.get(project)
        session.do("add_subject", {"name": name} if name else {})
        return state_of(session)

    return [mark_points, mark_box, add_subject]


def _subject(session: Session, subject: int) -> int:
    if subject:
        return session.editor.project.subject(subject).id
    if not session.editor.project.subjects:
        session.do("add_subject", {})
    return session.editor.project.subjects[0].id


# --- anchors ----------------------------------------------------------------------------------------------


def _of_anchors(store: SessionStore) -> list[Endpoint]:
    def add_anchor(project: str, frame: int) -> dict[str, Any]:
        """
        Make a frame an anchor: a frame that gets an edited picture, from which the edit is carried.

        Args:
            project: The project's id.
            frame: The frame.

        Returns:
            The project's state.
        """
        session = store.get(project)
        session.do("add_anchor", {"frame": frame})
        return state_of(session)

    def make_take(project: str, frame: int, effect: str = "recolour", settings: dict = {}) -> dict[str, Any]:  # noqa: B006
        """
        Make a take (an edited picture) of an anchor by a built-in effect inside the mask of that frame.

        Args:
            project: The project's id.
            frame: The anchor's frame; it becomes an anchor where it is none.
            effect: The effect's name; list_choices says which there are.
            settings: Its settings where they are not the usual ones, such as {"colour": "#2050ff"}.

        Returns:
            The take's key, to approve it, and where to see it.
        """
        session = store.get(project)
        if effect not in EFFECTS:
            raise RecipeError(f"There is no effect {effect[:40]!r}; there are {', '.join(EFFECTS)}.")
        if any((settings or {}).get(name) for name in picture_fields(EFFECTS[effect].Config)):
            store.alone("Taking pictures by path")
        take = session.editor.effect_take(frame, effect, _settings(EFFECTS[effect].Config, settings))
        return _take(session, frame, take.key)

    def take_from_picture(project: str, frame: int, path: str, fit: bool = False) -> dict[str, Any]:
        """
        Take a picture that was edited elsewhere as a take of an anchor.

        Args:
            project: The project's id.
            frame: The anchor's frame; it becomes an anchor where it is none.
            path: The picture on the machine that runs the editor; of the clip's size.
            fit: Scale a picture of another size.

        Returns:
            The take's key, to approve it, and where to see it.
        """
        store.alone("Taking pictures by path")
        session, picture = store.get(project), Path(path.strip()).expanduser()
        return _take(
            session, frame, session.editor.picture_take(frame, read_image(picture), "imported", picture.name, fit=fit).key
        )

    def approve(project: str, frame: int, take: str = "", outside: Literal["ask", "grow", "clip"] = "ask") -> dict[str, Any]:
        """
        Approve a take of an anchor: from then on the finished clip shows that picture on that frame, exactly.

        Args:
            project: The project's id.
            frame: The anchor's frame.
            take: The take's key; empty = the newest one.
            outside: What to do where the take changes pixels outside the mask: ask (refuse and say so), grow the region to
                them, or clip the take to the mask.

        Returns:
            The project's state.
        """
        session = store.get(project)
        anchor = session.editor.project.edit.anchor_at(frame)
        if anchor is None or not anchor.takes:
            raise ProjectError(f"Frame {frame} has no take to approve; make one first.")
        session.editor.approve(frame, take or anchor.takes[-1].key, outside)
        return state_of(session)

    return [add_anchor, make_take, take_from_picture, approve]


def _take(session: Session, frame: int, key: str) -> dict[str, Any]:
    return {
        "project": session.id,
        "frame": frame,
        "take": key,
        "picture": _address(f"/api/projects/{session.id}/object/{key}.png"),
    }


def _settings(config: type, given: dict[str, Any]) -> dict[str, Any]:
    """Settings by name. Raises RecipeError for one that the config has not."""
    known = {field.name for field in fields(config)}
    wrong = sorted(set(given or {}) - known)
    if wrong:
        raise RecipeError(f"There is no setting {wrong[0][:40]!r}; there are {', '.join(sorted(known)) or 'none'}.")
    return dict(given or {})


# --- work -------------------------------------------------------------------------------------------------


def _of_work(store: SessionStore) -> list[Endpoint]:
    def list_choices() -> dict[str, Any]:
        """
        List what can be chosen: effects and methods with their settings, formats of the finished clip.

        Returns:
            "effects" and "methods" by name with title and settings, "formats" by name with their title.
        """
        effects = {name: {"title": one.title, "settings": _usual(one.Config)} for name, one in EFFECTS.items()}
        methods = {
            name: {"title": card.title, "reads": list(card.texts), "settings": _usual(card.Config)}
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
        method_panel.tell(session, method, _settings(METHODS[method].Config, settings), told, seed)
        return state_of(session)

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

    return [list_choices, set_method, propagate, export, *_of_jobs(store)]


def _of_jobs(store: SessionStore) -> list[Endpoint]:
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
        done = [path for path in _exports(session) if not name or path.name == name]
        if not done:
            raise ProjectError(f"There is no export {name[:80]!r}." if name else "Nothing is exported yet; call export first.")
        address = _address(f"/api/projects/{session.id}/exports/{quote(done[0].name)}")
        # Marked as a stream so that clients fetch it from our own route, which knows whose it is.
        file = {"path": str(done[0]), "url": address, "orig_name": done[0].name, "size": done[0].stat().st_size}
        return {**file, "is_stream": True, "meta": {"_type": "gradio.FileData"}}

    return [wait, cancel, download]


def _busy(session: Session) -> bool:
    """Whether something is under way, or about to be: marks that are not carried yet are carried now."""
    jobs = session.jobs.of(session.editor.journal)
    if any(job.active for job in jobs):
        return True
    return session.carry() is not None


def _exports(session: Session) -> list[Path]:
    """Finished files, the newest first."""
    folder = session.editor.workspace.exports
    files = [path for path in folder.glob("*") if path.is_file() and not path.name.startswith(".")]
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)


def _usual(config: type) -> dict[str, Any]:
    """Each setting with its usual value."""
    made = config()
    return {field.name: getattr(made, field.name) for field in fields(config)}


def _address(path: str) -> str:
    """A whole address of this server, as the client reached it."""
    request = getattr(LocalContext.request.get(), "request", None)
    return str(request.base_url).rstrip("/") + path if request is not None else path
