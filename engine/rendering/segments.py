"""What has to be computed, and what of it is there already.

The clip is cut into shots; a shot into *mask spans* between a subject's marked frames, and into *segments* between
neighbouring approved anchors. Each carries a content key over all that can change its pixels, so a correction dirties
only what it touches, and equal keys mean equal bytes (DESIGN: redo only what changed).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from engine.document.project import Project
from engine.methods import card
from engine.methods.base import Segment
from engine.store.workspace import content_key
from engine.tracking.choice import AUTO, key_part
from engine.types import Anchor, FrameIndex, FrameRange, SegmentMethod

Marks = tuple[tuple[FrameIndex, str], ...]
"""(frame, object key of its mask), in order."""
OTHERS_WITHIN = (3, 60)  # a mark of another subject further away than so many lengths of the span, and frames, is not looked at


@dataclass(frozen=True, slots=True)
class MaskSpan:
    """A stretch over which a mask is carried from the marked frames at its ends.

    `given` holds (frame, object key of its mask) for one or both ends; `range` includes them. `others` are the marks of the
    other subjects that say where these are meanwhile: those in the range and the next ones before and after it.
    """

    range: FrameRange
    given: Marks
    key: str
    subject: int = 1
    others: tuple[tuple[int, Marks], ...] = ()
    by: str = AUTO
    """Who carries it: ourselves, or a model by name, which looks at each subject alone."""

    @property
    def problem(self) -> tuple[FrameRange, tuple[tuple[int, Marks], ...]]:
        """Spans of different subjects with the same one are answered together."""
        return self.range, tuple(sorted([(self.subject, self.given), *self.others]))

    @property
    def reach(self) -> FrameRange:
        """The frames that are looked at: from the first to the last mark, and the range."""
        frames = [frame for _, marks in self.problem[1] for frame, _ in marks]
        return FrameRange(min(self.range.start, *frames), max(self.range.stop, *(frame + 1 for frame in frames)))


@dataclass(frozen=True, eq=False, slots=True)
class Shared:
    """What a method has prepared for a shot: `digest` counts for all its segments, a part for those it is an end of."""

    digest: str
    parts: Mapping[FrameIndex, str]
    warnings: tuple[str, ...] = ()


NOTHING: Mapping[FrameIndex, Shared] = MappingProxyType({})


def shots(project: Project, cuts: list[FrameIndex]) -> list[FrameRange]:
    """The shots of the whole clip; `cuts` are the first frames of new shots."""
    edges = [0, *sorted(c for c in set(cuts) if 0 < c < project.video.frames), project.video.frames]
    return [FrameRange(start, stop) for start, stop in pairwise(edges)]


def mask_spans(project: Project, cuts: list[FrameIndex], subject: int) -> list[MaskSpan]:
    """The stretches between the subject's marked frames, shot by shot; none in a shot without a mark.

    Before the first and after the last mark of a shot they reach as far as the project's range does, no further: a few
    seconds of a long clip must not cost the whole clip.
    """
    spans = []
    for shot in shots(project, cuts):
        marked = _marks(project, subject, shot)
        if not marked:
            continue
        rivals = [(one.id, _marks(project, one.id, shot)) for one in project.subjects if one.id != subject]
        wanted = shot.meet(project.range)
        first, last = marked[0][0], marked[-1][0]
        start, stop = (min(wanted.start, first), max(wanted.stop, last + 1)) if len(wanted) else (first, last + 1)
        pairs = pairwise(marked)
        stretches: list[tuple[FrameRange, Marks]] = [(FrameRange(a[0], b[0] + 1), (a, b)) for a, b in pairs]
        if first > start:
            stretches.insert(0, (FrameRange(start, first + 1), (marked[0],)))
        if last < stop - 1:
            stretches.append((FrameRange(last, stop), (marked[-1],)))
        if project.masks_by == AUTO:
            spans += [_mask_span(project, span, given, subject, rivals) for span, given in stretches]
        else:
            spans += [_model_span(project, span, given, subject) for span, given in stretches]
    return spans


def _marks(project: Project, subject: int, shot: FrameRange) -> Marks:
    return tuple((key.frame, key.mask) for key in project.marked(subject) if key.mask and key.frame in shot)


def grown_spans(project: Project, segment: Segment) -> list[MaskSpan]:
    """The stretches over which an anchor's agreed growth of the region is carried: one per end that has one."""
    stop = segment.stop + (segment.right is not None)
    anchors = [project.edit.anchor_at(frame) for frame in (segment.left, segment.right) if frame is not None]
    return [
        _mask_span(project, FrameRange(segment.start, stop), ((anchor.frame, anchor.region),))
        for anchor in anchors
        if anchor is not None and anchor.region
    ]


