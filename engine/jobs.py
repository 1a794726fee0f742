"""Long work outside the page's process: a job runs in a worker of its own, whatever happens to the browser.

A job is written to the project's journal, with the document that it works on, when it is taken on, and again whenever
its state changes. The worker (engine/worker.py) gets the job on standard input and tells its progress as lines of JSON
on standard output; a closed input (cancel, or the server has died) makes it stop and clean up.

States: queued → running → done | failed | cancelled. A job whose worker died is begun again, and so is one whose server
died, when its project is opened next: what was finished is on disk and is not done again. After three attempts it has
failed. A job whose server lives is that server's, whoever else opens the project.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.document.project import to_json
from engine.errors import EngineError
from engine.store.journal import Journal
from engine.store.processes import Owner
from engine.store.workspace import Workspace

ACTIVE = ("queued", "running")
MAX_ATTEMPTS = 3
WORKERS = 2
KILL_AFTER = 3.0  # seconds a cancelled worker has to clean up; it gives itself less (engine/worker.py)
INTERRUPTED = "The editor was closed while this ran. What was finished is kept: run it again to go on."
RESUMED = "Going on where the editor was closed."
HINTS = ("near",)
"""Arguments of jobs that say what to begin with: `near`, a frame."""
PASSING = ("audition",)
"""Kinds of work that nobody waits for once the page is gone: not gone on with when the project is opened again."""
DEVICE_FAULT = 75
"""Exit code of a worker whose device failed: nothing in that process could use it any more."""
REPLACED = "The device failed; going on in a new process from what was finished (attempt {} of {})."
RETRIED = "The worker ended unexpectedly; going on from what was finished (attempt {} of {})."
log = logging.getLogger("anchorline")


@dataclass
class Job:
    """One piece of long work for one version of a project."""

    id: str
    kind: str
    args: dict[str, Any]
    journal: Journal
    document: dict[str, Any]
    state: str = "queued"
    attempts: int = 0
    """Worker processes that died on it, or whose server did."""
    phase: str = ""
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    eta: float | None = None
    message: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    ended_at: float = 0.0
    """By the monotonic clock; 0 until it has ended here."""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    def view(self) -> dict[str, Any]:
        """The job as the page shows it."""
        names = ("id", "kind", "state", "phase", "done", "total", "seconds", "eta", "message", "result")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of_body(cls, journal: Journal, body: dict[str, Any]) -> Job:
        """A job as it was written down."""
        names = ("id", "kind", "state", "phase", "done", "total", "seconds", "message", "result", "args", "attempts")
        return cls(**{"args": {}, **{name: body[name] for name in names if name in body}}, journal=journal, document={})


class JobManager:
    """Takes jobs on and runs them: one at a time per project, at most `WORKERS` together."""

    def __init__(
        self,
        workers: int = WORKERS,
        ended: Callable[[Job], None] = lambda job: None,
        finish: Callable[[Job], None] = lambda job: None,
        turns: Callable[[Job], str] = lambda job: "",
    ) -> None:
        """`finish` and `ended` are called in the thread that ran the job: `finish` before one that succeeded counts as done
        (EngineError makes it a failed one), `ended` after each. `turns` says whose a job is: where several wait, those who
        have the fewest running and were served longest ago are served next."""
        self._workers, self._ended, self._finish, self._turns = workers, ended, finish, turns
        self._served: dict[str, float] = {}
        self._lock = threading.RLock()
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._jobs: dict[str, Job] = {}
        self._closed = False

    def submit(self, journal: Journal, kind: str, args: dict[str, Any] | None = None) -> Job:
        """Queues work on the project as it is now. The same work twice is one job.

        Raises:
            ProjectError: the project is open elsewhere.
        """
        journal.check_writable()
        with self._lock:
            document = to_json(journal.project)
            for job in self.of(journal):
                if job.active and (job.kind, _work(job.args)) == (kind, _work(args or {})) and job.document == document:
                    return job
            job = Job(uuid.uuid4().hex[:12], kind, args or {}, journal, document)
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._save(job, with_document=True)
        self._start_next()
        return job

    def adopt(self, journal: Journal) -> None:
        """Goes on with the jobs that a server which is gone left unfinished in this project."""
        if journal.why_read_only:
            return
        with self._lock:
            known = {job.id for job in self.of(journal)}
            for body in reversed(journal.jobs()):
                owner = Owner.of(body.get("owner"))
                lives = owner is not None and owner != Owner.here() and owner.runs()
                if body.get("state") not in ACTIVE or body.get("id") in known or lives:
                    continue
                job = Job.of_body(journal, body)
                job.attempts += job.state == "running"
                document = journal.job_document(job.id)
                if document is not None and job.attempts < MAX_ATTEMPTS and job.kind not in PASSING:
                    job.state, job.message, job.document = "queued", RESUMED, document
                    self._waiting.append(job)
                else:
                    job.state, job.message = "interrupted", INTERRUPTED
                self._jobs[job.id] = job
                self._save(job)
        self._start_next()

    def get(self, job: str) -> Job | None:
        """None for an id that this server never heard of: unknown is not done."""
        return self._jobs.get(job)

    def of(self, journal: Journal) -> list[Job]:
        """The project's jobs of this server's life, oldest first."""
        with self._lock:
            return [job for job in self._jobs.values() if job.journal is journal]

    def current(self, journal: Journal) -> Job | None:
        """The job to show: the running one, else the next queued one, else the last that ended.

        Of a project that is open elsewhere: what its editor has written of the one that it runs.
        """
        if journal.why_read_only:
            newest = next(iter(journal.jobs(1)), {})
            return Job.of_body(journal, newest) if newest.get("state") in ACTIVE else None
        jobs = self.of(journal)
        for state in ("running", "queued"):
            for job in jobs:
                if job.state == state:
                    return job
        return max(reversed(jobs), key=lambda job: job.ended_at, default=None)

    def cancel(self, job: Job) -> None:
        """The job counts as cancelled at once; its worker cleans up behind it."""
        with self._lock:
            if not job.active:
                return
            if job in self._waiting:
                self._waiting.remove(job)
            job.state, job.message, job.eta, job.ended_at = "cancelled", "Cancelled.", None, time.monotonic()
            self._save(job)
            process = job.process
        if process is not None:
            threading.Thread(target=_stop, args=(process,), daemon=True).start()

    def queued(self, journal: Journal) -> list[Job]:
        """The project's jobs that wait, in the order in which they will be begun."""
        with self._lock:
            return [job for job in self._waiting if job.journal is journal]

    def move(self, job: Job, by: int) -> None:
        """Moves a waiting job ahead of others of its project (`by` < 0) or behind them; jobs of other projects keep their
        places, and a job that does not wait any more is left alone."""
        with self._lock:
            mine = self.queued(job.journal)
            if job not in mine:
                return
            places = [place for place, one in enumerate(self._waiting) if one.journal is job.journal]
            goal = min(max(mine.index(job) + by, 0), len(mine) - 1)
            mine.remove(job)
            mine.insert(goal, job)
            for place, one in zip(places, mine, strict=True):
                self._waiting[place] = one

    def close(self) -> None:
        """Stops all workers; called when the server goes down. Their jobs go on when their projects are opened again."""
        with self._lock:
            for job in self._running:
                if job.active:
                    job.state = "queued"
                    self._save(job)
            self._closed = True
            self._waiting.clear()
            running = [job.process for job in self._running if job.process]
        stoppers = [threading.Thread(target=_stop, args=(process,)) for process in running]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join()

    def _start_next(self) -> None:
        with self._lock:
            while not self._closed and len(self._running) < self._workers:
                job = self._next()
                if job is None:
                    return
                self._waiting.remove(job)
                self._running.append(job)
                self._served[self._turns(job)] = time.monotonic()
                job.state = "running"
                threading.Thread(target=self._run, args=(job,), daemon=True, name=f"job-{job.kind}").start()

    def _next(self) -> Job | None:
        """The waiting job whose turn it is; None where each belongs to a project that is being worked on."""
        busy = {id(one.journal) for one in self._running}
        running = Counter(map(self._turns, self._running))
        ready = [job for job in self._waiting if id(job.journal) not in busy]
        return min(ready, key=lambda job: (running[self._turns(job)], self._served.get(self._turns(job), 0.0)), default=None)

    def _run(self, job: Job) -> None:
        try:
            self._save(job)
            worker = _Worker(job)
            with self._lock:
                job.process = worker.process
                unwanted = job.state != "running" or self._closed  # cancelled before there was a process to stop
            if unwanted:
                _stop(worker.process)
            for line in worker:
                with self._lock:
                    if job.state == "running":
                        _take_report(job, line)
            self._take_in(job, worker.code)
            with self._lock:
                if job.state == "running" and not self._again(job, worker.code):
                    _take_end(job, worker.code, worker.errors)
        except OSError as error:
            with self._lock:
                job.state, job.message = (
                    "failed",
                    f"The worker process cannot be started: {error.strerror}; close other programs.",
                )
        finally:
            self._end(job)
            self._start_next()

    def _take_in(self, job: Job, code: int) -> None:
        if code == 0 and job.state == "running":
            try:
                self._finish(job)
            except EngineError as error:
                with self._lock:
                    job.state, job.message, job.eta = "failed", str(error), None

    def _again(self, job: Job, code: int) -> bool:
        """Whether a job whose worker was killed (by a person, or for memory), or whose device failed, is begun again, in
        a new process; puts it first in the queue."""
        if (code >= 0 and code != DEVICE_FAULT) or self._closed:
            return False
        job.attempts += 1
        if job.attempts >= MAX_ATTEMPTS:
            return False
        job.state, job.process, job.eta = "queued", None, None
        retried = RETRIED if code < 0 else REPLACED
        job.message = retried.format(job.attempts + 1, MAX_ATTEMPTS)
        self._waiting.appendleft(job)
        return True

    def _end(self, job: Job) -> None:
        """Clears up behind a worker, however it ended, and makes room for the next job."""
        try:
            Workspace(job.journal.folder).sweep()
        except OSError as error:
            log.warning("working files of the %s job are left: %s", job.kind, error)
        with self._lock:
            self._running.remove(job)
            if not job.active and not job.ended_at:
                job.ended_at = time.monotonic()
            self._save(job)
        if not self._closed and not job.active:
            self._ended(job)

    def _save(self, job: Job, *, with_document: bool = False) -> None:
        """Writes the job down. A full disk must not stop the job: its state is in memory, and its end says what failed."""
        if self._closed:
            return
        body = {**job.view(), "args": job.args, "attempts": job.attempts, "active": job.active}
        try:
            owned = {**body, "owner": Owner.here().as_json()}
            job.journal.save_job(job.id, owned, job.document if with_document else None)
        except EngineError as error:
            log.warning("the state of the %s job was not saved: %s", job.kind, error)


