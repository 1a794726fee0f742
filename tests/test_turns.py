"""Whose turn it is: one queue of jobs for all users, in fair order."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from engine.jobs import Job, JobManager
from tests.test_journal import blank


class Written:
    """Stands in for a project's journal."""

    def __init__(self, user: str, number: int) -> None:
        self.folder = Path(user) / str(number)
        self.project, self.why_read_only = blank(), ""

    def check_writable(self) -> None:
        pass

    def save_job(self, *values: object) -> None:
        pass


class Manager(JobManager):
    """Runs nothing: notes the order, and ends a job when told to."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, turns=lambda job: str(job.journal.folder.parent))
        self.order: list[str] = []
        self.may_end = threading.Semaphore(0)

    def _run(self, job: Job) -> None:
        self.order.append(job.journal.folder.as_posix())
        self.may_end.acquire()
        with self._lock:
            job.state = "done"
            self._running.remove(job)
        self._start_next()


def ended(manager: Manager, count: int) -> list[str]:
    for number in range(count):
        deadline = time.monotonic() + 20
        while len(manager.order) <= number and time.monotonic() < deadline:
            time.sleep(0.002)
        manager.may_end.release()
    return manager.order


def test_who_has_queued_a_hundred_does_not_keep_others_waiting() -> None:
    manager = Manager(workers=1)
    for number in range(100):
        manager.submit(Written("ann", number), "export", {"n": number})  # type: ignore[arg-type]
    for number in range(3):
        manager.submit(Written("bob", number), "export", {"n": number})  # type: ignore[arg-type]
    order = ended(manager, 103)
    assert len(order) == 103 and len(set(order)) == 103
    assert [one for one in order if one.startswith("ann")] == [f"ann/{number}" for number in range(100)]
    assert max(order.index(f"bob/{number}") for number in range(3)) <= 6


def test_two_users_share_two_workers() -> None:
    manager = Manager(workers=2)
    for number in range(4):
        manager.submit(Written("ann", number), "export", {})  # type: ignore[arg-type]
    manager.submit(Written("bob", 0), "export", {})  # type: ignore[arg-type]
    order = ended(manager, 5)
    assert order.index("bob/0") == 2, order
    assert manager._running == [] or len(order) == 5


def test_jobs_of_one_project_are_done_one_after_the_other() -> None:
    manager = Manager(workers=2)
    journal = Written("ann", 0)
    for number in range(3):
        manager.submit(journal, "export", {"n": number})  # type: ignore[arg-type]
    assert [job.state for job in manager._jobs.values()] == ["running", "queued", "queued"]
    ended(manager, 3)
