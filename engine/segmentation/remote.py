"""Segmenters by models, as the page and the command line use them: the model itself runs in a warm process beside.

One such process serves this one, whatever number of projects is open. It is started when it is first needed, again
when another device was chosen, and again, once for each click, when it has died.
"""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.device import chosen_device
from engine.errors import MethodError
from engine.models import folder_of, is_here
from engine.segmentation import FINDERS
from engine.segmentation.prompts import image_digest
from engine.store.processes import child_environment
from engine.types import Point

PATIENCE = 900.0  # seconds for one answer: loading a large model on a slow disk takes minutes
KEPT = 3  # pictures that the process is known to have; it keeps one more


class Remote:
    """A segmenter by its name in the catalogue."""

    def __init__(self, name: str) -> None:
        """Raises MethodError where the model is not on this machine."""
        folder_of(name)
        self.name = name

    def segment(
        self,
        image: np.ndarray,
        points: Sequence[Point],
        box: tuple[float, float, float, float] | None = None,
        prior: np.ndarray | None = None,
    ) -> np.ndarray:
        """(H, W) uint8 alpha; image (H, W, 3) uint8, prior (H, W) uint8. Raises MethodError."""
        order = {
            "do": "segment",
            "model": self.name,
            "points": [(point.x, point.y, point.label) for point in points],
            "box": list(box) if box else None,
        }
        said, data = process().ask(image, order, b"" if prior is None else np.ascontiguousarray(prior).tobytes())
        return np.frombuffer(data, np.uint8).reshape(said["shape"]).copy()


def find(image: np.ndarray, words: str, name: str) -> list[tuple[tuple[float, float, float, float], float]]:
    """Boxes (x0, y0, x1, y1) of what the words name, best first, with scores in 0–1. Raises MethodError."""
    folder_of(name)
    said, _ = process().ask(image, {"do": "find", "model": name, "words": words}, b"")
    return [((box[0], box[1], box[2], box[3]), score) for box, score in said["found"]]


def box_of_words(image: np.ndarray, words: str) -> tuple[float, float, float, float]:
    """The box (x0, y0, x1, y1) of what the words name in a picture (H, W, 3) uint8, the surest one.

    Raises:
        MethodError: the model that finds by words is not here, or nothing in the picture is what the words name.
    """
    found = find(image, words, next((name for name in FINDERS if is_here(name)), FINDERS[-1]))
    if not found:
        raise MethodError(f"Nothing on this frame is found under “{words.strip()[:60]}”: try other words, or click on it.")
    return found[0][0]


@functools.cache
def process() -> Process:
    """The one process of models that serves this one."""
    return Process()


class Process:
    """The child, its pipe, and what is known of its memory. Safe to call from several threads."""

    def __init__(self, module: str = "engine.segmentation.service") -> None:
        self._module = module
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._device = ""
        self._errors: deque[str] = deque(maxlen=20)
        self._has: deque[str] = deque(maxlen=KEPT)

    def ask(self, image: np.ndarray, order: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Raises MethodError with what the process says, or because it died twice."""
        key = image_digest(image).hex()
        with self._lock:
            reason = ""
            for _ in range(2):
                try:
                    said, data = self._asked(image, key, order, payload)
                except (OSError, ValueError):
                    reason = self._ended()
                    continue
                if "fault" in said:
                    reason = f"the device failed: {said['fault']}"
                    self._ended()
                    continue
                if "error" in said:
                    raise MethodError(said["error"])
                return said, data
        raise MethodError(f"The process of {order['model']} ended twice ({reason}); choose another device or segmenter.")

    def _asked(self, image: np.ndarray, key: str, order: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        self._start()
        if key not in self._has:
            self._exchange({"do": "look", "key": key, "shape": image.shape}, np.ascontiguousarray(image).tobytes())
            self._has.append(key)
        return self._exchange({**order, "key": key}, payload)

    def _exchange(self, order: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        assert self._child and self._child.stdin and self._child.stdout
        watch = threading.Timer(PATIENCE, self._child.kill)
        watch.daemon = True
        watch.start()
        try:
            self._child.stdin.write(json.dumps({**order, "bytes": len(payload)}).encode() + b"\n" + payload)
            self._child.stdin.flush()
            said = json.loads(self._child.stdout.readline())  # ValueError for the empty line of one that died
            data = self._child.stdout.read(said["bytes"])
        finally:
            watch.cancel()
        if len(data) != said["bytes"]:
            raise ValueError("it died while it answered")
        return said, data

    def _start(self) -> None:
        device = chosen_device()
        if self._child is not None and self._child.poll() is None and self._device == device:
            return
        self._ended()
        self._device = device
        self._errors.clear()
        pipe = subprocess.PIPE
        command = [sys.executable, "-P", "-m", self._module]
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=child_environment())
        threading.Thread(target=self._listen, args=(self._child,), daemon=True).start()

    def _listen(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stderr
        for line in child.stderr:
            self._errors.append(line.decode("utf-8", "replace").strip())

    def _ended(self) -> str:
        """Makes an end of the child; returns the last thing that it said."""
        self._has.clear()
        child, self._child = self._child, None
        if child is None:
            return ""
        with contextlib.suppress(OSError):
            child.kill()
        code = child.wait()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        last = next((line for line in reversed(self._errors) if line), "")
        return last[:200] or (f"killed by signal {-code}" if code < 0 else f"exit code {code}")

    def close(self) -> None:
        with self._lock:
            self._ended()