def _work(args: dict[str, Any]) -> dict[str, Any]:
    """What of a job's arguments says what is to be done; the others only say in which order."""
    return {name: value for name, value in args.items() if name not in HINTS}


class _Worker:
    """A worker process; iterating gives its reports until it ends."""

    def __init__(self, job: Job) -> None:
        self.code, self.errors = 0, ""
        self._tail: deque[str] = deque(maxlen=40)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        order = {"folder": str(job.journal.folder), "kind": job.kind, "args": job.args, "attempts": job.attempts}
        order["document"] = job.document
        threading.Thread(target=self._give, args=(json.dumps(order),), daemon=True).start()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _give(self, order: str) -> None:
        """Hands the order over. Not on the thread that listens: a worker that does not read must not hold it up."""
        assert self.process.stdin
        with contextlib.suppress(OSError, ValueError):  # it died, or was stopped, at once; its exit code says why
            self.process.stdin.write(order + "\n")
            self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stderr
        self._tail.extend(self.process.stderr)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout
        for line in self.process.stdout:
            try:
                yield json.loads(line)
            except ValueError:
                self._tail.append(line)  # a library printed something; keep it for the error text
        self.code = self.process.wait()
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
        killed = f"it ran out of memory or was killed, {job.attempts} times"
        failed = f"the device failed {job.attempts} times; choose another device, or the CPU"
        reason = killed if code < 0 else failed if code == DEVICE_FAULT else "an internal error; its text is in the server's log"
        job.message = f"The {job.kind} job stopped unexpectedly ({reason}). Nothing finished is lost: run it again to go on."
        print(errors, file=sys.stderr)


def _stop(process: subprocess.Popen[str]) -> None:
    """Closes the worker's input, which asks it to stop, and kills it when it does not."""
    with contextlib.suppress(OSError, ValueError):  # it is gone already
        if process.stdin:
            process.stdin.close()
    try:
        process.wait(KILL_AFTER)
    except subprocess.TimeoutExpired:
        process.kill()
