"""Who renders the segments: one after the other here, or several at once in a pool of processes. Equal bytes either way."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine.document.project import Project
from engine.errors import Cancelled, MethodError
from engine.methods.base import Segment
from engine.progress import Progress, Step

if TYPE_CHECKING:
    from engine.rendering.material import Material

RenderSegment = Callable[["Material", Segment, Step], None]
MAX_ATTEMPTS = 3
GRACE = 2.0  # seconds that workers have to notice a stop


@dataclass(frozen=True, eq=False, slots=True)
class SegmentTask:
    """One segment of one version of a project: all that another process needs."""

    folder: Path
    project: Project
    segment: Segment


class Executor(Protocol):
    """Runs tasks to their end. Raises what a task raised, or Cancelled; finished segments stay on disk."""

    def run(self, tasks: list[SegmentTask], material: Material, progress: Progress) -> None: ...


class SerialExecutor:
    """One segment after the other, in this process."""

    def __init__(self, render: RenderSegment) -> None:
        self._render = render

    def run(self, tasks: list[SegmentTask], material: Material, progress: Progress) -> None:
        for task in tasks:
            self._render(material, task.segment, progress.part("Propagating", task.segment.stop - task.segment.start))


class PoolExecutor:
    """Segments side by side in `workers` processes.

    A worker that dies is replaced and its segment begun again, at most three times; then MethodError says so.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def run(self, tasks: list[SegmentTask], material: Material, progress: Progress) -> None:
        total = sum(task.segment.stop - task.segment.start for task in tasks)
        if not tasks:
            return
        step = progress.part("Propagating", total)
        left, done = list(tasks), 0
        for _ in range(MAX_ATTEMPTS):
            try:
                done += self._attempt(left, total, done, step)
                return
            except BrokenProcessPool:
                progress.check()
                left = [task for task in left if not material.is_done(task.segment)]
                done = total - sum(task.segment.stop - task.segment.start for task in left)
            finally:
                material.workspace.sweep()
        raise MethodError(f"A worker process died {MAX_ATTEMPTS} times, probably out of memory; run with --executor serial.")

    def _attempt(self, tasks: list[SegmentTask], total: int, done: int, step: Step) -> int:
        spawn = multiprocessing.get_context("spawn")
        beats, stop = spawn.Queue(), spawn.Event()
        count = min(self._workers, len(tasks))
        with ProcessPoolExecutor(count, spawn, initializer=_enter, initargs=(beats, stop)) as pool:
            running: set[Future[None]] = {pool.submit(_work, task) for task in tasks}
            try:
                return _await(running, beats, total, done, step)
            except BaseException:
                stop.set()
                _end(running)
                raise


def _await(running: set[Future[None]], beats: Any, total: int, done: int, step: Step) -> int:
    """Waits for all futures, passing heartbeats on as progress. Returns how many frames were done."""
    count = 0
    while running:
        finished, running = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
        for future in finished:
            future.result()
        try:
            while True:
                count += beats.get_nowait()
        except queue.Empty:
            pass
        step(min(total, done + count), total)
    return count


def _end(running: set[Future[None]]) -> None:
    """Waits a moment for the workers to notice; those deep in one call are killed (`sweep` clears up behind them)."""
    for future in running:
        future.cancel()
    _, late = wait(running, timeout=GRACE)
    for child in multiprocessing.active_children() if late else ():
        child.kill()


# A process of the pool gets its ends of the wires once, when it starts.
_wires: dict[str, Any] = {}


def _enter(beats: Any, stop: Any) -> None:
    from engine.device import one_thread

    # Ctrl+C goes to the whole group of processes; only the first one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch_parent, daemon=True).start()
    beats.cancel_join_thread()
    one_thread()
    _wires.update(beats=beats, stop=stop)


def _watch_parent() -> None:
    """Ends this process when the one that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(130)


def _work(task: SegmentTask) -> None:
    from engine.backbones.shelf import Backbones
    from engine.rendering.material import Material
    from engine.rendering.render import render_segment
    from engine.store.workspace import Workspace

    frames = task.segment.stop - task.segment.start
    told = 0

    def step(done: int, total: int) -> None:
        nonlocal told
        if _wires["stop"].is_set():
            raise Cancelled
        now = int(frames * done / max(total, 1))
        if now > told:
            _wires["beats"].put(now - told)
            told = now

    material = Material(Workspace(task.folder), task.project, backbones=_wires.setdefault("backbones", Backbones()))
    render_segment(material, task.segment, step)
