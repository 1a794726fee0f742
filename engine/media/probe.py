"""Opening a file that somebody handed over: what it is, whether it may be opened, and one sentence when not.

Nothing is opened before the path is known to be a regular file; only local files and known containers are opened;
a picture that is too large is refused from the header, before anything is decoded.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from engine.errors import MediaError

MAX_PIXELS = 8192 * 4320
MIN_SIDE = 16
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,flv,asf,ogg,gif,ivf,mxf,obu,av1,dv,nut,wtv"
)
STILL_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".tga", ".ppm", ".avif", ".jp2"})
ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]+(,[^:]*)?:", re.IGNORECASE)
STILL_HEADS = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")
PLAYLIST_HEADS = (b"#EXTM3U", b"ffconcat")
OPEN_SECONDS = 20.0


def check_file(path: str | Path) -> Path:
    """The resolved path of a regular, readable, non-empty file.

    Raises:
        MediaError: an address posing as a path, a missing file, a folder, a device or pipe, an empty file.
    """
    text = str(path)
    name = os.path.basename(text.rstrip("/\\")) or text
    try:
        resolved = Path(os.path.realpath(text))
        status = os.stat(resolved)
    except (OSError, ValueError) as error:
        if ADDRESS.match(text):
            raise MediaError(f"“{text[:80]}” is an address, not a file; save it on this machine and open the file.") from error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a possible path"
        raise MediaError(f"“{name[:80]}” cannot be opened ({reason}); check the path.") from error
    if stat.S_ISDIR(status.st_mode):
        raise MediaError(f"“{name}” is a folder where a file is wanted; choose a file inside it.")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"“{name}” is a pipe or a device, not a file; copy its content to a file first.")
    if status.st_size == 0:
        raise MediaError(f"“{name}” is empty (0 bytes); the copy or download did not finish: get it again.")
    if not os.access(resolved, os.R_OK):
        raise MediaError(f"“{name}” may not be read by this user; change its permissions.")
    return resolved


def file_url(path: Path) -> str:
    """A name that FFmpeg takes for a local file, whatever characters are in it."""
    return "file:" + os.path.abspath(path)


def open_container(path: str | Path) -> InputContainer:
    """Opens a clip for reading. The caller closes it.

    Raises:
        MediaError: not a file that can be opened, or not a clip; see `check_file`.
    """
    resolved = check_file(path)
    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    try:
        return av.open(file_url(resolved), "r", options=options, timeout=(OPEN_SECONDS, OPEN_SECONDS), metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(_why_not_a_clip(resolved, str(path), error)) from error


def picture_stream(container: InputContainer, name: str) -> VideoStream:
    """The stream of pictures to edit, ready to decode; cover pictures do not count.

    Raises:
        MediaError: no picture track, no decoder for it, or a picture that is too large or too small.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise MediaError(f"“{name}” has no picture track, only sound or data; open a file with pictures.")
    stream = next((stream for stream in streams if stream.disposition & Disposition.default), streams[0])
    codec = stream.codec_context
    if codec is None:
        raise MediaError(f"“{name}” uses a picture codec that cannot be decoded here; convert it to H.264 first.")
    check_size(codec.height, codec.width, name)
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    codec.thread_type = "AUTO"
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    return stream


def check_size(height: int, width: int, name: str) -> None:
    """Refuses pictures that cannot be edited here.

    Raises:
        MediaError: no size, more than 8192×4320 pixels, or a side under 16 px.
    """
    if not height or not width:
        raise MediaError(f"“{name}” does not say how large its pictures are; it is damaged or cut off: get it again.")
    if height * width > MAX_PIXELS:
        raise MediaError(f"“{name}” is {width}×{height} px, over the limit of 8192×4320; scale it down first.")
    if min(height, width) < MIN_SIDE:
        raise MediaError(f"“{name}” is {width}×{height} px; the smallest side must have {MIN_SIDE} px: scale it up first.")


def is_still(path: Path) -> bool:
    """Whether a regular file is a single picture, by its first bytes."""
    head = _head(path)
    return head.startswith(STILL_HEADS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:12] == b"ftypavif"


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(32)


def _why_not_a_clip(path: Path, asked: str, error: Exception) -> str:
    name = os.path.basename(asked) or asked
    head = _head(path)
    if head.startswith(PLAYLIST_HEADS):
        return f"“{name}” is a playlist that points to other files; open the clip itself."
    if is_still(path):
        return f"“{name}” is a picture, not a clip; open a folder of frames, or use it as an anchor."
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free", b"moov"):
        return (
            f"“{name}” was cut off or is still being written (its index is missing or broken); copy it again when it is complete."
        )
    if isinstance(error, TimeoutError | av.error.ExitError):
        return f"“{name}” took longer than {OPEN_SECONDS:.0f} s to open; copy it to a local disk first."
    return f"“{name}” is not a clip that can be read here; MP4, MOV, MKV, WebM, AVI, TS and GIF can."
