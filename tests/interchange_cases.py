"""Masks and tracks for the tests of formats: small, awkward, and the same for each of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.interchange.masks import Alphas, Masks, present, union
from engine.interchange.registry import MaskFormat
from engine.interchange.tracks import TrackSet
from engine.types import Tracks, Video

RATES = [Fraction(24), Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(15, 2)]


def video_of(size: tuple[int, int], frames: int = 64) -> Video:
    """A clip with uneven times, of which only the times matter here."""
    pts = np.cumsum(np.where(np.arange(frames) % 3, 512, 700)).astype(np.int64)
    return Video("in.mp4", "0", "file", size, Fraction(24), Fraction(1, 12288), pts)


# --- masks ------------------------------------------------------------------------------------------------

Clip = tuple[tuple[int, int], tuple[int, ...], int, list[Alphas]]
"""Size, subjects, number of the first frame, alphas of each frame."""


@st.composite
def clips(draw: st.DrawFn, smallest: int = 1) -> Clip:
    """Soft, overlapping masks of up to three subjects; subjects and whole frames may be empty."""
    size = draw(st.tuples(*[st.integers(smallest, smallest + 19)] * 2))
    subjects = tuple(sorted(draw(st.sets(st.integers(1, 255), min_size=1, max_size=3))))
    kind = st.sampled_from([0, 1, 127, 128, 254, 255]) | st.integers(0, 255)
    alphas = st.fixed_dictionaries({}, optional={s: hnp.arrays(np.uint8, size, elements=kind) for s in subjects})
    return size, subjects, draw(st.integers(0, 40)), draw(st.lists(alphas, min_size=1, max_size=4))


def masks_of(clip: Clip) -> Masks:
    size, subjects, first, frames = clip
    return Masks(size, subjects, tuple(range(first, first + len(frames))), iter(present(one.items()) for one in frames))


def kept(form: MaskFormat, clip: Clip) -> list[Alphas]:
    """What the format says it keeps of a clip's alphas."""
    size, _, _, frames = clip
    found = []
    for alphas in frames:
        if not form.soft:
            alphas = {subject: np.where(alpha >= 128, 255, 0).astype(np.uint8) for subject, alpha in alphas.items()}
        if not form.several:
            alphas = {1: union(alphas, size)}
        elif not form.overlap:
            above = np.zeros(size, bool)
            parts = {}
            for subject in reversed(alphas):
                parts[subject] = np.where(above, 0, alphas[subject]).astype(np.uint8)
                above |= alphas[subject] > 0
            alphas = parts
        found.append(present(alphas.items()))
    return found


def same_alphas(found: list[Alphas], wanted: list[Alphas]) -> bool:
    return len(found) == len(wanted) and all(
        a.keys() == b.keys() and all(a[s].dtype == np.uint8 and np.array_equal(a[s], b[s]) for s in b)
        for a, b in zip(found, wanted, strict=True)
    )


def discs(size: tuple[int, int] = (32, 48), frames: int = 3) -> Clip:
    """Two soft discs that move and, on the last frame, meet; the second is not there at first."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    found: list[Alphas] = []
    for at in range(frames):
        far = [np.hypot(rows - size[0] / 2, columns - x) for x in (10 + 4 * at, 36 - 4 * at)]
        soft = [np.clip((9 - one) * 64, 0, 255).astype(np.uint8) for one in far]
        found.append({2: soft[0]} if at == 0 else {2: soft[0], 5: soft[1]})
    return size, (2, 5), 7, found


# --- tracks -----------------------------------------------------------------------------------------------


@st.composite
def track_sets(draw: st.DrawFn) -> TrackSet:
    """Points in and out of the picture, seen now and then; the query of a point lies on its track, as trackers say it."""
    length, count = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    # Whole multiples: adding half a pixel (TAP-Vid, After Effects) must not lose a bit, and below 1e-9 px it would.
    place = st.integers(-(2**24), 2**24).map(lambda n: n / 2**14) | st.integers(-40, 900).map(float)
    xy = draw(hnp.arrays(np.float32, (length, count, 2), elements=place.map(np.float32).map(float)))
    visible = draw(hnp.arrays(np.bool_, (length, count)))
    confidence = draw(hnp.arrays(np.float32, (length, count), elements=st.floats(0, 1, width=32)))
    first = draw(st.integers(0, 500))
    asked = draw(hnp.arrays(np.int64, count, elements=st.integers(0, length - 1)))
    queries = np.column_stack([asked + first, xy[asked, np.arange(count)]]).astype(np.float32)
    subjects = draw(hnp.arrays(np.int32, count, elements=st.integers(0, 255)))
    size = draw(st.tuples(st.integers(16, 2160), st.integers(16, 4096)))
    return TrackSet(Tracks(xy, visible, confidence, queries, first), subjects, size, draw(st.sampled_from(RATES)))


def three_tracks() -> TrackSet:
    """Three points over five frames from frame 2 on; the second is lost for a while, the third on the last two frames."""
    at = np.arange(5, dtype=np.float32)
    xy = np.stack(
        [np.column_stack([10 + at * 1.25, 20 - at / 3]), np.column_stack([30 - at, 8 + at]), np.full((5, 2), 3)], axis=1
    )
    visible = np.array([[1, 1, 1], [1, 0, 1], [1, 0, 1], [1, 1, 0], [1, 1, 0]], bool)
    queries = np.column_stack([np.full(3, 2), xy[0]]).astype(np.float32)
    tracks = Tracks(xy.astype(np.float32), visible, visible * np.float32(0.5), queries, 2)
    return TrackSet(tracks, np.array([1, 1, 9], np.int32), (32, 48), Fraction(24))


def write_text(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
