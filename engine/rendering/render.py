"""The long verbs: prepare the clip, carry masks, propagate, export.

Each works on one fixed version of the document, streams frames, leaves finished pieces on disk under content keys,
and can be stopped between any two frames. The page's worker, `launch.py run` and `launch.py render` call the same
functions, so they make the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from engine.composite import inside
from engine.errors import MethodError
from engine.media.describe import damage_sentence
from engine.media.formats import ExportSettings
from engine.media.images import decode_png, encode_png
from engine.media.pack import build_pack
from engine.media.records import RecordReader, RecordWriter
from engine.media.writer import write_clip
from engine.methods import card, method
from engine.methods.base import Segment, TakeMaker
from engine.progress import Progress, Step
from engine.rendering.anchoring import locked
from engine.rendering.before_after import beside_frames, canvas_of, wipe_frames
from engine.rendering.executors import Executor, SegmentTask, SerialExecutor
from engine.rendering.fits import fit_of
from engine.rendering.masters import exported_frames
from engine.rendering.material import Material
from engine.rendering.noting import noted_of_frame
from engine.rendering.order import nearest_first
from engine.rendering.patches import make_patch
from engine.rendering.preparing import write_shared
from engine.rendering.segments import MaskSpan, shots
from engine.rendering.shots import context_of, shot_of
from engine.rendering.trails import follow_points
from engine.store.entries import seal, write_sums
from engine.tracking.choice import AUTO
from engine.tracking.masks import CarriedMask, carry_masks
from engine.types import FrameIndex, FrameRange

PREPARING = 100  # what a method prepares counts for so many frames in the progress of a run
TAKING = 100  # and a take for so many


@dataclass
class RenderReport:
    """What a run did; `outside_mask_max_abs` and `anchor_max_abs` are before encoding, over the rendered frames."""

    rendered: int = 0
    reused: int = 0
    outside_mask_max_abs: int = 0
    anchor_max_abs: int = 0
    quality: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, other: RenderReport) -> None:
        """Takes another edit's report in."""
        self.rendered, self.reused = self.rendered + other.rendered, self.reused + other.reused
        self.outside_mask_max_abs = max(self.outside_mask_max_abs, other.outside_mask_max_abs)
        self.anchor_max_abs = max(self.anchor_max_abs, other.anchor_max_abs)
        self.quality += other.quality
        self.warnings += [sentence for sentence in other.warnings if sentence not in self.warnings]


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
    """Carries masks over the spans and leaves them as record sets; spans that have one answer are carried together."""
    read_motion(material, [span.reach for span in spans if span.by == AUTO], progress)
    together: dict[object, list[MaskSpan]] = {}
    for span in spans:
        together.setdefault(span.problem if span.by == AUTO else (span.by, span.range), []).append(span)
    for alike in together.values():
        carry_spans(material, alike, progress.part("Carrying masks", sum(len(span.range) for span in alike)))


def carry_spans(material: Material, spans: list[MaskSpan], step: Step) -> None:
    """Carries the masks of spans with the same problem, or by one model over the same frames.

    `meta["confidence"]` holds one number 0–1 for each frame.
    """
    span = spans[0].range
    given = {subject: _Marked(material, dict(marks)) for one in spans for subject, marks in one.problem[1]}
    told: dict[str, list[float]] = {one.key: [] for one in spans}
    with ExitStack() as stack:
        scratch = stack.enter_context(material.workspace.scratch())
        writers = {one.key: RecordWriter(material.workspace.masks(one.key), resume=False) for one in spans}
        for writer in writers.values():
            stack.enter_context(writer)
        for frame, masks in _carried(material, spans, given, step, scratch):
            for one in spans:
                writers[one.key].append(frame, seal(frame, encode_png(masks[one.subject].alpha)))
                told[one.key].append(round(masks[one.subject].confidence, 3))
        for key, writer in writers.items():
            writer.finish({"range": [span.start, span.stop], "confidence": told[key]})


def _carried(
    material: Material, spans: list[MaskSpan], given: dict[int, _Marked], step: Step, scratch: Path
) -> Iterator[tuple[FrameIndex, Mapping[int, CarriedMask]]]:
    """Every frame of the spans with the mask of each span's subject, by whom the project says.

    Raises MethodError where that model is not here.
    """
    span, size = spans[0].range, material.project.video.size
    if spans[0].by == AUTO:
        wanted = tuple(one.subject for one in spans)
        yield from carry_masks(material.steps, size, given, span, step=step, scratch=scratch, wanted=wanted)
        return
    from engine.segmentation.sam_video import video_model

    model, pack = video_model(spans[0].by), material.ready_pack
    for frame, alphas, sure in model.carry(pack.rgb, given, span, size=size, scratch=scratch, step=step):
        yield frame, {subject: CarriedMask(alphas[subject], sure[subject]) for subject in alphas}


