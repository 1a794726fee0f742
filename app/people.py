"""A store for each user, all with one queue of jobs. The page and the routes see the store of whoever is asking.

Without login there is one user without a name, whose projects lie where they always did.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any, cast

from gradio.context import LocalContext
from starlette.types import ASGIApp, Receive, Scope, Send

from app.store import SessionStore
from engine import EngineError, Job, JobManager, ModelDesk

USER = "anchorline.user"
"""Key of the request's scope under which the guard puts the user's name; "" = this machine's own user."""
ASKING: ContextVar[str | None] = ContextVar("asking", default=None)


class NobodyAsks(EngineError):
    """Something of a user's was wanted where no user is asking."""


class People:
    """The stores of all users. `home` is Anchorline's folder; `shared` whether users log in."""

    def __init__(self, home: Path, *, shared: bool, room: Callable[[str], None] = lambda user: None) -> None:
        """`room` raises EngineError where that user may not keep more."""
        self.home, self.shared, self._room = home, shared, room
        self.jobs = JobManager(ended=self._ended, finish=self._finish, turns=lambda job: str(job.journal.folder.parent))
        self._desk = ModelDesk()
        self._stores: dict[str, SessionStore] = {}
        self._lock = RLock()

    def of(self, user: str) -> SessionStore:
        """The store of a user, opened when it is first asked for. Raises EngineError."""
        with self._lock:
            if user not in self._stores:
                folder = self.folder_of(user) / "projects"
                folder.mkdir(parents=True, exist_ok=True)
                more: dict[str, Any] = {"desk": self._desk, "shared": self.shared, "room": partial(self._room, user)}
                self._stores[user] = SessionStore(folder, self.jobs, **more)
            return self._stores[user]

    def folder_of(self, user: str) -> Path:
        """All that belongs to a user. Their names are plain (app/accounts.py)."""
        if bool(user) != self.shared:
            raise NobodyAsks("Log in first.")
        return self.home / "users" / user if user else self.home

    def _ended(self, job: Job) -> None:
        for store in self._having(job):
            store.job_ended(job)

    def _finish(self, job: Job) -> None:
        for store in self._having(job):
            store.take_in(job)

    def _having(self, job: Job) -> list[SessionStore]:
        with self._lock:
            return [store for store in self._stores.values() if store.session_of(job) is not None]

    def close(self) -> None:
        self._desk.stop()
        self.jobs.close()
        with self._lock:
            for store in self._stores.values():
                store.close_sessions()
            self._stores.clear()


def asking() -> str | None:
    """The name of the user on whose behalf this thread works; None = nobody's."""
    request = LocalContext.request.get(None)  # of the event that Gradio works on, in whatever task that is
    scope = getattr(getattr(request, "request", None), "scope", None)
    return ASKING.get() if scope is None else scope.get(USER)


class StoreOfAsking:
    """Stands in for a SessionStore wherever the page is built once for everybody: each use goes to the asking user's own."""

    def __init__(self, people: People) -> None:
        self._people = people

    def __getattr__(self, name: str) -> Any:
        return getattr(self._people.of(self._user()), name)

    def _user(self) -> str:
        user = asking() if self._people.shared else ""
        if user is None:
            raise NobodyAsks("Log in first.")
        return user


def store_of_asking(people: People) -> SessionStore:
    return cast(SessionStore, StoreOfAsking(people))


class OnBehalf:
    """ASGI: what runs inside works for the user whom the guard let in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ASKING.set(scope.get(USER))
        await self._app(scope, receive, send)
