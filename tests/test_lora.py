"""A user's own LoRA: read in its layouts, refused in a sentence, put on a model and taken off, kept in the project."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from app.panels import propagate
from app.store import SessionStore
from engine.backbones.shelf import Backbones
from engine.commands.recipe import read_recipe
from engine.diffusion.backbone import DiffusionBackbone
from engine.diffusion.lora import Lora, with_lora
from engine.document.config_files import as_shown, kept_as, name_and_key, name_of
from engine.editor import Editor
from engine.effects import checked_config
from engine.errors import MethodError, ProjectError, RecipeError
from engine.handover.recipe_of import recipe_of
from engine.methods.cards import PointToPointConfig
from engine.methods.point_to_point import PointToPoint
from engine.models.lora import read_lora
from engine.progress import Progress
from engine.rendering.cluster.files import needed
from engine.rendering.render import prepare_clip
from engine.rendering.shots import kept_file
from tests.recipes import clip_in, write_recipe
from tests.test_point_to_point import QUICK, context, rendered, shot
from tests.test_recipe import play

LAYER = "blocks.0.attn1.to_q"
Values = dict[str, Tensor]


class Tiny(nn.Module):
    """Two blocks with linear layers and a convolution, named as diffusers names them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        block = nn.ModuleDict({"attn1": nn.ModuleDict({"to_q": nn.Linear(6, 4), "to_out": nn.ModuleList([nn.Linear(4, 6)])})})
        self.blocks = nn.ModuleList([block])
        self.conv = nn.Conv2d(3, 5, 3)


def pair(out: int = 4, into: int = 6, rank: int = 2) -> tuple[Tensor, Tensor]:
    dice = torch.Generator().manual_seed(1)
    return torch.randn(rank, into, generator=dice), torch.randn(out, rank, generator=dice)


DOWN, UP = pair()
LAYOUTS: dict[str, Values] = {
    "peft": {f"base_model.model.{LAYER}.lora_A.weight": DOWN, f"base_model.model.{LAYER}.lora_B.weight": UP},
    "diffusers": {f"transformer.{LAYER}.lora_A.weight": DOWN, f"transformer.{LAYER}.lora_B.weight": UP},
    "old": {f"unet.{LAYER}.lora.down.weight": DOWN, f"unet.{LAYER}.lora.up.weight": UP},
    "oldest": {
        "blocks.0.attn1.processor.to_q_lora.down.weight": DOWN,
        "blocks.0.attn1.processor.to_q_lora.up.weight": UP,
    },
    "kohya": {"lora_unet_blocks_0_attn1_to_q.lora_down.weight": DOWN, "lora_unet_blocks_0_attn1_to_q.lora_up.weight": UP},
}


def written(folder: Path, values: Values, name: str = "anna.safetensors", **notes: str) -> Path:
    save_file({key: value.clone() for key, value in values.items()}, folder / name, metadata=notes)
    return folder / name


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_layout_changes_the_layer_it_names_and_no_bit_stays(tmp_path: Path, layout: str) -> None:
    model = Tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lora = Lora(written(tmp_path, LAYOUTS[layout]), "anna.safetensors", 0.5)
    with with_lora(model, lora):
        inside = {name: value.clone() for name, value in model.state_dict().items()}
    changed = [name for name in before if not torch.equal(before[name], inside[name])]
    assert changed == [f"{LAYER}.weight"]
    assert torch.allclose(inside[f"{LAYER}.weight"], before[f"{LAYER}.weight"] + 0.5 * UP @ DOWN, atol=1e-6)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with pytest.raises(RuntimeError), with_lora(model, lora):
        raise RuntimeError("in the middle")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_alpha_stands_in_the_file_or_in_its_notes_and_convolutions_count(tmp_path: Path) -> None:
    model, dice = Tiny(), torch.Generator().manual_seed(2)
    down, up = torch.randn(2, 3, 3, 3, generator=dice), torch.randn(5, 2, 1, 1, generator=dice)
    values = {
        "lora_unet_conv.lora_down.weight": down,
        "lora_unet_conv.lora_up.weight": up,
        "lora_unet_conv.alpha": torch.tensor(1.0),
    }
    was = model.conv.weight.detach().clone()
    with with_lora(model, Lora(written(tmp_path, values), "a")):
        change = model.conv.weight.detach() - was
    assert torch.allclose(change, 0.5 * (up.flatten(1) @ down.flatten(1)).reshape(change.shape), atol=1e-6)
    notes = json.dumps({"transformer.lora_alpha": 8, "transformer.alpha_pattern": {}})
    path = written(tmp_path, LAYOUTS["diffusers"], "b.safetensors", lora_adapter_metadata=notes)
    was = model.state_dict()[f"{LAYER}.weight"].clone()
    with with_lora(model, Lora(path, "b")):
        assert torch.allclose(model.state_dict()[f"{LAYER}.weight"], was + 4 * UP @ DOWN, atol=1e-5)


