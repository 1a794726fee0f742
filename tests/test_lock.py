"""Locks: one holder at a time, freed by any death, taken over from what is gone, respected across hosts."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.errors import Cancelled
from engine.store import lock
from engine.store.lock import FileLock
from engine.store.processes import Owner, started
from tests.conftest import ROOT

HOLDER = """
import sys, time
from pathlib import Path
from engine.store.lock import FileLock
held = FileLock(Path(sys.argv[1]))
print(held.take() is None, flush=True)
time.sleep(60)
"""


def holder(path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout and child.stdout.readline().strip() == "True"
    return child


def test_one_holder_at_a_time_also_within_a_process(tmp_path):
    first, second = FileLock(tmp_path / "x.lock"), FileLock(tmp_path / "x.lock")
    assert first.take() is None and first.take() is None
    assert second.take() == Owner.here() and not second.held
    first.free()
    assert second.take() is None and first.take() == Owner.here()
    second.free()


def test_a_killed_holder_frees_it_at_once(tmp_path):
    child = holder(tmp_path / "x.lock")
    mine = FileLock(tmp_path / "x.lock")
    owner = mine.take()
    assert owner is not None and owner.pid == child.pid and owner.runs() and owner.is_local
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not owner.runs()
    assert mine.take() is None
    assert json.loads((tmp_path / "x.lock").read_text())["pid"] == os.getpid()
    mine.free()


def test_a_number_that_was_given_out_again_is_another_process():
    me = Owner.here()
    assert me.runs() and me.started == started(os.getpid()) != ""
    assert not Owner(me.pid, "another start", me.host).runs()


def test_another_host_is_respected_until_it_has_been_silent(tmp_path):
    path = tmp_path / "x.lock"
    path.write_text(json.dumps(Owner(12, "then", "elsewhere").as_json()))
    mine = FileLock(path)
    owner = mine.take()
    assert owner is not None and owner.host == "elsewhere"
    long_ago = time.time() - 2 * lock.SILENT
    os.utime(path, (long_ago, long_ago))
    assert mine.take() is None
    mine.free()


def test_where_there_are_no_locks_what_stands_in_the_file_decides(tmp_path, monkeypatch):
    def none(file):
        raise OSError(errno.ENOLCK, "no locks")

    path = tmp_path / "x.lock"
    child = holder(path)
    monkeypatch.setattr(lock, "_grab", none)
    mine = FileLock(path)
    assert mine.take() is not None
    child.kill()
    child.wait()
    assert mine.take() is None
    mine.free()


def test_what_stands_half_written_in_the_file_is_nobody(tmp_path):
    (tmp_path / "x.lock").write_text('{"pid": 1')
    mine = FileLock(tmp_path / "x.lock")
    assert mine.take() is None
    mine.free()


def test_waiting_ends_when_it_is_freed_or_the_wait_is_cancelled(tmp_path):
    first, second = FileLock(tmp_path / "x.lock"), FileLock(tmp_path / "x.lock")
    first.take()
    looks = []

    def stop():
        looks.append(1)
        if len(looks) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        second.wait(stop)
    assert not second.held
    threading.Timer(0.2, first.free).start()
    second.wait(lambda: None)
    assert second.held and not first.held
    second.free()
