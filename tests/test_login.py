"""Logging in: the file of users, tries that are throttled, tokens that end; and which options are refused before a port opens."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from app.accounts import AccountError, Accounts, remove, set_password
from app.login import IDLE, LONGEST, Asked, Door, Throttle, Tokens
from app.options import parser
from app.serving import ServingError, serving

PASSWORD = "correct horse battery"
HTML = {"accept": "text/html"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def users(tmp_path: Path) -> Path:
    set_password(tmp_path / "users.json", "ann", PASSWORD, new=True)
    return tmp_path / "users.json"


def asked(method: str, path: str = "/login", body: str = "", query: str = "", secure: bool = False, **headers: str) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asked(method, path, query, {**FORM, **named}, body.encode(), "10.0.0.1", secure)


def answer(door: Door, one: Asked):
    return asyncio.run(door.answer(one))


def test_only_the_right_password_of_a_known_user_is_right(users: Path) -> None:
    accounts = Accounts(users)
    assert accounts.names() == ["ann"] and accounts.check("ann", PASSWORD)
    for name, password in (
        ("ann", PASSWORD + "x"),
        ("ann", ""),
        ("Ann", PASSWORD),
        ("bob", PASSWORD),
        ("", ""),
        ("ann", "\ud800"),
    ):
        assert not accounts.check(name, password)
    kept = users.read_text()
    assert PASSWORD not in kept and json.loads(kept)["users"]["ann"]["n"] >= 2**15
    assert users.stat().st_mode & 0o777 == 0o600


def test_a_changed_file_counts_at_once(users: Path) -> None:
    accounts, clock = Accounts(users), Clock()
    tokens = Tokens(accounts, clock)
    token = tokens.begin("ann")
    assert tokens.user_of(token) == "ann" and tokens.user_of(token + "x") == "" and tokens.user_of("") == ""
    set_password(users, "ann", "another long secret", new=False)
    assert tokens.user_of(token) == "" and not accounts.check("ann", PASSWORD) and accounts.check("ann", "another long secret")
    token = tokens.begin("ann")
    remove(users, "ann")
    assert tokens.user_of(token) == "" and accounts.names() == []


def test_logins_end(users: Path) -> None:
    clock = Clock()
    tokens = Tokens(Accounts(users), clock)
    idle, busy, left = tokens.begin("ann"), tokens.begin("ann"), tokens.begin("ann")
    tokens.end(left)
    assert tokens.user_of(left) == ""
    clock.now += IDLE - 1
    assert tokens.user_of(busy) == "ann"
    clock.now += 2
    assert tokens.user_of(idle) == "" and tokens.user_of(busy) == "ann"
    for _ in range(int(LONGEST / IDLE) + 1):
        clock.now += IDLE - 1
        tokens.user_of(busy)
    assert tokens.user_of(busy) == ""


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_a_file_that_others_can_read_or_that_is_damaged_is_refused(users: Path, tmp_path: Path) -> None:
    users.chmod(0o640)
    with pytest.raises(AccountError, match="chmod 600"):
        Accounts(users)
    users.chmod(0o600)
    dear = {"ann": {"n": 2**30, "r": 8, "p": 1, "salt": "", "hash": ""}}
    for wrong in ("", "{", "[]", '{"users": 1}', '{"users": {"../x": {}}}', json.dumps({"users": dear}), "[" * 100_000):
        users.write_text(wrong)
        with pytest.raises(AccountError, match="damaged"):
            Accounts(users)
    with pytest.raises(AccountError, match="cannot be read"):
        Accounts(tmp_path / "none.json")


@pytest.mark.parametrize("name", ["", "Ann", "a/b", "..", ".a", "a" * 33, "ä", "a b", "a\n"])
def test_names_are_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(AccountError, match="name"):
        set_password(tmp_path / "u.json", name, PASSWORD, new=True)


def test_the_verb_asks_without_a_terminal_only_when_told_to(tmp_path: Path) -> None:
    def user(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "app.accounts", *arguments, "--auth-file", str(tmp_path / "u.json")]
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=120)

    assert "no terminal" in user("add", "ann").stderr and not (tmp_path / "u.json").exists()
    assert user("add", "ann", "--password-stdin", given="short\n").returncode == 1
    assert user("add", "ann", "--password-stdin", given=PASSWORD + "\n").returncode == 0
    again = user("add", "ann", "--password-stdin", given=PASSWORD + "\n")
    assert again.returncode == 1 and "there already" in again.stderr and "Traceback" not in again.stderr
    assert user("list").stdout == "ann\n" and Accounts(tmp_path / "u.json").check("ann", PASSWORD)


def test_two_hundred_wrong_passwords_are_throttled_after_five(users: Path) -> None:
    clock = Clock()
    door = Door(Accounts(users), 7860, clock)
    said = [answer(door, asked("POST", body=f"username=ann&password=wrong{i}", accept="text/html")) for i in range(12)]
    assert [one.status_code for one in said] == [401] * 5 + [429] * 7
    assert b"wait" in said[-1].body and int(said[-1].headers["retry-after"]) <= 60
    right = f"username=ann&password={PASSWORD}"
    assert answer(door, asked("POST", body=right)).status_code == 429
    clock.now += 61
    assert answer(door, asked("POST", body=right)).status_code == 200
    throttle = Throttle(clock=clock)
    assert sum(throttle.wait(f"as {i}", "from one") == 0 for i in range(200)) == 5
    assert sum(throttle.wait("as ann", f"from {i}") == 0 for i in range(200)) == 5


def test_the_cookie_is_kept_from_scripts_other_sites_and_the_clear(users: Path) -> None:
    door = Door(Accounts(users), 7861)
    one = answer(
        door, asked("POST", body=f"username=ann&password={PASSWORD}&next=%2F%3Fproject%3D1", secure=True, accept="text/html")
    )
    cookie = one.headers["set-cookie"].lower()
    assert one.status_code == 303 and one.headers["location"] == "/?project=1"
    assert all(part in cookie for part in ("anchorline_7861=", "httponly", "samesite=strict", "secure", "path=/"))
    token = one.headers["set-cookie"].split(";")[0]
    assert door.user_of({"cookie": token}) == "ann" and door.user_of({"cookie": "anchorline_7860=" + token.split("=")[1]}) == ""
    assert answer(door, asked("POST", "/logout", cookie=token)).status_code == 200
    assert door.user_of({"cookie": token}) == ""


@pytest.mark.parametrize(
    "after", ["http://evil.example", "//evil.example", "/\\evil.example", "/login", "javascript:x", "/a\nb", ""]
)
def test_after_a_login_the_browser_stays_here(users: Path, after: str) -> None:
    door = Door(Accounts(users), 7860)
    body = f"username=ann&password={quote(PASSWORD)}&next={quote(after, safe='')}"
    assert answer(door, asked("POST", body=body, accept="text/html")).headers["location"] == "/"


def test_the_page_escapes_what_it_was_given(users: Path) -> None:
    door = Door(Accounts(users), 7860)
    evil = "%2F%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"
    for one in (
        asked("GET", query=f"next={evil}"),
        asked("POST", body=f"username=%3Cb%3E&password=x&next={evil}", accept="text/html"),
    ):
        page = answer(door, one)
        assert b"<script" not in page.body and "default-src 'none'" in page.headers["content-security-policy"]


# --- options ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "user add"),
        (["--name", "edit.example.org"], "user add"),
        (["--proxy", "127.0.0.1"], "user add"),
        (["--host", "0.0.0.0", "--auth-file", "USERS"], "--tls-cert"),
        (["--auth-file", "USERS", "--tls-cert", "USERS"], "both"),
        (["--auth-file", "USERS", "--tls-cert", "USERS", "--tls-key", "USERS"], "certificate"),
        (["--auth-file", "NONE"], "user add"),
        (["--auth-file", "USERS", "--user-gb", "0"], "above 0"),
        (["clip.mp4", "--auth-file", "USERS"], "own"),
    ],
)
def test_what_would_let_others_in_or_listen_is_refused(users: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    given = [str(users) if one == "USERS" else str(tmp_path / "none") if one == "NONE" else one for one in arguments]
    with pytest.raises(ServingError) as error:
        serving(parser().parse_args(given), tmp_path)
    assert said in str(error.value) and str(tmp_path) not in str(error.value) and "\n" not in str(error.value)


def test_what_is_allowed(users: Path, tmp_path: Path) -> None:
    alone = serving(parser().parse_args([]), tmp_path)
    assert alone.rules.door is None and not alone.shared and alone.address == "http://127.0.0.1:7860/"
    shared = ["--auth-file", str(users)]
    for more in (["--insecure-http"], ["--proxy", "127.0.0.1"]):
        wide = serving(parser().parse_args(["--host", "0.0.0.0", "--name", "Edit.example.org", *shared, *more]), tmp_path)
        assert (
            wide.shared and wide.rules.by_address and "edit.example.org" in wide.rules.hosts and "0.0.0.0" not in wide.rules.hosts
        )
        assert wide.rules.plain == (more == ["--insecure-http"])