def test_what_belongs_to_the_text_encoder_is_said(tmp_path: Path) -> None:
    values = {**LAYOUTS["kohya"], "lora_te_text_model_encoder.lora_down.weight": DOWN, "text_encoder.x.lora_A.weight": DOWN}
    told: list[str] = []
    with with_lora(Tiny(), Lora(written(tmp_path, values), "anna"), told.append):
        pass
    assert len(told) == 1 and told[0].startswith("anna changes the text encoder too")


def bad(folder: Path, what: str) -> Path:
    half = {f"{LAYER}.lora_A.weight": DOWN}
    by_kind: dict[str, Callable[[], Path]] = {
        "gone": lambda: folder / "gone.safetensors",
        "folder": lambda: folder,
        "null": lambda: folder / "a\0.safetensors",
        "text": lambda: _bytes(folder, b"no weights at all"),
        "pickle": lambda: _bytes(folder, b"\x80\x04..."),
        "cut": lambda: _bytes(folder, written(folder, LAYOUTS["peft"], "whole.safetensors").read_bytes()[:-40]),
        "half": lambda: written(folder, half),
        "model": lambda: written(folder, {"blocks.0.attn1.to_q.weight": UP @ DOWN}),
        "flat": lambda: written(folder, {f"{LAYER}.lora_A.weight": torch.ones(3), f"{LAYER}.lora_B.weight": torch.ones(3)}),
        "empty": lambda: written(folder, {"text_encoder.x.lora_A.weight": DOWN}),
    }
    return by_kind[what]()


def _bytes(folder: Path, blob: bytes) -> Path:
    path = folder / "anna.safetensors"
    path.write_bytes(blob)
    return path


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("gone", "cannot be read"),
        ("folder", "cannot be read"),
        ("null", "cannot be read"),
        ("text", "not a safetensors file"),
        ("pickle", "not a safetensors file"),
        ("cut", "damaged or was cut off"),
        ("half", "half of the pair"),
        ("model", "not a LoRA in"),
        ("flat", "not a LoRA in"),
        ("empty", "holds no LoRA"),
    ],
)
def test_what_is_no_lora_is_refused_in_a_sentence(tmp_path: Path, what: str, says: str) -> None:
    with pytest.raises(MethodError, match=says) as refused:
        read_lora(bad(tmp_path, what))
    assert str(refused.value).endswith(".") and str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("wrong", ["name", "size", "no weights"])
def test_one_for_another_model_is_refused(tmp_path: Path, wrong: str) -> None:
    down, up = pair(out=7) if wrong == "size" else (DOWN, UP)
    layer = "down_blocks.3.x" if wrong == "name" else LAYER
    path = written(tmp_path, {f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up})
    says = {"name": "does not have", "size": "another size", "no weights": "no weights that anna"}[wrong]
    with pytest.raises(MethodError, match=says), with_lora(None if wrong == "no weights" else Tiny(), Lora(path, "anna")):
        pytest.fail("it was taken")


# --- in the method ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundled() -> DiffusionBackbone:
    return Backbones()("bundled")


def for_model(model: DiffusionBackbone, folder: Path, size: float, name: str = "anna.safetensors") -> Path:
    """A random LoRA on the values of all self-attentions."""
    assert model.denoiser is not None
    dice, values = torch.Generator().manual_seed(3), {}
    for layer, module in model.denoiser.named_modules():
        if layer.endswith("attn1.to_v"):
            out, into = module.weight.shape  # type: ignore[union-attr, misc]
            values[f"transformer.{layer}.lora_A.weight"] = torch.randn(4, into, generator=dice)  # type: ignore[arg-type]
            values[f"transformer.{layer}.lora_B.weight"] = size * torch.randn(out, 4, generator=dice)  # type: ignore[arg-type]
    return written(folder, values, name)


def test_the_method_draws_with_it(tmp_path: Path, bundled: DiffusionBackbone) -> None:
    given, at, method = shot(5), context(tmp_path, bundled), PointToPoint()
    config = replace(QUICK, lora=str(for_model(bundled, tmp_path, 0.2)))
    plain, prepared = method.prepare(given, QUICK, at), method.prepare(given, config, at)
    assert plain.digest != prepared.digest
    without = rendered(given, plain, at, 0, 5)
    assert np.abs(rendered(given, prepared, at, 0, 5).astype(int) - without).max() > 10
    silent = method.prepare(given, replace(config, lora_strength=0.0), at)
    assert np.array_equal(rendered(given, silent, at, 0, 5), without)
    assert not np.array_equal(method.take(given, 2, config, at), method.take(given, 2, QUICK, at))
    other = replace(QUICK, lora=str(written(tmp_path, LAYOUTS["old"], "other.safetensors")))
    with pytest.raises(MethodError, match=r"other.safetensors was made for another model"):
        method.take(given, 2, other, at)


# --- in a project -----------------------------------------------------------------------------------------


