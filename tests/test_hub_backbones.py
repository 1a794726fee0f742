"""Hub models as they are hosted: loading, memory and stepping down, caches, LoRA, prompts, windows that are filled up."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.backbones import animatediff, instruct_pix2pix, vace, wan
from engine.backbones.offload import Needs, choose
from engine.backbones.prompts import Prompts, words_of
from engine.diffusion.attention import AttentionSite, Untouched
from engine.diffusion.backbone import Condition, OutOfMemory, Prediction
from engine.diffusion.memory import half_as_long, in_shorter_windows
from engine.errors import MethodError
from tests.tiny_models import snapshot

GB = 10**9
CPU = torch.device("cpu")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


Z = noise(1, 16, 2, 4, 6)


def predicted(model: Any, z: Tensor = Z) -> Prediction:
    with torch.no_grad():
        return model.predict(z, 0.7, model.encode_text("a red ball"))


def equal(a: Prediction, b: Prediction) -> bool:
    return torch.equal(a.x0, b.x0) and torch.equal(a.noise, b.noise)


class Swap(Untouched):
    """Attention among the video's tokens sees nothing but their first; scores are asked for, and left."""

    def __init__(self) -> None:
        self.keys: dict[str, Tensor] = {}

    def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        self.keys[site.name] = keys
        return (keys, values) if site.kind == "cross" else (keys[:, :, :1], values[:, :, :1])

    def wants_scores(self, site: AttentionSite) -> bool:
        return True


@contextmanager
def running_out(module: Any, times: int) -> Iterator[None]:
    """The module's next calls find no memory."""
    forward, left = module.forward, [times]

    def full(*args: Any, **named: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*args, **named)

    module.forward = full
    try:
        yield
    finally:
        module.forward = forward


# --- where the weights are --------------------------------------------------------------------------------


