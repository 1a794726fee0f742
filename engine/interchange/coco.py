"""COCO run lengths of one mask: {"size": [h, w], "counts": …}, column by column, the first run is background.

`counts` is a list of run lengths ("uncompressed") or COCO's string of them: from the fourth on each is the difference to
the one two before, in groups of five bits, lowest first, with a bit for "more follows", as characters from "0" on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.errors import MediaError

GROUPS = 7  # of five bits: more than any run of a picture needs
FIRST = 48
MORE = 0x20


def rle_of(mask: np.ndarray, *, compressed: bool = True) -> dict[str, Any]:
    """The run lengths of a mask (H, W), inside where it is true."""
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    counts = np.diff(bounds)
    if flat[0]:
        counts = np.concatenate([[0], counts])
    return {"size": [*map(int, mask.shape)], "counts": _packed(counts) if compressed else counts.tolist()}


def mask_of(rle: Any, size: tuple[int, int], where: str) -> np.ndarray:
    """(H, W) bool of run lengths in either form.

    Raises:
        MediaError: not run lengths, of another size than `size`, or not as long as the picture; names `where`.
    """
    if not isinstance(rle, dict):
        raise MediaError(f"{where} is not a COCO run-length mask; polygons and boxes are not read: convert them to RLE.")
    found, counts = rle.get("size"), rle.get("counts")
    if found != list(size) or not isinstance(found, list):
        shown = "×".join(str(side)[:12] for side in found[1::-1]) if isinstance(found, list) and len(found) == 2 else "of no size"
        raise MediaError(f"{where} is {shown} and the clip is {size[1]}×{size[0]} px; scale the masks to the clip.")
    pixels = size[0] * size[1]
    runs = _unpacked(counts, pixels) if isinstance(counts, str) else _plain(counts, pixels)
    if runs is None or (runs < 0).any() or (runs > pixels).any() or int(runs.sum()) != pixels:
        raise MediaError(f"{where} has run lengths that do not fill {size[1]}×{size[0]} px; the file is damaged: write it again.")
    inside = (np.arange(len(runs)) % 2).astype(bool)
    return np.repeat(inside, runs).reshape(size, order="F")


def _packed(counts: np.ndarray) -> str:
    rest = counts.astype(np.int64)
    rest[3:] -= counts[1:-2]
    letters = np.zeros((len(rest), GROUPS), np.uint8)
    used = np.zeros((len(rest), GROUPS), bool)
    going = np.ones(len(rest), bool)
    for group in range(GROUPS):
        bits = rest & 0x1F
        rest = rest >> 5
        more = going & np.where(bits & 0x10, rest != -1, rest != 0)
        letters[:, group], used[:, group] = bits + FIRST + MORE * more, going
        going = more
    return letters[used].tobytes().decode("ascii")


def _unpacked(text: str, pixels: int) -> np.ndarray | None:
    """Run lengths, int64; None where the string is not one of COCO's."""
    if not text or not text.isascii() or len(text) > GROUPS * (2 * pixels + 2):
        return None
    letters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - FIRST
    if letters.min() < 0 or letters.max() > 0x3F or letters[-1] & MORE:
        return None
    ends = np.flatnonzero(letters & MORE == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() >= GROUPS:
        return None
    place = np.arange(len(letters)) - np.repeat(starts, ends - starts + 1)
    runs = np.add.reduceat((letters & 0x1F) << (5 * place), starts)
    runs -= np.where(letters[ends] & 0x10, np.int64(1) << (5 * (ends - starts + 1)), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _plain(counts: Any, pixels: int) -> np.ndarray | None:
    if not isinstance(counts, list) or not counts or len(counts) > 2 * pixels + 2:
        return None
    if any(type(count) is not int or not 0 <= count <= pixels for count in counts):
        return None
    return np.array(counts, np.int64)
