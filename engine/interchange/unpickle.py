"""Pickles from others: dictionaries, lists, numbers, text and arrays of numbers, and nothing else.

A pickle is a program. Whatever it names is looked up here: a few names stand for arrays of numbers and are answered by
stand-ins that only take bytes apart; every other name is refused before anything is called. NumPy itself is never driven
by the pickle. The interpreter in Python is used, since the one in C sets memory aside for whatever index a file names.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from engine.errors import MediaError
from engine.media.probe import check_file

INTERPRETER: Any = vars(pickle)["_Unpickler"]  # the one in Python; type stubs leave it out
MAX_BYTES = 4 * 2**30
KIND = re.compile(r"b1|[iu][1248]|f[248]")
# NumPy 1 and 2 have different homes for the same things.
HOMES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}
DATA = frozenset({
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.DUP,
    pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2,
    pickle.LONG, pickle.LONG1, pickle.LONG4, pickle.FLOAT, pickle.BINFLOAT,
    pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8,
    pickle.BYTEARRAY8, pickle.UNICODE, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8,
    pickle.TUPLE, pickle.EMPTY_TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.LIST, pickle.EMPTY_LIST,
    pickle.APPEND, pickle.APPENDS, pickle.DICT, pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS,
    pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.GET, pickle.BINGET, pickle.LONG_BINGET,
    pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BUILD,
})  # fmt: skip
BROKEN = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
    MemoryError, RecursionError, AssertionError, NotImplementedError, NameError, OSError, struct.error,
)  # fmt: skip


class Refused(Exception):
    """The pickle wants something that is not data."""


class ArrayPart:
    """An array, or the kind of one, while the pickle is taken apart."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: np.dtype | None = None, value: np.ndarray | None = None) -> None:
        self.kind, self.value = kind, value

    def __setstate__(self, state: Any) -> None:
        if self.kind is not None:  # of a kind: (version, byte order, …)
            self.kind = self.kind.newbyteorder(">" if state[1] == ">" else "<")
            return
        _, shape, kind, columns_first, content = state
        self.value = _filled(content, kind, shape, "F" if columns_first else "C")


class Name:
    """What stands for a name of NumPy's in a pickle; can be called and nothing else."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise Refused("a name that is changed")


def load_pickle(path: Path) -> Any:
    """What a pickle holds. Arrays are `ArrayPart`s: see `array_of`.

    Raises:
        MediaError: it holds more than plain data and arrays of numbers, is damaged, or larger than 4 GB.
    """
    file = check_file(path)
    if file.stat().st_size > MAX_BYTES:
        raise MediaError(f"{path.name} is larger than {MAX_BYTES // 2**30} GB; save one clip's points alone.")
    try:
        with open(file, "rb") as opened:
            return _Unpickler(_Bounded(opened, file.stat().st_size)).load()
    except Refused as error:
        raise MediaError(f"{path.name} holds {error}, not only arrays, and is not opened: it could run a program.") from error
    except BROKEN as error:
        raise MediaError(f"{path.name} is damaged or no pickle of arrays; save it again.") from error


def array_of(value: Any) -> np.ndarray | None:
    """The array that stands in what `load_pickle` gave; None for anything else."""
    return value.value if isinstance(value, ArrayPart) else None


class _Bounded:
    """A file that sets no memory aside for more than it holds, whatever length a pickle announces."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        if count > self.size:
            raise EOFError
        return self._file.read(count)


def _refuse(unpickler: Any) -> None:
    raise Refused("objects")


class _Unpickler(INTERPRETER):
    """Only the instructions that build data; dictionaries by text or number only (hashing nested tuples may take for ever)."""

    dispatch: ClassVar = {code: load if bytes([code]) in DATA else _refuse for code, load in INTERPRETER.dispatch.items()}

    def find_class(self, module: str, name: str) -> Any:
        if module in HOMES and name in MAKERS:
            return Name(MAKERS[name])
        if (module, name) == ("_codecs", "encode"):
            return Name(self._coded)
        if module in ("builtins", "__builtin__") and name == "bytes":
            return Name(_no_bytes)
        raise Refused(f"{(module + '.' + name)[:80]!a}")

    def __init__(self, file: _Bounded) -> None:
        super().__init__(file)
        self._room = file.size

    def _coded(self, text: Any, coding: Any = "latin1") -> bytes:
        """Bytes as the old protocols write them: as text. In all no more than the file is long: text may be named often."""
        if not isinstance(text, str) or coding not in ("latin1", "latin-1") or len(text) > self._room:
            raise Refused("coded text")
        self._room -= len(text)
        return text.encode("latin1")

    def load_setitem(self) -> None:
        _check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        _check_keys(self.stack[::2])
        super().load_setitems()

    def load_dict(self) -> None:
        _check_keys(self.stack[::2])
        super().load_dict()

    def load_bytearray8(self) -> None:
        self.append(bytearray(self.read(*struct.unpack("<Q", self.read(8)))))

    dispatch |= {pickle.BYTEARRAY8[0]: load_bytearray8}
    dispatch |= {pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems, pickle.DICT[0]: load_dict}


def _check_keys(keys: list[Any]) -> None:
    if not all(isinstance(key, str | int | float | bytes | None) for key in keys):
        raise Refused("a dictionary of something else than names")


def _no_bytes() -> bytes:
    """What old protocols say for the content of an array of none."""
    return b""


def _kind(code: Any, *flags: Any) -> ArrayPart:
    if not isinstance(code, str) or not KIND.fullmatch(code):
        raise Refused(f"arrays of {code[:20]!a}" if isinstance(code, str) else "arrays of something else than numbers")
    return ArrayPart(kind=np.dtype(code))


def _empty(*arguments: Any) -> ArrayPart:
    return ArrayPart()


def _array(*arguments: Any) -> ArrayPart:
    raise Refused("an array made without content")


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any = "C") -> ArrayPart:
    return ArrayPart(value=_filled(content, kind, shape, order))


def _scalar(kind: Any, content: Any) -> ArrayPart:
    return ArrayPart(value=_filled(content, kind, (), "C"))


def _filled(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(content, bytes | bytearray) or not isinstance(kind, ArrayPart) or kind.kind is None:
        raise Refused("arrays of something else than numbers")
    if not isinstance(shape, tuple) or len(shape) > 8 or any(type(side) is not int or side < 0 for side in shape):
        raise ValueError("shape")
    return np.frombuffer(content, kind.kind).reshape(shape, order="F" if order == "F" else "C")


MAKERS: dict[str, Callable[..., Any]] = {
    "_reconstruct": _empty, "ndarray": _array, "dtype": _kind, "_frombuffer": _from_buffer, "scalar": _scalar,
}  # fmt: skip