class _Marked(Mapping[FrameIndex, np.ndarray]):
    """A subject's given masks by frame, read when they are asked for."""

    def __init__(self, material: Material, keys: dict[FrameIndex, str]) -> None:
        self._objects, self._keys = material.objects, keys

    def __getitem__(self, frame: FrameIndex) -> np.ndarray:
        return decode_png(self._objects.get(self._keys[frame]))

    def __iter__(self) -> Iterator[FrameIndex]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


# --- propagation ------------------------------------------------------------------------------------------


def dirty_segments(material: Material, segments: list[Segment] | None = None) -> list[Segment]:
    """Segments that are not rendered yet: of all, or of the given ones."""
    return [segment for segment in (material.segments if segments is None else segments) if not material.is_done(segment)]


def propagate(
    material: Material,
    progress: Progress,
    executor: Executor | None = None,
    segments: list[Segment] | None = None,
    *,
    near: FrameIndex | None = None,
) -> RenderReport:
    """Renders what is not rendered yet: of all segments, or of the given ones; those around the frame `near` first.

    Raises:
        MethodError: nothing to go by: no anchor with an approved take, and no text.
        Cancelled: finished segments stay, the running one is begun again next time.
    """
    check_there_is_work(material)
    dirty = dirty_segments(material, segments)
    # What a method shares over a shot depends on all of the shot.
    seen = material.segments if any(card(material.of(one).project.edit.method).shares for one in dirty) else dirty
    material.drop_damaged_masks(spans_of(material, seen))
    spans = spans_to_carry(material, seen)
    progress.total += sum(len(span.range) for span in spans) + sum(s.stop - s.start for s in dirty)
    read_motion(material, [FrameRange(s.start, s.stop + (s.right is not None)) for s in seen], progress)
    carry(material, spans, progress)
    if prepare_shots(material, dirty, progress):
        material = material.again()
        segments = None if segments is None else [s for s in material.segments if any(_meet(s, one) for one in segments)]
        dirty = dirty_segments(material, segments)
    tasks = [SegmentTask(material.workspace.folder, material.project, one) for one in nearest_first(dirty, near)]
    (executor or SerialExecutor(render_segment)).run(tasks, material, progress)
    return report_of(material, dirty, material.segments if segments is None else segments)


def check_there_is_work(material: Material) -> None:
    """Raises MethodError where the edit has no segment: says what is missing."""
    edit, chosen = material.project.edit, card(material.project.edit.method)
    if material.segments:
        return
    if not edit.on:
        raise MethodError(f"“{edit.name}” is switched off; switch it on in the list of edits, then propagate.")
    if edit.approved:
        raise MethodError("No approved anchor lies inside the in–out range; move the range, or approve an anchor in it.")
    if chosen.anchors:
        raise MethodError("There is no approved anchor: make a take on a frame and approve it, then propagate.")
    asked = " and ".join(text.replace("_", " ") for text in chosen.texts if text != "target_words")
    raise MethodError(f"{chosen.title} does not know what to do yet: write its {asked}, or approve an anchor, then propagate.")


def _meet(one: Segment, other: Segment) -> bool:
    return one.start < other.stop and other.start < one.stop


def prepare_shots(material: Material, segments: list[Segment], progress: Progress) -> bool:
    """Does what the methods share over the shots of the segments, where it is not done; whether there was anything to do."""
    makers = list({id(maker): maker for maker in map(material.of, segments)}.values())
    done = [_prepare_shots(maker, [one for one in segments if material.of(one) is maker], progress) for maker in makers]
    return any(done)


def _prepare_shots(material: Material, segments: list[Segment], progress: Progress) -> bool:
    edit = material.project.edit
    left = {s.shot.start: s.shot for s in segments if s.shot.start not in material.shared} if card(edit.method).shares else {}
    if left and card(edit.method).tracks:
        follow_points(material, progress)
    for shot in left.values():
        progress.total += PREPARING
        chosen, config = method(edit.method), card(edit.method).Config(**edit.config)
        with material.workspace.scratch() as scratch:
            warnings: list[str] = []
            context = context_of(material, shot, scratch, progress.part("Preparing the edit", PREPARING), warnings)
            write_shared(context.store, chosen.prepare(shot_of(material, shot), config, context), warnings)
    return bool(left)


def render_segment(material: Material, segment: Segment, step: Step) -> None:
    """Renders one segment into its record set: patches against what is below, checks and measures in `meta`."""
    material = material.of(segment)
    edit, chosen = material.project.edit, card(material.project.edit.method)
    checks = {"outside": 0, "anchor": 0}
    quality: dict[FrameIndex, dict[str, Any]] = {}
    warnings: list[str] = []
    with material.workspace.scratch() as scratch:
        context = replace(
            context_of(material, segment.shot, scratch, step, warnings),
            note=lambda frame, **measures: quality.setdefault(frame, {}).update(measures),
        )
        shot, worker = shot_of(material, segment.shot), method(edit.method)
        anchors = {anchor.frame for anchor in edit.approved}
        with RecordWriter(material.workspace.segment(material.key_of(segment)), resume=False) as records:
            rendered = worker.render(shot, segment, worker.prepare(shot, chosen.Config(**edit.config), context), context)
            for frame, image in rendered if chosen.exact else locked(shot, segment, rendered, context):
                source, region = shot.frames.get(frame), material.region(frame)
                checks["outside"] = max(checks["outside"], _max_abs(image, source, region == 0))
                if frame in anchors:
                    checks["anchor"] = max(checks["anchor"], _max_abs(image, material.take(frame)))
                quality.setdefault(frame, {}).update(noted_of_frame(source, image, region))
                records.append(frame, seal(frame, make_patch(source, image)))
            measured = [{"frame": frame, **quality[frame]} for frame in records.frames]
            records.finish({**checks, "quality": measured, "warnings": warnings})


