"""The frame pack: every frame of a clip as a small JPEG, for the page to scrub and for quick looks by the engine.

A pack is a record set (see `records`) with `about.json` beside it, written first: {"size": [h, w], "frames": T}.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from engine.errors import MediaError
from engine.media.frames import FrameReader
from engine.media.records import RecordReader, RecordWriter
from engine.media.shots import CutDetector
from engine.types import FrameIndex, FrameRange

PACK_HEIGHT = 720
QUALITY = 80
ENCODERS = 2
DAMAGED = "damaged.txt"
REDUCED = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}


def view_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a clip's pictures in the pack: as they are, scaled down to 720 lines where they have more."""
    height, width = size
    if height <= PACK_HEIGHT:
        return height, width
    return PACK_HEIGHT, max(1, round(width * PACK_HEIGHT / height))


def build_pack(reader: FrameReader, folder: Path, progress: Callable[[int, int], None] | None = None) -> FramePack:
    """Makes the pack of a clip in `folder`, or goes on where an earlier run stopped. One decode, in order.

    `progress(done, total)` after every frame; an exception from it stops the work, to be resumed.

    Raises:
        MediaError: the disk is full, or a frame cannot be read.
    """
    video = reader.video
    size, total = view_size(video.size), video.frames
    about = {"size": list(size), "frames": total, "digest": video.digest}
    resume = _read_about(folder) == about
    if resume and (folder / "done.json").exists():
        return FramePack(folder)
    _begin(folder, about, resume)
    with RecordWriter(folder, resume=resume) as writer, ThreadPoolExecutor(ENCODERS) as pool:
        cuts, detector = _cuts_so_far(folder, writer.frames)
        waiting: deque[tuple[FrameIndex, Future[bytes]]] = deque()
        first = len(writer.frames)
        for frame, picture in enumerate(reader.frames(FrameRange(first, total)), start=first):
            small = _small(picture, size)
            if detector.push(small):
                cuts.append(frame)
            if frame in reader.damaged:
                _note_damage(folder, frame)
            waiting.append((frame, pool.submit(_jpeg, small)))
            _append(writer, waiting, keep=2 * ENCODERS)
            if progress is not None:
                progress(frame + 1, total)
        _append(writer, waiting, keep=0)
        writer.finish({**about, "cuts": cuts, "damaged": _damaged_so_far(folder)})
    return FramePack(folder)


class FramePack:
    """Reads a pack, also while it is being built.

    Raises:
        MediaError: there is no pack in the folder.
    """

    def __init__(self, folder: Path) -> None:
        about = _read_about(folder)
        if about is None:
            raise MediaError("The preview pictures of the clip are missing; open the clip again to make them.")
        self.folder = folder
        self.size: tuple[int, int] = (about["size"][0], about["size"][1])
        self.frames: int = about["frames"]
        self._records = RecordReader(folder)

    @classmethod
    def open(cls, folder: Path) -> FramePack:
        """The pack in `folder`. Raises MediaError when there is none."""
        return cls(folder)

    def refresh(self) -> int:
        """Looks for new frames; gives back `ready`."""
        self._records.refresh()
        return self.ready

    @property
    def ready(self) -> int:
        """Frames there so far, from 0 on."""
        return len(self._records.frames)

    @property
    def complete(self) -> bool:
        return self._records.complete

    @property
    def cuts(self) -> list[FrameIndex]:
        """First frames of new shots; empty until the pack is complete."""
        return list(self._records.meta.get("cuts", []))

    @property
    def damaged(self) -> list[FrameIndex]:
        """Frames that were decoded with errors or not at all; empty until the pack is complete."""
        return list(self._records.meta.get("damaged", []))

    def jpeg(self, frame: FrameIndex) -> bytes:
        """The stored JPEG. Raises MediaError when the frame is not there (yet)."""
        if frame not in self._records:
            self._records.refresh()
        try:
            return self._records.get(frame)
        except KeyError as error:
            raise MediaError(f"The preview of frame {frame} is not ready; wait until the clip is prepared.") from error

    def rgb(self, frame: FrameIndex) -> np.ndarray:
        """(h, w, 3) uint8 RGB at the pack's size."""
        return np.ascontiguousarray(self._decode(frame, cv2.IMREAD_COLOR)[..., ::-1])

    def gray(self, frame: FrameIndex, size: tuple[int, int] | None = None) -> np.ndarray:
        """(h, w) uint8 grey at `size` (height, width), the pack's own if None; decoded small where that is enough."""
        height, width = size or self.size
        factor = next((step for step in REDUCED if self.size[0] >= step * height and self.size[1] >= step * width), 1)
        picture = self._decode(frame, REDUCED.get(factor, cv2.IMREAD_GRAYSCALE))
        if picture.shape != (height, width):
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        return picture

    def close(self) -> None:
        self._records.close()

    def _decode(self, frame: FrameIndex, how: int) -> np.ndarray:
        picture = cv2.imdecode(np.frombuffer(self.jpeg(frame), np.uint8), how)
        if picture is None:
            raise MediaError(f"The preview of frame {frame} is damaged; open the clip again to make it anew.")
        return picture


def _small(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if picture.shape[:2] == size:
        return picture
    return cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA)


def _jpeg(picture: np.ndarray) -> bytes:
    done, blob = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise MediaError("A preview picture could not be made; report this clip.")
    return blob.tobytes()


def _append(writer: RecordWriter, waiting: deque[tuple[FrameIndex, Future[bytes]]], keep: int) -> None:
    """Stores finished pictures in order until only `keep` are being made."""
    while len(waiting) > keep:
        frame, future = waiting.popleft()
        writer.append(frame, future.result())


def _cuts_so_far(folder: Path, frames: list[FrameIndex]) -> tuple[list[FrameIndex], CutDetector]:
    """Cuts among the frames that an earlier run left, and a detector that has seen them."""
    detector, cuts = CutDetector(), []
    if frames:
        reader = RecordReader(folder)
        try:
            for frame in frames:
                picture = cv2.imdecode(np.frombuffer(reader.get(frame), np.uint8), cv2.IMREAD_REDUCED_COLOR_4)
                if picture is None:
                    raise MediaError(f"The preview of frame {frame} is damaged; open the clip again to make it anew.")
                if detector.push(np.ascontiguousarray(picture[..., ::-1])):
                    cuts.append(frame)
        finally:
            reader.close()
    return cuts, detector


def _note_damage(folder: Path, frame: FrameIndex) -> None:
    """Written down at once: a run that is stopped and resumed does not decode the frame again."""
    with open(folder / DAMAGED, "a", encoding="ascii") as file:
        file.write(f"{frame}\n")


def _damaged_so_far(folder: Path) -> list[FrameIndex]:
    path = folder / DAMAGED
    return sorted({int(line) for line in path.read_text(encoding="ascii").split()}) if path.exists() else []


def _begin(folder: Path, about: dict[str, object], resume: bool) -> None:
    """Writes `about.json` before there is an index, so that whoever finds an index can open the pack."""
    folder.mkdir(parents=True, exist_ok=True)
    if resume:
        return
    for name in ("done.json", "index", "data", DAMAGED):
        (folder / name).unlink(missing_ok=True)
    temporary = folder / "about.json.tmp"
    temporary.write_text(json.dumps(about), encoding="utf-8")
    os.replace(temporary, folder / "about.json")


def _read_about(folder: Path) -> dict | None:
    path = folder / "about.json"
    if not path.exists():
        return None
    return json.loads(path.read_text(encoding="utf-8"))
