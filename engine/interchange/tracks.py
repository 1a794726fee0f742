"""What track formats have in common: point tracks with what is needed to place them in a clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from engine.errors import MediaError
from engine.types import FrameIndex, FrameRange, Spot, TrackPoint, Tracks

MAX_POINTS = 20_000
MAX_VALUES = 50_000_000
"""Frames times points."""
MAX_FRAME = 10_000_000
FARTHEST = 1e6  # px
FIELDS = {
    "tracks": "f", "visibility": "b", "confidence": "f", "queries": "f",
    "subject": "iu", "size": "iu", "fps": "iu", "frame0": "iu",
}  # fmt: skip
"""What our own files hold (npz, and beside a format's own fields in others), with the kinds of numbers."""


@dataclass(frozen=True, eq=False, slots=True)
class TrackSet:
    """Tracks with the subject of each point, (P,) int32 (0 = none), and the clip's size (H, W) and rate."""

    tracks: Tracks
    subjects: np.ndarray
    size: tuple[int, int]
    rate: Fraction


def checked(found: TrackSet, name: str) -> TrackSet:
    """Tracks that somebody brought, as the house has them: float32, finite also where a point is not seen.

    Raises:
        MediaError: shapes that do not belong together, nothing in it, too many points, values that cannot be.
    """
    tracks = found.tracks
    length, count = tracks.xy.shape[:2] if tracks.xy.ndim == 3 else (0, 0)
    shapes = (tracks.xy.shape, tracks.visible.shape, tracks.confidence.shape, tracks.queries.shape, found.subjects.shape)
    if shapes != ((length, count, 2), (length, count), (length, count), (count, 3), (count,)) or not length * count:
        raise MediaError(f"{name} holds no tracks, or parts of different length; export the tracks again.")
    check_count(count, length, name)
    if not 0 <= tracks.frame0 <= MAX_FRAME:
        raise MediaError(f"{name} starts at frame {tracks.frame0}, which no clip has; export the tracks again.")
    seen = tracks.xy[tracks.visible.astype(bool)]
    if not all((np.abs(one) <= most).all() for one, most in ((seen, FARTHEST), (tracks.queries, MAX_FRAME))):
        raise MediaError(f"{name} has positions that are not numbers of a picture; export the tracks again.")
    if not ((tracks.confidence >= 0) & (tracks.confidence <= 1)).all():
        raise MediaError(f"{name} has a confidence that is not from 0 to 1; export the tracks again.")
    with np.errstate(over="ignore"):  # where a point is not seen anything may stand
        xy = tracks.xy.astype(np.float32)
    usable = np.all(np.isfinite(xy) & (np.abs(xy) <= FARTHEST), axis=2)
    if not usable.all():
        xy = between(xy, usable)
    visible, confidence = tracks.visible.astype(bool), tracks.confidence.astype(np.float32)
    return replace(found, tracks=Tracks(xy, visible, confidence, tracks.queries.astype(np.float32), tracks.frame0))


def fields_of(found: TrackSet) -> dict[str, np.ndarray]:
    """FIELDS of tracks, fps as (numerator, denominator)."""
    tracks = found.tracks
    return {
        "tracks": tracks.xy.astype(np.float32),
        "visibility": tracks.visible.astype(bool),
        "confidence": tracks.confidence.astype(np.float32),
        "queries": tracks.queries.astype(np.float32),
        "subject": found.subjects.astype(np.int32),
        "size": np.array(found.size, np.int32),
        "fps": np.array([found.rate.numerator, found.rate.denominator], np.int64),
        "frame0": np.array(tracks.frame0, np.int64),
    }


def from_arrays(
    arrays: dict[str, np.ndarray], xy: np.ndarray, visible: np.ndarray, clip: tuple[tuple[int, int], Fraction], name: str
) -> TrackSet:
    """Tracks from xy (T, P, 2) and visible (T, P), with what `arrays` hold of FIELDS. `clip`: size and rate of this clip.

    Raises:
        MediaError: tracks of a clip of another size, and as `checked`.
    """
    if any(field in arrays and arrays[field].dtype.kind not in kinds for field, kinds in FIELDS.items()):
        raise MediaError(f"{name} has parts of another kind than tracks have; export the tracks again.")
    if xy.ndim != 3 or xy.shape[2] != 2 or visible.shape != xy.shape[:2] or not xy.size:
        raise MediaError(f"{name} holds no tracks, or parts of different length; export the tracks again.")
    size, rate = clip
    if "size" in arrays:
        check_track_size(_pair(arrays["size"], name), size, name)
    if "fps" in arrays:
        rate = Fraction(*_pair(arrays["fps"], name))
    frame0 = int(arrays["frame0"]) if "frame0" in arrays and arrays["frame0"].shape == () else 0
    usable = np.isfinite(xy).all(axis=2)
    if not usable.all() and not (visible & ~usable).any():
        xy = between(xy, usable)
    confidence = arrays.get("confidence", visible.astype(np.float32))
    queries = arrays.get("queries", first_seen(xy, visible, frame0))
    subjects = arrays.get("subject", np.zeros(xy.shape[1])).astype(np.int32)
    return checked(TrackSet(Tracks(xy, visible, confidence, queries, frame0), subjects, size, rate), name)


def _pair(values: np.ndarray, name: str) -> tuple[int, int]:
    if values.shape != (2,) or (values <= 0).any():
        raise MediaError(f"{name} has a size or rate that cannot be; export the tracks again.")
    return int(values[0]), int(values[1])


def check_count(points: int, frames: int, name: str) -> None:
    """Raises MediaError for more points or positions than can be worked with."""
    if points > MAX_POINTS or points * frames > MAX_VALUES:
        raise MediaError(f"{name} has {points} points on {frames} frames; at most {MAX_POINTS} can be read: leave some out.")


def check_track_size(found: tuple[int, int], wanted: tuple[int, int], name: str) -> None:
    """Raises MediaError when tracks are of a clip of another (H, W)."""
    if tuple(found) != tuple(wanted):
        was, clip = f"{found[1]}×{found[0]}", f"{wanted[1]}×{wanted[0]}"
        raise MediaError(f"The tracks in {name} are of a clip of {was} px and this one has {clip} px; bring those of this clip.")


def between(xy: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(T, P, 2) float32 with what is not `known` (T, P) filled in: on a line between neighbours, held at the ends, else 0."""
    filled = np.where(known[..., None], xy, 0).astype(np.float32)
    frames = np.arange(len(xy))
    for point in np.flatnonzero(known.any(axis=0) & ~known.all(axis=0)):
        here = known[:, point]
        for axis in range(2):
            filled[~here, point, axis] = np.interp(frames[~here], frames[here], xy[here, point, axis])
    return filled


def first_seen(xy: np.ndarray, visible: np.ndarray, frame0: FrameIndex) -> np.ndarray:
    """(P, 3) float32 queries (frame, x, y): where each point is seen first, or its place on the first frame."""
    at = visible.argmax(axis=0)
    return np.column_stack([at + frame0, xy[at, np.arange(xy.shape[1])]]).astype(np.float32)


def from_positions(xy: np.ndarray, known: np.ndarray, frame0: FrameIndex, size: tuple[int, int], rate: Fraction) -> TrackSet:
    """Tracks of a format that says where points are seen and nothing else: xy (T, P, 2), `known` (T, P)."""
    whole = between(xy, known)
    tracks = Tracks(whole, known, known.astype(np.float32), first_seen(whole, known, frame0), frame0)
    return TrackSet(tracks, np.zeros(xy.shape[1], np.int32), size, rate)


def as_track_points(found: TrackSet, subject: int, span: FrameRange, name: str) -> tuple[TrackPoint, ...]:
    """Tracks that somebody brought as tracked points of a subject: everything they say within the span is a spot.

    Of tracks of several subjects those of this one, of tracks of one or of none all. Hidden places outside the picture are
    moved to its edge.

    Raises:
        MediaError: none for this subject or in the span, or a point that is seen outside the picture.
    """
    tracks, numbers = found.tracks, set(found.subjects.tolist())
    if len(numbers) > 1 and subject not in numbers:
        raise MediaError(f"{name} holds tracks of the subjects {', '.join(map(str, sorted(numbers)))}, not of {subject}.")
    height, width = found.size
    low, high = np.float32(-0.5), np.array([width, height], np.float32) - np.float32(0.5)
    points: list[TrackPoint] = []
    for column in np.flatnonzero(found.subjects == subject) if len(numbers) > 1 else range(tracks.xy.shape[1]):
        places, seen = tracks.xy[:, column], tracks.visible[:, column]
        if (seen & ((places < low) | (places > high)).any(axis=1)).any():
            raise MediaError(f"{name} has a point that is seen outside the picture; export the tracks of this clip again.")
        rows = [row for row in range(len(seen)) if tracks.frame0 + row in span]
        kept = np.clip(places, low, high).tolist()
        spots = tuple(Spot(tracks.frame0 + row, kept[row][0], kept[row][1], bool(seen[row])) for row in rows)
        if any(spot.seen for spot in spots):
            points.append(TrackPoint(len(points) + 1, spots))
    if not points:
        raise MediaError(f"{name} has no point that is seen on the frames {span.start} to {span.stop - 1}.")
    return tuple(points)
