"""Snapshots of the hub as they lie on the disk: whole ones, damaged ones, and none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.backbones import HUB, backbone, wan
from engine.backbones.snapshot import Snapshot
from engine.errors import MethodError
from tests.tiny_models import snapshot

CPU = torch.device("cpu")


def without(part: str) -> Callable[[Path], None]:
    return lambda folder: shutil.rmtree(folder / part)


def cut_off(folder: Path) -> None:
    path = next((folder / "transformer").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])


def other_class(folder: Path) -> None:
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": "FluxTransformer2DModel"}))


def one_less(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = next((folder / "transformer").glob("*.safetensors"))
    save_file({key: value for key, value in load_file(path).items() if key != "proj_out.weight"}, path, {"format": "pt"})


def no_settings(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").write_text("[1, 2")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (without("transformer"), "no safetensors"),
        (without("vae"), "no safetensors"),
        (cut_off, "cut off"),
        (other_class, "is a FluxTransformer2DModel"),
        (one_less, "lacks 1 weights, proj_out.weight"),
        (no_settings, "scheduler_config.json"),
    ],
)
def test_a_snapshot_that_is_not_whole_is_one_sentence(damage: Callable[[Path], None], why: str, tmp_path: Path) -> None:
    folder = shutil.copytree(snapshot("wan"), tmp_path / "wan")
    damage(folder)
    with pytest.raises(MethodError, match=why) as caught:
        wan.load(folder, CPU, title="Wan 2.1")
    assert str(caught.value).startswith("Wan 2.1 in") and str(caught.value).endswith("fetch the model again.")


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="not there"):
        wan.load(tmp_path / "none", CPU)


def test_every_hub_backbone_is_in_the_catalogue_and_says_how_it_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANCHORLINE_HOME", str(tmp_path))
    for name in HUB:
        with pytest.raises(MethodError, match=f"models fetch {name}"):
            backbone(name)


def test_parameters_are_counted_without_loading() -> None:
    count = sum(one.numel() for one in wan.load(snapshot("wan"), CPU).parts.transformer.parameters())
    assert Snapshot(snapshot("wan"), "").parameters("transformer") == count
