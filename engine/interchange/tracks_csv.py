"""Point tracks as CSV: frame, id, x, y, visible, confidence, subject, query; a row for each point on each frame.

Pixels with centres at integers. Only numbers are written and read, so no cell can be a formula to a spreadsheet. The size
and rate of the clip are not kept; `query` is 1 on the frame a point was set on.
"""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine.errors import MediaError
from engine.interchange.files import read_text, whole
from engine.interchange.tracks import MAX_FRAME, TrackSet, between, check_count, checked, first_seen
from engine.types import Tracks

NEEDED = ("frame", "id", "x", "y")
COLUMNS = (*NEEDED, "visible", "confidence", "subject", "query")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
WHOLE = re.compile(r"[0-9]{1,9}")
TRUTH = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}
LONGEST = 64  # characters of a number


def write(path: Path, found: TrackSet) -> None:
    """Writes all positions, also of frames where a point is not seen. Raises MediaError when the disk does not take it."""
    with whole(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows(_rows(found))


def _rows(found: TrackSet) -> Iterator[tuple[object, ...]]:
    tracks = found.tracks
    xy, confidence = tracks.xy.astype(np.float32), tracks.confidence.astype(np.float32)
    for at in range(len(xy)):
        frame = at + tracks.frame0
        for point in range(xy.shape[1]):
            x, y = xy[at, point]  # float32 is written with as few digits as bring it back
            asked = int(tracks.queries[point, 0] == frame)
            seen = int(tracks.visible[at, point])
            yield frame, point, str(x), str(y), seen, str(confidence[at, point]), int(found.subjects[point]), asked


# --- reading ----------------------------------------------------------------------------------------------


def read(path: Path, size: tuple[int, int], rate: Fraction) -> TrackSet:
    """Reads a table with at least frame, id, x and y. A point without a row on a frame is not seen there.

    Points are numbered in the order of their ids.

    Raises:
        MediaError: no such table, a cell that is not a number, a row twice, too many points; names the line.
    """
    name = path.name
    table = _table(read_text(path), name)
    frames, ids = table["frame"].astype(np.int64), table["id"].astype(np.int64)
    points, which = np.unique(ids, return_inverse=True)
    frame0, length = int(frames.min()), int(frames.max() - frames.min()) + 1
    check_count(len(points), length, name)
    at = frames - frame0
    place = at * len(points) + which
    if len(np.unique(place)) < len(place):
        raise MediaError(f"{name} has a point twice on one frame; keep one row of each.")
    known = np.zeros((length, len(points)), bool)
    known[at, which] = True
    xy = np.zeros((*known.shape, 2), np.float32)
    xy[at, which] = np.column_stack([table["x"], table["y"]])
    visible, confidence = np.zeros_like(known), np.zeros(known.shape, np.float32)
    visible[at, which] = table["visible"] != 0
    confidence[at, which] = table["confidence"]
    subjects = np.zeros(len(points), np.int32)
    subjects[which] = table["subject"].astype(np.int32)
    xy = between(xy, known)
    queries = first_seen(xy, visible, frame0)
    asked = np.flatnonzero(table["query"])
    queries[which[asked]] = np.column_stack([frames[asked], xy[at[asked], which[asked]]])
    return checked(TrackSet(Tracks(xy, visible, confidence, queries, frame0), subjects, size, rate), name)


def _table(text: str, name: str) -> dict[str, np.ndarray]:
    """float64 columns of all of COLUMNS."""
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        head = [cell.strip().lower() for cell in next(rows, [])]
        if not set(NEEDED) <= set(head) or len(set(head)) < len(head):
            raise MediaError(f"{name} needs a first line with the columns frame, id, x and y, separated by commas.")
        wanted = {column: head.index(column) for column in COLUMNS if column in head}
        columns = {column: array("d") for column in wanted}
        points: set[float] = set()
        for row in rows:
            if row:
                _take(row, wanted, columns, f"{name}, line {rows.line_num}")
                points.add(columns["id"][-1])
                check_count(len(points), 1, name)
    except csv.Error as error:
        raise MediaError(f"{name}, line {rows.line_num}, is not CSV; save the table as comma-separated text.") from error
    if not columns["frame"]:
        raise MediaError(f"{name} has no rows; export the tracks again.")
    table = {column: np.array(values) for column, values in columns.items()}
    ones, none = np.ones(len(table["frame"])), np.zeros(len(table["frame"]))
    table.setdefault("visible", ones)
    table.setdefault("confidence", table["visible"])
    return {"subject": none, "query": none} | table


def _take(row: list[str], wanted: dict[str, int], columns: dict[str, array[float]], where: str) -> None:
    for column, at in wanted.items():
        text = row[at].strip() if at < len(row) else ""
        if column in ("frame", "id", "subject"):
            fine = WHOLE.fullmatch(text) is not None and int(text) <= MAX_FRAME
            value = float(text) if fine else 0.0
        elif column in ("visible", "query"):
            fine, value = text.lower() in TRUTH, TRUTH.get(text.lower(), 0.0)
        else:
            fine = len(text) <= LONGEST and NUMBER.fullmatch(text) is not None
            value = float(text) if fine else 0.0
        if not fine:
            raise MediaError(f"{where}: “{column}” is {text[:20]!a}, which is not a number that can be used; mend the line.")
        columns[column].append(value)