def _mask_span(
    project: Project, span: FrameRange, given: Marks, subject: int = 1, rivals: Sequence[tuple[int, Marks]] = ()
) -> MaskSpan:
    others: tuple[tuple[int, Marks], ...] = ()
    if len(given) < len(span):
        near = [(number, _near(marks, span)) for number, marks in rivals]
        others = tuple((number, marks) for number, marks in near if marks)
    parts: dict[str, Any] = {"range": [span.start, span.stop], "given": [list(one) for one in given]}
    if others:
        parts |= {"subject": subject, "others": [[number, [list(one) for one in marks]] for number, marks in others]}
    key = content_key(what="mask", clip=project.video.digest, **parts)
    return MaskSpan(span, given, key, subject if others else 1, others)


def _model_span(project: Project, span: FrameRange, given: Marks, subject: int) -> MaskSpan:
    """Carried by a model: its state stands in the key, other subjects do not."""
    marks = [list(one) for one in given]
    clip, by = project.video.digest, project.masks_by
    key = content_key(what="mask", clip=clip, range=[span.start, span.stop], given=marks, **key_part(by))
    return MaskSpan(span, given, key, subject, by=by)


def _near(marks: Marks, span: FrameRange) -> Marks:
    """The marks in the span, and the next ones before and after it where they are not too far away."""
    far = OTHERS_WITHIN[0] * len(span) + OTHERS_WITHIN[1]
    frames = [frame for frame, _ in marks]
    first, stop = bisect_left(frames, span.start), bisect_left(frames, span.stop)
    if first > 0 and (first == len(frames) or frames[first] != span.start) and span.start - frames[first - 1] <= far:
        first -= 1
    if stop < len(frames) and (stop == 0 or frames[stop - 1] != span.stop - 1) and frames[stop] - span.stop < far:
        stop += 1
    return marks[first:stop]


def plan(
    project: Project,
    cuts: list[FrameIndex],
    shared: Mapping[FrameIndex, Shared] = NOTHING,
    window: FrameRange | None = None,
) -> list[Segment]:
    """The segments of the project's range: each frame of a shot that is edited, exactly once; none while the edit is off.

    A segment starts at its left anchor and stops before its right one; blind anchors are passed over. Frames of shots without
    an approved anchor are in no segment and stay as they are, unless the method goes by text. Long stretches without an anchor
    at both ends are several segments where the method makes them in pieces. `shared`: what is prepared, by the first frame of
    the shot. `window`: frames that are looked at instead of the range.
    """
    segments: list[Segment] = []
    for shot in shots(project, cuts) if project.edit.on else ():
        span = shot.meet(window or project.range)
        parts = shared[shot.start].parts if shot.start in shared else ()
        anchors = sorted(frame for frame in {*(a.frame for a in project.edit.carried), *parts} if frame in span)
        if not len(span) or not (anchors or is_by_text(project)):
            continue
        edges = [span.start, *(frame for frame in anchors if frame > span.start), span.stop]
        for start, stop in _in_pieces(edges, anchors, card(project.edit.method).pieces):
            left, right = (start if start in anchors else None), (stop if stop in anchors else None)
            segments.append(Segment(index=len(segments), start=start, stop=stop, left=left, right=right, shot=shot))
    return segments


def _in_pieces(edges: list[FrameIndex], anchors: list[FrameIndex], length: int) -> Iterator[tuple[FrameIndex, FrameIndex]]:
    """The stretches between the edges; those not between two anchors cut every `length` frames, none shorter than that."""
    for start, stop in pairwise(edges):
        if length and not (start in anchors and stop in anchors):
            while stop - start >= 2 * length:
                yield start, start + length
                start += length
        yield start, stop


def is_by_text(project: Project) -> bool:
    """Whether the edit needs no anchor: its method goes by text, and there is one."""
    edit, chosen = project.edit, card(project.edit.method)
    return not chosen.anchors and any(getattr(edit, text) for text in chosen.texts)


