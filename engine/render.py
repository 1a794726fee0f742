"""The long verbs: prepare the clip, carry masks, propagate, export.

Each works on one fixed version of the document, streams frames, leaves finished pieces on disk under content keys,
and can be stopped between any two frames. The page's worker, `launch.py run` and `launch.py render` call the same
functions, so they make the same bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.entries import seal, write_sums
from engine.errors import MethodError
from engine.executors import Executor, SegmentTask, SerialExecutor
from engine.masters import exported_frames
from engine.material import Material
from engine.media.describe import damage_sentence
from engine.media.formats import ExportSettings
from engine.media.images import decode_png, encode_png
from engine.media.pack import build_pack
from engine.media.reader import FrameReader
from engine.media.records import RecordReader, RecordWriter
from engine.media.writer import write_clip
from engine.methods import method
from engine.methods.base import Context, Segment, Shot
from engine.patches import make_patch
from engine.progress import Progress, Step
from engine.segments import MaskSpan
from engine.tracking.masks import carry_masks
from engine.types import FrameIndex, FrameRange

FRAMES_KEPT = 4


@dataclass
class RenderReport:
    """What a run did; `outside_mask_max_abs` and `anchor_max_abs` are before encoding, over the rendered frames."""

    rendered: int = 0
    reused: int = 0
    outside_mask_max_abs: int = 0
    anchor_max_abs: int = 0
    quality: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def prepare_clip(material: Material, progress: Progress) -> Material:
    """Builds the frame pack if it is not complete; returns material that knows the clip's cuts."""
    if material.pack and material.pack.complete:
        return material
    step = progress.part("Preparing the clip", material.project.video.frames)
    folder = material.workspace.pack(material.project.video.digest)
    build_pack(material.reader, folder, step)
    write_sums(folder)
    return Material(material.workspace, material.project, lambda: material.reader)


# --- masks ------------------------------------------------------------------------------------------------


def spans_of(material: Material, segments: list[Segment] | None = None) -> list[MaskSpan]:
    """Mask spans of the whole project, or only those that the given segments need."""
    spans: dict[str, MaskSpan] = {}
    wanted = None if segments is None else [FrameRange(s.start, s.stop + (s.right is not None)) for s in segments]
    for subject in material.project.subjects if segments is None else material.project.edited_subjects():
        for span in material.spans(subject.id):
            if wanted is None or any(len(span.range.meet(one)) for one in wanted):
                spans[span.key] = span
    for segment in material.segments if segments is None else segments:
        spans.update({span.key: span for span in material.grown(segment)})
    return list(spans.values())


def spans_to_carry(material: Material, segments: list[Segment] | None = None) -> list[MaskSpan]:
    """Mask spans that are not carried yet: all, or only those that the given segments need."""
    return [span for span in spans_of(material, segments) if not material.carried(span)]


def read_motion(material: Material, spans: list[FrameRange], progress: Progress) -> None:
    """Computes the motion between neighbouring frames of the spans, where it is not known yet."""
    pairs = material.steps.missing(spans)
    if pairs:
        progress.total += len(pairs)
        material.steps.ensure(pairs, progress.part("Reading the motion", len(pairs)))


def carry(material: Material, spans: list[MaskSpan], progress: Progress) -> None:
    """Carries masks over the spans and leaves them as record sets."""
    read_motion(material, [span.range for span in spans], progress)
    for span in spans:
        carry_span(material, span, progress.part("Carrying masks", len(span.range)))


def carry_span(material: Material, span: MaskSpan, step: Step) -> None:
    given = {frame: decode_png(material.objects.get(key)) for frame, key in span.given}
    with material.workspace.scratch() as scratch, RecordWriter(material.workspace.masks(span.key), resume=False) as records:
        masks = carry_masks(material.steps, material.project.video.size, given, span.range, step=step, scratch=scratch)
        for frame, alpha in masks:
            records.append(frame, seal(frame, encode_png(alpha)))
        records.finish({"range": [span.range.start, span.range.stop]})


# --- propagation ------------------------------------------------------------------------------------------


def dirty_segments(material: Material, segments: list[Segment] | None = None) -> list[Segment]:
    """Segments that are not rendered yet: of all, or of the given ones."""
    return [segment for segment in (material.segments if segments is None else segments) if not material.is_done(segment)]


