"""The page's choice of who renders: taken at once, remembered, refused with a sentence where it could not be used."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.panels import executor as panel
from app.store import SessionStore
from engine import EngineError, MethodError, chosen_executor
from engine.rendering import choice
from engine.rendering.cluster.executor import RayExecutor
from engine.rendering.executors import PoolExecutor
from tests.ray_cluster import HAS_RAY, NO_RAY, free_ports


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionStore]:
    for name in (choice.CHOICE, choice.ADDRESS):
        monkeypatch.setenv(name, "")
    one = SessionStore(tmp_path)
    yield one
    one.close()


def test_a_choice_counts_for_the_jobs_that_follow_and_after_a_restart(store: SessionStore) -> None:
    assert chosen_executor() == ("serial", "")
    panel.choose(store, "pool", "192.0.2.1:6379")
    assert isinstance(choice.executor_of_jobs(), PoolExecutor) and chosen_executor() == ("pool", "")
    choice.choose_executor("serial")
    assert chosen_executor() == ("serial", "")
    SessionStore(store.home).close()
    assert chosen_executor() == ("pool", "")


def test_what_the_environment_says_counts_until_somebody_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.CHOICE, "ray")
    monkeypatch.setenv(choice.ADDRESS, "192.0.2.1:6379")
    store = SessionStore(tmp_path)
    assert chosen_executor() == ("ray", "192.0.2.1:6379")
    panel.choose(store, "serial", "192.0.2.1:6379")
    store.close()
    assert chosen_executor() == ("serial", "") and SessionStore(tmp_path).shelf.executor == ("serial", "")


def test_what_is_kept_wrongly_is_passed_over(store: SessionStore) -> None:
    for wrong in (["gpu farm", ""], ["pool"], "pool", [1, 2]):
        store.shelf._write(executor=wrong)
        SessionStore(store.home).close()
        assert chosen_executor() == ("serial", "")


def test_without_ray_the_page_says_so_and_refuses_it(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    missing = choice.why_no_ray()
    assert "not installed" in dict((value, text) for text, value in panel.choices_of(missing))["ray"]
    assert "pip install" in panel.told("serial", "", missing)
    with pytest.raises(EngineError, match="pip install"):
        panel.choose(store, "ray", "")
    assert chosen_executor() == ("serial", "") and store.shelf.executor is None


def test_a_name_that_is_none_and_a_shared_server_refuse(store: SessionStore) -> None:
    with pytest.raises(MethodError, match="no executor"):
        panel.choose(store, "farm", "")
    store.shared = True
    with pytest.raises(EngineError, match="left to whoever runs this server"):
        panel.choose(store, "pool", "")
    assert chosen_executor() == ("serial", "")


@pytest.mark.ray
@pytest.mark.skipif(not HAS_RAY, reason=NO_RAY)
def test_a_cluster_is_looked_for_before_it_is_taken(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    for address, said in (("<b>there", "HOST:PORT"), ("--head:1", "HOST:PORT"), (nobody, "No Ray cluster answers")):
        with pytest.raises(EngineError, match=said):
            panel.choose(store, "ray", address)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(store.home))
    with pytest.raises(EngineError, match="no token"):
        panel.choose(store, "ray", nobody)
    assert chosen_executor() == ("serial", "")
    panel.choose(store, "ray", " ")
    assert isinstance(choice.executor_of_jobs(), RayExecutor) and store.shelf.executor == ("ray", "")


def test_what_is_said_of_a_place_is_escaped() -> None:
    assert "&lt;b&gt;" in panel.told("ray", "<b>:1", "") and panel.told("pool", "", "") == ""