def by_segment(
    project: Project, cuts: list[FrameIndex], window: FrameRange | None = None
) -> list[tuple[FrameRange, SegmentMethod]]:
    """The methods that were chosen for single segments, each with its frames within one shot of the range.

    Our choice: one holds as long as both of its ends are approved anchors or ends of the shot or range, so it always covers
    whole segments; anchors added between them leave it for both halves.
    """
    found = []
    for shot in shots(project, cuts):
        span = shot.meet(window or project.range)
        edges = {span.start, span.stop, *(anchor.frame for anchor in project.edit.carried)}
        for one in project.edit.by_segment:
            frames = span.meet(FrameRange(one.start, one.stop))
            if len(frames) and {frames.start, frames.stop} <= edges:
                found.append((frames, one))
    return found


def with_method(project: Project, chosen: SegmentMethod) -> Project:
    """The document whose edit is wholly by the method of a segment."""
    return project.with_edit(replace(project.edit, method=chosen.method, config=chosen.config, by_segment=()))


def shared_key(
    project: Project,
    cuts: list[FrameIndex],
    shot: FrameRange,
    *,
    window: FrameRange | None = None,
    under: Sequence[str] = (),
) -> str:
    """Content key over everything that what a method shares over a shot may depend on; `under`: see `segment_key`."""
    span, edit = shot.meet(window or project.range), project.edit
    return content_key(
        what="prepared",
        clip=project.video.digest,
        range=[span.start, span.stop],
        anchors=[_anchor_part(anchor) for anchor in edit.approved if anchor.frame in span],
        spots=[a.frame for a in edit.anchors if a.frame in span and not a.chosen] if card(edit.method).spots else [],
        **_said(project),
        subjects=_subjects_part(project, cuts, span),
        **_points_part(project),
        **_under_part(under),
    )


def segment_key(
    project: Project,
    cuts: list[FrameIndex],
    segment: Segment,
    shared: Mapping[FrameIndex, Shared] = NOTHING,
    *,
    under: Sequence[str] = (),
) -> str:
    """Content key over everything that decides the segment's pixels; `under`: keys of the segments that lower edits have
    on its frames."""
    edit = project.edit
    covered = FrameRange(segment.start, segment.stop + (segment.right is not None))
    common = shared.get(segment.shot.start)
    ends = [frame for frame in (segment.left, segment.right) if frame is not None]
    more: dict[str, Any] = {} if common is None else {"shared": [common.digest, *(common.parts.get(frame) for frame in ends)]}
    if edit.tokens and card(edit.method).tracks:
        more["tokens"] = [list(one) for one in edit.tokens]
    blind = [_anchor_part(one) for one in edit.approved if one.blind and segment.start <= one.frame < segment.stop]
    if blind:
        more["blind"] = blind
    return content_key(
        what="segment",
        clip=project.video.digest,
        range=[segment.start, segment.stop],
        shot=[segment.shot.start, segment.shot.stop],
        left=_anchor_part(edit.anchor_at(segment.left) if segment.left is not None else None),
        right=_anchor_part(edit.anchor_at(segment.right) if segment.right is not None else None),
        **_said(project),
        subjects=_subjects_part(project, cuts, covered),
        **more,
        **_under_part(under),
    )


def _under_part(under: Sequence[str]) -> dict[str, Any]:
    return {"under": list(under)} if under else {}


def _said(project: Project) -> dict[str, Any]:
    edit = project.edit
    return {
        "whole_frame": project.whole_frame,
        "method": edit.method,
        "config": edit.config,
        "seed": edit.seed,
        "prompts": [edit.source_prompt, edit.target_prompt, edit.instruction, list(edit.target_words)],
    }


def _points_part(project: Project) -> dict[str, Any]:
    """What the user said of tracked points, where the method reads them."""
    said = [[one.id, [list(spot) for point in one.track_points for spot in point.spots]] for one in project.subjects]
    if not card(project.edit.method).tracks or not any(spots for _, spots in said):
        return {}
    return {"points": said, **key_part(project.points_by)}


def _subjects_part(project: Project, cuts: list[FrameIndex], covered: FrameRange) -> list[dict[str, Any]]:
    return [
        {
            "feather": subject.feather,
            "grow": subject.grow,
            "masks": [s.key for s in mask_spans(project, cuts, subject.id) if len(s.range.meet(covered))],
        }
        for subject in project.edited_subjects()
    ]


def _anchor_part(anchor: Anchor | None) -> list[str | int | None] | None:
    return None if anchor is None else [anchor.frame, anchor.chosen, anchor.region]


def describe(segment: Segment) -> dict[str, object]:
    """The segment as plain values, for messages and dry runs."""
    return {name: value for name, value in asdict(segment).items() if name != "shot"}
