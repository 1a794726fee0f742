"""Ray gives the same bytes as serial work, survives kills, stops when asked, and lets nobody in without the token."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.editor import Editor
from engine.errors import Cancelled, EngineError, MethodError
from engine.progress import Progress, Status
from engine.rendering.choice import executor_named, executor_of_jobs
from engine.rendering.cluster import connect, executor, files, node, worker
from engine.rendering.cluster.executor import RayExecutor
from engine.rendering.executors import SerialExecutor
from engine.rendering.render import propagate
from tests.ray_cluster import HAS_RAY, NO_RAY, Cluster, cluster, free_ports, recipe_in, segments_of
from tests.recipes import cli, failed, start


def on_ray(test: Callable[..., None]) -> Callable[..., None]:
    where = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for Ray's processes")
    return pytest.mark.ray(pytest.mark.skipif(not HAS_RAY, reason=NO_RAY)(where(test)))


# --- without a cluster ------------------------------------------------------------------------------------


def test_without_ray_one_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = failed(tmp_path, "run", "r.json", "-o", "x.mp4", "--executor", "ray")
    assert "pip install" in said and "--executor pool" in said
    assert "pip install" in failed(tmp_path, "node")


def test_executors_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(executor_of_jobs(), SerialExecutor)
    monkeypatch.setenv("ANCHORLINE_EXECUTOR", "nonsense")
    with pytest.raises(MethodError, match="no executor"):
        executor_of_jobs()
    with pytest.raises(MethodError, match="goes with the executor ray"):
        executor_named("pool", "127.0.0.1:6379")


def test_a_file_is_sent_once_and_appears_whole(tmp_path: Path) -> None:
    here, root = tmp_path / "here", tmp_path / "node"
    here.mkdir()
    (here / "big").write_bytes(bytes(range(250)))
    (here / "empty").touch()
    wanted = files.wanted({"cache/a/big": here / "big", "cache/a/empty": here / "empty"})
    assert files.lacking(root, wanted) == wanted
    big, empty = wanted
    files.take_piece(root, empty, 0, b"", "me")
    files.take_piece(root, big, 0, bytes(range(100)), "me")
    assert files.lacking(root, wanted) == [big] and not (root / big.name).exists()
    files.take_piece(root, big, 100, bytes(range(100, 250)), "me")
    assert files.lacking(root, wanted) == [] and (root / big.name).read_bytes() == bytes(range(250))
    os.utime(here / "big")
    assert files.lacking(root, files.wanted({"cache/a/big": here / "big"}))


def test_a_segment_is_delivered_whole_and_only_once(tmp_path: Path) -> None:
    made, target = tmp_path / "made", tmp_path / "segments" / "key"
    made.mkdir()
    for name in worker.MADE:
        (made / name).write_text("new")
    target.mkdir(parents=True)
    (target / "index").write_text("half of an earlier one")
    worker.deliver(made, target)
    assert (target / "data").read_text() == (target / "index").read_text() == "new"
    (made / "data").write_text("another")
    worker.deliver(made, target)
    assert (target / "data").read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["key"]


def test_a_node_starts_with_a_token_and_without_reports() -> None:
    environment = node.node_environment(loopback=True)
    assert environment["RAY_AUTH_MODE"] == "token" and environment["RAY_USAGE_STATS_ENABLED"] == "0"
    told = node.start_arguments("", "127.0.0.1", 4, None)
    assert "--head" in told and "--num-cpus=4" in told and told[told.index("--include-dashboard") + 1] == "false"
    assert "--head" not in node.start_arguments("192.0.2.1:6379", "192.0.2.7", None, None)


@pytest.mark.parametrize("address", ["nowhere", "a b:1", "--head:1"])
@pytest.mark.skipif(not HAS_RAY, reason=NO_RAY)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(MethodError, match="HOST:PORT"):
        node.start_node(address)


# --- on a cluster -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Cluster]:
    with cluster() as one:
        yield one


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project that was rendered serially, and one that lacks its segments only."""
    place = tmp_path_factory.mktemp("rendered")
    recipe_in(place)
    code, _, said = cli(place, "run", "r.json", "--project", "project")
    assert code == 0, said
    shutil.copytree(place / "project", place / "bare")
    shutil.rmtree(place / "bare" / "cache" / "segments")
    return place


