"""The panel of models: choices kept, licences asked about, fetching in a process of its own, devices and their memory."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.panels import models as panel
from app.shelf import Shelf
from app.store import SessionStore
from engine import MODELS, EngineError, ModelDesk, is_here
from engine import device as devices
from tests.fake_hub import FakeHub
from tests.test_jobs import project_in
from tests.test_models import FILES, NAME


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_in(tmp_path_factory.mktemp("made"))


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionStore]:
    monkeypatch.setenv("ANCHORLINE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv(devices.CHOICE, "")
    (tmp_path / "projects").mkdir()
    shutil.copytree(made, tmp_path / "projects" / "0123456789ab")
    one = SessionStore(tmp_path / "projects")
    yield one
    one.close()


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_choices_are_kept_and_checked(store: SessionStore) -> None:
    session = store.get("0123456789ab")
    assert panel.memory(store, session) == ""
    panel.set_clicks(store, session, "sam2.1-large")
    assert session.editor.segmenter_name == "sam2.1-large" and Shelf(store.home).segmenter == "sam2.1-large"
    panel.set_trackers(session, masks="sam3")
    assert session.editor.project.masks_by == "sam3" and session.editor.project.points_by == "auto"
    assert "about 5 GB" in panel.memory(store, session)
    store.devices = [{"name": "cpu", "title": "CPU", "total": 8e9, "free": 4e9}]
    assert "too little" in panel.memory(store, session)
    for wrong in (lambda: panel.set_clicks(store, session, "nothing"), lambda: panel.set_trackers(session, points="sam3")):
        with pytest.raises(EngineError):
            wrong()
    assert [value for _, value in panel._choices(("sam3",), set())] == ["auto", "sam3"] and "not fetched" in panel._choices(
        ("sam3",), set()
    )[1][0]
    session.editor.undo()
    assert session.editor.project.masks_by == "auto"


def test_a_device_is_chosen_for_what_is_started_from_now_on(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    import app.store

    monkeypatch.setattr(app.store, "devices", lambda: [{"name": "cpu", "title": "CPU", "total": 2e9, "free": 1e9}])
    panel.set_device(store, "cpu")
    assert store.device == "cpu" and Shelf(store.home).device == "cpu" and store.free_memory == 1e9
    with pytest.raises(EngineError, match="not the name of a device"):
        panel.set_device(store, "cpu; rm")
    monkeypatch.setenv(devices.CHOICE, "")
    assert SessionStore(store.home).device == "cpu"  # after a restart


def test_a_model_shows_its_facts_and_asks_about_its_licence() -> None:
    text, accept = panel.pick_model("cotracker3")
    assert "CC-BY-NC-4.0" in text and "facebook/cotracker3" in text and accept["visible"]
    assert not panel.pick_model("sam-b")[1]["visible"]


def test_a_model_is_fetched_and_checked_beside_the_page(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub(MODELS[NAME].repo, MODELS[NAME].revision or "", dict(FILES))
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    desk: ModelDesk = store.desk
    try:
        assert panel.errand_of(store) == ("", False)
        desk.begin("fetch", NAME)
        with pytest.raises(EngineError, match="still being worked on"):
            desk.begin("check", NAME)
        assert panel.errand_of(store)[1]
        until(lambda: not panel.errand_of(store)[1])
        assert desk.errand and desk.errand.state == "done", desk.errand
        assert is_here(NAME) and "is here" in panel.errand_of(store)[0] and 'data-here="yes"' in panel.facts_of(NAME)
        desk.begin("fetch", "cotracker3")
        until(lambda: not panel.errand_of(store)[1])
        assert desk.errand.state == "failed" and "CC-BY-NC" in desk.errand.message
        with pytest.raises(EngineError, match="There is no model"):
            desk.begin("fetch", "x")
    finally:
        hub.close()


def test_what_devices_there_are_is_asked_of_another_process() -> None:
    found = devices.devices()
    assert found[0]["name"] == "cpu" and 0 < int(str(found[0]["free"])) <= int(str(found[0]["total"]))
    assert json.loads(json.dumps(found)) == found


def test_a_failed_device_is_told_from_a_full_one() -> None:
    import torch

    assert devices.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory")) and not devices.is_out_of_memory(
        ValueError("x")
    )
    assert devices.is_device_fault(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not devices.is_device_fault(torch.OutOfMemoryError("CUDA error: out of memory"))
    assert not devices.is_device_fault(RuntimeError("shape mismatch"))
