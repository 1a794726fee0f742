"""What a project's pixels are made of: the clip, its frame pack, masks, takes, rendered frames, by frame.

`Material` reads; it never computes what is not there (engine/rendering/render.py does) and holds a few frames at most.

It is about one edit, the one that its document works on, and holds the material of the edit below, whose result it edits.
Our choice: masks, tracks and motion are those of the clip as it was shot, for all edits: a lower edit that changes how a
subject looks does not change where it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from engine.backbones.shelf import Backbones
from engine.composite import edit_region
from engine.document.project import Project
from engine.errors import MediaError
from engine.media.images import decode_png
from engine.media.pack import FramePack
from engine.media.reader import FrameReader
from engine.media.records import RecordReader, covered
from engine.methods import card
from engine.methods.base import Segment
from engine.motion.steps import Steps
from engine.rendering.patches import apply_patch
from engine.rendering.preparing import read_shared
from engine.rendering.segments import (
    MaskSpan,
    Shared,
    by_segment,
    grown_spans,
    mask_spans,
    plan,
    segment_key,
    shared_key,
    shots,
    with_method,
)
from engine.store.clips import open_clip
from engine.store.entries import CheckedPack, Entry, is_whole
from engine.store.journal import Objects
from engine.store.workspace import Workspace, touch
from engine.types import FrameIndex, FrameRange, Video

REGIONS_KEPT = 4


class Material:
    """One version of the document together with its files. Cheap to make; the reader is shared between versions."""

    def __init__(
        self,
        workspace: Workspace,
        project: Project,
        opened: Callable[[], FrameReader] | None = None,
        backbones: Backbones | None = None,
        *,
        window: FrameRange | None = None,
    ) -> None:
        """`opened` gives the reader that is shared, when it is first needed; `backbones` the models that are loaded already.
        `window`: frames that are edited instead of the project's range, with the masks of the whole range."""
        self.workspace = workspace
        self.project = project
        self.objects = Objects(workspace.folder / "objects")
        self.pack = open_pack(workspace, project.video)
        self.cuts: list[FrameIndex] = list(self.pack.cuts) if self.pack and self.pack.complete else []
        self.backbones = backbones or Backbones()
        self.window = window
        self._opened = opened
        self._reader: FrameReader | None = None
        self._steps: Steps | None = None
        self._entries: dict[Path, Entry] = {}
        self._regions: OrderedDict[FrameIndex, np.ndarray] = OrderedDict()
        self._spans = {subject.id: mask_spans(project, self.cuts, subject.id) for subject in project.subjects}
        self._keys: dict[tuple[FrameIndex, FrameIndex], str] = {}
        self._finished: list[FrameRange] | None = None
        self.shared = self._read_shared()
        self._by_segment = [
            (span, self.working_on(with_method(project, one), window=window))
            for span, one in by_segment(project, self.cuts, window)
        ]
        self.segments = self._planned()

    def _planned(self) -> list[Segment]:
        """The edit's segments; where another method was chosen for some frames, those that it makes of them."""
        found = [one for one in plan(self.project, self.cuts, self.shared, self.window) if self.of(one) is self]
        for span, other in self._by_segment:
            found += [one for one in other.segments if _within(one, span)]
        return [replace(one, index=index) for index, one in enumerate(sorted(found, key=lambda one: one.start))]

    def _read_shared(self) -> dict[FrameIndex, Shared]:
        if not card(self.project.edit.method).shares:
            return {}
        return read_shared(self.workspace, {shot.start: self.shared_key(shot) for shot in shots(self.project, self.cuts)})

    def shared_key(self, shot: FrameRange) -> str:
        """Under which the edit's method keeps what it shares over a shot."""
        under = self.keys_below(shot.meet(self.window or self.project.range))
        return shared_key(self.project, self.cuts, shot, window=self.window, under=under)

    def again(self) -> Material:
        """The same version, with what has been computed for it since."""
        return self.working_on(self.project, window=self.window)

    def working_on(self, project: Project, *, window: FrameRange | None = None) -> Material:
        """Material of another document on the same clip: the reader and the models are shared."""
        return Material(self.workspace, project, lambda: self.reader, self.backbones, window=window)

    def of(self, segment: Segment) -> Material:
        """Material by whose method a segment is made: this one, or that of the method chosen for the segment."""
        return next((other for span, other in self._by_segment if _within(segment, span)), self)

    @property
    def outdated(self) -> bool:
        """Whether something was prepared since that decides what the segments are, here or in an edit below."""
        fresh = card(self.project.edit.method).shares and self._read_shared().keys() != self.shared.keys()
        others = [other for _, other in self._by_segment] + ([self.below] if self.below else [])
        return fresh or any(other.outdated for other in others)

    # --- the edits below ----------------------------------------------------------------------------------

    @cached_property
    def below(self) -> Material | None:
        """Material of the next lower edit that is on; None for the lowest."""
        lower = self.project.below
        return None if lower is None else self.working_on(lower)

    @property
    def layers(self) -> list[Material]:
        """The lower edits that are on and this one, from the lowest up."""
        return [*(self.below.layers if self.below else ()), self]

    @property
    def whole(self) -> Material:
        """Material of the topmost edit that is on, which shows all of them."""
        project = self.project.whole
        return self if project is self.project else self.working_on(project)

    def keys_below(self, span: FrameRange) -> list[str]:
        """Keys of all that lower edits lay over frames of the span."""
        if self.below is None or not len(span):
            return []
        mine = [self.below.key_of(one) for one in self.below.segments if len(span.meet(FrameRange(one.start, one.stop)))]
        return [*self.below.keys_below(span), *mine]

    def shows_clip(self, frame: FrameIndex) -> bool:
        """Whether no edit up to this one is on a frame: it is the clip's own."""
        return self.segment_at(frame) is None and (self.below is None or self.below.shows_clip(frame))

    def is_finished(self, frame: FrameIndex) -> bool:
        """Whether a frame of the result is there: rendered, or not edited, here and below."""
        segment = self.segment_at(frame)
        entry = self.rendered(segment) if segment else None
        here = segment is None or (entry is not None and frame in entry)
        return here and (self.below is None or self.below.is_finished(frame))

    @property
    def reader(self) -> FrameReader:
        if self._reader is None:
            self._reader = self._opened() if self._opened else open_clip(self.workspace, self.project.video)
        return self._reader

    @property
    def ready_pack(self) -> FramePack:
        """The complete frame pack. Raises MediaError while it is still being built."""
        if self.pack is None or not self.pack.complete:
            raise MediaError("The clip is still being prepared; wait for the bar under the timeline to fill, then try again.")
        return self.pack

    @property
    def steps(self) -> Steps:
        """Motion between neighbouring frames, as far as it is known."""
        if self._steps is None:
            video = self.project.video
            self._steps = Steps(self.ready_pack, video.size, self.workspace.motion(video.digest))
        return self._steps

    # --- masks --------------------------------------------------------------------------------------------

    def spans(self, subject: int) -> list[MaskSpan]:
        return self._spans[subject]

    def grown(self, segment: Segment) -> list[MaskSpan]:
        return grown_spans(self.project, segment)

    def carried(self, span: MaskSpan) -> bool:
        """Whether the span's masks are all there."""
        return (self.workspace.masks(span.key) / "done.json").exists()

    def alpha(self, subject: int, frame: FrameIndex) -> np.ndarray | None:
        """(H, W) uint8 mask of a subject: from its marks on the frame, else carried; None where neither is there."""
        key = self.project.keyframe(frame, subject)
        if key and key.mask:
            return decode_png(self.objects.get(key.mask))
        for span in self.spans(subject):
            if frame in span.range:
                return self._carried_alpha(span, frame)
        return None

    def confidence(self, subject: int, span: MaskSpan) -> dict[FrameIndex, float]:
        """0–1 for each frame of a carried span of a subject: 1 where it is marked; empty where it is not carried yet."""
        if span not in self.spans(subject) or not self.carried(span):
            return {}
        told = RecordReader(self.workspace.masks(span.key)).meta["confidence"]
        return dict(zip(span.range, told, strict=True))

    def _carried_alpha(self, span: MaskSpan, frame: FrameIndex) -> np.ndarray | None:
        for given, key in span.given:
            if given == frame:
                return decode_png(self.objects.get(key))
        entry = self._entry(self.workspace.masks(span.key))
        blob = entry.get(frame) if entry else None
        return None if blob is None else decode_png(blob)

    def region(self, frame: FrameIndex) -> np.ndarray:
        """(H, W) uint8: the edit region of a frame. 0 where the source must stay as it is."""
        if frame in self._regions:
            return self._regions[frame]
        region = self._region(frame)
        self._regions[frame] = region
        if len(self._regions) > REGIONS_KEPT:
            self._regions.popitem(last=False)
        return region

    def _region(self, frame: FrameIndex) -> np.ndarray:
        region = self.subjects_region(frame)
        segment = self.segment_at(frame)
        for span in self.grown(segment) if segment else ():
            grown = self._carried_alpha(span, frame)
            if grown is not None:
                region = np.maximum(region, grown)
        return region

    def subjects_region(self, frame: FrameIndex, only: int | None = None) -> np.ndarray:
        """The edit region from the subjects' masks (or of `only` one), without what anchors grew."""
        size = self.project.video.size
        if self.project.whole_frame and only is None:
            return np.full(size, 255, np.uint8)
        region = np.zeros(size, np.uint8)
        for subject in self.project.edited_subjects() if only is None else (self.project.subject(only),):
            alpha = self.alpha(subject.id, frame)
            if alpha is not None:
                region = np.maximum(region, edit_region(alpha, subject.grow, subject.feather))
        return region

    # --- pictures -----------------------------------------------------------------------------------------

    def original(self, frame: FrameIndex) -> np.ndarray:
        """(H, W, 3) uint8: the clip's own frame."""
        return self.reader.get(frame)

    def picture(self, frame: FrameIndex, original: np.ndarray | None = None) -> np.ndarray:
        """(H, W, 3) uint8: the frame that is edited, which is the clip's (`original`, where it is at hand) with the edits below.

        Raises MediaError where one of these is not rendered yet.
        """
        if self.below is None:
            return self.original(frame) if original is None else original
        found = self.below.edited(frame, original)
        if found is None:
            raise MediaError(
                f"The edits below “{self.project.edit.name}” are not rendered on frame {frame} yet: propagate (Ctrl+Enter), then "
                "try again."
            )
        return found

    def take(self, frame: FrameIndex) -> np.ndarray:
        """(H, W, 3) uint8: the approved take of an anchor.

        Our choice: among several edits it counts inside its region only; around it lies what is below now, which may have
        changed since the take was made.
        """
        anchor = self.project.edit.anchor_at(frame)
        if anchor is None or anchor.chosen is None:
            raise MediaError(f"Frame {frame} has no approved take; approve one first.")
        image = decode_png(self.objects.get(anchor.chosen))
        region = self.region(frame) if len(self.project.edits) > 1 else None
        return image if region is None or not region.any() else np.where(region[..., None] > 0, image, self.picture(frame))

    def segment_at(self, frame: FrameIndex) -> Segment | None:
        return next((segment for segment in self.segments if segment.start <= frame < segment.stop), None)

    def key_of(self, segment: Segment) -> str:
        maker = self.of(segment)
        if maker is not self:
            return maker.key_of(segment)
        name = segment.start, segment.stop
        if name not in self._keys:
            under = self.keys_below(FrameRange(segment.start, segment.stop + (segment.right is not None)))
            self._keys[name] = segment_key(self.project, self.cuts, segment, self.shared, under=under)
        return self._keys[name]

    def rendered(self, segment: Segment) -> Entry | None:
        """The segment's patches as far as they are there; None when none is."""
        return self._entry(self.workspace.segment(self.key_of(segment)))

    def is_done(self, segment: Segment) -> bool:
        maker = self.of(segment)
        prepared = segment.shot.start in maker.shared or not card(maker.project.edit.method).shares
        return prepared and (self.workspace.segment(self.key_of(segment)) / "done.json").exists()

    def was_rendered(self, segment: Segment) -> bool:
        """Whether some frame of it was rendered under any key: earlier, with other marks, takes or settings."""
        if self._finished is None:
            self._finished = [covered(folder.parent) for folder in self.workspace.segment("any").parent.glob("*/done.json")]
        return any(len(span.meet(FrameRange(segment.start, segment.stop))) for span in self._finished)

    def edited(self, frame: FrameIndex, original: np.ndarray | None = None) -> np.ndarray | None:
        """(H, W, 3) uint8 rendered frame, with the edits below; what they leave outside all segments; None where one is not
        rendered yet. `original`: the clip's frame, where it is at hand."""
        segment, patch = self.segment_at(frame), b""
        if segment is not None:
            entry = self.rendered(segment)
            found = entry.get(frame) if entry else None
            if found is None:
                return None
            patch = found
        if self.below is not None:
            under = self.below.edited(frame, original)
        else:
            under = self.original(frame) if original is None else original
        return apply_patch(under, patch) if under is not None and patch else under

    def best(self, frame: FrameIndex, original: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8: the frame with as many edits as are rendered, from the lowest up; else `original`."""
        found = self.edited(frame, original)
        if found is not None:
            return found
        return original if self.below is None else self.below.best(frame, original)

    def drop_damaged(self, segments: list[Segment]) -> None:
        """Reads what is finished of the segments, and throws away what the disk has damaged."""
        for segment in segments:
            if self.is_done(segment):
                is_whole(self.workspace.segment(self.key_of(segment)))

    def drop_damaged_masks(self, spans: list[MaskSpan]) -> None:
        for span in spans:
            if self.carried(span):
                is_whole(self.workspace.masks(span.key))

    def keep(self) -> None:
        """Counts everything that this version needs as used now, so that a full cache does not lose it."""
        for layer in self.whole.layers:
            for one in layer.segments:
                touch(self.workspace.segment(layer.key_of(one)))
        digest = self.project.video.digest
        spans = [span for subject in self.project.subjects for span in self.spans(subject.id)]
        for folder in (
            self.workspace.pack(digest),
            self.workspace.motion(digest),
            *(self.workspace.masks(one.key) for one in spans),
        ):
            touch(folder)

    def _entry(self, folder: Path) -> Entry | None:
        """Opened once, refreshed while it grows; None where there is none yet."""
        entry = self._entries.get(folder)
        if entry is None:
            if not (folder / "index").exists():
                return None
            entry = self._entries[folder] = Entry(folder)
            touch(folder)
        try:
            entry.refresh()
        except FileNotFoundError:  # thrown away since
            self._entries.pop(folder).close()
            return None
        return entry

    def close(self) -> None:
        """Closes the entries; the reader belongs to whoever gave it."""
        for entry in self._entries.values():
            entry.close()
        self._entries.clear()
        for other in [other for _, other in self._by_segment] + ([self.below] if "below" in self.__dict__ else []):
            if other is not None:
                other.close()


def _within(segment: Segment, span: FrameRange) -> bool:
    return span.start <= segment.start and segment.stop <= span.stop


def open_pack(workspace: Workspace, video: Video) -> FramePack | None:
    """The clip's frame pack, complete or growing; None before it is begun."""
    folder = workspace.pack(video.digest)
    if not (folder / "index").exists():
        return None
    touch(folder)
    return CheckedPack.open(folder)
