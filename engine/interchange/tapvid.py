"""TAP-Vid points: a pickle {name: {"points": float32 [P, T, 2], "occluded": bool [P, T], …}}.

Points are (x, y) as shares of the width and height, so pixel centres lie at 0.5: `x_here = share · width − 0.5`. The pictures
of the original data sets ("video") are not written: they are the clip. Our own fields lie beside; `tracks` among them holds
the positions to the bit, which shares in float32 do not, and counts as long as it agrees with the shares.
"""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import MediaError
from engine.interchange.files import whole
from engine.interchange.tracks import TrackSet, fields_of, from_arrays
from engine.interchange.unpickle import array_of, load_pickle

CENTRE = 0.5
PROTOCOL = 4
AGREE = 1e-3  # px, of a share in float32 on the widest pictures


def write(path: Path, found: TrackSet) -> None:
    """Writes one clip, called after the file. Raises MediaError when the disk does not take it."""
    ours = fields_of(found)
    occluded = ~ours.pop("visibility")
    entry = {"points": _shares(ours["tracks"], found.size).swapaxes(0, 1).copy(), "occluded": occluded.swapaxes(0, 1), **ours}
    with whole(path) as temporary:
        temporary.write_bytes(pickle.dumps({path.stem: entry}, protocol=PROTOCOL))


def read(path: Path, size: tuple[int, int], rate: Fraction) -> TrackSet:
    """Reads the points of one clip; shares are of the clip's `size`, whatever size the pictures in the pickle have.

    Raises:
        MediaError: not such a file, several clips in it, code in it, of another size, or values that cannot be.
    """
    name, entry = path.name, _entry(load_pickle(path), path.name)
    arrays = {key: array for key, value in entry.items() if (array := array_of(value)) is not None}
    shares, occluded = arrays.get("points"), arrays.get("occluded")
    if shares is None or occluded is None or shares.ndim != 3 or shares.shape[2] != 2 or occluded.shape != shares.shape[:2]:
        raise MediaError(f"{name} needs “points” [points, frames, 2] and “occluded” [points, frames]; save it as TAP-Vid does.")
    if shares.dtype.kind != "f" or not shares.size:
        raise MediaError(f"{name} holds no points, or not as shares from 0 to 1; save it as TAP-Vid does.")
    xy, visible = _pixels(shares, size).swapaxes(0, 1), ~occluded.astype(bool).swapaxes(0, 1)
    exact = arrays.get("tracks")
    if exact is not None and exact.shape == xy.shape and exact.dtype == np.float32 and np.allclose(exact, xy, 1e-6, AGREE):
        xy = exact
    ours = arrays if "frame0" in arrays else {}  # others may mean something else by these names
    return from_arrays(ours, xy, visible, (size, rate), name)


def _shares(xy: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return ((xy.astype(np.float64) + CENTRE) / (size[1], size[0])).astype(np.float32)


def _pixels(shares: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # where a point is not seen anything may stand
        return (shares.astype(np.float64) * (size[1], size[0]) - CENTRE).astype(np.float32)


def _entry(content: Any, name: str) -> dict[Any, Any]:
    """The one clip of a pickle: {name: entry}, [entry], or the entry itself."""
    if isinstance(content, dict) and "points" not in content:
        content = list(content.values())
    if isinstance(content, list):
        if len(content) != 1:
            raise MediaError(f"{name} holds {len(content)} clips; save the points of this clip alone.")
        content = content[0]
    if not isinstance(content, dict):
        raise MediaError(f"{name} holds no TAP-Vid points; save {{name: {{points, occluded}}}}.")
    return content