def test_the_fastest_way_that_fits_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, needs = torch.device("meta"), Needs("Wan", 28 * GB, GB // 2, 5 * GB)
    monkeypatch.setattr("engine.backbones.offload.device_name", lambda device: "a card")
    assert [choose(needs, gpu, free * GB, 64 * GB) for free in (80, 34, 33, 24, 8)] == [
        "whole", "whole", "parts", "blocks", "blocks",
    ]  # fmt: skip
    assert choose(Needs("Wan", 4 * GB, 3 * GB, 5 * GB), gpu, 10 * GB, 64 * GB) == "parts"
    for free, main in ((7, 64), (24, 20)):
        with pytest.raises(OutOfMemory, match=r"Wan needs 7\.8 GB .* a card.*28\.5 GB of main memory.*bundled"):
            choose(needs, gpu, free * GB, main * GB)
    assert choose(needs, CPU, 40 * GB) == "whole"
    with pytest.raises(OutOfMemory, match=r"33\.5 GB"):
        choose(needs, CPU, 20 * GB)


@pytest.mark.parametrize("mode", ["parts", "blocks"])
def test_offload_changes_no_bit_and_keeps_the_hooks(mode: Any) -> None:
    whole, moved = wan.load(snapshot("wan"), CPU), wan.load(snapshot("wan"), CPU, offload=mode)
    assert equal(predicted(whole), predicted(moved))
    clip = noise(5, 3, 32, 48).clamp(-1, 1)
    assert torch.equal(whole.encode(clip), moved.encode(clip))
    with whole.control(Swap()), whole.features("block.0") as states:
        swapped = predicted(whole)
    with moved.control(Swap()), moved.features("block.0") as others:
        assert equal(predicted(moved), swapped)
    assert torch.equal(states[0], others[0])
    assert equal(predicted(whole), predicted(moved)) and not equal(swapped, predicted(whole))


def test_a_unet_by_blocks_keeps_the_hooks_too() -> None:
    whole, moved = (instruct_pix2pix.load(snapshot("instruct-pix2pix"), CPU, offload=mode) for mode in ("whole", "blocks"))
    z = noise(1, 4, 3, 4, 6)
    assert equal(predicted(whole, z), predicted(moved, z))
    with whole.control(Swap()), moved.control(Swap()):
        assert equal(predicted(whole, z), predicted(moved, z))


def test_out_of_memory_steps_down_and_says_so() -> None:
    model = wan.load(snapshot("wan"), CPU)
    stock = predicted(model)
    said: list[str] = []
    model.warn = said.append
    with running_out(model.parts.transformer, 1):
        assert equal(predicted(model), stock)
    assert model.home.mode == "parts" and len(said) == 1
    assert "5 frames of 48 × 32" in said[0] and "take turns" in said[0]
    with running_out(model.parts.transformer, 1):
        assert equal(predicted(model), stock)
    assert model.home.mode == "blocks" and "block by block" in said[1]
    with running_out(model.parts.transformer, 9), pytest.raises(OutOfMemory, match=r"5 frames of 48 × 32.*half as many frames"):
        predicted(model)
    assert equal(predicted(model), stock)


def test_windows_become_shorter_before_a_job_fails() -> None:
    assert [half_as_long(frames, 4) for frames in (81, 41, 21, 17, 9, 5, 1)] == [41, 21, 9, 9, 9, 5, 1]
    assert [half_as_long(frames, 1) for frames in (16, 8, 5, 3, 2)] == [8, 4, 3, 3, 2]
    model = wan.load(snapshot("wan"), CPU)
    said: list[str] = []
    model.warn = said.append

    def edit() -> Iterator[int]:
        frames = min(41, model.max_frames)
        predicted(model, noise(1, 16, (frames - 1) // 4 + 1, 4, 6))
        yield from range(frames)

    with running_out(model.parts.transformer, 4):
        assert len(list(in_shorter_windows(model, edit))) == 9
    assert "21 frames at a time; now it is 9" in said[-1]
    with running_out(model.parts.transformer, 9), pytest.raises(OutOfMemory):
        list(in_shorter_windows(model, edit))


def test_the_autoencoder_steps_down_to_tiles() -> None:
    model = wan.load(snapshot("wan"), CPU)
    clip = noise(5, 3, 32, 48).clamp(-1, 1)
    said: list[str] = []
    model.warn = said.append
    latents = model.encode(clip)
    with running_out(model.parts.autoencoder.encoder, 2):
        assert torch.equal(model.encode(clip), latents)  # smaller than a tile
    assert model.home.mode == "parts" and model.parts.autoencoder.use_tiling and "tiles" in said[1]
    with running_out(model.parts.autoencoder.encoder, 9), pytest.raises(OutOfMemory, match="smaller size"):
        model.encode(clip)


# --- caches and LoRA --------------------------------------------------------------------------------------


OPTIONS: dict[str, dict[str, Any]] = {
    "FirstBlockCache": {"threshold": 0.2},
    "PyramidAttentionBroadcast": {"spatial_attention_block_skip_range": 2, "current_timestep_callback": lambda: 500},
    "FasterCache": {"spatial_attention_block_skip_range": 2, "current_timestep_callback": lambda: 500},
    "TaylorSeerCache": {"cache_identifiers": [r"^blocks\.\d+\.attn[12]$"]},
    "MagCache": {"num_inference_steps": 4, "mag_ratios": torch.ones(4)},
    "SeaCache": {"threshold": 0.25},
    "TextKVCache": {},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_cache_that_skips_processors_is_refused_by_name(name: str) -> None:
    from diffusers import hooks

    model = wan.load(snapshot("wan"), CPU)
    stock = predicted(model)
    model.parts.transformer.enable_cache(getattr(hooks, f"{name}Config")(**OPTIONS[name]))
    uses: list[Any] = [
        model.control(Untouched()),
        model.features("block.1"),
        model.inject("block.0", lambda state: state),
    ]
    for use in uses:
        with use, pytest.raises(MethodError, match=name):
            predicted(model)
    model.parts.transformer.disable_cache()
    with model.control(Untouched()):
        assert equal(predicted(model), stock)


def test_a_cache_put_on_by_hand_is_refused_too() -> None:
    from diffusers.hooks import FirstBlockCacheConfig, apply_first_block_cache

    model = wan.load(snapshot("wan"), CPU)
    apply_first_block_cache(model.parts.transformer, FirstBlockCacheConfig(threshold=0.2))
    with model.control(Untouched()), pytest.raises(MethodError, match="FBC"):
        predicted(model)


@pytest.mark.parametrize("kind", ["wan", "instruct-pix2pix"])
def test_lora_and_hooks_go_together(kind: str) -> None:
    from peft import LoraConfig

    model: Any = {"wan": wan.load, "instruct-pix2pix": instruct_pix2pix.load}[kind](snapshot(kind), CPU)
    core = model.parts.transformer if kind == "wan" else model.parts.unet
    z = Z if kind == "wan" else noise(1, 4, 2, 4, 6)
    stock = predicted(model, z)
    with model.control(Swap()):
        swapped = predicted(model, z)
    core.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"], init_lora_weights=False))
    adapted = predicted(model, z)
    with model.control(Untouched()):
        assert equal(predicted(model, z), adapted) and not equal(adapted, stock)
    with model.control(Swap()):
        both = predicted(model, z)
    assert not equal(both, adapted) and not equal(both, swapped)
    core.delete_adapters(["default"])
    assert equal(predicted(model, z), stock)


# --- sites ------------------------------------------------------------------------------------------------


def test_rows_of_an_image_model_are_clips_then_frames() -> None:
    model = instruct_pix2pix.load(snapshot("instruct-pix2pix"), CPU)
    z = noise(2, 4, 3, 4, 6)
    whole, alone = Swap(), Swap()
    with model.control(whole):
        predicted(model, z)
    with model.control(alone):
        predicted(model, z[1:, :, 2:])
    first = next(iter(whole.keys))
    assert first == "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    assert torch.allclose(whole.keys[first][1 * 3 + 2], alone.keys[first][0], atol=1e-5)
    assert not torch.allclose(whole.keys[first][1 * 3 + 1], alone.keys[first][0], atol=1e-2)


def test_motion_modules_are_a_kind_of_their_own() -> None:
    model = animatediff.load(snapshot("motion-adapter"), snapshot("stable-diffusion"), CPU)
    sites: dict[str, list[AttentionSite]] = {"self": [], "cross": [], "temporal": []}

    class Noting(Untouched):
        def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            sites[site.kind].append(site)
            assert len(keys) == prod(site.folded) and keys.shape[2] == (77 if site.kind == "cross" else prod(site.grid))
            return keys, values

    with model.control(Noting()):
        predicted(model, noise(1, 4, 3, 4, 6))
    assert sites["temporal"][0] == AttentionSite(
        0, "temporal", (3, 1, 1), 0, (1, 4, 6), "down_blocks.0.motion_modules.0.transformer_blocks.0.attn1"
    )
    assert sites["self"][0].grid == (1, 4, 6) and sites["self"][0].folded == (3, 1, 1)
    for kind in sites.values():
        assert [site.layer for site in kind] == list(range(len(kind)))
    assert len(sites["self"]) == len(sites["cross"]) and all("motion" not in site.name for site in sites["self"])


def test_vace_s_own_blocks_are_layers_after_the_last() -> None:
    model = vace.load(snapshot("vace"), CPU)
    control = Swap()
    with model.control(control):
        predicted(model)
    assert list(control.keys)[:2] == ["vace_blocks.0.attn1", "vace_blocks.0.attn2"] and "blocks.2.attn2" in control.keys


# --- clips, conditions, prompts ---------------------------------------------------------------------------


def test_clips_are_filled_up_to_4k_plus_1_and_cut() -> None:
    model = wan.load(snapshot("wan"), CPU)
    clip = noise(6, 3, 32, 48).clamp(-1, 1)
    latents = model.encode(clip)
    assert latents.shape[2] == 3
    assert torch.equal(latents, model.encode(torch.cat([clip, clip[-1:].expand(3, -1, -1, -1)])))
    assert len(model.decode(latents, 6)) == 6


def test_a_condition_s_pictures_are_encoded_once() -> None:
    model = vace.load(snapshot("vace"), CPU)
    condition = Condition(video=noise(5, 3, 32, 48).clamp(-1, 1))
    text = model.encode_text("a ball")
    with torch.no_grad():
        before = model.predict(Z, 0.7, text, condition)
        model.parts.autoencoder.encode = None
        assert equal(model.predict(Z, 0.7, text, condition), before)
    with pytest.raises(ValueError, match="noise is"):
        model.predict(noise(1, 16, 2, 4, 4), 0.7, text, condition)


def test_a_mask_needs_its_video_s_shape() -> None:
    model = vace.load(snapshot("vace"), CPU)
    condition = Condition(video=torch.zeros(5, 3, 32, 48), mask=torch.ones(4, 1, 32, 48))
    with pytest.raises(ValueError, match="mask"):
        model.predict(Z, 0.7, model.encode_text(""), condition)


def test_the_first_last_model_says_which_picture_it_lacks() -> None:
    model = vace.load_first_last(snapshot("first-last"), CPU)
    with pytest.raises(MethodError, match=r"\(last\)"):
        model.predict(Z, 0.7, model.encode_text(""), Condition(first=torch.zeros(3, 32, 48)))


def test_prompts_are_encoded_once_and_their_encoder_goes_before_a_pass() -> None:
    model = wan.load(snapshot("wan"), CPU)
    prompts: Prompts = model.parts.prompts
    assert not prompts.loaded
    first = model.encode_text("a red ball")
    assert prompts.loaded
    model.predict(Z, 0.7, first)
    assert not prompts.loaded and model.encode_text("a red ball") is first and not prompts.loaded
    with pytest.raises(MethodError, match="512"):
        model.encode_text("ball " * 600)


def test_words_of_several_pieces() -> None:
    text = wan.load(snapshot("wan"), CPU).encode_text("a  zebra&amp;ball")
    assert text.words == ("a", "zebra", "ball") and text.pieces[1] == (1, 2, 3, 4, 5) and len(text.pieces[2]) == 1
    assert words_of("Ben's cat", [[0, 3], [3, 5], [6, 9], [0, 0]]) == (("ben's", "cat"), ((0, 1), (2,)))


def test_weights_are_loaded_as_asked() -> None:
    model = wan.load(snapshot("wan"), CPU, torch.bfloat16)
    assert model.parts.transformer.dtype == torch.bfloat16 and model.parts.autoencoder.dtype == torch.float32
    assert model.parts.transformer.scale_shift_table.dtype == torch.float32
    found = predicted(model)
    assert found.x0.dtype == torch.float32 and torch.isfinite(found.x0).all()
    exact = predicted(wan.load(snapshot("wan"), CPU))
    assert torch.allclose(found.x0, exact.x0, atol=0.1)
