"""Which of Gradio's routes exist here, and whose each stream, event and uploaded file is.

Gradio knows no owners: whoever names a session, an event or an uploaded file gets it. So here each name belongs to the user
who used it first, events and files to the one who was given them, and everybody else is refused. Routes that the page does
not need are not there at all.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

GRADIO = "/gradio_api"
UPLOAD = f"{GRADIO}/upload"
FILE = f"{GRADIO}/file="
MOST_NAMES = 20_000  # of one user; the one not used for longest is forgotten
LONGEST_NAME = 200
NO_OBJECT = "The request must be a JSON object."
NOT_YOURS = "This belongs to somebody else, or to nobody any more."
FAR = "This server does not fetch files from elsewhere; upload the file instead."
LONGEST_PATH = 8192
SAME_FOR_ALL = {
    "/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json", "/pwa_icon",
    f"{GRADIO}/info", f"{GRADIO}/openapi.json", f"{GRADIO}/theme.css", f"{GRADIO}/app_id", f"{GRADIO}/startup-events",
    f"{GRADIO}/queue/status",
}  # fmt: skip
"""What every user may ask for: nothing in it comes from a user."""
FOLDERS = ("/assets/", "/static/", "/svelte/", "/pwa_icon/")
OURS = "/api/"
BODIES = {f"{GRADIO}/queue/join", f"{GRADIO}/cancel", f"{GRADIO}/reset"}
CALLS = (f"{GRADIO}/call/",)
QUERIES = {f"{GRADIO}/queue/data": "session_hash", f"{GRADIO}/upload_progress": "upload_id", UPLOAD: "upload_id"}
HEARTBEAT = f"{GRADIO}/heartbeat/"


def is_known(path: str) -> bool:
    """Whether there is such an address for anybody. `path` is decoded, as it is routed."""
    plain = path.rstrip("/") or "/"
    listed = plain in SAME_FOR_ALL or plain in BODIES or plain in QUERIES
    return listed or path.startswith((*FOLDERS, OURS, *CALLS, HEARTBEAT, FILE))


def takes_json(path: str) -> bool:
    """Whether a POST here is a JSON object that names sessions, events and files."""
    return (path.rstrip("/") in BODIES) or path.startswith(CALLS)


def is_far(path: str) -> bool:
    """Whether this address would have the server fetch a file from another one."""
    return path.startswith(FILE) and _is_far(path.removeprefix(FILE))


def _is_far(place: Any) -> bool:
    return isinstance(place, str) and place.strip().lower().startswith(("http:", "https:"))


def _dicts_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value, at whatever depth."""
    heap = [value]
    while heap:
        one = heap.pop()
        if isinstance(one, dict):
            yield one
            heap.extend(one.values())
        elif isinstance(one, list):
            heap.extend(one)


def gives_names(path: str) -> bool:
    """Whether the answer to a POST here says names that from then on are the user's."""
    return takes_json(path) or path.rstrip("/") == UPLOAD


class Belongings:
    """Names by user. `uploads` is the folder of uploaded files."""

    def __init__(self, uploads: Path) -> None:
        self._uploads = os.path.realpath(uploads)
        self._lock = threading.Lock()
        self._owner: dict[str, str] = {}
        self._files: dict[str, set[str]] = {}
        self._of: dict[str, OrderedDict[str, None]] = {}

    # --- what a request names -----------------------------------------------------------------------------

    def permits(self, user: str, method: str, path: str, query: str) -> bool:
        """Whether this user may ask for this address; sessions that nobody has used yet become theirs."""
        plain = path.rstrip("/") or "/"
        if plain in QUERIES:
            given = [value for key, value in parse_qsl(query, keep_blank_values=True) if key == QUERIES[plain]]
            needed = plain != UPLOAD
            return len(given) <= 1 and (bool(given) or not needed) and all(self._claim(user, one) for one in given)
        if path.startswith(HEARTBEAT):
            return self._claim(user, path.removeprefix(HEARTBEAT).rstrip("/"))
        if path.startswith(FILE):
            return self.has_file(user, path.removeprefix(FILE))
        if path.startswith(CALLS) and method in ("GET", "HEAD"):
            return self._has(user, plain.rpartition("/")[2])
        return True

    def refusal_of(self, user: str, body: bytes, *, shared: bool) -> str:
        """A sentence where a JSON body names what it may not; "" where it may.

        Nobody may have the server fetch files from elsewhere. Where it is `shared`, all that is named must be the user's:
        session, event, every uploaded file.
        """
        try:
            given = json.loads(body)
        except (ValueError, RecursionError):
            return NO_OBJECT
        if not isinstance(given, dict):
            return NO_OBJECT
        if any(_is_far(one.get("path")) for one in _dicts_in(given)):
            return FAR
        return "" if not shared or self._permits(user, given) else NOT_YOURS

    def _permits(self, user: str, given: dict[str, Any]) -> bool:
        session, event = given.get("session_hash"), given.get("event_id")
        if not all(one is None or isinstance(one, str) for one in (session, event)):
            return False
        if event is not None and not self._has(user, event):
            return False
        return (session is None or self._claim(user, session)) and self._owns_all(user, given)

    def _owns_all(self, user: str, given: Any) -> bool:
        """Every text in it that names an uploaded file, at whatever depth."""
        heap = [given]
        while heap:
            one = heap.pop()
            if isinstance(one, dict):
                heap.extend((*one, *one.values()))
            elif isinstance(one, list):
                heap.extend(one)
            elif isinstance(one, str) and len(one) <= LONGEST_PATH and ("/" in one or os.sep in one):
                named = [one, *(unquote(part) for part in one.split("file=")[1:])]
                if any(self._is_upload(path) and not self.has_file(user, path) for path in named):
                    return False
        return True

    # --- what an answer gives -----------------------------------------------------------------------------

    def take_answer(self, user: str, path: str, body: bytes) -> None:
        """Notes the event or the files that Gradio has just given to this user."""
        try:
            given = json.loads(body)
        except ValueError:
            return
        if path.rstrip("/") == UPLOAD and isinstance(given, list):
            for one in given:
                if isinstance(one, str) and self._is_upload(one):
                    self._give_file(user, os.path.realpath(one))
        elif isinstance(given, dict) and isinstance(given.get("event_id"), str):
            self._claim(user, given["event_id"])

    def has_file(self, user: str, path: str) -> bool:
        try:
            return user in self._files.get(os.path.realpath(path), ())
        except (OSError, ValueError):
            return False

    def files_of(self, user: str) -> list[Path]:
        """Uploaded files of a user that were not taken away yet."""
        with self._lock:
            for path in [one for one in self._files if not os.path.exists(one)]:
                del self._files[path]
            return [Path(path) for path, users in self._files.items() if user in users]

    def _give_file(self, user: str, path: str) -> None:
        with self._lock:
            self._files.setdefault(path, set()).add(user)

    def _is_upload(self, path: str) -> bool:
        try:
            real = os.path.realpath(path)
        except (OSError, ValueError):  # no path at all
            return False
        return real == self._uploads or real.startswith(self._uploads + os.sep)

    def _has(self, user: str, name: str) -> bool:
        return self._owner.get(name) == user

    def _claim(self, user: str, name: str) -> bool:
        """Makes a name the user's, unless it is somebody else's."""
        if len(name) > LONGEST_NAME:
            return False
        with self._lock:
            if self._owner.setdefault(name, user) != user:
                return False
            mine = self._of.setdefault(user, OrderedDict())
            mine[name] = None
            mine.move_to_end(name)
            if len(mine) > MOST_NAMES:
                del self._owner[mine.popitem(last=False)[0]]
            return True
