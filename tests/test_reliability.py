"""Small runs of what `bench reliability` measures at length, and power cuts: every prefix of the log is a whole state."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from engine.document import acts
from engine.store.journal import Journal
from tests.bench import kills
from tests.bench.harness import percentile
from tests.bench.reliability import make_project, next_version
from tests.media_fixtures import Clip, write_drawn_clip
from tests.test_journal import blank


def test_no_acknowledged_act_is_lost_when_the_process_is_killed(tmp_path):
    tally = kills.kill_journals(tmp_path, 6)
    assert (tally.kills, tally.unreadable, tally.lost) == (6, 0, 0), tally.faults
    assert tally.acts > 20


@pytest.mark.slow
def test_no_acknowledged_act_is_lost_when_the_editor_is_killed(tmp_path):
    clip = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=24))
    tally, reopened = kills.kill_servers(tmp_path / "home", clip, 2)
    assert (tally.kills, tally.unreadable, tally.lost) == (2, 0, 0), tally.faults
    assert tally.acts > 2 and max(reopened) < 2


def test_a_killed_render_ends_with_the_same_bytes_and_redoes_only_what_was_unfinished(tmp_path):
    pristine = make_project(tmp_path, 24, (0, 12))
    wanted = kills.render(kills.fresh_copy(pristine, tmp_path / "whole"), tmp_path / "whole.mp4", "serial")
    assert wanted.rendered == 2
    project = kills.fresh_copy(pristine, tmp_path / "project")
    finished = kills.kill_render(project, tmp_path / "out.mp4", "pool", wanted.seconds * 0.7)
    again = kills.render(project, tmp_path / "out.mp4", "pool")
    assert again.digest == wanted.digest
    assert finished < 0 or (again.reused, again.rendered) == (finished, 2 - finished)


def test_acts_stay_quick_however_much_was_painted(tmp_path):
    import time

    journal, chance, spent = Journal.create(tmp_path / "p", blank()), random.Random(0), []
    for number in range(600):
        project = next_version(journal, number, chance)
        started = time.perf_counter()
        journal.record(project, "Act")
        spent.append(time.perf_counter() - started)
    assert percentile(spent[-200:], 0.5) < 3 * percentile(spent[:200], 0.5) + 0.002
    journal.close()


def cut(folder: Path, target: Path, length: int, garbage: bytes) -> Path:
    """The project as a power cut leaves it: of the log, `length` bytes have reached the disk, and then perhaps rubbish."""
    target.mkdir()
    shutil.copy(folder / "project.db", target)
    log = (folder / "project.db-wal").read_bytes()
    (target / "project.db-wal").write_bytes(log[:length] + garbage)
    return target


def test_after_a_power_cut_every_act_that_was_synced_is_there_and_nothing_is_torn(tmp_path):
    """Each act is acknowledged when the log is synced up to its end; from there on any cut must keep it."""
    journal = Journal.create(tmp_path / "p", blank())
    log = tmp_path / "p" / "project.db-wal"
    ends = [(log.stat().st_size, 0)]
    for number in range(1, 31):
        before = log.read_bytes()
        project = acts.rename(journal.project, name=f"act {number}")
        journal.record(acts.add_stroke(project, frame=number, subject=1, xy=[[number, 2]] * 40, radius=3), "Act")
        after = log.read_bytes()
        assert after.startswith(before), "the log was begun anew: the test needs fewer acts"
        ends.append((len(after), number))
    chance = random.Random(4)
    for turn in range(60):
        length = chance.randrange(ends[0][0], len(log.read_bytes()) + 1)
        garbage = chance.randbytes(chance.choice((0, 0, 24, 5000)))
        folder = cut(tmp_path / "p", tmp_path / f"cut{turn}", length, garbage)
        synced = max(number for end, number in ends if end <= length)
        found = Journal(folder)
        name = found.project.name
        assert (int(name.rpartition(" ")[2]) if name.startswith("act") else 0) == synced
        assert len(found.project.keyframes) == synced
        found.close()
        db = sqlite3.connect(folder / "project.db")
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
        db.close()
        shutil.rmtree(folder)
    journal.close()
