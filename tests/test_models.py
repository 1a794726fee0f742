"""Models from the hub: listed, fetched, resumed, kept offline, checked, and refused when they are not what they should be."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from engine.errors import MethodError
from engine.models import MODELS, Model, fetch, store
from engine.models.catalogue import Download
from engine.models.forms import check_form, first_not_finite, kind_of
from engine.models.weights import load_weights
from engine.progress import Progress
from tests.fake_hub import FakeHub

ROOT = Path(__file__).resolve().parent.parent
NAME = "siglip-so400m"
WEIGHTS = save({"a.weight": np.ones((64, 65), np.float32), "a.bias": np.zeros(64, np.float16)})
FILES = {
    "config.json": b'{"layers": 2}',  # names no class, so that no model library has to be loaded
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"\x80\x04 a pickle that nobody asked for",
    "modeling_own.py": b"raise SystemExit",
    "spiece.model": b"words",
}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    one = FakeHub(MODELS[NAME].repo, MODELS[NAME].revision or "", dict(FILES))
    yield one
    one.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of models, for this process and for those that it starts."""
    from huggingface_hub import constants

    monkeypatch.setenv("ANCHORLINE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def models(*arguments: str, hub: FakeHub | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.address if hub else "http://127.0.0.1:9",
        "HF_HUB_DOWNLOAD_TIMEOUT": "5",
        **more,
    }
    command = [sys.executable, "-m", "engine.commands.cli", "models", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


def sentence(ran: subprocess.CompletedProcess[str]) -> str:
    """What a refused run said last; there is no traceback."""
    assert ran.returncode == 1 and "Traceback" not in ran.stderr, ran.stderr
    return ran.stderr.strip().splitlines()[-1]


# --- the catalogue ----------------------------------------------------------------------------------------


def test_every_model_says_what_a_user_must_know() -> None:
    for name, model in MODELS.items():
        assert model.name == name and model.title and model.purpose and model.licence, name
        assert model.gigabytes > 0 and model.memory > 0 and bool(model.repo) != bool(model.downloads), name
        assert model.revision is None or (len(model.revision) == 40 and not set(model.revision) - set("0123456789abcdef")), name
        assert all(one.address.startswith("https://") and len(one.sha256) == 64 for one in model.downloads), name
        assert all(need in MODELS for need in model.needs), name
        assert model.chosen_only == ("NC" in model.licence), name


def test_the_list_is_a_table_and_json(home: Path) -> None:
    table, body = models("list"), models("list", "--json")
    assert table.returncode == 0 and all(name in table.stdout for name in MODELS)
    rows = json.loads(body.stdout)
    assert {row["name"] for row in rows} == set(MODELS) and {row["here"] for row in rows} == {"no"}
    assert {"revision", "licence", "size", "memory", "purpose"} <= set(rows[0])
    assert "wan2.1-1.3b" in sentence(models("fetch", "wan")) and "Say which" in sentence(models("check"))


# --- fetching ---------------------------------------------------------------------------------------------


def test_fetch_takes_what_is_needed_and_check_agrees(home: Path, hub: FakeHub) -> None:
    ran = models("fetch", NAME, hub=hub)
    assert ran.returncode == 0, ran.stderr
    assert {path for path, _ in hub.given} == {"config.json", "model.safetensors", "spiece.model"}  # no pickle, no code
    folder = store.folder_of(NAME)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS and not (folder / "modeling_own.py").exists()
    record = store.record_of(MODELS[NAME])
    assert record is not None and record.revision == MODELS[NAME].revision
    assert {part.path: part.sha256 for part in record.parts}["model.safetensors"] == hashlib.sha256(WEIGHTS).hexdigest()
    said = models("check", NAME)
    assert said.returncode == 0 and "sound: 3 files" in said.stdout and "2 tensors" in said.stdout
    assert store.digest_of(NAME)["revision"] == MODELS[NAME].revision
    again = len(hub.given)
    assert models("fetch", NAME, hub=hub).returncode == 0 and len(hub.given) == again  # nothing is fetched twice


def test_a_fetch_that_was_cut_off_goes_on_from_there(home: Path, hub: FakeHub) -> None:
    folder = store.own_place(MODELS[NAME], MODELS[NAME].revision or "")
    folder.mkdir(parents=True)
    (folder / "model.safetensors.part").write_bytes(WEIGHTS[:9000])
    assert not store.is_here(NAME)
    ran = models("fetch", NAME, hub=hub)
    assert ran.returncode == 0, ran.stderr
    assert ("model.safetensors", "bytes=9000-") in hub.given
    assert (store.folder_of(NAME) / "model.safetensors").read_bytes() == WEIGHTS


def test_other_bytes_than_the_hub_promised_are_thrown_away(home: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    import tests.fake_hub

    monkeypatch.setattr(tests.fake_hub, "_lfs", lambda data: {"sha256": "0" * 64, "size": len(data), "pointerSize": 130})
    assert "damaged and was thrown away" in sentence(models("fetch", NAME, hub=hub))
    assert not store.is_here(NAME)


def test_no_network_no_account_no_model(home: Path, hub: FakeHub) -> None:
    assert "did not answer" in sentence(models("fetch", NAME))
    hub.status = 403
    assert "agree to its terms" in sentence(models("fetch", NAME, hub=hub))
    hub.status = 404
    assert "no 9fdffc58afc9 of google/siglip" in sentence(models("fetch", NAME, hub=hub))


def test_offline_is_honoured_and_takes_what_others_fetched(home: Path, hub: FakeHub) -> None:
    assert "HF_HUB_OFFLINE" in sentence(models("fetch", NAME, hub=hub, HF_HUB_OFFLINE="1"))
    assert hub.given == []
    folder = store.hub_place(MODELS[NAME], MODELS[NAME].revision or "")
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "spiece.model"):
        (folder / name).write_bytes(FILES[name])
    assert models("fetch", NAME, hub=hub, HF_HUB_OFFLINE="1").returncode == 0
    assert store.is_here(NAME) and hub.given == []
    assert "only the hub knows" in sentence(models("fetch", "wan2.1-flf2v-14b", HF_HUB_OFFLINE="1"))


def test_a_licence_against_commercial_use_is_accepted_by_name(home: Path) -> None:
    said = sentence(models("fetch", "cotracker3"))
    assert "CC-BY-NC-4.0" in said and "--accept-licence" in said
    assert "did not answer" in sentence(models("fetch", "cotracker3", "--accept-licence"))


def test_a_single_file_is_resumed_and_held_to_its_digest(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = save({"a": np.arange(5000, dtype=np.float32)})
    hub = FakeHub("files", "x", {"f.safetensors": data})
    one = Download("f.safetensors", f"{hub.address}/files/resolve/x/f.safetensors", hashlib.sha256(data).hexdigest(), len(data))
    monkeypatch.setitem(MODELS, "own", Model("own", "Own", "tests", "MIT", 0.1, 0.1, downloads=(one,)))
    folder = store.own_place(MODELS["own"], one.sha256)
    folder.mkdir(parents=True)
    (folder / "f.safetensors.part").write_bytes(data[:9000])
    try:
        fetch.fetch("own", Progress())
        assert hub.given == [("f.safetensors", "bytes=9000-")] and store.is_here("own")
        assert (store.folder_of("own") / "f.safetensors").read_bytes() == data
        hub.files["f.safetensors"] = data[:-1] + b"\1"
        (folder / "f.safetensors").unlink()
        with pytest.raises(MethodError, match="thrown away"):
            fetch.fetch("own", Progress())
        assert not (folder / "f.safetensors").exists()
    finally:
        hub.close()


def test_check_sees_what_changed_since(home: Path, hub: FakeHub) -> None:
    assert models("fetch", NAME, hub=hub).returncode == 0
    path = (store.folder_of(NAME) / "model.safetensors").resolve()
    path.write_bytes(WEIGHTS[:-1] + b"\1")
    assert "has changed since it was fetched" in sentence(models("check", NAME))
    path.write_bytes(WEIGHTS[:-8])
    assert "missing or cut off" in sentence(models("check", NAME))
    with pytest.raises(MethodError, match="not whole"):
        store.folder_of(NAME)


# --- files of weights -------------------------------------------------------------------------------------


def test_a_file_is_what_its_bytes_say(tmp_path: Path) -> None:
    import torch

    zipped = tmp_path / "a.safetensors"
    torch.save({"a": torch.ones(2)}, zipped)
    cases = {"html.pth": b"<!DOCTYPE html><p>no", "none.pth": b"", "lies.json": b"{", "odd.pth": b"hello there"}
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MethodError, match="fetch the model again"):
            check_form(tmp_path / name)
    assert kind_of(zipped) == "checkpoint"
    with pytest.raises(MethodError, match="damaged or was cut off"):
        check_form(zipped)  # a pickle that calls itself safetensors
    for cut in (WEIGHTS[:-1], WEIGHTS[:40], b"\xff" * 8 + WEIGHTS[8:]):
        (tmp_path / "cut.safetensors").write_bytes(cut)
        with pytest.raises(MethodError, match="cut off"):
            check_form(tmp_path / "cut.safetensors")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_numbers_that_are_none_are_found(tmp_path: Path, kind: type) -> None:
    values: np.ndarray = np.linspace(-4, 4, 300).astype(kind)
    (tmp_path / "a.safetensors").write_bytes(save({"odd": values[:7].copy(), "b": values}))
    assert first_not_finite(tmp_path / "a.safetensors") is None
    values[150] = np.inf
    (tmp_path / "a.safetensors").write_bytes(save({"b": values}))
    assert first_not_finite(tmp_path / "a.safetensors") == "b"


class Evil:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.place,))


