"""What the named endpoints tell of a project, and how they take settings (app/endpoints.py)."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from gradio.context import LocalContext

from app.session import Session
from engine import Job, RecipeError

JOB_PARTS = ("id", "kind", "state", "phase", "done", "total", "seconds", "eta", "message")


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
        "exports": [path.name for path in exports_of(session)],
        "page": address_of(f"/?project={session.id}"),
    }


def job_of(job: Job) -> dict[str, Any]:
    view = job.view()
    return {name: view[name] for name in JOB_PARTS}


def exports_of(session: Session) -> list[Path]:
    """Finished files, the newest first."""
    folder = session.editor.workspace.exports
    files = [path for path in folder.glob("*") if path.is_file() and not path.name.startswith(".")]
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)


def settings_of(config: type, given: dict[str, Any]) -> dict[str, Any]:
    """Settings by name. Raises RecipeError for one that the config has not."""
    known = {field.name for field in fields(config)}
    wrong = sorted(set(given or {}) - known)
    if wrong:
        raise RecipeError(f"There is no setting {wrong[0][:40]!r}; there are {', '.join(sorted(known)) or 'none'}.")
    return dict(given or {})


def usual_of(config: type) -> dict[str, Any]:
    """Each setting with its usual value."""
    made = config()
    return {field.name: getattr(made, field.name) for field in fields(config)}


def address_of(path: str) -> str:
    """A whole address of this server, as the client reached it."""
    request = getattr(LocalContext.request.get(), "request", None)
    return str(request.base_url).rstrip("/") + path if request is not None else path
