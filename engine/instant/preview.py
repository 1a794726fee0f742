"""The instant preview as the page's process holds it: starts the child, asks it for frames, keeps what it sends."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from engine.document.project import Project, to_json
from engine.instant.proxy import ProxyStore
from engine.rendering.material import Material
from engine.store.processes import child_environment
from engine.types import FrameIndex

MOST_BYTES = 48 * 2**20
STARTS = 4
"""A child that has died so many times is not started again."""
WITHIN = 2.5
"""Seconds that somebody waits for a frame."""
WAITERS = 6
"""How many may wait at a time: one more sends the oldest away, whose frame is not looked at any more."""
log = logging.getLogger("anchorline")


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG; `proper`: carried by the motion method, else by a rough chain."""

    jpeg: bytes
    proper: bool


@dataclass(frozen=True, slots=True)
class OnionPicture:
    """A PNG with transparency, empty where there is nothing to show; `rough` and `seen`: see engine/instant/onion.py."""

    png: bytes
    rough: bool
    seen: float


class InstantPreview:
    """Of one project. Safe to call from several threads. The child is started when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts, self._closed = 0, False
        self._told: Project | None = None
        self._measures: dict[str, dict[FrameIndex, dict[str, float]]] = {}
        self._numbers = itertools.count(1)
        self._answered: dict[int, Picture | OnionPicture | None] = {}
        self._asked: list[int] = []
        self._proxies = ProxyStore(folder)
        self._kept: OrderedDict[tuple[str, FrameIndex], Picture] = OrderedDict()
        self._bytes = 0

    def look(self, material: Material, frame: FrameIndex | None = None) -> None:
        """Tells the child what the project is now and where the playhead is; it begins with what is around."""
        if material.pack is None or not material.pack.complete:
            return
        with self._lock:
            self._order(material, frame, None)

    def picture(self, material: Material, frame: FrameIndex) -> Picture | None:
        """The edited frame, small; waits for it a little. None where there is none: no anchor in the shot, nothing prepared."""
        key = self.key_of(material, frame)
        if not key or material.pack is None or not material.pack.complete:
            return None
        with self._lock:
            previewed = self._proxies.jpeg(key, frame)
            if previewed is not None:
                return Picture(previewed, True)
            if (key, frame) in self._kept:
                self._kept.move_to_end((key, frame))
                return self._kept[key, frame]
            found = self._wait(material, frame)
            return found if isinstance(found, Picture) else None

    def onion(self, material: Material, frame: FrameIndex, anchor: FrameIndex, take: str) -> OnionPicture | None:
        """A take of an anchor in the same shot, warped to a frame; waits for it a little. None where it is not there yet."""
        if material.pack is None or not material.pack.complete:
            return None
        with self._lock:
            found = self._wait(material, frame, onion=[anchor, take])
            return found if isinstance(found, OnionPicture) else None

    def compare(self, material: Material) -> None:
        """Has neighbouring anchors compared in the background; `engine.instant.agreement.known` tells what came of it."""
        if material.pack is None or not material.pack.complete:
            return
        with self._lock:
            self._order(material, None, None, compare=True)

    def _wait(self, material: Material, frame: FrameIndex, **more: Any) -> Picture | OnionPicture | None:
        """Sends an order and waits for its answer. Holds the lock."""
        number = next(self._numbers)
        if not self._order(material, frame, number, **more):
            return None
        self._asked.append(number)
        if len(self._asked) > WAITERS:
            self._answered[self._asked[0]] = None
            self._lock.notify_all()
        self._lock.wait_for(lambda: number in self._answered or self._closed, WITHIN)
        self._asked.remove(number)
        return self._answered.pop(number, None)

    def proper(self, key: str) -> list[list[int]]:
        """Which frames under a key were carried by the motion method: half-open ranges."""
        with self._lock:
            made = {frame for (one, frame), picture in self._kept.items() if one == key and picture.proper}
            return ranges(sorted(made.union(self._proxies.frames(key))))

    def measures(self, key: str) -> dict[FrameIndex, dict[str, float]]:
        """What was noted about the frames under a key (engine/quality.py)."""
        with self._lock:
            return {**self._measures.get(key, {}), **self._proxies.measures(key)}

    @staticmethod
    def key_of(material: Material, frame: FrameIndex) -> str:
        """Names the pictures of the stretch that a frame is in; "" where nothing can be carried to it."""
        segment = material.segment_at(frame)
        anchors = [anchor.frame for anchor in material.project.edit.approved]
        if segment is None or not any(anchor in segment.shot for anchor in anchors):
            return ""
        return material.key_of(segment)

    # --- the child ----------------------------------------------------------------------------------------

    def _order(self, material: Material, frame: FrameIndex | None, ask: int | None, **more: Any) -> bool:
        """Sends an order, starting the child where there is none. Whether it was sent. Holds the lock."""
        if self._closed or not self._running():
            return False
        assert self._process is not None and self._process.stdin is not None
        order: dict[str, Any] = {"frame": frame, "ask": ask, "key": "" if frame is None else self.key_of(material, frame)}
        order |= more
        if material.project is not self._told:
            order["document"] = to_json(material.project)
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:  # it has died this moment; the next order starts another
            return False
        self._told = material.project
        return True

    def _running(self) -> bool:
        if self._process is not None and self._process.poll() is None:
            return True
        if self._starts >= STARTS:
            return False
        self._starts, self._told = self._starts + 1, None
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "engine.instant.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=child_environment(),
            )
        except OSError as error:
            log.warning("the instant preview cannot be started: %s", error)
            return False
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps({"folder": str(self._folder)}).encode() + b"\n")
        threading.Thread(target=self._listen, args=(self._process,), daemon=True, name="instant").start()
        return True

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with contextlib.suppress(OSError, ValueError):  # it was killed in the middle of a picture
            while (head := _read_head(process.stdout)) is not None:
                blob = process.stdout.read(head["bytes"])
                if len(blob) == head["bytes"]:
                    self._take(head, blob)
        process.wait()
        with self._lock:
            if process.returncode == 0:
                self._starts = max(0, self._starts - 1)  # it had nothing to do for long
            for number in self._asked:
                self._answered[number] = None
            self._lock.notify_all()

    def _take(self, head: dict[str, Any], blob: bytes) -> None:
        if "onion" in head:
            self._take_skin(head, blob)
            return
        picture = Picture(blob, "measures" in head) if blob else None
        with self._lock:
            if head.get("measures"):
                self._measures.setdefault(head["key"], {})[head["frame"]] = head["measures"]
            if picture is not None:
                self._keep((head["key"], head["frame"]), picture)
            if head.get("ask") in self._asked:
                self._answered[head["ask"]] = picture
                self._lock.notify_all()

    def _take_skin(self, head: dict[str, Any], blob: bytes) -> None:
        with self._lock:
            if head["ask"] in self._asked:
                told = head["onion"] or {"rough": False, "seen": 0.0}
                self._answered[head["ask"]] = OnionPicture(blob, told["rough"], told["seen"])
                self._lock.notify_all()

    def _keep(self, name: tuple[str, FrameIndex], picture: Picture) -> None:
        old = self._kept.pop(name, None)
        if old is not None and old.proper and not picture.proper:
            picture = old
        self._kept[name] = picture
        self._bytes += len(picture.jpeg) - (len(old.jpeg) if old else 0)
        while self._bytes > MOST_BYTES:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone.jpeg)

    def close(self) -> None:
        """Ends the child."""
        with self._lock:
            self._closed = True
            self._proxies.close()
            process, self._process = self._process, None
            self._lock.notify_all()
        if process is not None:
            process.kill()  # it owns nothing that is not written as a whole
            process.wait()


def _read_head(stream: IO[bytes]) -> dict[str, Any] | None:
    line = stream.readline()
    return json.loads(line) if line else None


def ranges(frames: list[FrameIndex]) -> list[list[int]]:
    """Sorted frames as half-open ranges."""
    ranges: list[list[int]] = []
    for frame in frames:
        if ranges and ranges[-1][1] == frame:
            ranges[-1][1] = frame + 1
        else:
            ranges.append([frame, frame + 1])
    return ranges