def test_a_checkpoint_is_data_or_refused(home: Path) -> None:
    import argparse

    import torch

    inner = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}
    torch.save({"state_dict": inner, "args": argparse.Namespace(lr=1)}, home / "good.pth")
    assert load_weights(home / "good.pth")["w"].tolist() == inner["w"].tolist()
    torch.save({"w": torch.ones(2), "evil": Evil(home / "ran")}, home / "evil.pth")
    with pytest.raises(MethodError, match="more than data"):
        load_weights(home / "evil.pth")
    assert not (home / "ran").exists()
    data = (home / "good.pth").read_bytes()
    (home / "cut.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(MethodError, match="cut off"):
        load_weights(home / "cut.pth")
    torch.save({"w": torch.tensor([1.0, float("nan")])}, home / "nan.pth")
    with pytest.raises(MethodError, match="no numbers"):
        load_weights(home / "nan.pth")


@pytest.mark.slow
def test_false_indices_of_a_sparse_tensor_are_refused(home: Path) -> None:
    import torch

    with torch.sparse.check_sparse_tensor_invariants(False):
        wrong = torch.sparse_csr_tensor(torch.tensor([0, 2, 9]), torch.tensor([0, 90]), torch.ones(2), size=(2, 2))
        torch.save({"w": wrong}, home / "sparse.pth")
    with pytest.raises(MethodError, match="refused"):
        load_weights(home / "sparse.pth")
