"""Who can reach the server: its options, what of them goes together, and the guard's rules that follow."""

from __future__ import annotations

import argparse
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.accounts import AccountError, Accounts
from app.belongings import Belongings
from app.guard import Rules
from app.login import Door
from app.mcp import mcp_refusal
from app.uploads import Uploads, bytes_in
from engine import EngineError, ProjectError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY = ("0.0.0.0", "::")
MAX_UPLOAD = 8 * 2**30
NEEDS_LOGIN = (
    "Others could reach this editor, so it needs a login: make one with launch.py user add NAME --auth-file FILE and start "
    "with --auth-file FILE; or leave out --host, --name and --proxy and use an SSH tunnel."
)
NEEDS_TLS = (
    "Passwords must not travel in the clear: give --tls-cert and --tls-key, or --proxy ADDRESS of a reverse proxy that speaks "
    "https, or say --insecure-http if nobody else is on that network."
)


class ServingError(EngineError):
    """Options that do not go together, or a file among them that is not right."""


@dataclass(frozen=True)
class Serving:
    """How the server is reached. `rules` for the guard, `launch` for Gradio's launch()."""

    host: str
    port: int
    shared: bool
    rules: Rules
    uploads: Uploads
    launch: dict[str, Any]

    @property
    def address(self) -> str:
        """Where the editor is, from this machine."""
        name = "localhost" if self.host in ANY else f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.launch else 'http'}://{name}:{self.port}/"

    def room(self, user: str) -> None:
        """Raises ProjectError where this user, or the disk, has no room for another project."""
        full = self.uploads.refusal(user, 0)
        if full:
            raise ProjectError(full[1])


def serving(options: argparse.Namespace, home: Path) -> Serving:
    """Raises ServingError with what is missing."""
    beyond = options.host not in LOOPBACK or bool(options.name or options.proxy)
    if beyond and not options.auth_file:
        raise ServingError(NEEDS_LOGIN)
    refused = mcp_refusal(beyond=beyond or bool(options.auth_file)) if options.mcp else ""
    if refused:
        raise ServingError(refused)
    launch = _tls(options)
    if options.host not in LOOPBACK and not (launch or options.proxy or options.insecure_http):
        raise ServingError(NEEDS_TLS)
    if options.auth_file and options.what:
        raise ServingError("Where users log in, each has projects of their own; leave out the clip or project.")
    if not options.user_gb > 0:
        raise ServingError("--user-gb takes a number of GB above 0.")
    door = _door(options)
    belongings = Belongings(home / "uploads")
    used = (lambda user: bytes_in(home / "users" / user, *belongings.files_of(user))) if door else (lambda user: 0)
    uploads = Uploads(home / "uploads", MAX_UPLOAD, int(options.user_gb * 2**30) if door else 0, used)
    rules = Rules(
        hosts=frozenset(name.lower() for name in (*LOOPBACK, *options.name, *(() if options.host in ANY else (options.host,)))),
        max_body=MAX_UPLOAD,
        by_address=options.host in ANY,
        plain=options.insecure_http,
        proxies=frozenset(options.proxy),
        door=door,
        belongings=belongings,
        uploads=uploads,
    )
    return Serving(options.host, options.port, door is not None, rules, uploads, launch)


def _tls(options: argparse.Namespace) -> dict[str, Any]:
    """What Gradio hands on to the server; {} without TLS."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ServingError("TLS needs both --tls-cert and --tls-key.")
    if not options.tls_cert:
        return {}
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.tls_cert, options.tls_key, password="")
    except OSError as error:
        said = getattr(error, "reason", None) or error.strerror or "it is not in PEM form"
        raise ServingError(f"The certificate or its key cannot be used: {str(said).replace('_', ' ').lower()}.") from error
    # The only one who does not check it is Gradio, which asks itself once whether it runs.
    return {"ssl_certfile": str(options.tls_cert), "ssl_keyfile": str(options.tls_key), "ssl_verify": False}


def _door(options: argparse.Namespace) -> Door | None:
    if not options.auth_file:
        return None
    try:
        accounts = Accounts(options.auth_file)
    except AccountError as error:
        raise ServingError(str(error)) from error
    if not accounts.names():
        raise ServingError("Nobody can log in yet: launch.py user add NAME --auth-file FILE")
    return Door(accounts, options.port)
