"""The process that makes preview pictures: `python -m engine.instant.child`, one per open project, for as long as it is used.

Orders come as lines of JSON on standard input: {"document"?, "frame", "key", "ask"?}. `document` is sent when it has changed,
`key` names the pictures of the stretch that the frame is in, `ask` is there where somebody waits for this very frame. Answers
go to standard output: a line of JSON {"frame", "key", "bytes"} and as many bytes of JPEG; 0 bytes say that there is no
picture. With `ask` it answers that order, with `measures` the picture was carried properly. An order with `onion` (an anchor
and a take's key) is answered with a PNG of that take on the frame instead, and its `onion` in the answer says how well it is
known. `compare` asks for how far neighbouring anchors agree, which is left on the disk. The newest order comes first; in
between come the frames around, the same properly, comparisons, the motion of the clip.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.device import one_thread
from engine.document.project import from_json
from engine.errors import Cancelled, EngineError
from engine.instant.agreement import Pair, can_compare, compare, known, pairs_of
from engine.instant.chains import Chains
from engine.instant.onion import OnionSkins, as_png
from engine.instant.pictures import QuickPictures, as_jpeg
from engine.methods.base import Segment
from engine.rendering.material import Material
from engine.store.lock import FileLock
from engine.store.workspace import Workspace
from engine.types import FrameIndex, FrameRange

NICENESS = 5
REACH = 24
"""Frames on either side of the playhead that are made unasked."""
BATCH = 4
"""Pairs of frames whose motion is read at a time; the project's other work waits meanwhile."""
PAUSE = 0.15
"""Seconds between batches in which other work can begin."""
IDLE = 600.0
"""Seconds without an order after which the process ends; the next order starts another."""

Order = dict[str, Any]


class Inbox:
    """Orders as they come in; ends the process when nobody can send any more."""

    def __init__(self, stream: BinaryIO) -> None:
        self._orders: deque[Order] = deque()
        self._some = threading.Event()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: BinaryIO) -> None:
        for line in stream:
            self._orders.append(json.loads(line))
            self._some.set()
        os._exit(0)

    def take(self, wait: float) -> list[Order]:
        """What has come, oldest first; waits for something at most so many seconds."""
        self._some.wait(wait)
        self._some.clear()
        found = []
        while self._orders:
            found.append(self._orders.popleft())
        return found

    @property
    def waits(self) -> bool:
        return bool(self._orders)


