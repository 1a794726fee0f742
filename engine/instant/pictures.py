"""Edited frames of one version of a project, small: at once by a rough chain, properly by the motion method.

Both work on the frame pack's pictures at `proxy_size`. The edit is the one that approved takes say; the method that the
project will be rendered by does not matter here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import cv2
import numpy as np

from engine.composite import edit_region, region_of_difference
from engine.errors import MethodError
from engine.instant.chains import Chains
from engine.media.images import decode_png
from engine.methods import card, method
from engine.methods.base import Context, Segment, Shot
from engine.motion.flow import Window, sample, upsample, upsample_positions
from engine.rendering.material import Material
from engine.rendering.segments import shots
from engine.types import FrameIndex, FrameRange

SHORT_SIDE = 360
KEPT = 8
LEAST = 1e-3
"""Weight of what no anchor can be believed about: something must be shown there too."""
LONGEST = 240
"""Frames that are carried properly for a preview, at most."""
FAR = 3.0
"""An anchor this many times as far as the other one is left out at first."""
QUALITY = 85
ALIKE = 30.0
"""Levels by which two pictures of one thing differ at most, mostly."""


def proxy_size(size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of the preview's pictures for a clip of size (H, W): short side at most 360, even."""
    scale = min(1.0, SHORT_SIDE / min(size))
    return max(2, round(size[0] * scale / 2) * 2), max(2, round(size[1] * scale / 2) * 2)


@dataclass(frozen=True, eq=False, slots=True)
class Layer:
    """What an anchor changes: difference (h, w, 3) float32, region (h, w) uint8; `grown`: its region says more than the masks."""

    difference: np.ndarray
    region: np.ndarray
    grown: bool


class Proxies:
    """Sources, regions and takes of a version at proxy size."""

    def __init__(self, material: Material) -> None:
        self.material, self.pack = material, material.ready_pack
        self.size = proxy_size(material.project.video.size)
        self._sources: OrderedDict[FrameIndex, np.ndarray] = OrderedDict()
        self._layers: dict[FrameIndex, Layer] = {}

    def source(self, frame: FrameIndex) -> np.ndarray:
        """(h, w, 3) uint8."""
        if frame not in self._sources:
            self._sources[frame] = self.small(self._edited_below(frame))
            if len(self._sources) > KEPT:
                self._sources.popitem(last=False)
        return self._sources[frame]

    def _edited_below(self, frame: FrameIndex) -> np.ndarray:
        """The pack's picture; over other edits their result, as far as they are rendered."""
        below = self.material.below
        found = None if below is None or below.shows_clip(frame) else below.edited(frame)
        return self.pack.rgb(frame) if found is None else found

    def region(self, frame: FrameIndex) -> np.ndarray | None:
        """(h, w) uint8: the edit region from the subjects' masks; None where one is not carried to the frame yet."""
        project = self.material.project
        if project.whole_frame:
            return np.full(self.size, 255, np.uint8)
        scale = self.size[0] / project.video.size[0]
        region = np.zeros(self.size, np.uint8)
        for subject in project.edited_subjects():
            alpha = self.material.alpha(subject.id, frame)
            if alpha is None:
                return None
            region = np.maximum(region, edit_region(self.small(alpha), subject.grow * scale, subject.feather * scale))
        return region

    def layer(self, anchor: FrameIndex) -> Layer:
        """What the approved take of an anchor changes. Raises MediaError where its picture is gone."""
        if anchor not in self._layers:
            source, take = self.source(anchor), self.take(anchor)
            given = self.material.project.edit.anchor_at(anchor)
            region = self.region(anchor)
            if region is None or not region.any():
                region = region_of_difference(source, take, tolerance=12)  # the pack's pictures are lossy
            grown = given is not None and given.region is not None
            if given is not None and given.region is not None:
                region = np.maximum(region, self.small(decode_png(self.material.objects.get(given.region))))
            share = (region.astype(np.float32) / 255)[..., None]
            self._layers[anchor] = Layer((take.astype(np.float32) - source) * (share > 0), region, grown)
        return self._layers[anchor]

    def take(self, anchor: FrameIndex) -> np.ndarray:
        """(h, w, 3) uint8. Raises MediaError where the edits below are not rendered on the anchor yet."""
        return self.small(self.material.take(anchor))

    def get(self, frame: FrameIndex) -> np.ndarray:
        return self.source(frame)

    def frames(self, span: FrameRange) -> Iterator[np.ndarray]:
        yield from (self.source(frame) for frame in span)

    def small(self, picture: np.ndarray) -> np.ndarray:
        """A picture or mask of the clip at proxy size."""
        if picture.shape[:2] == self.size:
            return picture
        return cv2.resize(picture, self.size[::-1], interpolation=cv2.INTER_AREA)


