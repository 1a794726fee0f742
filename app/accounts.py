"""Who may log in: a JSON file of names with scrypt hashes, kept to its owner; `launch.py user` changes it.

The file is read again when it has changed: a removed user, or one with a new password, is logged out at once.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import getpass
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import stat
import sys
import threading
from pathlib import Path
from typing import Any

from engine import EngineError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
WORK = {"n": 2**15, "r": 8, "p": 3}
"""scrypt's cost: 32 MB and a quarter of a second (OWASP's least for p = 3)."""
MOST_MEMORY = 128 * 2**20
SHORTEST, LONGEST = 8, 1024  # characters of a password
MOST_FILE = 2**20
log = logging.getLogger("anchorline")


class AccountError(EngineError):
    """The file of users, or what is to be done with it, is not right."""


class Accounts:
    """The users of one file. Raises AccountError when it is made on a file that is missing, open to others or damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._users: dict[str, dict[str, Any]] = {}
        self._nobody = _hashed(secrets.token_hex(16))
        self._users = self._read()

    def names(self) -> list[str]:
        return sorted(self._current())

    def stamp(self, name: str) -> str:
        """Changes with the user's password; "" when there is no such user."""
        kept = self._current().get(name)
        return str(kept["hash"]) if kept else ""

    def check(self, name: str, password: str) -> bool:
        """Whether this is the user's password. Takes as long for names that nobody has."""
        kept = self._current().get(name)
        right = _same(password, kept or self._nobody)
        return right and kept is not None

    def _current(self) -> dict[str, dict[str, Any]]:
        with self._lock:
            with contextlib.suppress(OSError):
                if _mark(self._path.stat()) == self._seen:
                    return self._users
            try:
                self._users = self._read()
            except AccountError as error:
                if self._users:
                    log.error("nobody can log in: %s", error)
                self._users, self._seen = {}, ()
            return self._users

    def _read(self) -> dict[str, dict[str, Any]]:
        users, self._seen = _read(self._path)
        return users


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode


def _read(path: Path) -> tuple[dict[str, dict[str, Any]], tuple[int, ...]]:
    """The users, and what the file looked like."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            _check_private(status)
            raw = file.read(MOST_FILE + 1)
    except OSError as error:
        raise AccountError(
            f"The file of users cannot be read: {error.strerror}; make it with: launch.py user add NAME --auth-file FILE"
        ) from error
    try:
        users: Any = json.loads(raw)["users"] if len(raw) <= MOST_FILE else None
        good = isinstance(users, dict) and all(NAME.fullmatch(name) and _is_entry(one) for name, one in users.items())
    except (ValueError, KeyError, TypeError, RecursionError):
        good = False
    if not good:
        raise AccountError("The file of users is damaged; make it anew with: launch.py user add NAME --auth-file FILE")
    return users, _mark(status)


def _check_private(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise AccountError("The file of users is no plain file; give another one with --auth-file.")
    if os.name == "posix" and (status.st_mode & 0o077 or status.st_uid != os.geteuid()):
        raise AccountError("The file of users can be read by others on this machine; make it yours alone: chmod 600 FILE")


def _is_entry(one: Any) -> bool:
    """Costs are bounded, so that a file cannot make each login take minutes."""
    if not isinstance(one, dict) or not all(isinstance(one.get(key), str) for key in ("salt", "hash")):
        return False
    costs = [cost for key in WORK if type(cost := one.get(key)) is int and cost > 0]
    if len(costs) != len(WORK):
        return False
    n, r, p = costs
    return n & (n - 1) == 0 and n >= 2**14 and 128 * n * r < MOST_MEMORY and p <= 16


def _hashed(password: str) -> dict[str, Any]:
    salt = secrets.token_bytes(16)
    return {**WORK, "salt": _text(salt), "hash": _text(_scrypt(password, salt, WORK))}


def _scrypt(password: str, salt: bytes, cost: dict[str, Any]) -> bytes:
    given = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(given, salt=salt, n=cost["n"], r=cost["r"], p=cost["p"], maxmem=2 * MOST_MEMORY, dklen=32)


def _same(password: str, kept: dict[str, Any]) -> bool:
    try:
        salt, digest = base64.b64decode(kept["salt"]), base64.b64decode(kept["hash"])
    except ValueError:
        return False
    return hmac.compare_digest(_scrypt(password[:LONGEST], salt, kept), digest)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


# --- changing the file ------------------------------------------------------------------------------------


def set_password(path: Path, name: str, password: str, *, new: bool) -> None:
    """Adds a user (`new`) or gives one another password. Raises AccountError."""
    if not NAME.fullmatch(name):
        raise AccountError("A user's name has 1 to 32 small letters, digits, dots, dashes and underscores.")
    if not SHORTEST <= len(password) <= LONGEST:
        raise AccountError(f"A password has at least {SHORTEST} characters and at most {LONGEST:,}.")
    users = _read(path)[0] if path.exists() else {}
    if new == (name in users):
        known, verb = ("is there already", "user password") if new else ("is not there", "user add")
        raise AccountError(f"The user {name} {known}; use: launch.py {verb} {name} --auth-file FILE")
    _write(path, {**users, name: _hashed(password)})


def remove(path: Path, name: str) -> None:
    """Takes a user away; their projects stay where they are. Raises AccountError."""
    users = _read(path)[0]
    if name not in users:
        raise AccountError(f"There is no user {name[:40]} in that file.")
    _write(path, {one: kept for one, kept in users.items() if one != name})


def _write(path: Path, users: dict[str, dict[str, Any]]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"users": users}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise AccountError(f"The file of users cannot be written: {error.strerror}.") from error


def main(arguments: list[str] | None = None) -> int:
    """`launch.py user`: exit code 0 done, 1 a named failure, 2 wrong usage."""
    options = parser().parse_args(arguments)
    try:
        if options.verb == "list":
            print("\n".join(sorted(_read(options.auth_file)[0])))
        elif options.verb == "remove":
            remove(options.auth_file, options.name)
            print(f"{options.name} cannot log in any more; their projects are kept.")
        else:
            set_password(options.auth_file, options.name, _asked(options), new=options.verb == "add")
            print(f"{options.name} can log in.")
    except AccountError as error:
        print(str(error), file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nNothing was changed.", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="launch.py user", description="Who may log in to an editor that others can reach.")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    told = {"add": "a new user; asks for the password", "password": "another password", "remove": "takes a user away"}
    for verb, title in {**told, "list": "the names"}.items():
        one = verbs.add_parser(verb, help=title, description=title)
        if verb != "list":
            one.add_argument("name", metavar="NAME")
        one.add_argument("--auth-file", type=Path, required=True, metavar="FILE", help="the file of users")
        if verb in ("add", "password"):
            one.add_argument("--password-stdin", action="store_true", help="read the password from standard input, one line")
    return top


def _asked(options: argparse.Namespace) -> str:
    """The password, typed twice without being shown."""
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise AccountError("There is no terminal to ask for the password; give it on standard input with --password-stdin.")
    first = getpass.getpass(f"Password for {options.name}: ")
    if getpass.getpass("Once more: ") != first:
        raise AccountError("The two passwords differ; nothing was changed.")
    return first


if __name__ == "__main__":
    sys.exit(main())
