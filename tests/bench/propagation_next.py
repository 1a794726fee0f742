"""Is the suggested next anchor a good one: how much of the error it takes away, against random frames and the middle."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np

from engine.quality import suggestions
from engine.types import FrameRange
from tests.bench.propagation_clips import TrueClip
from tests.bench.propagation_rivals import Layout
from tests.bench.propagation_run import Run

REACH = 62
EVERY = 3
RANDOM = 2
"""Random frames tried in each clip."""


@dataclass(frozen=True, slots=True)
class Gains:
    """Share of the squared error inside the region that one more anchor takes away, in percent.

    An anchor where the subject is not seen can make it much worse: counted as −100 at most.
    """

    suggested: float
    middle: float
    random: float
    frame: int | None


def next_anchor(clip: TrueClip, ran: Run) -> Gains:
    """From one anchor at frame 0: the suggested frame, the middle one and random ones, each as a second anchor."""
    stop = min(clip.frames, REACH)
    reads = tuple(range(1, stop, EVERY))
    ran.measures.clear()
    before = _error(clip, ran, Layout("next", (0,), stop, reads))
    noted = {frame: {**one, "region": float((clip.region[frame] > 0).mean())} for frame, one in ran.measures.items()}
    ranked = suggestions(noted, [0], [FrameRange(0, stop)])
    chosen = ranked[0].frame if ranked else None

    def gain(frame: int | None) -> float:
        if frame is None or before == 0:
            return 0.0
        return max(-100.0, 100 * (1 - _error(clip, ran, Layout("next", (0, frame), stop, reads)) / before))

    rng = np.random.default_rng(clip.seed)
    drawn = rng.choice(np.arange(1, stop), RANDOM, replace=False).tolist()
    return Gains(gain(chosen), gain(stop // 2), statistics.mean(gain(frame) for frame in drawn), chosen)


def _error(clip: TrueClip, ran: Run, layout: Layout) -> float:
    """Squared error summed over the regions of the frames that are read."""
    pictures = ran.render(layout).pictures
    total = 0.0
    for frame in layout.reads:
        inside = clip.region[frame] > 127
        total += float(np.square(pictures[frame][inside].astype(np.float64) - clip.edited[frame][inside]).sum())
    return total
