"""A hub on this machine: just enough of its API for the hub library to list and fetch the files of a repository."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class FakeHub:
    """`files` by path are one repository's only state, `sha`."""

    def __init__(self, repo: str, sha: str, files: dict[str, bytes]) -> None:
        self.repo, self.sha, self.files = repo, sha, files
        self.given: list[tuple[str, str]] = []
        """(path, Range header) of every file that was asked for."""
        self.status = 200
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(False)

            def do_GET(self) -> None:
                self.answer(True)

            def answer(self, body: bool) -> None:
                hub.answer(self, body)

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, to: BaseHTTPRequestHandler, with_body: bool) -> None:
        path = urlsplit(to.path).path
        if self.status != 200:
            return self._send(
                to, self.status, b"{}", {"X-Error-Code": "GatedRepo" if self.status == 403 else "RevisionNotFound"}, with_body
            )
        if path.startswith("/api/models/"):
            listed = [
                {"rfilename": name, "size": len(data), **({"lfs": _lfs(data)} if name.endswith(("safetensors", "pth")) else {})}
                for name, data in self.files.items()
            ]
            body = {"id": self.repo, "sha": self.sha, "siblings": listed}
            return self._send(to, 200, json.dumps(body).encode(), {"Content-Type": "application/json"}, with_body)
        name = path.removeprefix(f"/{self.repo}/resolve/{self.sha}/").lstrip("/")
        if name not in self.files:
            return self._send(to, 404, b"", {"X-Error-Code": "EntryNotFound"}, with_body)
        data = self.files[name]
        if with_body:
            self.given.append((name, to.headers.get("Range") or ""))
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": self.sha, "Accept-Ranges": "bytes"}
        start = int((to.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0]) if with_body else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(to, 206 if start else 200, data[start:], headers, with_body)

    def _send(self, to: BaseHTTPRequestHandler, code: int, data: bytes, headers: dict[str, str], with_body: bool) -> None:
        to.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            to.send_header(name, value)
        to.end_headers()
        if with_body:
            to.wfile.write(data)


def _lfs(data: bytes) -> dict[str, object]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
