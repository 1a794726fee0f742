"""The states of jobs against a model: submitted, cancelled, finished, killed, given up, over any closing and dying of editors."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine import jobs as module
from engine.jobs import MAX_ATTEMPTS, JobManager
from engine.store.journal import Journal
from tests.test_journal import as_after_a_crash, blank

ENDED = ("done", "failed", "cancelled", "interrupted")


class FakeWorker:
    """A worker process that ends when the test says how."""

    running: ClassVar[list[FakeWorker]] = []

    def __init__(self, job: Any) -> None:
        self.job, self.code, self.errors = job, 0, ""
        self.process, self._over = self, False
        FakeWorker.running.append(self)

    def __iter__(self):
        while not self._over:
            time.sleep(0.001)
        FakeWorker.running.remove(self)
        yield from ([{"message": "A named failure."}] if self.code == 1 else [])

    def end(self, code: int) -> None:
        self.code, self._over = code, True

    # What the manager asks of a process:
    stdin = None

    def wait(self, timeout: float | None = None) -> int:
        self.end(130)
        return self.code


class JobStates(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        FakeWorker.running.clear()
        self._real, module._Worker = module._Worker, FakeWorker
        self.folder = Path(tempfile.mkdtemp()) / "p"
        self.journal = Journal.create(self.folder, blank())
        self.manager, self.numbers = JobManager(), 0
        self.model: dict[str, str] = {}  # id → "active" or how it ended
        self.deaths: dict[str, int] = {}

    def rest(self) -> FakeWorker | None:
        """Waits until the manager has come to rest; the worker that runs then."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            active = any(state == "active" for state in self.model.values())
            workers = list(FakeWorker.running)
            fine = all(one.job.process is one and self.model.get(one.job.id) == "active" for one in workers)
            if fine and len(workers) == (1 if active else 0):
                return workers[0] if workers else None
            time.sleep(0.001)
        raise AssertionError(f"the manager did not come to rest: {self.model} {len(FakeWorker.running)}")

    @rule()
    def submit(self):
        self.numbers += 1
        self.model[self.manager.submit(self.journal, "carry", {"number": self.numbers}).id] = "active"

    @precondition(lambda self: "active" in self.model.values())
    @rule(code=st.sampled_from([0, 0, 1, -9, -9]))
    def worker_ends(self, code):
        worker = self.rest()
        assert worker is not None
        name = worker.job.id
        if code < 0:
            self.deaths[name] = self.deaths.get(name, 0) + 1
        if code >= 0 or self.deaths[name] >= MAX_ATTEMPTS:
            self.model[name] = {0: "done"}.get(code, "failed")
        worker.end(code)
        while worker in FakeWorker.running or (self.model[name] != "active" and worker.job.active):
            time.sleep(0.001)

    @precondition(lambda self: "active" in self.model.values())
    @rule(which=st.integers(0, 99))
    def cancel(self, which):
        active = [name for name, state in self.model.items() if state == "active"]
        name = active[which % len(active)]
        self.manager.cancel(self.manager.get(name))
        self.model[name] = "cancelled"
        assert self.manager.get(name).state == "cancelled"

    @rule()
    def close_and_open(self):
        """A polite end: what was running was nobody's fault."""
        self.rest()
        self.manager.close()
        self._wait_for_workers()
        self.journal.close()
        self._open(self.folder)

    @rule()
    def die_and_open(self):
        """A killed editor: its workers go with it; a job that was running has one more death to its name."""
        worker = self.rest()
        copy = as_after_a_crash(self.folder)
        if worker is not None:
            name = worker.job.id
            self.deaths[name] = self.deaths.get(name, 0) + 1
            if self.deaths[name] >= MAX_ATTEMPTS:
                self.model[name] = "interrupted"
        self.manager._closed = True  # a dead process writes nothing any more
        for one in list(FakeWorker.running):
            one.end(130)
        self._wait_for_workers()
        self.journal.close()
        self._open(copy)

    def _open(self, folder: Path) -> None:
        self.folder, self.journal, self.manager = folder, Journal(folder), JobManager()
        self.manager.adopt(self.journal)

    def _wait_for_workers(self) -> None:
        while FakeWorker.running:
            time.sleep(0.001)

    @invariant()
    def as_in_the_model(self):
        self.rest()
        for name, state in self.model.items():
            job, written = self.manager.get(name), self.journal.job(name)
            if state == "active":
                assert job is not None and job.active and written is not None and self.journal.job_document(name)
                assert job.attempts == self.deaths.get(name, 0)
            else:
                assert (job is None or job.state == state) and written is not None
                self._is_written(name, state)

    def _is_written(self, name: str, state: str) -> None:
        """The end of a job is on disk a moment after it is known."""
        deadline = time.monotonic() + 5
        while self.journal.job(name)["state"] != state and time.monotonic() < deadline:
            time.sleep(0.001)
        assert self.journal.job(name)["state"] == state and state in ENDED

    def teardown(self):
        self.manager.close()
        self._wait_for_workers()
        self.journal.close()
        module._Worker = self._real


TestJobStates = JobStates.TestCase
TestJobStates.settings = settings(max_examples=15, stateful_step_count=20, deadline=None, derandomize=True)