def test_a_name_and_a_key_say_which_file() -> None:
    kept = kept_as("loras/a:b.safetensors", "ab" * 32)
    assert kept == f"a_b.safetensors:{'ab' * 32}" and name_and_key(kept) == ("a_b.safetensors", "ab" * 32)
    assert name_of("loras/y.safetensors") == "loras/y.safetensors" and name_and_key("") is None
    assert as_shown({"lora": kept, "tokens": 3}, PointToPointConfig) == {"lora": "a_b.safetensors", "tokens": 3}
    with pytest.raises(RecipeError, match="path of a file"):
        checked_config(PointToPointConfig, {"lora": 3}, "edit.config")
    assert checked_config(PointToPointConfig, {"lora": None}, "edit.config").lora == ""


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    one = Editor.create(tmp_path / "project", clip_in(tmp_path, 3))
    yield one
    one.close()


def test_a_file_is_taken_into_the_project_and_found_again(editor: Editor, tmp_path: Path) -> None:
    path = written(tmp_path, LAYOUTS["diffusers"])
    config = editor.with_files("point_to_point", {"tokens": 5, "lora": str(path)})
    name, key = name_and_key(config["lora"]) or ("", "")
    assert name == "anna.safetensors" and editor.journal.objects.get(key) == path.read_bytes() and config["tokens"] == 5
    editor.use_method("point_to_point", config)
    assert kept_file(editor.material, config["lora"]).read_bytes() == path.read_bytes()
    path.unlink()
    for said in ("anna.safetensors", str(path), config["lora"]):  # as the page shows it, as it was typed, as it is kept
        assert editor.with_files("point_to_point", {"lora": said}) == {"lora": config["lora"]}
    assert editor.with_files("point_to_point", {"lora": ""}) == {"lora": ""} and editor.with_files("via", {}) == {}
    with pytest.raises(ProjectError, match="shared server"):
        editor.with_files("point_to_point", {"lora": str(tmp_path / "b.safetensors")}, reach=False)
    with pytest.raises(MethodError, match=r"b\.safetensors cannot be read"):
        editor.with_files("point_to_point", {"lora": str(tmp_path / "b.safetensors")})
    with pytest.raises(MethodError, match="is not in this project"):
        kept_file(editor.material, "somewhere/else")
    with pytest.raises(MethodError, match=r"gone\.safetensors is not in this project"):
        kept_file(editor.material, f"gone.safetensors:{'0' * 64}")


def test_a_node_is_sent_it_and_a_recipe_of_the_project_names_it(editor: Editor, tmp_path: Path) -> None:
    value = editor.keep_file(written(tmp_path, LAYOUTS["diffusers"]))
    prepare_clip(editor.material, Progress())
    editor.use_method("point_to_point", {"lora": value})
    key = value.partition(":")[2]
    assert any(name.endswith(key) for name in needed(editor.material, []))
    put: dict[str, str] = {}
    body, _ = recipe_of(editor.project, "in.mp4", put.__setitem__)
    path = body["edits"][0]["config"]["lora"]
    assert put[path] == key and path.startswith("files/") and path.endswith("anna.safetensors")


def test_a_recipe_names_it_by_its_path(tmp_path: Path) -> None:
    clip_in(tmp_path, 3)
    (tmp_path / "loras").mkdir()
    path = written(tmp_path / "loras", LAYOUTS["kohya"])
    said = {"method": "point_to_point", "config": {"lora": "loras/anna.safetensors"}, "subjects": []}
    recipe = {"clip": "in.mp4", "edit": said}
    assert path in read_recipe(write_recipe(tmp_path, recipe)).files()
    editor, _ = play(tmp_path, recipe)
    name, key = name_and_key(editor.project.edit.config["lora"]) or ("", "")
    assert name == "anna.safetensors" and editor.journal.objects.get(key) == path.read_bytes()
    path.write_bytes(b"damaged")
    with pytest.raises(MethodError, match=r"edit\.config\.lora: anna\.safetensors is not a safetensors file"):
        play(tmp_path, recipe)


def test_the_page_tells_a_path_and_shows_a_name(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "home")
    try:
        session = store.create(clip_in(tmp_path, 3))
        path = written(tmp_path, LAYOUTS["diffusers"])
        config = {**asdict(PointToPointConfig()), "lora": str(path)}
        propagate.tell(session, "point_to_point", config, ["", "a ball", "a star", ""], 0)
        kept = session.editor.project.edit.config["lora"]
        assert name_of(kept) == "anna.safetensors"
        rev = session.editor.rev
        propagate.tell(session, "point_to_point", {**config, "lora": "anna.safetensors"}, ["", "a ball", "a star", ""], 0)
        assert session.editor.rev == rev and session.editor.project.edit.config["lora"] == kept
        other = written(tmp_path, LAYOUTS["old"], "other.safetensors")
        propagate.take_file(session, str(other))
        assert name_of(session.editor.project.edit.config["lora"]) == "other.safetensors"
        session.shared = True
        with pytest.raises(ProjectError, match="shared server"):
            session.do("use_method", {"method": "point_to_point", "config": {"lora": str(path)}})
        session.do("use_method", {"method": "via", "config": {}})
        with pytest.raises(ProjectError, match="takes no LoRA"):
            propagate.take_file(session, str(other))
    finally:
        store.close()