class Child:
    """What the process does. `turn` does the most urgent thing there is."""

    def __init__(self, folder: Path, inbox: Inbox, out: BinaryIO) -> None:
        self._workspace, self._inbox, self._out = Workspace(folder), inbox, out
        self._document: dict[str, Any] | None = None
        self._pictures: QuickPictures | None = None
        self._chains: Chains | None = None
        self._skins = OnionSkins()
        self._digest = ""
        self._frame: FrameIndex | None = None
        self._key = ""
        self._made: set[tuple[str, FrameIndex]] = set()
        self._refined: set[tuple[str, FrameIndex | None, FrameIndex | None]] = set()
        self._missing: deque[FrameIndex] | None = None
        self._compares = False
        self._pairs: deque[Pair] | None = None
        self._rests = True

    def run(self) -> None:
        """Until nothing has been asked of it for long."""
        while True:
            orders = self._inbox.take(IDLE if self._rests else 0.0)
            if not orders and self._rests:
                return
            self._obey(orders)
            if not self._inbox.waits:
                self._rests = not self._go_on()

    # --- orders -------------------------------------------------------------------------------------------

    def _obey(self, orders: list[Order]) -> None:
        """Shows the newest document; makes the frames that are asked for, newest first."""
        for order in orders:
            self._document = order.get("document", self._document)
            if order.get("compare"):
                self._compares, self._pairs = True, None
        if any("document" in order or order.get("ask") is None for order in orders):
            self._show()
        for order in reversed(orders):
            if order.get("frame") is not None:
                self._frame, self._key = order["frame"], order["key"]
                break
        for order in reversed(orders):
            if order.get("ask") is not None:
                self._answer(order)

    def _show(self) -> None:
        """Takes over another version of the project, or what else has been computed for it. The chains stay."""
        self._pictures = self._missing = self._pairs = None
        if self._document is None:
            return
        with contextlib.suppress(EngineError):  # the clip is not prepared yet: an order without pictures
            material = Material(self._workspace, from_json(self._document))
            if self._chains is None or self._digest != material.project.video.digest:
                self._chains, self._digest = Chains(material.steps), material.project.video.digest
                self._skins = OnionSkins()
            self._chains.steps = material.steps
            self._pictures = QuickPictures(material, self._chains)

    def _answer(self, order: Order) -> None:
        if "onion" in order:
            self._send_skin(order)
            return
        picture = None
        if self._pictures is not None:
            with contextlib.suppress(EngineError):
                picture = self._pictures.rough(order["frame"])
        self._send(order["frame"], order["key"], picture, ask=order["ask"])

    def _send(self, frame: FrameIndex, key: str, picture: np.ndarray | None, **more: Any) -> None:
        """`more`: the order's `ask`; of a proper picture its `measures`."""
        blob = b"" if picture is None else as_jpeg(picture)
        head = {"frame": frame, "key": key, **more, "bytes": len(blob)}
        self._out.write(json.dumps(head).encode() + b"\n" + blob)
        self._out.flush()
        if blob:
            self._made.add((key, frame))

    def _send_skin(self, order: Order) -> None:
        skin = None
        if self._pictures is not None:
            anchor, take = order["onion"]
            with contextlib.suppress(EngineError):
                skin = self._skins.skin(self._pictures, anchor, take, order["frame"])
        blob = b"" if skin is None else as_png(skin)
        told = None if skin is None else {"rough": skin.rough, "seen": skin.seen}
        head = {"frame": order["frame"], "key": order["key"], "ask": order["ask"], "onion": told, "bytes": len(blob)}
        self._out.write(json.dumps(head).encode() + b"\n" + blob)
        self._out.flush()

    # --- in between ---------------------------------------------------------------------------------------

    def _go_on(self) -> bool:
        """One piece of what is not urgent; whether there was any."""
        try:
            return self._around() or self._properly() or self._compare() or self._read_motion()
        except EngineError:  # an entry of the cache is damaged, or was taken away: the next order looks again
            return False

    def _around(self) -> bool:
        """Makes the nearest frame to the playhead that is not made yet, within reach."""
        if self._pictures is None or self._frame is None:
            return False
        around = self._pictures.span(self._frame)
        if around is None:
            return False
        for frame in outward(self._frame, around):
            if (self._key, frame) not in self._made:
                self._send(frame, self._key, self._pictures.rough(frame))
                return True
        return False

    def _properly(self) -> bool:
        """Makes the stretch around the playhead by the motion method, where masks and motion are there."""
        if self._pictures is None or self._frame is None:
            return False
        around = self._pictures.span(self._frame)
        if around is None:
            return False
        around = self._pictures.shortened(around, self._frame)
        name = (self._key, around.left, around.right)
        span = FrameRange(around.start, around.stop)
        if name in self._refined or any(frame in span for frame in self._unread()):
            return False
        if not self._pictures.can_refine(around) or self._others_work():
            return False
        key, pictures = self._key, self._pictures
        measures: dict[FrameIndex, dict[str, float]] = {}
        with (
            contextlib.suppress(Cancelled),
            pictures.refined(around, lambda done, total: self._between(key), measures) as frames,
        ):
            for frame, picture in frames:
                noted = {**measures.pop(frame, {}), "region": pictures.share(frame)}
                self._send(frame, key, picture, measures=noted)
            self._refined.add(name)
        return True

    def _compare(self) -> bool:
        """Compares the next two neighbouring anchors that nobody has compared yet, where masks and motion are there."""
        if not self._compares or self._pictures is None or self._chains is None or self._others_work():
            return False
        material = self._pictures.material
        if self._pairs is None:
            self._pairs = deque(pair for pair in pairs_of(material) if pair.key and known(material, pair) is None)
        while self._pairs:
            pair = self._pairs.popleft()
            if can_compare(self._pictures, pair):
                with contextlib.suppress(Cancelled):
                    compare(material, self._chains, pair, lambda done, total: self._between(self._key))
                return True
        return False

    def _between(self, key: str) -> None:
        """Between two frames of proper work: orders come first, and another edit ends it. Raises Cancelled."""
        orders = self._inbox.take(0.0)
        if orders:
            self._obey(orders)
            if self._key != key or any("document" in order for order in orders):
                raise Cancelled

    def _others_work(self) -> bool:
        """Whether a job of the project runs: it makes the real thing and needs the processor."""
        lock = FileLock(self._workspace.cache / "work.lock")
        try:
            return lock.take() is not None
        finally:
            lock.free()

    def _unread(self) -> deque[FrameIndex]:
        """First frames of pairs in the project's range whose motion is not known yet, those around the playhead first."""
        if self._missing is None:
            assert self._pictures is not None
            material, around = self._pictures.material, None
            if self._frame is not None:
                around = self._pictures.span(self._frame)
            missing = material.steps.missing([material.project.range])
            near = FrameRange(around.start, around.stop) if around else FrameRange(0, 0)
            self._missing = deque(sorted(missing, key=lambda frame: frame not in near))
        return self._missing

    def _read_motion(self) -> bool:
        """Reads the motion of a few frames, unless a job is at it."""
        if self._pictures is None or not self._unread():
            return False
        lock = FileLock(self._workspace.cache / "work.lock")
        if lock.take() is not None:
            time.sleep(4 * PAUSE)
            self._missing = None  # the job may have read it
            self._show()
            return True
        try:
            unread = self._unread()
            self._pictures.material.steps.ensure(
                [unread.popleft() for _ in range(min(BATCH, len(unread)))], lambda done, total: None
            )
        finally:
            lock.free()
        time.sleep(PAUSE)
        return True


def outward(middle: FrameIndex, around: Segment) -> Iterator[FrameIndex]:
    """Frames of a stretch from the middle outwards, within reach."""
    yield middle
    for away in range(1, REACH + 1):
        yield from (frame for frame in (middle + away, middle - away) if around.start <= frame < around.stop)


def main() -> None:
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    one_thread()
    first = sys.stdin.buffer.readline()
    if first:
        Child(Path(json.loads(first)["folder"]), Inbox(sys.stdin.buffer), sys.stdout.buffer).run()


if __name__ == "__main__":
    code = 1
    try:
        main()
        code = 0
    except BrokenPipeError:  # the page's process has died
        code = 0
    except Exception:
        traceback.print_exc()
    os._exit(code)  # the reading thread is blocked on standard input; a normal exit would wait for its lock
