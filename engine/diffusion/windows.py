"""Clips longer than a model takes: overlapping windows, noise that they share, and cross-fades between their pictures.

For every method that samples or edits with a model of limited length (FlowAnchor, VIA, Point-to-Point, SAMA): all windows go
through the noise levels side by side. What keeps joins from showing:

    the same noise         where two windows hold the same latent frame (`SharedNoise`: by frame, not by window)
    the same change        the windows' changes are averaged there at every level (`agree`), so they never drift apart
    a cross-fade           of the decoded pictures over the whole overlap (`cross_fade`)

A window begins on a multiple of the model's stride in time, so latent frames of two windows coincide: latent frame j of a
window holds the frames up to `start + stride · j`, its *mark*. Only a later window's first one, which holds a single frame,
has no twin. Frames are counted from the first one of the part that is worked on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.diffusion.masks import latent_frames


@dataclass(frozen=True, slots=True)
class Window:
    """Frames [start, stop)."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def marks(self, stride: int) -> range:
        """The last frame that each latent frame holds, had it all its frames."""
        return range(self.start, self.start + stride * latent_frames(len(self), stride), stride)


def default_overlap(longest: int, stride: int) -> int:
    """Our choice: a quarter of a window, so that three quarters of the work are new frames; two latent frames at least."""
    return 1 + stride * max(1, longest // (4 * stride))


def plan_windows(frames: int, longest: int, stride: int, overlap: int | None = None) -> tuple[Window, ...]:
    """Windows of at most `longest` frames that cover frames 0 … frames − 1, neighbours sharing `overlap` frames or more.

    As few as possible, all of one length, evenly spread on multiples of `stride`; the last one may end early. Raises
    ValueError where windows cannot advance: `longest` − `overlap` < `stride`.
    """
    overlap = default_overlap(longest, stride) if overlap is None else overlap
    longest = 1 + (longest - 1) // stride * stride
    if frames <= longest:
        return (Window(0, frames),)
    if longest - overlap < stride:
        raise ValueError(f"windows of {longest} frames that share {overlap} do not advance by {stride}")
    last = -(-(frames - longest) // stride)  # where the last one begins, in strides
    steps = -(-last // ((longest - overlap) // stride))
    starts = [stride * (last * i // steps) for i in range(steps + 1)]
    return tuple(Window(start, min(start + longest, frames)) for start in starts)


def shares(windows: Sequence[Window], frame: int) -> dict[int, float]:
    """How much each window (by number) counts at a frame: tents over the windows, together 1.

    Raises ValueError for a frame in no window.
    """
    tents = {k: _tent(window, frame) for k, window in enumerate(windows) if window.start <= frame < window.stop}
    if not tents:
        raise ValueError(f"no window holds frame {frame}")
    return {k: tent / sum(tents.values()) for k, tent in tents.items()}


class SharedNoise:
    """Standard normal noise by (seed, step, mark): whoever asks for the same frame gets the same noise.

    It is drawn on the CPU, so that every device gets the same.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def draw(self, step: int, marks: Sequence[int], like: Tensor) -> Tensor:
        """(1, C, F, h, w) float32 like the given latents, one mark for each of the F frames."""
        _, channels, _, rows, columns = like.shape
        drawn = [torch.randn(channels, rows, columns, generator=self._dice(step, mark)) for mark in marks]
        return torch.stack(drawn, 1)[None].to(like.device)

    def _dice(self, step: int, mark: int) -> torch.Generator:
        # The three numbers are mixed by odd constants, so that neighbouring ones do not begin alike.
        mixed = (self._seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + mark * 0x94D049BB133111EB) % 2**63
        return torch.Generator().manual_seed(mixed ^ (mixed >> 31))


def agree(changes: Sequence[Tensor], windows: Sequence[Window], stride: int) -> list[Tensor]:
    """Changes (1, C, F, h, w), one for each window, made one where windows hold the same latent frame: their weighted mean.

    A later window's first latent frame holds one frame only, so it stays as it is and counts for no other.
    """
    holders: dict[int, list[tuple[int, int]]] = {}
    for k, window in enumerate(windows):
        for j, mark in enumerate(window.marks(stride)):
            if j > 0 or k == 0:
                holders.setdefault(mark, []).append((k, j))
    agreed = [change.clone() for change in changes] if len(windows) > 1 else list(changes)
    for mark, held in holders.items():
        if len(held) < 2:
            continue
        tents = [_tent(windows[k], mark) for k, _ in held]
        mean = sum(tent / sum(tents) * changes[k][:, :, j] for tent, (k, j) in zip(tents, held, strict=True))
        for k, j in held:
            agreed[k][:, :, j] = mean
    return agreed


def _tent(window: Window, frame: int) -> int:
    """1 at either end, more inside; a mark may lie a little beyond the last frame."""
    return max(1, min(frame - window.start + 1, window.stop - frame))


def cross_fade(windows: Sequence[Window], make: Callable[[int], Tensor]) -> Iterator[tuple[int, Tensor]]:
    """(frame, picture) in order; `make(k)` gives the pictures (T, ...) of window k.

    Each is made once, when its first frame comes, and dropped after its last: two or three are held, however long the clip.
    """
    made: dict[int, Tensor] = {}
    for frame in range(windows[0].start, windows[-1].stop):
        weights = shares(windows, frame)
        made = {k: made[k] if k in made else make(k) for k in weights}
        yield frame, sum((w * made[k][frame - windows[k].start] for k, w in weights.items()), start=torch.zeros(()))
