"""Writing clips: every frame at its source time, with the source's sound and colour tags.

What is written stands beside the target under a temporary name and is renamed at the end, so a target is always
whole: the old one or the new one. The temporary file goes when anything goes wrong.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from engine.errors import MediaError
from engine.media.encode import PictureTrack
from engine.media.frames import FrameReader, check_span
from engine.media.images import encode_png
from engine.media.probe import file_url
from engine.media.sound import SoundTrack
from engine.processes import alive
from engine.types import FrameRange, Video

CODECS = {".mp4": "h264", ".mov": "prores", "": "png"}
CONTAINER_CODECS = {".mp4": ("h264",), ".mov": ("prores", "h264"), "": ("png",)}
FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
FRAME_NAME = re.compile(r"^\d{5,}\.png$")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """`codec` is "h264", "prores" or "png"; `quality` is the CRF of H.264 (0 best – 51), None = 18."""

    codec: str
    quality: int | None = None


def settings_for(out: str | Path, codec: str | None = None, quality: int | None = None) -> ExportSettings:
    """The settings that the name of the target asks for; `codec` None = the usual one for its suffix.

    Raises:
        MediaError: a suffix that cannot be written, a codec that does not go into it, a quality outside 0–51.
    """
    suffix = Path(out).suffix.lower()
    if suffix not in CODECS:
        raise MediaError(
            f"“{Path(out).name}” cannot be written; end it in .mp4 or .mov, or give a folder name without suffix for PNG."
        )
    codec = codec or CODECS[suffix]
    if codec not in CONTAINER_CODECS[suffix]:
        works = " or ".join(CONTAINER_CODECS[suffix])
        raise MediaError(f"{codec} does not go into “{Path(out).name}”; choose {works}, or another suffix.")
    if quality is not None and not 0 <= quality <= 51:
        raise MediaError(f"The quality {quality} is not between 0 (best) and 51; leave it out for 18.")
    return ExportSettings(codec, quality)


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
    """Writes `frames`, (H, W, 3) uint8 RGB each, as frames `span` of `source`; gives back remarks for the user.

    A whole clip keeps its times; a range that starts later starts at 0. Sound is copied and cut to the range.
    `progress(done, total)` is called after every frame. An exception from `frames` leaves nothing behind.

    Raises:
        MediaError: the target exists (without `force`) or cannot be written, the disk is full, or frames of another
            number or size than announced.
    """
    video = source if isinstance(source, Video) else source.video
    target = Path(out)
    check_span(span, video)
    settings_for(target, settings.codec, settings.quality)
    check_target(target, settings, force)
    counted = _Counted(frames, video, span, progress)
    with _beside(target, counted) as temporary:
        if settings.codec == "png":
            return _write_stills(temporary, counted, span)
        return _write_file(temporary, counted, video, span, settings)


def _write_file(path: Path, frames: Iterable[np.ndarray], video: Video, span: FrameRange, settings: ExportSettings) -> list[str]:
    """One container: pictures encoded as they come, sound interleaved."""
    origin, remarks = _origin(video, span)
    # Edit lists are written in the movie's time scale: only the track's own scale keeps a late start exact.
    scale = str(video.time_base.denominator)
    options = {"movflags": "+faststart", "video_track_timescale": scale, "movie_timescale": scale}
    with av.open(file_url(path), "w", format=path.suffix[1:], options=options) as container:
        pictures = PictureTrack(container, video, settings.codec, settings.quality)
        remarks += pictures.warnings
        sound = _sound(container, video, span, origin)
        try:
            for frame, picture in enumerate(frames, start=span.start):
                time = int(video.pts[frame])
                if sound is not None:
                    sound.write_until(time * video.time_base)
                pictures.write(picture, time - round(origin / video.time_base))
            pictures.finish()
            if sound is not None:
                sound.write_until(None)
                remarks += sound.warnings
        finally:
            if sound is not None:
                sound.close()
    _sync(path)
    return remarks


def _origin(video: Video, span: FrameRange) -> tuple[Fraction, list[str]]:
    """Source time that becomes 0 in the export, and a remark when a clip with early times had to be moved."""
    first = int(video.pts[span.start]) * video.time_base
    if span.start > 0:
        return first, []
    if first < 0:
        return first, ["The clip's times start before zero; the export starts at zero."]
    return Fraction(0), []


def _sound(container: av.container.OutputContainer, video: Video, span: FrameRange, origin: Fraction) -> SoundTrack | None:
    if not video.audio:
        return None
    begins = int(video.pts[span.start]) * video.time_base if span.start > 0 else None
    ends = int(video.pts[span.stop]) * video.time_base if span.stop < video.frames else None
    return SoundTrack(Path(video.path), container, (begins, ends), origin)


def _write_stills(folder: Path, frames: Iterable[np.ndarray], span: FrameRange) -> list[str]:
    folder.mkdir()
    for frame, picture in enumerate(frames, start=span.start):
        (folder / f"{frame:05d}.png").write_bytes(encode_png(picture))
    return []


class _Counted:
    """Passes frames on, checking each and their number; `done` of `total` so far."""

    def __init__(self, frames: Iterable[np.ndarray], video: Video, span: FrameRange, progress: Progress | None) -> None:
        self._frames, self._size, self._start, self._progress = frames, video.size, span.start, progress
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
        if picture.shape != (*self._size, 3) or picture.dtype != np.uint8:
            made = "×".join(str(side) for side in picture.shape)
            wanted = f"{self._size[0]}×{self._size[1]}×3 (uint8)"
            raise MediaError(
                f"Frame {self._start + self.done} has shape {made} ({picture.dtype}); it must be {wanted}: render it again."
            )


def check_target(out: Path, settings: ExportSettings, force: bool) -> None:
    """Refuses a target that cannot be written or may not be replaced. Raises MediaError."""
    if not len(out.name):
        raise MediaError("The export needs a file name; give one that ends in .mp4 or .mov.")
    if not out.parent.is_dir():
        raise MediaError(f"The folder “{out.parent.name}” for the export does not exist; make it first.")
    if not os.path.lexists(out):
        return
    if not force:
        raise MediaError(f"“{out.name}” exists already; choose another name or allow replacing it (--force).")
    if settings.codec == "png":
        if not out.is_dir() or any(not FRAME_NAME.match(name) for name in os.listdir(out)):
            raise MediaError(f"“{out.name}” holds more than exported frames and is not replaced; choose another name.")
    elif not out.is_file():
        raise MediaError(f"“{out.name}” is not a file and is not replaced; choose another name.")


@contextmanager
def _beside(out: Path, counted: _Counted) -> Iterator[Path]:
    """A temporary name beside `out` that becomes `out` on success and vanishes on any exception."""
    stem = os.fsencode(out.stem)[:120].decode("utf-8", "ignore")
    temporary = out.parent / f".{stem}.part-{os.getpid()}{out.suffix.lower()}"
    try:
        _sweep(out.parent, f".{stem}.part-", out.suffix.lower())
        yield temporary
        _replace(temporary, out)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise _cannot_write(out, temporary, error, counted) from error
        raise MediaError(f"“{out.name}” cannot be encoded ({error.strerror}); choose another file type.") from error
    except OSError as error:
        raise _cannot_write(out, temporary, error, counted) from error
    finally:
        _remove(temporary)


def _sweep(folder: Path, start: str, suffix: str) -> None:
    """Removes what exports to this name left when their process was killed."""
    for left in folder.glob(glob.escape(start) + "*" + glob.escape(suffix)):
        number = left.name[len(start) : len(left.name) - len(suffix)]
        if number.isdigit() and (int(number) == os.getpid() or not alive(int(number))):
            _remove(left)


def _replace(temporary: Path, out: Path) -> None:
    """Puts the finished export in place; an old folder is moved aside first, since folders are not replaced."""
    aside = temporary.with_name(temporary.name + ".old")
    if temporary.is_dir() and out.is_dir():
        os.replace(out, aside)
    os.replace(temporary, out)
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


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
