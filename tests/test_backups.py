"""Backups: made while work goes on and only when something changed, thinned over time, whole, never written over."""

from __future__ import annotations

import shutil
import sqlite3
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.document import acts
from engine.store import backups
from engine.store.backups import DAY, EVERY, HOUR, BackupClock, backups_of, is_due, make_backup, thinned
from engine.store.journal import Journal
from tests.test_journal import blank

START = time.mktime((2026, 3, 2, 8, 0, 0, 0, 0, -1))


@pytest.fixture
def journal(tmp_path):
    opened = Journal.create(tmp_path / "p", blank())
    yield opened
    opened.close()


@given(st.lists(st.floats(0, 30 * DAY), min_size=1, max_size=60, unique=True))
@settings(deadline=None)
def test_ten_at_most_the_newest_always_and_thinning_again_changes_nothing(times):
    kept = thinned(times)
    assert len(kept) <= 10 and max(times) in kept and kept <= set(times)
    assert thinned(list(kept)) == kept


def test_ten_days_of_work_leave_six_of_the_hour_two_hours_and_two_days(journal):
    """Eight hours a day, an act every minute, on a clock of its own."""
    clock = [START]
    watch = BackupClock(journal.folder, lambda: journal.rev, now=lambda: clock[0])
    for day in range(3):
        for minute in range(0, 8 * 60, 5):
            clock[0] = START + day * DAY + minute * 60
            journal.record(acts.rename(journal.project, name=f"{day} {minute}"), "Rename")
            watch.changed()
            watch.close()
    ages = [clock[0] - one.at for one in backups_of(journal.folder)]
    assert sum(age < HOUR for age in ages) == 6
    assert sum(HOUR <= age < 4 * HOUR for age in ages) == 2
    days = sorted({time.localtime(clock[0] - age).tm_mday for age in ages})
    assert days == [2, 3, 4] and len(ages) == 10
    yesterday = [one for one in backups_of(journal.folder) if time.localtime(one.at).tm_mday == 3]
    assert [time.localtime(one.at).tm_hour for one in yesterday] == [15]  # the day's last state


def test_none_while_nothing_changes(journal):
    make_backup(journal.folder, journal.rev, START)
    assert not is_due(journal.folder, journal.rev, START + 10 * DAY)
    journal.record(acts.rename(journal.project, name="B"), "Rename")
    assert not is_due(journal.folder, journal.rev, START + EVERY - 1)
    assert is_due(journal.folder, journal.rev, START + EVERY)


def test_a_backup_is_a_whole_earlier_state(journal, tmp_path):
    for frame in range(10):
        journal.record(acts.add_anchor(journal.project, frame=frame), "Add anchor")
    path = make_backup(journal.folder, journal.rev)
    journal.record(acts.rename(journal.project, name="Later"), "Rename")
    (tmp_path / "q").mkdir()
    shutil.copy(path, tmp_path / "q" / "project.db")
    back = Journal(tmp_path / "q")
    assert back.project.name == "Blank" and len(back.project.edit.anchors) == 10 and len(back.undo().edit.anchors) == 9
    back.close()


def test_a_full_disk_costs_the_new_backup_only(journal, monkeypatch):
    first = make_backup(journal.folder, journal.rev, START)
    journal.record(acts.rename(journal.project, name="B"), "Rename")

    def full(source, target):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(backups, "copy_database", full)
    watch = BackupClock(journal.folder, lambda: journal.rev, now=lambda: START + DAY)
    watch.changed()
    watch.close()
    assert [one.path for one in backups_of(journal.folder)] == [first]
