"""The layout of the released SAMA-14B: through disk, refusals by name, tokens without a place, and the same method on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.backbones import sama_layout
from engine.diffusion.semantic import SemanticBackbone
from engine.diffusion.windows import Window
from engine.errors import MethodError
from engine.methods.sama import Editing, States, denoise
from tests.tiny_models import snapshot

WAN = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 16,
    "freq_dim": 32,
    "ffn_dim": 32,
    "num_layers": 2,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 32,
}
THEIR_NAMES = (
    ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
    ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    ("condition_embedder.time_proj", "time_projection.1"),
    ("attn2", "cross_attn"),
    ("attn1", "self_attn"),
    (".to_out.0.", ".o."),
    (".to_q.", ".q."),
    (".to_k.", ".k."),
    (".to_v.", ".v."),
    ("ffn.net.0.proj", "ffn.0"),
    ("ffn.net.2", "ffn.2"),
    ("norm2", "norm3"),
    ("proj_out", "head.head"),
)


def their_name(name: str) -> str:
    if name == "wan.scale_shift_table":
        return "head.modulation"
    if not name.startswith("wan."):
        kinds = {"kinds": "segment_embedding", "semantic.into": "siglip_feat_mlp", "semantic.out": "semantic_head"}
        return next(name.replace(mine, theirs, 1) for mine, theirs in kinds.items() if name.startswith(mine))
    name = name.removeprefix("wan.")
    for mine, theirs in THEIR_NAMES:
        name = name.replace(mine, theirs)
    return name.replace("scale_shift_table", "modulation")


@pytest.fixture(scope="module")
def released() -> sama_layout.SamaTransformer:
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    return sama_layout.SamaTransformer(WanTransformer3DModel(**WAN), features=10, hidden=14).eval().requires_grad_(False)


def saved(model: sama_layout.SamaTransformer, path: Path, **changes: Any) -> Path:
    weights = {their_name(name): value.contiguous() for name, value in model.state_dict().items()}
    for name, value in changes.items():
        name = name.replace("__", ".")
        weights = {k: v for k, v in weights.items() if k != name} if value is None else weights | {name: value}
    save_file(weights, path)
    return path


def inputs() -> tuple[Tensor, ...]:
    one = torch.Generator().manual_seed(5)
    shapes = ((1, 4, 2, 4, 4), (1, 5, 10), (1,), (1, 6, 16), (1, 4, 2, 4, 4))
    z, semantic, t, text, source = (torch.randn(shape, generator=one) for shape in shapes)
    return z, semantic, t.sigmoid(), text, source


def test_a_checkpoint_in_the_released_layout_comes_back_through_disk(
    released: sama_layout.SamaTransformer, tmp_path: Path
) -> None:
    path = saved(released, tmp_path / "sama.safetensors")
    again = sama_layout.read(path, WAN, features=10, hidden=14)
    for mine, theirs in zip(released(*inputs()), again(*inputs()), strict=True):
        assert mine.equal(theirs)
    assert released(*inputs())[0].shape == (1, 4, 2, 4, 4) and released(*inputs())[1].shape == (1, 5, 10)


def test_missing_unknown_and_misshapen_weights_are_named(released: sama_layout.SamaTransformer, tmp_path: Path) -> None:
    path = tmp_path / "sama.safetensors"
    for change, sentence in (
        ({"segment_embedding__weight": None}, "lacks kinds.weight"),
        ({"blocks__1__self_attn__q__weight": None}, "lacks wan.blocks.1.attn1.to_q.weight"),
        ({"extra__weight": torch.zeros(2)}, "has unknown wan.extra.weight"),
        ({"semantic_head__7__weight": torch.zeros(2)}, "has unknown semantic_head.7.weight"),
        ({"segment_embedding__weight": torch.zeros(2, 24)}, "has in another size kinds.weight"),
    ):
        with pytest.raises(MethodError, match=sentence):
            sama_layout.read(saved(released, path, **change), WAN, features=10, hidden=14)
    path.write_bytes(b"nothing")
    with pytest.raises(MethodError, match="cannot be read"):
        sama_layout.read(path, WAN, features=10, hidden=14)


def test_semantic_tokens_of_the_released_layout_have_no_place(released: sama_layout.SamaTransformer) -> None:
    """A zero rotary table: in whatever order they come, they mean the same."""
    z, semantic, t, text, source = inputs()
    straight, turned = released(z, semantic, t, text, source), released(z, semantic.flip(1), t, text, source)
    assert torch.allclose(straight[0], turned[0], atol=1e-5) and torch.allclose(straight[1], turned[1].flip(1), atol=1e-5)
    other = released(z, -semantic, t, text, source)
    assert not torch.allclose(straight[0], other[0], atol=1e-4)
    swapped = released(source, semantic, t, text, z)
    assert not torch.allclose(straight[0], swapped[0], atol=1e-3)  # the type embedding tells source from target


def test_buckets_padding_and_pooling() -> None:
    for height, width in ((1080, 1920), (720, 1280), (1920, 1080), (500, 500), (200, 2000)):
        rows, columns = sama_layout.bucket(height, width)
        assert rows % 32 == 0 and columns % 32 == 0 and 0.75 * 480 * 832 <= rows * columns <= 1.05 * 480 * 832
        assert 0.5 <= rows / columns <= 2
    assert sama_layout.bucket(480, 832) == (480, 832)
    frames = torch.arange(6.0).view(6, 1, 1, 1).expand(-1, 3, 2, 2)
    assert sama_layout.padded(frames)[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 5, 5, 5]
    grid = torch.randn(2, 27 * 27, 5)
    assert sama_layout.pooled(grid).shape == (2, 65, 5)
    assert torch.allclose(sama_layout.pooled(grid)[:, 64], grid.mean(1), atol=1e-6)
    with pytest.raises(ValueError, match="no square grid"):
        sama_layout.pooled(torch.zeros(1, 7, 5))
    assert sama_layout.prompts("add a hat") == ("[Video edit] add a hat", "[Video edit]")


def test_the_released_layout_edits_through_the_same_method(tmp_path: Path) -> None:
    """A small random checkpoint and a small random SigLIP, over a small random Wan: encoded, sampled, held at an anchor."""
    from diffusers import WanTransformer3DModel
    from transformers import SiglipVisionConfig, SiglipVisionModel

    from engine.backbones.sama import load

    folder = snapshot("wan")
    config = WanTransformer3DModel.load_config(folder / "transformer")
    wan = WanTransformer3DModel.from_config(config)
    settings = SiglipVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=128
    )
    SiglipVisionModel(settings).save_pretrained(tmp_path / "vision")
    path = saved(sama_layout.SamaTransformer(wan, features=16, hidden=8), tmp_path / "sama.safetensors")
    model = load(folder, path, tmp_path / "vision", "cpu", torch.float32, hidden=8)
    assert isinstance(model, SemanticBackbone) and model.semantic_shape == (65, 16)
    source = model.encode(torch.rand(5, 3, 32, 32) * 2 - 1)
    asked, nothing = (model.encode_text(model.instructed(text)) for text in ("make it green", ""))
    assert asked.prompt == "[Video edit] make it green" and nothing.prompt == "[Video edit]"
    editing = Editing(model, asked, nothing, 5.0, 0.3)
    noise, start = torch.randn_like(source), torch.randn(1, 65, 16)
    tokens = model.semantic_tokens(torch.rand(3, 32, 32) * 2 - 1)
    free, held = (
        denoise(editing, (Window(0, 5),), [States(source, noise, start, start, anchor)], 2, lambda: None)[0]
        for anchor in (None, tokens)
    )
    assert free.shape == source.shape and free.isfinite().all() and not torch.allclose(free, held)
    with pytest.raises(MethodError, match="to make one from a text take Wan"):
        model.predict(noise, 0.5, asked)