class QuickPictures:
    """One version of a project; `chains` outlive it."""

    def __init__(self, material: Material, chains: Chains) -> None:
        self.material, self.chains, self.proxies = material, chains, Proxies(material)
        project = material.project
        self._shots = [shot.meet(project.range) for shot in shots(project, material.cuts)]
        self._anchors = sorted(anchor.frame for anchor in project.edit.carried)

    def span(self, frame: FrameIndex) -> Segment | None:
        """The frames between the approved anchors around a frame, in its shot; None where the shot has none."""
        shot = next((one for one in self._shots if frame in one), None)
        anchors = [anchor for anchor in self._anchors if shot is not None and anchor in shot]
        if shot is None or not anchors:
            return None
        left = max((anchor for anchor in anchors if anchor <= frame), default=None)
        right = min((anchor for anchor in anchors if anchor > frame), default=None)
        start = shot.start if left is None else left
        return Segment(0, start, shot.stop if right is None else right, left, right, shot)

    def stretch(self, start: FrameIndex, last: FrameIndex) -> Segment | None:
        """Two frames and all between them, whatever anchors there are; None where they do not lie in one shot."""
        shot = next((one for one in self._shots if start in one and last in one), None)
        return None if shot is None else Segment(0, start, last + 1, None, None, shot)

    def rough(self, frame: FrameIndex) -> np.ndarray | None:
        """(h, w, 3) uint8 of a frame, from its nearest anchors; None where there is none in its shot."""
        around = self.span(frame)
        if around is None:
            return None
        if frame == around.left:
            return self.proxies.take(frame)
        source, region = self.proxies.source(frame), self.proxies.region(frame)
        near = self._near(frame, around)
        window = self._window(region, [self.proxies.layer(anchor) for anchor, _ in near])
        if window is None:
            return source
        under = source[window].astype(np.float32)
        total, mixed = np.full(under.shape[:2], LEAST, np.float32), np.zeros_like(under)
        for anchor, share in near:
            difference, weight = self._carried(anchor, frame, region, window)
            total += weight * share
            mixed += difference * (weight * share + LEAST * share)[..., None]
        picture = source.copy()
        picture[window] = np.clip(np.rint(under + mixed / total[..., None]), 0, 255).astype(np.uint8)
        return picture

    def _window(self, region: np.ndarray | None, layers: list[Layer]) -> Window | None:
        """What part of the picture can change; None where none of it."""
        if region is None or any(layer.grown for layer in layers):
            return slice(0, self.proxies.size[0]), slice(0, self.proxies.size[1])
        rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
        if not len(rows):
            return None
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def _near(self, frame: FrameIndex, around: Segment) -> list[tuple[FrameIndex, float]]:
        """The anchors that count at first, with their share by nearness."""
        ends = [anchor for anchor in (around.left, around.right) if anchor is not None]
        if len(ends) == 1:
            return [(ends[0], 1.0)]
        whole = ends[1] - ends[0]
        near = [(anchor, 1 - abs(frame - anchor) / whole) for anchor in ends]
        close = min(abs(frame - anchor) for anchor in ends)
        return [(anchor, share) for anchor, share in near if abs(frame - anchor) <= FAR * close]

    def _carried(
        self, anchor: FrameIndex, frame: FrameIndex, region: np.ndarray | None, window: Window
    ) -> tuple[np.ndarray, np.ndarray]:
        """An anchor's difference (h, w, 3) in a window of a frame, and its confidence (h, w)."""
        positions, confidence = self.chains.field(anchor, frame)
        layer, size = self.proxies.layer(anchor), self.proxies.size
        at = upsample_positions(positions, size, window)
        difference, was = sample(layer.difference, at), sample(layer.region, at).astype(np.float32)
        if region is not None and not layer.grown:
            difference = difference * np.minimum(1, region[window] / np.maximum(was, 1))[..., None]
        sure = upsample(confidence, size, window)
        if region is None:  # where the subject is nobody knows yet: what the chain is wrong about would trail behind it
            difference = difference * (np.clip(2 * sure - 0.6, 0, 1) * alike(self.proxies, anchor, frame, at, window))[..., None]
        return difference, sure * (was > 127)

    # --- properly -----------------------------------------------------------------------------------------

    def can_refine(self, around: Segment) -> bool:
        """Whether the masks of these frames are there."""
        frames = FrameRange(around.start, around.stop)
        subjects = [] if self.material.project.whole_frame else self.material.project.edited_subjects()
        return all(
            any(
                span.range.start <= frames.start and frames.stop <= span.range.stop and self.material.carried(span)
                for span in spans
            )
            or all(self.material.alpha(subject.id, frame) is not None for frame in frames)
            for subject in subjects
            for spans in [self.material.spans(subject.id)]
        )

    @staticmethod
    def shortened(around: Segment, frame: FrameIndex) -> Segment:
        """As much of a long stretch as a preview carries properly: from the nearer anchor on."""
        start, stop, left, right = around.start, around.stop, around.left, around.right
        if stop - start > LONGEST:
            nearer_left = right is None or (left is not None and frame - left <= right - frame)
            start, stop = (start, start + LONGEST) if nearer_left else (stop - LONGEST, stop)
            left, right = (left, None) if nearer_left else (None, right)
        return Segment(0, start, stop, left, right, around.shot)

    @contextmanager
    def refined(
        self, around: Segment, step: Callable[[int, int], None], measures: dict[FrameIndex, dict[str, float]]
    ) -> Iterator[Iterator[tuple[FrameIndex, np.ndarray]]]:
        """Frames of a stretch by the motion method, (frame, (h, w, 3) uint8) in order; what it notes goes to `measures`.

        `step` may raise Cancelled.
        """
        edit, chosen = self.material.project.edit, method("motion")
        config = card("motion").Config(**edit.config) if edit.method == "motion" else card("motion").Config()
        with self.material.workspace.scratch() as scratch:

            def note(frame: FrameIndex, **noted: float) -> None:
                measures.setdefault(frame, {}).update(noted)

            context = Context(step, edit.seed, scratch, scratch, _no_model, note)
            shot = self.shot(around)
            yield chosen.render(shot, around, chosen.prepare(shot, config, context), context)

    def shot(self, around: Segment) -> Shot:
        """What the motion method sees of the pictures here."""
        return Shot(
            frames=self.proxies,
            steps=self.material.steps,
            size=self.proxies.size,
            span=around.shot,
            anchors=tuple(anchor for anchor in self._anchors if anchor in around.shot),
            region=self.region,
            alpha=self._alpha,
            take=self.clean_take,
            tracks=lambda: None,
            edit=self.material.project.edit,
            subjects=tuple(subject.id for subject in self.material.project.edited_subjects()),
        )

    def share(self, frame: FrameIndex) -> float:
        """Of the picture that the edit region covers."""
        return round(float(np.count_nonzero(self.region(frame))) / (self.proxies.size[0] * self.proxies.size[1]), 5)

    def region(self, frame: FrameIndex) -> np.ndarray:
        """(h, w) uint8: the edit region of a frame, as far as masks are there."""
        region = self.proxies.region(frame)
        small = self.proxies.small(self.material.region(frame))
        return small if region is None else np.maximum(region, small)

    def _alpha(self, subject: int, frame: FrameIndex) -> np.ndarray | None:
        alpha = self.material.alpha(subject, frame)
        return None if alpha is None else self.proxies.small(alpha)

    def clean_take(self, frame: FrameIndex) -> np.ndarray:
        """(h, w, 3) uint8: the pack's picture of the source with the take's change on it: outside the edit nothing differs."""
        change = self.proxies.layer(frame).difference
        return np.clip(np.rint(self.proxies.source(frame) + change), 0, 255).astype(np.uint8)


def alike(proxies: Proxies, anchor: FrameIndex, frame: FrameIndex, at: np.ndarray, window: Window) -> np.ndarray:
    """(h, w) float32 0–1: whether the anchor's source, carried to the places `at`, is what a window of the frame shows."""
    carried = sample(proxies.source(anchor), at)
    error = cv2.absdiff(carried, np.ascontiguousarray(proxies.source(frame)[window])).max(axis=-1).astype(np.float32)
    return np.exp(-((cv2.blur(error, (7, 7)) / ALIKE) ** 2))


def _no_model(*names: object, **options: object) -> NoReturn:
    raise MethodError("Motion is carried without a model.")


def as_jpeg(picture: np.ndarray) -> bytes:
    """A picture (h, w, 3) uint8 RGB for the page. Raises MethodError where it cannot be encoded."""
    done, blob = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise MethodError("A preview picture could not be encoded; reload the page.")
    return blob.tobytes()
