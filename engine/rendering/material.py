"""What a project's pixels are made of: the clip, its frame pack, masks, takes, rendered frames, by frame.

`Material` reads; it never computes what is not there (engine/rendering/render.py does) and holds a few frames at most.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
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
from engine.rendering.segments import MaskSpan, grown_spans, mask_spans, plan, segment_key
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
    ) -> None:
        """`opened` gives the reader that is shared, when it is first needed; `backbones` the models that are loaded already."""
        self.workspace = workspace
        self.project = project
        self.objects = Objects(workspace.folder / "objects")
        self.pack = open_pack(workspace, project.video)
        self.cuts: list[FrameIndex] = list(self.pack.cuts) if self.pack and self.pack.complete else []
        self.shared = read_shared(workspace, project, self.cuts)
        self.segments = plan(project, self.cuts, self.shared)
        self.backbones = backbones or Backbones()
        self._opened = opened
        self._reader: FrameReader | None = None
        self._steps: Steps | None = None
        self._entries: dict[Path, Entry] = {}
        self._regions: OrderedDict[FrameIndex, np.ndarray] = OrderedDict()
        self._spans = {subject.id: mask_spans(project, self.cuts, subject.id) for subject in project.subjects}
        self._keys: dict[int, str] = {}
        self._finished: list[FrameRange] | None = None

    def again(self) -> Material:
        """The same version, with what has been computed for it since."""
        return Material(self.workspace, self.project, lambda: self.reader, self.backbones)

    @property
    def outdated(self) -> bool:
        """Whether something was prepared since that decides what the segments are."""
        if not card(self.project.edit.method).shares:
            return False
        return read_shared(self.workspace, self.project, self.cuts).keys() != self.shared.keys()

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

    def picture(self, frame: FrameIndex) -> np.ndarray:
        """(H, W, 3) uint8 source frame."""
        return self.reader.get(frame)

    def take(self, frame: FrameIndex) -> np.ndarray:
        """(H, W, 3) uint8: the approved take of an anchor."""
        anchor = self.project.edit.anchor_at(frame)
        if anchor is None or anchor.chosen is None:
            raise MediaError(f"Frame {frame} has no approved take; approve one first.")
        return decode_png(self.objects.get(anchor.chosen))

    def segment_at(self, frame: FrameIndex) -> Segment | None:
        return next((segment for segment in self.segments if segment.start <= frame < segment.stop), None)

    def key_of(self, segment: Segment) -> str:
        if segment.index not in self._keys:
            self._keys[segment.index] = segment_key(self.project, self.cuts, segment, self.shared)
        return self._keys[segment.index]

    def rendered(self, segment: Segment) -> Entry | None:
        """The segment's patches as far as they are there; None when none is."""
        return self._entry(self.workspace.segment(self.key_of(segment)))

    def is_done(self, segment: Segment) -> bool:
        prepared = segment.shot.start in self.shared or not card(self.project.edit.method).shares
        return prepared and (self.workspace.segment(self.key_of(segment)) / "done.json").exists()

    def was_rendered(self, segment: Segment) -> bool:
        """Whether some frame of it was rendered under any key: earlier, with other marks, takes or settings."""
        if self._finished is None:
            self._finished = [covered(folder.parent) for folder in self.workspace.segment("any").parent.glob("*/done.json")]
        return any(len(span.meet(FrameRange(segment.start, segment.stop))) for span in self._finished)

    def edited(self, frame: FrameIndex, source: np.ndarray | None = None) -> np.ndarray | None:
        """(H, W, 3) uint8 rendered frame; the source outside all segments; None where it is not rendered yet."""
        segment = self.segment_at(frame)
        if segment is None:
            return self.picture(frame) if source is None else source
        entry = self.rendered(segment)
        patch = entry.get(frame) if entry else None
        if patch is None:
            return None
        return apply_patch(self.picture(frame) if source is None else source, patch)

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
        digest = self.project.video.digest
        spans = [span for subject in self.project.subjects for span in self.spans(subject.id)]
        needed = [self.workspace.pack(digest), self.workspace.motion(digest), *(self.workspace.masks(one.key) for one in spans)]
        for folder in [*needed, *(self.workspace.segment(self.key_of(one)) for one in self.segments)]:
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


def open_pack(workspace: Workspace, video: Video) -> FramePack | None:
    """The clip's frame pack, complete or growing; None before it is begun."""
    folder = workspace.pack(video.digest)
    if not (folder / "index").exists():
        return None
    touch(folder)
    return CheckedPack.open(folder)