def make_takes(
    material: Material, frame: FrameIndex, seeds: Sequence[int], progress: Progress
) -> tuple[list[dict[str, Any]], list[str]]:
    """Takes of one frame by the edit's method, one per seed, the source outside the region: their pictures are stored.
    Also what there is to say of them.

    Raises:
        MethodError: the method makes no takes, or does not know what to do.
    """
    edit, chosen = material.project.edit, card(material.project.edit.method)
    if not chosen.takes:
        raise MethodError(f"{chosen.title} carries takes and cannot make one: use an effect, paint, or bring a picture.")
    spans = [span for span in spans_to_carry(material) if frame in span.range]
    progress.total += TAKING * len(seeds) + sum(len(span.range) for span in spans)
    carry(material, spans, progress)
    region = material.subjects_region(frame)
    if not region.any():
        raise MethodError(f"There is no mask on frame {frame}: mark the subject there, or edit the whole frame.")
    shot = shot_of(material, next(one for one in shots(material.project, material.cuts) if frame in one))
    maker, made = cast(TakeMaker, method(edit.method)), []
    warnings: list[str] = []
    for seed in seeds:
        with material.workspace.scratch() as scratch:
            step = progress.part("Making a take", TAKING)
            context = replace(context_of(material, shot.span, scratch, step, warnings), seed=seed)
            image = maker.take(shot, frame, chosen.Config(**edit.config), context)
        before = material.picture(frame)
        image = inside(before, image, region)
        told = {text: getattr(edit, text) for text in chosen.texts if getattr(edit, text)}
        one = {"key": material.objects.put(encode_png(image)), "label": f"{edit.method} {seed}", "seed": seed}
        fit = fit_of(chosen, edit, context, (before, image))
        made.append({**one, "config": {"method": edit.method, **told, **edit.config}, "fit": fit})
    return made, warnings


def report_of(material: Material, rendered: list[Segment], segments: list[Segment]) -> RenderReport:
    """The report over `segments`, from what each left behind."""
    report = RenderReport(rendered=len(rendered), reused=len(segments) - len(rendered))
    makers = {id(maker): maker for maker in map(material.of, segments)}.values()
    for shared in (shared for maker in makers for shared in maker.shared.values()):
        report.warnings += [sentence for sentence in shared.warnings if sentence not in report.warnings]
    for segment in segments:
        meta = RecordReader(material.workspace.segment(material.key_of(segment))).meta
        report.outside_mask_max_abs = max(report.outside_mask_max_abs, meta["outside"])
        report.anchor_max_abs = max(report.anchor_max_abs, meta["anchor"])
        report.quality += meta["quality"]
        report.warnings += [sentence for sentence in meta.get("warnings", ()) if sentence not in report.warnings]
    return report


def _max_abs(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> int:
    """Largest difference between two pictures (H, W, 3) uint8, in all of them or `where` (H, W) bool."""
    if where is None:
        return int(cv2.norm(a, b, cv2.NORM_INF))
    return int(cv2.norm(a, b, cv2.NORM_INF, where.view(np.uint8)))


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
    """Writes the project's range, or `span`, with all edits that are on and its sound. Frames without a rendered patch are the
    source's. Masks are carried first where the format needs the matte. Returns warnings."""
    material = material.whole
    if material.outdated:  # what a run prepared since decides which segments there are
        material = material.again()
    span = span or material.project.range
    if settings.format.needs_matte:
        spans = list({one.key: one for layer in material.layers for one in spans_to_carry(layer)}.values())
        progress.total += sum(len(one.range) for one in spans)
        carry(material, spans, progress)
    step = progress.part("Writing the clip", len(span))
    layout, video = settings.format.layout, material.reader.video
    shown = {"wipe": wipe_frames, "beside": beside_frames}[layout](material, span) if layout else None
    frames = exported_frames(material, span, settings.format) if shown is None else shown
    return write_clip(out, frames, canvas_of(video, layout), span, settings, force=force, progress=step) + _damage(material)


def _damage(material: Material) -> list[str]:
    """What was found damaged when the clip was prepared and was not said when it was opened."""
    damaged = material.pack.damaged if material.pack and material.pack.complete else []
    said = [damage_sentence(damaged)] if damaged else []
    return [sentence for sentence in said if sentence not in material.project.video.warnings]
