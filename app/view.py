"""What the page shows, as a pure function of a session's state: the one source for canvas, timeline and panels."""

from __future__ import annotations

from typing import Any

from app.stack import edits_view
from engine import Job, MaskSpan, Material, Overview, Project, Segment, found_tokens, tracks_key


def view_of(identity: str, rev: int, material: Material, labels: tuple[str | None, str | None], subject: int) -> dict[str, Any]:
    """The document with the state of its files, as the JSON that the canvas draws (see app/routes.py)."""
    project, video = material.project, material.project.video
    height, width = video.size
    undo, redo = labels
    return {
        "project": identity,
        "name": project.name,
        "rev": rev,
        "clip": {
            "frames": video.frames,
            "width": width,
            "height": height,
            "rate": [video.rate.numerator, video.rate.denominator],
            "has_audio": bool(video.audio),
        },
        "range": [project.range.start, project.range.stop],
        "cuts": material.cuts,
        "pack": pack_view(material),
        "subject": subject,
        "subjects": [_subject_view(material, one.id) for one in project.subjects],
        **edits_view(material),
        "anchors": [_anchor_view(anchor) for anchor in project.edit.anchors],
        "tokens": _tokens_view(material),
        "can_undo": undo is not None,
        "can_redo": redo is not None,
        "undo_label": undo,
        "redo_label": redo,
    }


def pack_view(material: Material) -> dict[str, Any]:
    pack, video = material.pack, material.project.video
    if pack is None:
        return {"ready": 0, "total": video.frames, "complete": False, "size": list(video.size)}
    pack.refresh()
    return {"ready": pack.ready, "total": video.frames, "complete": pack.complete, "size": list(pack.size)}


def _subject_view(material: Material, subject: int) -> dict[str, Any]:
    one = material.project.subject(subject)
    keyframes = [key for key in material.project.keyframes if key.subject == subject]
    return {
        "id": one.id,
        "name": one.name,
        "colour": one.colour,
        "feather": one.feather,
        "grow": one.grow,
        "keyframes": [
            {
                "frame": key.frame,
                "points": [[p.x, p.y, p.label] for p in key.points],
                "box": list(key.box) if key.box else None,
                "strokes": len(key.strokes),
                "mask": key.mask,
                "locked": key.locked,
            }
            for key in keyframes
        ],
        "carried": _carried_view(material, material.spans(subject)),
        "tracks": _tracks_view(material, subject),
    }


def _tracks_view(material: Material, subject: int) -> dict[str, Any] | None:
    """The subject's tracked points with what was said about them; `key` changes with where they are."""
    points = material.project.subject(subject).track_points
    if not points:
        return None
    key, stale = tracks_key(material, subject)
    span = material.project.range
    said = [{"id": point.id, "spots": [list(spot) for spot in point.spots]} for point in points]
    return {"key": key, "stale": stale, "range": [span.start, span.stop], "points": said}


def _tokens_view(material: Material) -> dict[str, Any] | None:
    """The anchor tokens that the method has found; where they are is fetched under `key`."""
    found = found_tokens(material)
    if found is None:
        return None
    span = material.project.range
    return {"key": found.key, "range": [span.start, span.stop], "names": found.names.tolist(), "owners": found.owners.tolist()}


def _carried_view(material: Material, spans: list[MaskSpan]) -> dict[str, Any] | None:
    """Where carried masks are; `key` changes with their content, so pictures of them may be cached by it."""
    if not spans:
        return None
    carried = [span for span in spans if material.carried(span)]
    return {
        "key": "".join(span.key[:6] for span in carried)[-60:] or "none",
        "ranges": [[span.range.start, span.range.stop] for span in carried],
        "stale": len(carried) < len(spans),
    }


def _anchor_view(anchor: Any) -> dict[str, Any]:
    return {
        "frame": anchor.frame,
        "takes": [{"key": take.key, "label": take.label, "source": take.source} for take in anchor.takes],
        "chosen": anchor.chosen,
        "locked": anchor.locked,
    }


def segments_view(material: Material, job: Job | None) -> list[dict[str, Any]]:
    """Every segment with its state and the finished frames so far. `stale`: rendered before, from what was then said."""
    working = job is not None and job.active and job.kind in ("propagate", "export")
    views = []
    for segment in material.segments:
        done = material.is_done(segment)
        frames = [] if done or not working else _finished(material, segment)
        state = "done" if done else "running" if frames else "queued" if working else "dirty"
        views.append(
            {
                "start": segment.start,
                "stop": segment.stop,
                "state": state,
                "key": material.key_of(segment),
                "method": None if material.of(segment) is material else material.of(segment).project.edit.method,
                "stale": not done and material.was_rendered(segment),
                "frames": [[segment.start, segment.stop]] if done else frames,
            }
        )
    return views


def _finished(material: Material, segment: Segment) -> list[list[int]]:
    """Segments are rendered from their start on."""
    records = material.rendered(segment)
    frames = records.frames if records else []
    return [[segment.start, frames[-1] + 1]] if frames else []


def doubt_view(doubt: Overview) -> dict[str, Any]:
    """How far frames can be believed, for the timeline; `next`: the frame that should become an anchor, or None."""
    return {"levels": doubt.levels, "next": doubt.next.frame if doubt.next else None}


def summary(project: Project) -> str:
    """The facts of the clip in one line of plain text."""
    video = project.video
    height, width = video.size
    seconds = float(video.seconds()[-1]) + float(1 / video.rate)
    rate = f"{float(video.rate):.3f}".rstrip("0").rstrip(".")
    sound = f", {len(video.audio)} sound track{'s' if len(video.audio) > 1 else ''}" if video.audio else ", no sound"
    return f"{width}×{height}, {rate} fps, {video.frames} frames ({seconds:.1f} s){sound}"