def propagate(
    material: Material, progress: Progress, executor: Executor | None = None, segments: list[Segment] | None = None
) -> RenderReport:
    """Renders what is not rendered yet: of all segments, or of the given ones.

    Raises:
        MethodError: no anchor with an approved take.
        Cancelled: finished segments stay, the running one is begun again next time.
    """
    if not material.project.edit.approved:
        raise MethodError("There is no approved anchor: make a take on a frame and approve it, then propagate.")
    if not material.segments:
        raise MethodError("No approved anchor lies inside the in–out range; move the range, or approve an anchor in it.")
    dirty = dirty_segments(material, segments)
    material.drop_damaged_masks(spans_of(material, dirty))
    spans = spans_to_carry(material, dirty)
    progress.total += sum(len(span.range) for span in spans) + sum(s.stop - s.start for s in dirty)
    read_motion(material, [FrameRange(s.start, s.stop + (s.right is not None)) for s in dirty], progress)
    carry(material, spans, progress)
    tasks = [SegmentTask(material.workspace.folder, material.project, segment) for segment in dirty]
    (executor or SerialExecutor(render_segment)).run(tasks, material, progress)
    return report_of(material, dirty, material.segments if segments is None else segments)


def render_segment(material: Material, segment: Segment, step: Step) -> None:
    """Renders one segment into its record set: patches against the source, checks in `meta`."""
    edit = material.project.edit
    chosen = method(edit.method)
    sources = _Recent(material.reader)
    shot = Shot(
        frames=sources,
        steps=material.steps,
        size=material.project.video.size,
        region=material.region,
        take=material.take,
        edit=edit,
    )
    checks = {"outside": 0, "anchor": 0}
    quality = []
    with material.workspace.scratch() as scratch:
        context = Context(step=step, seed=edit.seed, scratch=scratch)
        config = chosen.Config(**edit.config)
        anchors = {anchor.frame for anchor in edit.approved}
        with RecordWriter(material.workspace.segment(material.key_of(segment)), resume=False) as records:
            prepared = chosen.prepare(shot, config, context)
            for frame, image in chosen.render(shot, segment, prepared, context):
                source, region = sources.get(frame), material.region(frame)
                checks["outside"] = max(checks["outside"], _max_abs(image[region == 0], source[region == 0]))
                if frame in anchors:
                    checks["anchor"] = max(checks["anchor"], _max_abs(image, material.take(frame)))
                quality.append({"frame": frame, "region": round(float(np.count_nonzero(region)) / region.size, 5)})
                records.append(frame, seal(frame, make_patch(source, image)))
            records.finish({**checks, "quality": quality})


class _Recent:
    """Source frames for a method, the last ones kept: what it has just been given is not decoded again to check it."""

    def __init__(self, reader: FrameReader) -> None:
        self._reader = reader
        self._kept: OrderedDict[FrameIndex, np.ndarray] = OrderedDict()

    def get(self, frame: FrameIndex) -> np.ndarray:
        kept = self._kept.get(frame)
        return self._reader.get(frame) if kept is None else kept

    def frames(self, span: FrameRange) -> Iterator[np.ndarray]:
        for frame, picture in zip(span, self._reader.frames(span), strict=True):
            self._kept[frame] = picture
            if len(self._kept) > FRAMES_KEPT:
                self._kept.popitem(last=False)
            yield picture


def report_of(material: Material, rendered: list[Segment], segments: list[Segment]) -> RenderReport:
    """The report over `segments`, from what each left behind."""
    report = RenderReport(rendered=len(rendered), reused=len(segments) - len(rendered))
    for segment in segments:
        meta = RecordReader(material.workspace.segment(material.key_of(segment))).meta
        report.outside_mask_max_abs = max(report.outside_mask_max_abs, meta["outside"])
        report.anchor_max_abs = max(report.anchor_max_abs, meta["anchor"])
        report.quality += meta["quality"]
    return report


def _max_abs(a: np.ndarray, b: np.ndarray) -> int:
    """Largest difference between two uint8 arrays; 0 for empty ones."""
    return int(np.maximum(a, b).__sub__(np.minimum(a, b)).max(initial=0))


# --- export -----------------------------------------------------------------------------------------------


def export(
    material: Material,
    out: Path,
    settings: ExportSettings,
    progress: Progress,
    *,
    force: bool = False,
    span: FrameRange | None = None,
) -> list[str]:
    """Writes the project's range, or `span`, with its sound. Frames without a rendered patch are the source's.
    Masks are carried first where the format needs the matte. Returns warnings."""
    span = span or material.project.range
    if settings.format.needs_matte:
        spans = spans_to_carry(material)
        progress.total += sum(len(one.range) for one in spans)
        carry(material, spans, progress)
    step = progress.part("Writing the clip", len(span))
    frames = exported_frames(material, span, settings.format)
    return write_clip(out, frames, material.reader, span, settings, force=force, progress=step) + _damage(material)


def _damage(material: Material) -> list[str]:
    """What was found damaged when the clip was prepared and was not said when it was opened."""
    damaged = material.pack.damaged if material.pack and material.pack.complete else []
    said = [damage_sentence(damaged)] if damaged else []
    return [sentence for sentence in said if sentence not in material.project.video.warnings]
