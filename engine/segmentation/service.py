"""`python -m engine.segmentation.service`: models for clicks and words in a process of their own, which stays warm.

The page's process never loads torch: it sends pictures and clicks here (engine/segmentation/remote.py) and gets masks.
Each message is one line of JSON, in which `bytes` says how many bytes of a picture follow. The process ends with its
standard input, and by itself after a fault of the device, from which only a new process recovers.
"""

from __future__ import annotations

import json
import os
import sys
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np

from engine.device import is_device_fault, is_out_of_memory
from engine.errors import EngineError
from engine.types import Point

KEPT = 4  # pictures
FAULT = 75  # exit code after a fault of the device


class Service:
    """Keeps one segmenter, one finder and the last pictures."""

    def __init__(self) -> None:
        self._models: dict[str, Any] = {}
        self._pictures: OrderedDict[str, np.ndarray] = OrderedDict()

    def answer(self, order: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Raises EngineError."""
        if order["do"] == "look":
            picture = np.frombuffer(payload, np.uint8).reshape(order["shape"])
            self._pictures[order["key"]] = picture
            while len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
            return {}, b""
        image = self._pictures.get(order["key"])
        if image is None:
            return {"unseen": True}, b""
        if order["do"] == "find":
            found = self._finder(order["model"]).find(image, order["words"])
            return {"found": [[list(one.box), one.score] for one in found]}, b""
        points = [Point(x, y, label) for x, y, label in order["points"]]
        box = tuple(order["box"]) if order["box"] else None
        prior = np.frombuffer(payload, np.uint8).reshape(image.shape[:2]) if payload else None
        mask = self._segmenter(order["model"]).segment(image, points, box, prior)
        return {"shape": list(mask.shape)}, mask.tobytes()

    def _segmenter(self, name: str) -> Any:
        from engine.segmentation import local_segmenter

        return self._model("segmenter", name, lambda: local_segmenter(name))

    def _finder(self, name: str) -> Any:
        from engine.segmentation.grounding import Finder

        return self._model("finder", name, lambda: Finder(name))

    def _model(self, kind: str, name: str, make: Any) -> Any:
        if self._models.get(kind, ("",))[0] != name:
            self._models.pop(kind, None)  # the old one's memory first
            self._models[kind] = (name, make())
        return self._models[kind][1]


def main() -> int:
    os.environ["HF_HUB_OFFLINE"] = "1"  # what is asked for lies on this machine
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what libraries print must not stand between the messages
    service = Service()
    while line := source.readline():
        order = json.loads(line)
        payload = source.read(order.get("bytes", 0))
        fault = False
        try:
            said, data = service.answer(order, payload)
        except EngineError as error:
            said, data = {"error": str(error)}, b""
        except Exception as error:
            if is_out_of_memory(error):
                text = f"There is not enough memory on the device for {order['model']}: choose the CPU or a smaller model."
                said, data = {"error": text}, b""
            elif is_device_fault(error):
                said, data, fault = {"fault": str(error).splitlines()[0][:200]}, b"", True
            else:
                raise
        _send(sink, {**said, "bytes": len(data)}, data)
        if fault:
            return FAULT
    return 0


def _send(sink: BinaryIO, said: dict[str, Any], data: bytes) -> None:
    sink.write(json.dumps(said).encode() + b"\n" + data)
    sink.flush()


if __name__ == "__main__":
    sys.exit(main())
