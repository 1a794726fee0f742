"""The worker process of one job: `python -m engine.worker`, the job as one line of JSON on standard input.

Prints progress as lines of JSON. Ends with 0 (done), 1 (a named failure; its sentence is the last `message`), 75 (the
device failed: a new process may go on) or 130 (cancelled: standard input was closed).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from engine.audition.candidates import free_for_models
from engine.audition.run import hold
from engine.device import is_device_fault, is_out_of_memory, one_thread
from engine.document.project import from_json
from engine.errors import Cancelled, EngineError
from engine.handover.forms import FORMS, hand_over
from engine.instant.proxy import render_proxies
from engine.interchange.project_zip import pack_project
from engine.jobs import DEVICE_FAULT
from engine.media.writer import ExportSettings
from engine.progress import Progress, Status
from engine.rendering.choice import executor_of_jobs
from engine.rendering.material import Material
from engine.rendering.render import carry, export, prepare_clip, spans_to_carry
from engine.rendering.stack import propagate_all, propagate_below, unfinished
from engine.rendering.takes import of_order
from engine.rendering.trails import follow_points
from engine.review.certificate import certify
from engine.review.pace import noting
from engine.store.clips import find_clip
from engine.store.entries import Damaged
from engine.store.workspace import Workspace
from engine.types import Video

UNITS = 100  # a zip's progress counts in these
GRACE = 0.8  # seconds between the polite end and the other one
OUT_OF_MEMORY = "The device has not enough memory for this: choose a smaller model or the CPU, or close what else uses it."
NICENESS = 10  # the page and the person's other programs come first


def main() -> int:
    line = sys.stdin.readline()
    if not line:  # stopped before it began
        return 130
    order = json.loads(line)
    stop = threading.Event()
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    one_thread()
    progress = Progress(_report, stop.is_set)
    try:
        result = run(order, progress)
    except Cancelled:
        return 130
    except EngineError as error:
        return _end({"message": str(error)}, 1)
    except Exception as error:
        if is_out_of_memory(error):
            return _end({"message": OUT_OF_MEMORY}, 1)
        if is_device_fault(error):
            return _end({"message": f"The device failed: {str(error).splitlines()[0][:200]}"}, DEVICE_FAULT)
        raise
    return _end({"result": result, "message": result.get("message", "Done.")}, 0)


def _end(report: dict[str, Any], code: int) -> int:
    try:
        _say(report)
    except Cancelled:
        return 130
    return code


def run(order: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Does the job; returns its result. What turns out to be damaged in the cache is made again."""
    workspace, project = Workspace(Path(order["folder"])), from_json(order["document"])
    if order["kind"] == "zip":
        return _zip(workspace, project.video, order, progress)
    with workspace.working(lambda: _wait(progress)):
        args, material = order["args"], Material(workspace, project)
        out = Path(args["out"]) if order["kind"] == "export" else None
        with noting(lambda: material, progress, out, args.get("codec", "")):
            try:
                return _work(material, order, progress)
            except Damaged:
                return _work(Material(workspace, project), order, progress)


