"""What models make is spread over workers too, and the page's jobs run on Ray where the environment says so."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.document import acts
from engine.editor import Editor
from engine.jobs import JobManager
from engine.progress import Progress
from engine.rendering.choice import ADDRESS, CHOICE
from engine.rendering.cluster import executor
from engine.rendering.cluster.executor import RayExecutor
from engine.rendering.render import prepare_clip, propagate
from tests.media_fixtures import Clip, write_drawn_clip
from tests.ray_cluster import HAS_RAY, NO_RAY, Cluster, cluster, recipe_in, segments_of
from tests.recipes import cli

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.skipif(not HAS_RAY, reason=NO_RAY)]
FRAMES = 7
QUICK = {
    "via": {"steps": 1, "swap_steps": 1, "group": 2, "adapt_steps": 0},
    "anchorsync": {"steps": 1, "structure_steps": 1, "interval": 2},
}


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Cluster]:
    with cluster() as one:
        yield one


@pytest.fixture
def known(ray_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    for name in ("RAY_AUTH_TOKEN", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, ray_cluster.environment[name])
    monkeypatch.setattr(executor, "make", dict)  # the engine may be edited while the tests run
    return ray_cluster


@pytest.mark.parametrize("method", QUICK)
def test_segments_of_a_model_are_spread_and_have_the_bytes_of_serial_work(method: str, known: Cluster, tmp_path: Path) -> None:
    clip = write_drawn_clip(tmp_path / "in.mp4", Clip(frames=FRAMES, size=(48, 64)))
    editor = Editor.create(tmp_path / "serial", clip)
    editor.act(acts.set_edit, "Method", method=method, config=QUICK[method], instruction="make the ball blue", subjects=())
    prepare_clip(editor.material, Progress())
    for frame in (0, 3, FRAMES - 1) if method == "via" else ():
        editor.approve(frame, editor.effect_take(frame, "recolour", {"colour": "#2050ff"}).key)
    propagate(editor.material, Progress())
    editor.close()
    shutil.copytree(tmp_path / "serial", tmp_path / "ray")
    shutil.rmtree(tmp_path / "ray" / "cache" / "segments")
    editor = Editor(tmp_path / "ray")
    on_ray = RayExecutor(known.address)
    try:
        propagate(editor.material, Progress(), on_ray)
    finally:
        editor.close()
    assert len(on_ray.turns) == len(segments_of(tmp_path / "ray")) >= 3
    assert segments_of(tmp_path / "ray") == segments_of(tmp_path / "serial")


def test_a_job_of_the_page_runs_on_ray_tells_how_far_it_is_and_is_cancelled(
    known: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_in(tmp_path)
    assert cli(tmp_path, "run", "r.json", "--project", "project", limit=300)[0] == 0
    whole = segments_of(tmp_path / "project")
    monkeypatch.setenv(CHOICE, "ray")
    monkeypatch.setenv(ADDRESS, known.address)
    editor, jobs = Editor(tmp_path / "project"), JobManager()
    segments = tmp_path / "project" / "cache" / "segments"
    try:
        shutil.rmtree(segments)
        job = jobs.submit(editor.journal, "propagate")
        told = set()
        until = time.monotonic() + 600
        while job.active and time.monotonic() < until:
            told.add((job.phase, job.done))
            if len(list(segments.glob("*/done.json"))) >= 2:
                jobs.cancel(job)
            time.sleep(0.02)
        assert job.state == "cancelled", job.message
        assert len({done for phase, done in told if phase == "Propagating"}) >= 2
        while known.workers() and time.monotonic() < until:
            time.sleep(0.05)
        assert known.workers() == []
        job = jobs.submit(editor.journal, "propagate")
        while job.active and time.monotonic() < until:
            time.sleep(0.05)
        assert job.state == "done", job.message
    finally:
        jobs.close()
        editor.close()
    assert segments_of(tmp_path / "project") == whole
