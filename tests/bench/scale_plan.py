"""Where several machines stop helping: the scheduling of a long run, simulated from what its parts take.

A run is: what one machine does alone before (preparing the clip, motion, masks, what a method shares), the segments, given
one after the other to whoever is free, and what one machine does alone after (decoding and encoding). Nodes other than
the first are ready when the clip has reached them, one after the other over the first machine's cable.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

ENOUGH = 1.1  # twice the workers must bring at least so much


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds of each part; `segments` in the order in which they are given out."""

    title: str
    before: float
    shared: float
    segments: tuple[float, ...]
    after: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where it runs: nodes with so many workers each; `start` seconds until a worker is there, `overhead` seconds a segment,
    `sent` bytes to every node but the first, at `rate` bytes a second."""

    nodes: int
    workers: int
    start: float
    overhead: float
    sent: float = 0.0
    rate: float = 1.25e9 / 10  # 1 Gbit/s


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds: in all, and of the segments from the first worker's start to the last one's end."""

    total: float
    segments: float
    limit: str


def simulate(work: Work, place: Place) -> Outcome:
    """Segments in order, each to the worker who is free first."""
    ready = accumulate([place.start, *[place.sent / place.rate] * (place.nodes - 1)])
    free = [time for time in ready for _ in range(place.workers)]
    heapq.heapify(free)
    last = 0.0
    for seconds in work.segments:
        done = heapq.heappop(free) + seconds + place.overhead
        last = max(last, done)
        heapq.heappush(free, done)
    total = work.before + work.shared + last + work.after
    return Outcome(total, last, _limit(work, place, last))


def _limit(work: Work, place: Place, segments: float) -> str:
    """What most of the time goes into, in words."""
    longest = max(work.segments, default=0.0)
    parts = {
        "segments": segments - longest - place.start,
        "longest segment": longest,
        "shared step": work.shared,
        "one machine before": work.before,
        "decode and encode": work.after,
        "start": place.start,
    }
    return max(parts, key=lambda name: parts[name])


def enough(work: Work, place: Place, most: int = 1024) -> int:
    """From how many workers (1, 2, 4 …, as nodes of `place.workers`) on twice as many gain less than a tenth."""
    count = place.workers
    while count < most:
        now, twice = (simulate(work, _with(place, many)).total for many in (count, 2 * count))
        if now / twice < ENOUGH:
            break
        count *= 2
    return count


def _with(place: Place, workers: int) -> Place:
    return Place(workers // place.workers, place.workers, place.start, place.overhead, place.sent, place.rate)


def cut(frames: int, shots: int, pieces: Sequence[int]) -> list[int]:
    """Frames of each segment of a clip whose shots are equally long, each cut into `pieces` (whose last takes the rest)."""
    each = frames // shots
    return [*pieces[:-1], each - sum(pieces[:-1])] * shots
