"""Long work outside the page's process: a job runs in a worker of its own, whatever happens to the browser.

A job is written to the project's journal when it is taken on and whenever its state changes. The worker
(engine/worker.py) gets the job on standard input and tells its progress as lines of JSON on standard output;
a closed input (cancel, or the server has died) makes it stop and clean up.

States: queued → running → done | failed | cancelled. A job found running when its project is opened again is
"interrupted": what it had finished is on disk and is not done again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from engine.journal import Journal
from engine.project import to_json

ACTIVE = ("queued", "running")
WORKERS = 2
KILL_AFTER = 10.0  # seconds a cancelled worker has to clean up


@dataclass
class Job:
    """One piece of long work for one version of a project."""

    id: str
    kind: str
    args: dict[str, Any]
    journal: Journal
    document: dict[str, Any]
    state: str = "queued"
    phase: str = ""
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    eta: float | None = None
    message: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    def view(self) -> dict[str, Any]:
        """The job as the page shows it."""
        names = ("id", "kind", "state", "phase", "done", "total", "seconds", "eta", "message", "result")
        return {name: getattr(self, name) for name in names}


class JobManager:
    """Takes jobs on and runs them: one at a time per project, at most `WORKERS` together."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._workers = workers
        self._lock = threading.RLock()
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._jobs: dict[str, Job] = {}
        self._closed = False

    def submit(self, journal: Journal, kind: str, args: dict[str, Any] | None = None) -> Job:
        """Queues work on the project as it is now. The same work twice is one job."""
        with self._lock:
            document = to_json(journal.project)
            for job in self.of(journal):
                if job.active and (job.kind, job.args) == (kind, args or {}) and job.document == document:
                    return job
            job = Job(uuid.uuid4().hex[:12], kind, args or {}, journal, document)
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._save(job)
        self._start_next()
        return job

    def get(self, job: str) -> Job | None:
        """None for an id that this server never heard of: unknown is not done."""
        return self._jobs.get(job)

    def of(self, journal: Journal) -> list[Job]:
        """The project's jobs of this server's life, oldest first."""
        with self._lock:
            return [job for job in self._jobs.values() if job.journal is journal]

    def current(self, journal: Journal) -> Job | None:
        """The job to show: the running one, else the next queued one, else the last that ended."""
        jobs = self.of(journal)
        for state in ("running", "queued"):
            for job in jobs:
                if job.state == state:
                    return job
        return jobs[-1] if jobs else None

    def cancel(self, job: Job) -> None:
        """The job counts as cancelled at once; its worker cleans up behind it."""
        with self._lock:
            if not job.active:
                return
            if job in self._waiting:
                self._waiting.remove(job)
            job.state, job.message, job.eta = "cancelled", "Cancelled.", None
            self._save(job)
            process = job.process
        if process is not None:
            threading.Thread(target=_stop, args=(process,), daemon=True).start()

    def close(self) -> None:
        """Stops all workers; called when the server goes down."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            running = [job.process for job in self._running if job.process]
        for process in running:
            _stop(process)

    def _start_next(self) -> None:
        with self._lock:
            for job in list(self._waiting):
                busy = any(other.journal is job.journal for other in self._running)
                if self._closed or len(self._running) >= self._workers:
                    return
                if not busy:
                    self._waiting.remove(job)
                    self._running.append(job)
                    job.state = "running"
                    threading.Thread(target=self._run, args=(job,), daemon=True, name=f"job-{job.kind}").start()

    def _run(self, job: Job) -> None:
        try:
            self._save(job)
            lines = _Worker(job)
            for line in lines:
                with self._lock:
                    if job.state == "running":
                        _take_report(job, line)
            with self._lock:
                if job.state == "running":
                    _take_end(job, lines.code, lines.errors)
                self._save(job)
        finally:
            with self._lock:
                self._running.remove(job)
            self._start_next()

    def _save(self, job: Job) -> None:
        if not self._closed:
            job.journal.save_job(job.id, job.view())


class _Worker:
    """A worker process; iterating gives its reports until it ends."""

    def __init__(self, job: Job) -> None:
        self.code, self.errors = 0, ""
        self._tail: deque[str] = deque(maxlen=40)
        self._process = job.process = subprocess.Popen(
            [sys.executable, "-m", "engine.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        assert self._process.stdin and self._process.stderr
        order = {"folder": str(job.journal.folder), "kind": job.kind, "args": job.args, "document": job.document}
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died at once; its exit code and last words say why
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stderr
        self._tail.extend(self._process.stderr)

    def __iter__(self) -> Any:
        assert self._process.stdout
        for line in self._process.stdout:
            try:
                yield json.loads(line)
            except ValueError:
                self._tail.append(line)  # a library printed something; keep it for the error text
        self.code = self._process.wait()
        self._listener.join(timeout=5)
        self.errors = "".join(self._tail)


def _take_report(job: Job, report: dict[str, Any]) -> None:
    for name in ("phase", "done", "total", "seconds", "eta", "message", "result"):
        if name in report:
            setattr(job, name, report[name])


def _take_end(job: Job, code: int, errors: str) -> None:
    job.eta = None
    if code == 0:
        job.state, job.done = "done", job.total
    elif code == 1 and job.message:
        job.state = "failed"
    else:
        job.state = "failed"
        reason = "it ran out of memory or was killed" if code < 0 else "an internal error; its text is in the server's log"
        job.message = f"The {job.kind} job stopped unexpectedly ({reason}). Nothing finished is lost: run it again to go on."
        print(errors, file=sys.stderr)


def _stop(process: subprocess.Popen[str]) -> None:
    try:
        if process.stdin:
            process.stdin.close()
    except OSError:
        pass  # it is gone already
    try:
        process.wait(KILL_AFTER)
    except subprocess.TimeoutExpired:
        process.kill()
