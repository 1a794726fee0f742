"""Pictures and sound for the page: small, quick, never used by the engine itself."""

from __future__ import annotations

import struct
import threading
from contextlib import suppress
from pathlib import Path

import av
import cv2
import numpy as np

from engine.errors import MediaError
from engine.media.pack import view_size
from engine.media.reader import FrameReader
from engine.media.sound import SoundTrack
from engine.rendering.material import Material
from engine.store.clips import find_clip, open_clip
from engine.store.entries import Damaged
from engine.store.workspace import Workspace
from engine.types import FrameIndex, Video

JPEG_QUALITY = 88
PLAYABLE = ("aac", "mp3", "opus", "flac", "alac", "vorbis")


class Viewer:
    """Frames of one project as the page asks for them. Has a reader of its own, so that a click never waits for a scrub."""

    def __init__(self, workspace: Workspace, video: Video) -> None:
        self._workspace, self._video = workspace, video
        self._lock = threading.Lock()
        self._reader: FrameReader | None = None

    def source_jpeg(self, material: Material, frame: FrameIndex) -> bytes:
        """A source frame at pack size: from the pack where it is there, else decoded now."""
        pack = material.pack
        if pack is not None:
            pack.refresh()
            if frame < pack.ready:
                with suppress(Damaged):  # the next job makes the pack anew
                    return pack.jpeg(frame)
        return _jpeg(_fit(self._decoded(frame), view_size(self._video.size)))

    def edited_jpeg(self, material: Material, frame: FrameIndex) -> bytes | None:
        """A rendered frame at pack size, with the edits below; None where one of them is not rendered yet."""
        if material.shows_clip(frame):
            return self.source_jpeg(material, frame)
        if not material.is_finished(frame):
            return None
        edited = material.edited(frame, self._decoded(frame))
        return None if edited is None else _jpeg(_fit(edited, view_size(self._video.size)))

    def _decoded(self, frame: FrameIndex) -> np.ndarray:
        with self._lock:
            if self._reader is None:
                self._reader = open_clip(self._workspace, self._video)
            return self._reader.get(frame)

    def close(self) -> None:
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None


def mask_png(alpha: np.ndarray) -> bytes:
    """(H, W) uint8 alpha as a white RGBA PNG, which a canvas can tint."""
    rgba = np.full((*alpha.shape, 4), 255, np.uint8)
    rgba[..., 3] = alpha
    return _encoded(".png", rgba, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def layer_of(png: bytes, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 4) uint8 RGBA of a painted layer. Raises MediaError for what is not an RGBA PNG of that size (height, width)."""
    if not png.startswith(b"\x89PNG\r\n\x1a\n") or len(png) < 24:
        raise MediaError("The painted layer is not a PNG picture; reload the page and paint again.")
    if struct.unpack(">II", png[16:24]) != size[::-1]:  # from the header: a small file may unpack to gigabytes
        raise MediaError("The painted layer does not have the clip's size; reload the page and paint again.")
    try:
        pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4 or pixels.dtype != np.uint8:
        raise MediaError("The painted layer is not an RGBA picture; reload the page and paint again.")
    return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)


def sound_file(workspace: Workspace, video: Video) -> Path | None:
    """The clip's sound as a file a browser plays (first stream, copied where it can be); None for a silent clip."""
    if not video.audio:
        return None
    path = workspace.cache / f"sound-{video.digest[:16]}.m4a"
    if not path.exists():
        workspace.cache.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{threading.get_ident()}.part")
        try:
            with (
                av.open(str(part), "w", format="mp4") as out,
                SoundTrack(find_clip(workspace, video), out, (None, None), int(video.pts[0]) * video.time_base) as sound,
            ):
                sound.write_until(None)
            part.replace(path)
        except (OSError, ValueError) as error:
            raise MediaError("The clip's sound cannot be prepared for playing; the picture plays without it.") from error
        finally:
            part.unlink(missing_ok=True)
    return path


def _fit(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return picture if picture.shape[:2] == size else cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)


def _jpeg(picture: np.ndarray) -> bytes:
    return _encoded(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _encoded(suffix: str, pixels: np.ndarray, options: list[int]) -> bytes:
    fine, blob = cv2.imencode(suffix, pixels, options)
    if not fine:
        raise MediaError("A picture for the page could not be encoded; reload the page.")
    return blob.tobytes()
