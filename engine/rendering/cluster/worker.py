"""One worker on Ray: a process that keeps its model loaded and renders one segment after the other.

It reads the project in its own folder where it can be reached from here, else what it was sent (files.py). It renders into a
folder of its own, and only whole segments leave it: by rename into the project's cache, or in pieces to whoever asked.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from engine.backbones.shelf import Backbones
from engine.device import choose_device, is_device_fault, one_thread
from engine.document.project import Project
from engine.errors import Cancelled, EngineError, MediaError
from engine.jobs import DEVICE_FAULT
from engine.media.reader import open_video
from engine.methods.base import Segment
from engine.progress import Step
from engine.rendering.cluster import files
from engine.rendering.material import Material
from engine.rendering.render import render_segment
from engine.store.cache import DEFAULT_CACHE_GB, limit_cache
from engine.store.clips import mark_of
from engine.store.entries import discard, is_whole
from engine.store.workspace import SCRATCH, Workspace, sweep_parts, touch
from engine.types import FrameRange

INCOMING = ".in-"  # how a segment is called in the project's cache until all of it is there
MADE = ("data", "index", "done.json")  # the files of a segment; the last one says that it is whole


@dataclass(frozen=True, eq=False, slots=True)
class Order:
    """What all workers of a run are given. `witness`: a file in the project's folder and what stands in it."""

    folder: Path
    project: Project
    witness: tuple[str, str]
    clip: Path
    mark: str
    """What the clip's file looks like (engine/store/clips.py)."""
    device: str
    threads: int
    window: FrameRange | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """What a worker says of itself. `shared`, `clip`: whether it reaches the project's folder, the clip; `make`: what its
    results depend on."""

    node: str
    host: str
    shared: bool
    clip: bool
    make: dict[str, str]


class Rendering(Workspace):
    """A project's folder, read as it is. The segment in work, `making`, and working files are in the node's own folder."""

    def __init__(self, folder: Path, own: Path) -> None:
        super().__init__(folder)
        self._own = Workspace(own)
        self.making = ""

    def segment(self, key: str) -> Path:
        return self._own.folder / "made" / key if key == self.making else super().segment(key)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with self._own.scratch() as folder:
            yield folder


class Worker:
    """Made by Ray in a process of its own. `render` runs alone; `look`, `take` and `piece` meanwhile, in other threads."""

    def __init__(self, order: Order) -> None:
        self._order = order
        one_thread()
        choose_device(order.device)
        _use_threads(order.threads)
        self._root = files.node_folder()
        self._own = self._root / "work" / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        sweep_parts(self._root / "work", SCRATCH)
        limit_cache([self._root], DEFAULT_CACHE_GB * 10**9)
        self._shared = _sees(order.folder / order.witness[0], order.witness[1])
        self._has_clip = self._shared and order.clip.exists()
        self._workspace = Rendering(order.folder if self._shared else self._root, self._own)
        self._material: Material | None = None
        self._done, self._stop = 0, False

    def hello(self) -> Hello:
        import ray

        node = ray.get_runtime_context().get_node_id()
        return Hello(node, socket.gethostname(), self._shared, self._has_clip, make())

    # --- while it renders -------------------------------------------------------------------------------------

    def look(self, stop: bool) -> int:
        """Frames that are done of the segment in work; with `stop` it ends at the next step."""
        self._stop = self._stop or stop
        return self._done

    def lacking(self, wanted: list[files.Wanted]) -> list[files.Wanted]:
        return files.lacking(self._root, wanted)

    def take(self, one: files.Wanted, offset: int, data: bytes, sender: str) -> None:
        files.take_piece(self._root, one, offset, data, sender)

    def piece(self, key: str, name: str, offset: int) -> bytes:
        """A piece of a rendered segment's file; empty past its end."""
        with open(Workspace(self._root).segment(key) / name, "rb") as file:
            file.seek(offset)
            return file.read(files.PIECE)

    # --- rendering --------------------------------------------------------------------------------------------

    def render(self, segment: Segment) -> tuple[str, float]:
        """Renders a segment; its content key and the seconds it took. It lies in the project's cache, or in the node's to be
        fetched. ("", 0) = stopped.

        Raises:
            EngineError: what the method says.
        """
        self._done = 0
        frames = segment.stop - segment.start

        def step(done: int, total: int) -> None:
            if self._stop:
                raise Cancelled
            self._done = int(frames * done / max(total, 1))

        try:
            started = time.monotonic()
            return self._rendered(segment, step), time.monotonic() - started
        except Cancelled:
            return "", 0.0
        except EngineError as error:
            raise error if self._shared else type(error)(f"{error} (on {socket.gethostname()})") from None
        except Exception as error:
            if is_device_fault(error):
                os._exit(DEVICE_FAULT)  # nothing in this process can use the device any more; another process can
            raise
        finally:
            shutil.rmtree(self._own / "made", ignore_errors=True)

    def _rendered(self, segment: Segment, step: Step) -> str:
        workspace = self._workspace
        material = self._material = self._material or self._open()
        key = material.key_of(segment)
        here = workspace.segment(key)
        if (here / "done.json").exists() and is_whole(here):  # by a run whose driver died
            touch(here)
            return key
        workspace.making = key
        try:
            render_segment(material, segment, step)
            deliver(workspace.segment(key), here)
        finally:
            workspace.making = ""
        return key

    def _open(self) -> Material:
        order, video = self._order, self._order.project.video
        clip, unchanged = order.clip, self._has_clip and mark_of(order.clip) == order.mark
        if not self._has_clip:
            folder = self._root / files.clip_name(video.digest)
            touch(folder)
            clip = folder / order.clip.name if video.kind == "file" else folder
        opened = functools.cache(lambda: open_video(clip, video, unchanged=unchanged))
        return Material(self._workspace, order.project, opened, Backbones(), window=order.window)


def _sees(path: Path, text: str) -> bool:
    """Whether a file is here and says that."""
    try:
        return path.read_text("utf-8") == text
    except OSError:
        return False


def _use_threads(count: int) -> None:
    """For all that torch does in this process: with another number of threads, sums can end in other bits."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


def deliver(made: Path, target: Path) -> None:
    """Puts a whole segment in its place. One that is there already stays. Raises MediaError when the disk is full."""
    incoming = target.with_name(f"{INCOMING}{uuid.uuid4().hex}")
    try:
        incoming.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(made, incoming)
        if not (target / "done.json").exists():
            discard(target)
            os.replace(incoming, target)
    except OSError as error:
        if not (target / "done.json").exists():
            raise MediaError(
                f"Cannot write to the project's cache: {error.strerror}; free some disk space and run again."
            ) from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


@functools.cache
def make() -> dict[str, str]:
    """What the bytes of a result depend on, beside the project: the engine's own text and the libraries below it."""
    root, text = Path(__file__).resolve().parents[2], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        text.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    found = {"Anchorline": text.hexdigest()[:12], "Python": ".".join(platform.python_version_tuple()[:2])}
    for package in ("numpy", "opencv-python-headless", "av", "torch", "diffusers"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
