"""Progress of long work: what is being done, how far it is, how long it will take; and where it notices a cancel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.errors import Cancelled

REPORT_EVERY = 0.1  # seconds between two reports
Step = Callable[[int, int], None]
"""`step(done, total)` of one part of the work; raises Cancelled."""


@dataclass(frozen=True, slots=True)
class Status:
    """One report. `done` and `total` count units of work (about a frame each); `eta` in seconds, None while unknown."""

    phase: str
    done: int
    total: int
    seconds: float
    eta: float | None


class Progress:
    """Adds up the parts of a job.

    `total` is set by whoever knows all parts, before the first one starts. Time left comes from the pace of the
    running part, because parts differ in cost and the past ones are no measure.
    """

    def __init__(self, report: Callable[[Status], None] | None = None, cancelled: Callable[[], bool] | None = None) -> None:
        self.total = 0
        self.seconds: dict[str, float] = {}
        self.units: dict[str, float] = {}
        """What was done of each part so far, in its units: with `seconds`, what a unit takes."""
        self._report, self._cancelled = report, cancelled or (lambda: False)
        self._done_before = 0
        self._started = time.monotonic()
        self._last_report = 0.0

    def part(self, phase: str, units: int) -> Step:
        """Opens the next part, worth `units`; the step it returns may count in units of its own."""
        started, base = time.monotonic(), self._done_before
        self._done_before += units
        self._tell(phase, base, None, force=True)

        def step(done: int, total: int) -> None:
            self.check()
            share = done / max(total, 1)
            elapsed = time.monotonic() - started
            self.seconds[phase] = self.seconds.get(phase, 0.0) + elapsed - step_seconds[0]
            self.units[phase] = self.units.get(phase, 0.0) + units * (share - shares[0])
            step_seconds[0], shares[0] = elapsed, share
            left = units * (1 - share) + max(0, self.total - base - units)
            eta = elapsed / (units * share) * left if share > 0.02 and elapsed > 0.5 else None
            self._tell(phase, base + round(units * share), eta, force=done >= total)

        step_seconds, shares = [0.0], [0.0]
        return step

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """A part that cannot say how far it is; only its seconds are kept."""
        self.check()
        self._tell(phase, self._done_before, None, force=True)
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - started

    def check(self) -> None:
        """Raises Cancelled when the user has asked for it."""
        if self._cancelled():
            raise Cancelled

    def _tell(self, phase: str, done: int, eta: float | None, *, force: bool) -> None:
        now = time.monotonic()
        if self._report and (force or now - self._last_report >= REPORT_EVERY):
            self._last_report = now
            self._report(Status(phase, done, max(self.total, done), now - self._started, eta))