def _zip(workspace: Workspace, video: Video, order: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Writes the project as one file, with its clip or without."""
    out = Path(order["args"]["out"])
    if not (order.get("attempts") and out.exists()):
        progress.total += UNITS
        step = progress.part("Writing the zip", UNITS)
        clip = find_clip(workspace, video) if order["args"]["clip"] else None
        out.parent.mkdir(parents=True, exist_ok=True)
        pack_project(workspace.folder, out, clip, step)
    return {"message": f"Wrote {out.name}.", "file": out.name}


def _wait(progress: Progress) -> None:
    _report(Status("Waiting for another run on this project", 0, progress.total, 0.0, None))
    progress.check()


def _work(material: Material, order: dict[str, Any], progress: Progress) -> dict[str, Any]:
    kind, args = order["kind"], order["args"]
    if not (material.pack and material.pack.complete):
        progress.total += material.project.video.frames
    material = prepare_clip(material, progress)
    if kind == "carry":
        spans = spans_to_carry(material)
        progress.total += sum(len(span.range) for span in spans)
        carry(material, spans, progress)
        followed = follow_points(material, progress)
        if followed and not spans:
            return {"message": "The points are tracked."}
        frames = sum(len(span.range) for span in spans)
        return {"message": f"Masks carried over {frames} frames." if spans else "All masks are carried already."}
    if kind == "propagate":
        report = propagate_all(material, progress, executor_of_jobs(), near=args.get("near"))
        return {"message": f"Segments rendered: {report.rendered}; reused: {report.reused}.", **_certificate(report)}
    if kind == "take":
        propagate_below(material, progress)
        made, said = of_order(material, args, progress)
        return {"message": said, "takes": made}
    if kind == "proxy":
        frames = render_proxies(material, progress, near=args.get("near"))
        said = f"Previewed {frames} frames: look through them, then propagate."
        return {"message": said if frames else "All is previewed, or rendered, already."}
    if kind == "certify":
        proved = certify(material, progress)
        return {"message": f"Measured {len(proved.frames)} rendered frames.", "certificate": proved.as_json()}
    if kind == "audition":
        result = hold(material, args["frame"], free_for_models(), progress, lambda so_far: _say({"result": so_far}))
        tried = sum(one["state"] == "done" for one in result["tiles"])
        return {**result, "message": f"Methods tried on the second around frame {args['frame']}: {tried}."}
    if kind == "export":
        out = Path(args["out"])
        if order.get("attempts") and out.exists():  # the name is this job's own: it was finished when the editor died
            return {"message": f"Wrote {out.name}.", "file": out.name}
        progress.total += len(material.project.range)
        for layer in material.whole.layers:
            layer.drop_damaged(layer.segments)
        certificate = _certificate(propagate_all(material, progress, executor_of_jobs())) if unfinished(material) else {}
        warnings = export(material, out, ExportSettings(args["codec"], args.get("quality")), progress)
        return {"message": " ".join([f"Wrote {out.name}.", *warnings]), "file": out.name, **certificate}
    if kind == "handover":
        return _hand_over(material, order, progress)
    return {"message": "The clip is ready."}


def _hand_over(material: Material, order: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Writes the project as another program's job, or as a share package."""
    out, form = Path(order["args"]["out"]), FORMS[order["args"]["form"]]
    if not (order.get("attempts") and out.exists()):
        if form.renders and unfinished(material):
            propagate_all(material, progress, executor_of_jobs())
        remarks = hand_over(material.again(), out, form, progress)
        return {"message": " ".join([f"Wrote {out.name}.", *remarks]), "file": out.name}
    return {"message": f"Wrote {out.name}.", "file": out.name}


def _certificate(report: Any) -> dict[str, int]:
    return {"outside_mask_max_abs": report.outside_mask_max_abs, "anchor_max_abs": report.anchor_max_abs}


def _watch(stop: threading.Event) -> None:
    """Stops the work when the server closes our input, or has died: politely, then at once.

    The second step is for work that is deep in one long call. Nothing is lost by it: what is finished was renamed
    into place, and whoever opens the project next sweeps the working files of dead processes.
    """
    with contextlib.suppress(ValueError, OSError):
        sys.stdin.read()
    stop.set()
    time.sleep(GRACE)
    os._exit(130)


def _report(status: Status) -> None:
    eta = None if status.eta is None else round(status.eta, 1)
    _say({"phase": status.phase, "done": status.done, "total": status.total, "seconds": round(status.seconds, 1), "eta": eta})


def _say(report: dict[str, Any]) -> None:
    try:
        print(json.dumps(report), flush=True)
    except BrokenPipeError as error:  # nobody listens any more: the server has died
        raise Cancelled from error


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # The watcher thread is blocked reading standard input; a normal exit would wait for its lock.
    os._exit(code)
