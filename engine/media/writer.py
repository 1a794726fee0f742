"""Writing clips: every frame at its source time, with the source's sound, subtitles and colour tags.

A target is always whole: the old one or the new one (see `target`).
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np

from engine.errors import MediaError
from engine.media.colour import tags_in_force
from engine.media.encode import PictureTrack, encoding_for
from engine.media.formats import ExportSettings, settings_for
from engine.media.frames import FrameReader, check_span
from engine.media.probe import file_url, open_container
from engine.media.sound import SoundTrack
from engine.media.stills import write_still
from engine.media.subtitles import SubtitleTracks
from engine.media.target import beside, sync
from engine.media.timecode import moved, timecode_of
from engine.types import FrameRange, Video

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
FRAME_NAME = re.compile(r"^\d{5,}\.(png|exr)$")
CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}

Progress = Callable[[int, int], None]
Companion = SoundTrack | SubtitleTracks


def write_clip(
    out: str | Path,
    frames: Iterable[np.ndarray],
    source: FrameReader | Video,
    span: FrameRange,
    settings: ExportSettings,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> list[str]:
    """Writes `frames` as frames `span` of `source`; gives back remarks for the user.

    Frames are (H, W, 3) uint8 RGB; where the format is deep also uint16 (65535 = white), where it has alpha also
    (H, W, 4), and (H, W) where it is the matte alone: all of one kind. A whole clip keeps its times; a range that starts
    later starts at 0. Sound is copied and cut to the range, as are subtitles that are text.
    `progress(done, total)` is called after every frame. An exception from `frames` leaves nothing behind.

    Raises:
        MediaError: the target exists (without `force`) or cannot be written, the disk is full, or frames of another
            number or size than announced.
    """
    video = source if isinstance(source, Video) else source.video
    target = Path(out)
    check_span(span, video)
    if not len(span):
        raise MediaError("The range holds no frame; widen it and export again.")
    settings_for(target, settings.codec, settings.quality)
    check_target(target, settings, force)
    counted = _Counted(frames, video, span, settings, progress)
    with _explained(target, counted) as temporary:
        if CONTAINERS.get(target.suffix.lower()) is None:
            return _write_stills(temporary, counted, video, span, settings)
        return _write_file(temporary, counted, video, span, settings)


def _write_file(path: Path, frames: Iterable[np.ndarray], video: Video, span: FrameRange, settings: ExportSettings) -> list[str]:
    """One container: pictures encoded as they come, sound and subtitles interleaved."""
    origin, remarks = _origin(video, span)
    # Edit lists are written in the movie's time scale: only the track's own scale keeps a late start exact.
    scale, kind = str(video.time_base.denominator), CONTAINERS[path.suffix]
    options = {"movflags": "+faststart", "video_track_timescale": scale, "movie_timescale": scale}
    if kind == "matroska":
        options = {"fflags": "+bitexact"}  # without it every file gets a random number
    coming = iter(frames)
    first = next(coming)
    with av.open(file_url(path), "w", format=kind, options=options) as container, ExitStack() as stack:
        pictures = PictureTrack(container, video, encoding_for(settings, path.suffix, first))
        remarks += pictures.warnings
        _set_timecode(container, video, span)
        companions = _companions(container, video, span, origin) if settings.format.picture else []
        for companion in companions:
            stack.callback(companion.close)
        for frame, picture in enumerate(chain([first], coming), start=span.start):
            time = int(video.pts[frame])
            for companion in companions:
                companion.write_until(time * video.time_base)
            pictures.write(picture, time - round(origin / video.time_base))
        pictures.finish()
        for companion in companions:
            companion.write_until(None)
            remarks += companion.warnings
    sync(path)
    return remarks


def _origin(video: Video, span: FrameRange) -> tuple[Fraction, list[str]]:
    """Source time that becomes 0 in the export, and a remark when a clip with early times had to be moved."""
    first = int(video.pts[span.start]) * video.time_base
    if span.start > 0:
        return first, []
    if first < 0:
        return first, ["The clip's times start before zero; the export starts at zero."]
    return Fraction(0), []


def _set_timecode(container: av.container.OutputContainer, video: Video, span: FrameRange) -> None:
    """Gives the export the source's timecode, moved to the range's first frame. MP4 has no place that is read everywhere."""
    if video.kind != "file" or container.format.name == "mp4":
        return
    with open_container(video.path) as source:
        found = timecode_of(source)
    if found is not None:
        container.metadata["timecode"] = moved(found, span.start, video.rate)


def _companions(container: av.container.OutputContainer, video: Video, span: FrameRange, origin: Fraction) -> list[Companion]:
    """What goes along with the pictures: the sound, and subtitles that are text."""
    if video.kind != "file":
        return []
    begins = int(video.pts[span.start]) * video.time_base if span.start > 0 else None
    ends = int(video.pts[span.stop]) * video.time_base if span.stop < video.frames else None
    sound = [SoundTrack(Path(video.path), container, (begins, ends), origin)] if video.audio else []
    return [*sound, SubtitleTracks(Path(video.path), container, (begins, ends), origin)]


def _write_stills(
    folder: Path, frames: Iterable[np.ndarray], video: Video, span: FrameRange, settings: ExportSettings
) -> list[str]:
    folder.mkdir()
    tags = tags_in_force(video.colour, video.size)
    for frame, picture in enumerate(frames, start=span.start):
        write_still(folder, frame, picture, settings.codec, tags)
    return []


class _Counted:
    """Passes frames on, checking each and their number; `done` of `total` so far."""

    def __init__(
        self, frames: Iterable[np.ndarray], video: Video, span: FrameRange, settings: ExportSettings, progress: Progress | None
    ) -> None:
        self._frames, self._size, self._start, self._progress = frames, video.size, span.start, progress
        self._format, self._kind = settings.format, ""
        self.done, self.total = 0, len(span)

    def __iter__(self) -> Iterator[np.ndarray]:
        for picture in self._frames:
            if self.done == self.total:
                raise MediaError(f"More than the {self.total} frames of the range were made; report this project.")
            self._check(picture)
            yield picture
            self.done += 1
            if self._progress is not None:
                self._progress(self.done, self.total)
        if self.done < self.total:
            raise MediaError(f"Only {self.done} of the {self.total} frames of the range were made; render the range again.")

    def _check(self, picture: np.ndarray) -> None:
        shapes = [(*self._size, 3), *([(*self._size, 4)] if self._format.alpha else [])] if self._format.picture else [self._size]
        kinds = ["uint8", *(["uint16"] if self._format.deep else [])]
        kind = f"{'×'.join(str(side) for side in picture.shape)} ({picture.dtype})"
        if picture.shape not in shapes or picture.dtype.name not in kinds or self._kind not in ("", kind):
            wanted = self._kind or f"{'×'.join(str(side) for side in shapes[0])} ({kinds[0]})"
            raise MediaError(f"Frame {self._start + self.done} has shape {kind}; it must be {wanted}: render it again.")
        self._kind = kind


def check_target(out: Path, settings: ExportSettings, force: bool) -> None:
    """Refuses a target that cannot be written or may not be replaced. Raises MediaError."""
    if not len(out.name):
        raise MediaError("The export needs a file name; give one that ends in .mp4, .mov or .mkv.")
    if not out.parent.is_dir():
        raise MediaError(f"The folder “{out.parent.name}” for the export does not exist; make it first.")
    if not os.path.lexists(out):
        return
    if not force:
        raise MediaError(f"“{out.name}” exists already; choose another name or allow replacing it (--force).")
    if not out.suffix:
        if not out.is_dir() or any(not FRAME_NAME.match(name) for name in os.listdir(out)):
            raise MediaError(f"“{out.name}” holds more than exported frames and is not replaced; choose another name.")
    elif not out.is_file():
        raise MediaError(f"“{out.name}” is not a file and is not replaced; choose another name.")


@contextmanager
def _explained(out: Path, counted: _Counted) -> Iterator[Path]:
    """`target.beside`, with what goes wrong said in a sentence."""
    try:
        with beside(out) as temporary:
            try:
                yield temporary
            except OSError as error:  # while what was written still tells how much room is needed
                raise _cannot_write(out, temporary, error, counted) from error
    except av.error.FFmpegError as error:
        raise MediaError(f"“{out.name}” cannot be encoded ({error.strerror}); choose another file type.") from error
    except OSError as error:
        raise _cannot_write(out, out, error, counted) from error


def _cannot_write(out: Path, temporary: Path, error: OSError, counted: _Counted) -> MediaError:
    if error.errno not in FULL:
        return MediaError(f"“{out.name}” cannot be written ({error.strerror}); check the folder and its permissions.")
    written = _bytes_in(temporary)
    needed = written * counted.total / max(1, counted.done)
    free = shutil.disk_usage(out.parent).free + written
    return MediaError(
        f"There is no room for “{out.name}”: it needs about {max(needed, written) / 1e6:.1f} MB and {free / 1e6:.1f} MB are free"
        " (or more than one file may have); free some space and export again."
    )


def _bytes_in(path: Path) -> int:
    if path.is_dir():
        return sum(entry.stat().st_size for entry in os.scandir(path))
    return path.stat().st_size if path.exists() else 0