@pytest.fixture
def known(ray_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster, with its token known to this process."""
    for name in ("RAY_AUTH_TOKEN", "HOME", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, ray_cluster.environment[name])
    monkeypatch.setattr(executor, "make", dict)  # the engine may be edited while the tests run
    return ray_cluster


@contextlib.contextmanager
def opened(rendered: Path, folder: Path) -> Iterator[Editor]:
    editor = Editor(shutil.copytree(rendered / "bare", folder / "project"))
    try:
        yield editor
    finally:
        editor.close()


class Watched(Progress):
    """Calls `act` once when Ray has made some progress; counts reports."""

    def __init__(self, act, after: int = 1) -> None:  # type: ignore[no-untyped-def]
        super().__init__(self._told)
        self.shown: list[Status] = []
        self._act, self._after, self._acted = act, after, False

    def part(self, phase: str, units: int):  # type: ignore[no-untyped-def]
        step = super().part(phase, units)

        def heard(done: int, total: int) -> None:
            step(done, total)
            if phase == "Propagating" and done >= self._after and not self._acted:
                self._acted = True
                self._act()

        return heard

    def _told(self, status: Status) -> None:
        self.shown.append(status)


@on_ray
def test_a_killed_worker_is_replaced_and_the_bytes_are_those_of_serial_work(
    known: Cluster, rendered: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    killed: list[int] = []

    def kill() -> None:
        killed.append(known.workers()[0])
        os.kill(killed[0], signal.SIGKILL)

    with opened(rendered, tmp_path) as editor:
        progress = Watched(kill)
        report = propagate(editor.material, progress, RayExecutor(known.address))
    assert killed and report.rendered == 6 and report.outside_mask_max_abs == 0
    assert segments_of(tmp_path / "project") == segments_of(rendered / "project")
    shown = [status.done for status in progress.shown if status.phase == "Propagating"]
    assert shown[-1] == max(shown) and len(set(shown)) > 2
    assert not list((tmp_path / "project" / "cache").glob("witness-*"))
    assert known.workers() == [] and capfd.readouterr().out == ""


@on_ray
def test_where_the_folder_is_not_shared_clip_and_results_travel(
    known: Cluster, rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = executor._order
    monkeypatch.setattr(executor, "_order", lambda *given: replace(ordered(*given), witness=("nothing", "nothing")))
    with opened(rendered, tmp_path) as editor:
        propagate(editor.material, Progress(), RayExecutor(known.address))
        digest = editor.project.video.digest
    assert segments_of(tmp_path / "project") == segments_of(rendered / "project")
    kept = known.home / "node"
    assert (kept / files.clip_name(digest) / "in.mp4").read_bytes() == (rendered / "in.mp4").read_bytes()
    assert len(list((kept / "cache" / "segments").iterdir())) == 6
    assert [path for path in kept.rglob(".*.witness-*")] == []


@on_ray
@pytest.mark.slow
def test_three_deaths_over_a_segment_end_the_run_with_a_sentence(known: Cluster, rendered: Path, tmp_path: Path) -> None:
    done = threading.Event()

    def kill_all() -> None:
        while not done.wait(0.02):
            for number in known.workers():
                if b"render" in Path(f"/proc/{number}/cmdline").read_bytes():
                    os.kill(number, signal.SIGKILL)

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with opened(rendered, tmp_path) as editor, pytest.raises(MethodError, match=r"died 3 times over frames \d+–\d+"):
            propagate(editor.material, Progress(), RayExecutor(known.address))
    finally:
        done.set()
        killer.join()
    assert not list((tmp_path / "project" / "cache").glob("segments/.in-*"))


@on_ray
def test_cancel_keeps_what_is_finished_and_leaves_nobody_at_work(known: Cluster, rendered: Path, tmp_path: Path) -> None:
    def stop() -> None:
        raise Cancelled

    with opened(rendered, tmp_path) as editor, pytest.raises(Cancelled):
        propagate(editor.material, Watched(stop, after=12), RayExecutor(known.address))
    kept, whole = segments_of(tmp_path / "project"), segments_of(rendered / "project")
    assert 1 <= len(kept) < 6 and kept.items() <= whole.items()
    until = time.monotonic() + 10
    while known.workers():
        assert time.monotonic() < until
        time.sleep(0.05)


@on_ray
@pytest.mark.slow
def test_a_killed_driver_leaves_what_is_finished_to_the_next_one(known: Cluster, rendered: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(rendered / "bare", project)
    shutil.copy(rendered / "in.mp4", tmp_path / "in.mp4")
    run = ("render", "project", "-o", "out", "--executor", "ray", "--ray-address", known.address, "--report", "r.json")
    child = start(tmp_path, *run)
    while len(list((project / "cache" / "segments").glob("*/done.json"))) < 2:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=0.02)
    child.kill()
    child.communicate()
    code, _, said = cli(tmp_path, *run, limit=300)
    assert code == 0, said
    assert '"reused": 0' not in (tmp_path / "r.json").read_text()
    assert segments_of(project) == segments_of(rendered / "project")


@on_ray
def test_nobody_comes_in_without_the_token(known: Cluster, rendered: Path, tmp_path: Path) -> None:
    render = ("render", rendered / "bare", "-o", tmp_path / "x.mp4", "--executor", "ray", "--ray-address", known.address)
    (tmp_path / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path / "home"))
        patch.delenv("RAY_AUTH_TOKEN")
        code, _, said = cli(tmp_path, *render, limit=300)
        assert code == 1 and "no token" in said.splitlines()[-1], said
        patch.setenv("RAY_AUTH_TOKEN", "f" * 64)
        code, _, said = cli(tmp_path, *render, limit=300)
        assert code == 1 and "refuses this machine's token" in said.splitlines()[-1], said


# --- what is not a cluster --------------------------------------------------------------------------------


@on_ray
def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    for address in (f"127.0.0.1:{free_ports(1)[0]}", "nonsense", "127.0.0.1:99999"):
        with pytest.raises(EngineError, match="No Ray cluster answers"), connect.connected(address):
            pass


@on_ray
@pytest.mark.slow
def test_a_cluster_that_lets_anybody_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster(ANCHORLINE_TEST_OPEN="1") as opened_to_all:
        monkeypatch.setenv("RAY_AUTH_TOKEN", opened_to_all.environment["RAY_AUTH_TOKEN"])
        with pytest.raises(MethodError, match="lets anybody in"), connect.connected(opened_to_all.address):
            pass


@on_ray
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks the system who listens")
def test_ray_on_this_machine_listens_on_the_loopback_address_alone(rendered: Path, tmp_path: Path) -> None:
    project = shutil.copytree(rendered / "bare", tmp_path / "project")
    run = ("render", "project", "-o", "out", "--executor", "ray")
    child = start(tmp_path, *run)
    heard: set[str] = set()
    while child.poll() is None:
        family = {number: str(number) for number in descendants(child.pid)}
        told = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout
        for line in told.splitlines():
            if any(f"pid={number}," in line for number in family):
                heard.add(line.split()[3].rpartition(":")[0])
        time.sleep(0.2)
    assert child.wait() == 0, child.communicate()
    assert heard and heard <= {"127.0.0.1", "[::ffff:127.0.0.1]"}
    assert segments_of(project) == segments_of(rendered / "project")
    assert not list(connect.place_of_sockets().glob(f"alray-{child.pid}-*"))


def descendants(process: int) -> set[int]:
    """A process and all that it started, in any depth."""
    told = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True).stdout
    parents = {int(one): int(parent) for one, parent in (line.split() for line in told.splitlines())}
    found, fresh = {process}, {process}
    while fresh:
        fresh = {one for one, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found
