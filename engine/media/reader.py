"""Reading clips by frame index: random access that equals sequential decoding, bit for bit.

`open_video` takes a file (`VideoFileReader`) or a numbered sequence of stills (`ImageSequenceReader`).
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
from av.video.frame import VideoFrame

from engine.errors import MediaError
from engine.media.colour import STANDARD
from engine.media.convert import Converter, Form
from engine.media.deinterlace import in_order, single
from engine.media.describe import describe, digest_as_read, form_of_file
from engine.media.examine import Look, examine
from engine.media.frames import FrameCache, FrameReader, check_frame, check_span
from engine.media.index import FrameTable, build_table
from engine.media.probe import check_file, is_still
from engine.media.sequence import ImageSequenceReader
from engine.media.walk import Step, Walk
from engine.types import FrameIndex, FrameRange, Video

RECENT_BYTES = 64 * 2**20
STEP_ON = 8
"""Up to so many frames ahead, decoding on beats seeking (our choice)."""


def open_video(
    path: str | Path,
    known: Video | None = None,
    *,
    rate: Fraction | None = None,
    unchanged: bool = False,
    deinterlace: bool = False,
) -> FrameReader:
    """Opens a clip: a file, a folder of stills, or one numbered still of a sequence.

    `known` is what was found in the same clip before: its frame table is trusted after the content was compared, or when
    the caller says that the file is `unchanged` (engine/store/clips.py: same size, time and inode). A file that is not known is
    first looked at in a child process with limits (see `examine`).
    `rate` (frames per second) is for sources that have none: stills and raw streams. `deinterlace` makes whole frames of
    interlaced ones; a `known` clip is read as it was before.

    Raises:
        MediaError: see `probe`; also when the content is no longer that of `known`.
    """
    place = Path(path)
    if os.path.isdir(place):  # unlike Path.is_dir, False for what cannot be a path
        return ImageSequenceReader(place, known, rate=rate, unchanged=unchanged)
    resolved = check_file(path)
    if is_still(resolved):
        return ImageSequenceReader(place, known, rate=rate, unchanged=unchanged)
    return VideoFileReader(place, known, rate=rate, unchanged=unchanged, deinterlace=deinterlace)


class VideoFileReader:
    """A clip in one file. See `frames.FrameReader`."""

    def __init__(
        self,
        path: Path,
        known: Video | None = None,
        *,
        rate: Fraction | None = None,
        unchanged: bool = False,
        deinterlace: bool = False,
    ) -> None:
        self._file = check_file(path)
        look = Look() if known is not None else examine(self._file)
        self._stamp = _stamp(self._file)
        digest = "" if known is not None and unchanged else _digest(self._file)
        if digest and known is not None and known.digest != digest_as_read(digest, known.deinterlaced):
            raise MediaError(f"“{path.name}” has changed since it was opened first; put the earlier file back or open it anew.")
        self._table: FrameTable = build_table(self._file, rate, known)
        if known is None:
            self.video, self._form = describe(self._file, self._table, look, digest=digest, rate=rate, deinterlace=deinterlace)
        else:
            self._form = _form_as_known(form_of_file(self._file), known)
            colour = STANDARD if self._form.hdr else known.colour
            table = self._table
            self.video = replace(known, path=str(self._file), colour=colour, pts=table.pts, time_base=table.time_base)
        known_damage = tuple(frame for start, stop in self.video.damaged for frame in range(start, stop))
        self._table = replace(self._table, damaged=known_damage)
        self.damaged: set[FrameIndex] = set()
        self._cache = FrameCache()
        self._convert = Converter(self._form)
        self._walk = Walk(self._file, self._table)
        self._steps: Iterator[Step] = iter(())
        self._recent: OrderedDict[FrameIndex, VideoFrame] = OrderedDict()
        self._at = -1
        self._hurried = False

    @property
    def has_alpha(self) -> bool:
        return self._form.alpha

    def get(self, frame: FrameIndex) -> np.ndarray:
        """Frame `frame`, (H, W, 3) uint8 RGB, read-only. Raises MediaError outside the clip."""
        check_frame(frame, self.video)
        picture = self._cache.get(frame)
        if picture is None:
            picture = self._cache.put(frame, self._convert.rgb(self._shown(frame)))
        return picture

    def frames(self, span: FrameRange, *, deep: bool = False) -> Iterator[np.ndarray]:
        """The frames of `span` in order, each (H, W, 3) uint8 RGB, read-only; with `deep` uint16, 65535 = white."""
        convert = Converter(self._form)
        return self._pictures(span, convert.deep if deep else convert.rgb)

    def alphas(self, span: FrameRange) -> Iterator[np.ndarray]:
        """The opacity of the frames of `span` in order, each (H, W) uint16, 65535 = opaque."""
        return self._pictures(span, Converter(self._form).alpha)

    def _pictures(self, span: FrameRange, picture_of: Callable[[VideoFrame], np.ndarray]) -> Iterator[np.ndarray]:
        check_span(span, self.video)
        if not len(span):
            return
        self._check_unchanged()
        walk = Walk(self._file, self._table)
        try:
            for step in self._read_in_order(walk, span):
                if step.frame not in span:
                    continue
                if not step.whole:
                    self.damaged.add(step.frame)
                picture = picture_of(step.decoded)
                picture.flags.writeable = False
                yield picture
                if step.frame == span.stop - 1:
                    return
        finally:
            walk.close()
        raise self._undecodable(span.start)

    def _read_in_order(self, walk: Walk, span: FrameRange) -> Iterator[Step]:
        """Steps through the span, as they are shown."""
        if not self.video.deinterlaced:
            yield from walk.steps(span.start)
            return
        start, stop = max(0, span.start - 1), min(span.stop + 1, self.video.frames)  # bwdif looks at both neighbours
        waiting: deque[Step] = deque()

        def fed() -> Iterator[VideoFrame]:
            for step in walk.steps(start):
                if start <= step.frame < stop:
                    waiting.append(step)
                    yield step.decoded
                if step.frame >= stop - 1:
                    return

        for made in in_order(fed()):
            yield waiting.popleft()._replace(decoded=made)

    def close(self) -> None:
        """Frees the decoder and the cache; the reader can still be used and opens them again."""
        self._walk.close()
        self._steps, self._at = iter(()), -1
        self._recent.clear()
        self._cache.clear()

    def __enter__(self) -> VideoFileReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _shown(self, frame: FrameIndex) -> VideoFrame:
        """The frame as it is shown: decoded, and deinterlaced where the user wants that."""
        if not self.video.deinterlaced:
            return self._decoded(frame)
        neighbours = (one if 0 <= one < self.video.frames else None for one in (frame - 1, frame, frame + 1))
        before, this, after = (None if one is None else self._decoded(one) for one in neighbours)
        assert this is not None
        return single(before, this, after)

    def _decoded(self, target: FrameIndex) -> VideoFrame:
        """The decoded picture shown at `target`; the ones decoded just before it stay at hand for stepping back."""
        if target in self._recent:
            return self._recent[target]
        if not self._ahead(target):
            self._restart(target, hurry=True)
        step = self._advance(target)
        if not step.whole and self._hurried:
            self._restart(target, hurry=False)
            step = self._advance(target)
        if not step.whole:
            self.damaged.add(target)
        return step.decoded

    def _restart(self, target: FrameIndex, hurry: bool) -> None:
        self._check_unchanged()
        self._recent.clear()
        self._steps, self._at, self._hurried = self._walk.steps(target, hurry), -1, hurry

    def _advance(self, target: FrameIndex) -> Step:
        room = max(4, RECENT_BYTES // (self.video.size[0] * self.video.size[1] * 2))
        for step in self._steps:
            self._at = step.frame
            if step.whole:
                self._recent[step.frame] = step.decoded
            while len(self._recent) > room:
                self._recent.popitem(last=False)
            if step.frame == target:
                return step
        raise self._undecodable(target)

    def _ahead(self, target: FrameIndex) -> bool:
        """Whether going on from where the decoder is gets to `target` sooner than seeking."""
        if self._at < 0 or target <= self._at:
            return False
        if not self._table.seekable or target - self._at <= STEP_ON:
            return True
        key = self._table.key_before(target)
        return key < 0 or self._table.frame_at(self._table.keys[key].pts) <= self._at

    def _check_unchanged(self) -> None:
        """Raises MediaError when the file was removed or replaced: its frame table is that of another clip then."""
        if _stamp(self._file) != self._stamp:
            raise MediaError(f"“{self._file.name}” was changed or removed while it was open; put it back, then open it anew.")

    def _undecodable(self, frame: FrameIndex) -> MediaError:
        return MediaError(
            f"Frame {frame} of “{self._file.name}” cannot be decoded and there is none to stand in; get the file again."
        )


def _form_as_known(form: Form, known: Video) -> Form:
    """A project made before non-square pixels were followed has masks and takes of the stored size."""
    return form if form.size == known.size else replace(form, aspect=Fraction(1))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Size, time of change and number of a file; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
