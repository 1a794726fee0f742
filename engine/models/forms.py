"""What a file of weights is, told from its bytes and never by running anything in it."""

from __future__ import annotations

import json
import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import MethodError

WIDTH = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
    "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "U32": 4, "U64": 8,
}  # fmt: skip
MOST_HEADER = 100 * 2**20
SAMPLED = 2**16  # values looked at in each tensor
WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a safetensors file; `start` and `stop` are bytes of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def kind_of(path: Path) -> str:
    """ "safetensors", "checkpoint" (a zip of torch), "pickle", "html", "empty" or "other": by the first bytes, not the name."""
    with open(path, "rb") as file:
        head = file.read(16)
    if not head:
        return "empty"
    if head[:4] == b"PK\x03\x04":
        return "checkpoint"
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "pickle"
    if head.lstrip()[:1] == b"<":
        return "html"
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= path.stat().st_size:
        return "safetensors"
    return "other"


def check_form(path: Path) -> None:
    """Raises MethodError where a file of weights or JSON is not what its name says, or was cut off."""
    if path.suffix not in (*WEIGHTS, ".json"):
        return
    kind, size = kind_of(path), path.stat().st_size
    if kind in ("empty", "html"):
        what = "is empty" if kind == "empty" else "is a web page, not a file of weights"
        raise MethodError(f"{path.name} {what}: fetch the model again, and check the proxy if there is one.")
    if path.suffix == ".json":
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise MethodError(f"{path.name} is not JSON ({size} bytes): fetch the model again.") from error
    elif path.suffix == ".safetensors":
        tensors(path)
    elif kind == "checkpoint":
        if not zipfile.is_zipfile(path):
            raise MethodError(f"{path.name} was cut off after {size:,} bytes: fetch the model again.")
    elif kind not in ("pickle", "safetensors"):
        raise MethodError(f"{path.name} is not a file of weights: fetch the model again.")


def tensors(path: Path) -> dict[str, Entry]:
    """The tensors of a safetensors file by name. Raises MethodError for what is damaged or cut off."""
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if not 2 <= length <= min(size, MOST_HEADER):
                raise ValueError("its header has no end")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        found = {name: _entry(one, 8 + length, size) for name, one in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, OSError) as error:
        raise MethodError(f"{path.name} is damaged or was cut off ({error}): fetch the model again.") from error
    last = max((entry.stop for entry in found.values()), default=0)
    if last != size:
        raise MethodError(f"{path.name} was cut off: it has {size:,} of {last:,} bytes; fetch the model again.")
    return found


def _entry(one: dict[str, object], base: int, size: int) -> Entry:
    shape = tuple(int(side) for side in one["shape"])  # type: ignore[attr-defined]
    start, stop = (base + int(offset) for offset in one["data_offsets"])  # type: ignore[attr-defined]
    if stop - start != math.prod(shape) * WIDTH[str(one["dtype"])] or min(shape, default=0) < 0 or not base <= start <= stop:
        raise ValueError("a shape that lies")
    return Entry(str(one["dtype"]), shape, start, stop)


def first_not_finite(path: Path) -> str | None:
    """The name of the first tensor of a safetensors file that holds NaN or infinity; a sample of each is looked at."""
    for name, entry in tensors(path).items():
        if entry.dtype in ("F32", "F64", "F16", "BF16") and not _finite(path, entry):
            return name
    return None


def _finite(path: Path, entry: Entry) -> bool:
    kind = {"F64": np.uint64, "F32": np.uint32}.get(entry.dtype, np.uint16)
    exponent = {"F64": 0x7FF << 52, "F32": 0xFF << 23, "F16": 0x1F << 10, "BF16": 0xFF << 7}[entry.dtype]
    count = (entry.stop - entry.start) // np.dtype(kind).itemsize
    if not count:
        return True
    bits = np.memmap(path, np.uint8, "r", entry.start, (entry.stop - entry.start,)).view(kind)
    sample = np.asarray(bits[:: max(1, count // SAMPLED)])
    return not bool(((sample & kind(exponent)) == kind(exponent)).any())
