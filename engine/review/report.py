"""The report of what was done: settings, measures, problems, the two certificates with a hash of every frame.

One body for the page's downloads, for `run --report` and for share packages; engine/review/page.py lays it out for people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.interchange.files import whole
from engine.media.records import RecordReader
from engine.rendering.material import Material
from engine.rendering.outputs import report as write_json
from engine.review.certificate import Certificate, certificate_of
from engine.review.page import report_page
from engine.review.pictures import problem_pictures
from engine.review.problems import Review, review_of


def report_body(material: Material, review: Review | None = None, certificate: Certificate | None = None) -> dict[str, Any]:
    """All that is known of a version of a project, as plain values. Reads what was noted, no picture."""
    project, video = material.project, material.project.video
    review = review or review_of(material)
    certificate = certificate or certificate_of(material)
    height, width = video.size
    clip = {"width": width, "height": height, "frames": video.frames, "rate": str(video.rate), "sha256": video.digest}
    return {
        "project": project.name,
        "clip": clip,
        "range": [project.range.start, project.range.stop],
        "cuts": material.cuts if material.pack and material.pack.complete else None,
        "edits": [_edit(layer) for layer in material.whole.layers],
        "certificates": certificate.as_json(),
        **review.as_json(),
        "frame_proofs": [proof.as_json() for proof in certificate.frames],
    }


def page_of(material: Material, body: dict[str, Any], review: Review | None = None) -> str:
    """The report as a page that needs nothing else, with pictures of what its problems are about. Raises MediaError."""
    return report_page(body, problem_pictures(material, (review or review_of(material)).problems))


def write_report(path: Path, material: Material, body: dict[str, Any]) -> None:
    """Writes a report as JSON, or as a page where the path ends in .html. Raises MediaError."""
    if path.suffix.lower() not in (".html", ".htm"):
        write_json(path, body)
        return
    with whole(path) as temporary:
        temporary.write_text(page_of(material, body), encoding="utf-8")


def _edit(layer: Material) -> dict[str, Any]:
    edit = layer.project.edit
    texts = ("source_prompt", "target_prompt", "instruction")
    told = {name: getattr(edit, name) for name in texts if getattr(edit, name)}
    return {
        "name": edit.name,
        "method": edit.method,
        "config": edit.config,
        "seed": edit.seed,
        **told,
        "anchors": [{"frame": one.frame, "take": one.chosen, "takes": len(one.takes)} for one in edit.anchors],
        "segments": [_segment(layer, index) for index in range(len(layer.segments))],
    }


def _segment(layer: Material, index: int) -> dict[str, Any]:
    """A segment with what was measured while it was rendered."""
    segment = layer.segments[index]
    body: dict[str, Any] = {"start": segment.start, "stop": segment.stop, "left": segment.left, "right": segment.right}
    body |= {"method": layer.of(segment).project.edit.method}
    if not layer.is_done(segment):
        return {**body, "rendered": False}
    meta = RecordReader(layer.workspace.segment(layer.key_of(segment))).meta
    checks = {"outside_max_abs": meta["outside"], "anchor_max_abs": meta["anchor"], "warnings": meta.get("warnings", [])}
    return {**body, "rendered": True, **checks, "measures": meta["quality"]}
