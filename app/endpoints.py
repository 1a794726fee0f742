"""The main job by named endpoints: for `gradio_client`, and as the tools of an MCP server (`--mcp`).

Each names its project explicitly; nothing hangs on a browser or on what was called before. The docstrings are what clients
and language models read of each endpoint. Frames count from 0; x and y are pixels of the clip from its top left corner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from app.endpoints_state import address_of, settings_of, state_of
from app.endpoints_work import of_choices, of_jobs, of_runs
from app.handlers import BUG
from app.session import Session
from app.store import SessionStore
from engine import EFFECTS, EngineError, ProjectError, RecipeError, picture_fields, read_image

log = logging.getLogger("anchorline")

Endpoint = Callable[..., Any]


def add_endpoints(store: SessionStore) -> None:
    """Adds the endpoints to the page that is being built. Their names are those of the functions."""
    for made in (_of_projects, _of_marks, _of_anchors, _of_approval, of_choices, of_runs, of_jobs):
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
        take = session.editor.effect_take(frame, effect, settings_of(EFFECTS[effect].Config, settings))
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

    return [add_anchor, make_take, take_from_picture]


def _of_approval(store: SessionStore) -> list[Endpoint]:
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

    return [approve]


def _take(session: Session, frame: int, key: str) -> dict[str, Any]:
    return {
        "project": session.id,
        "frame": frame,
        "take": key,
        "picture": address_of(f"/api/projects/{session.id}/object/{key}.png"),
    }
