"""Tiny random models of the real classes, written to disk as the hub's snapshots are, to be loaded offline."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

WORDS = ("a", "the", "on", "and", "make", "red", "blue", "green", "striped", "checkered", "ball", "box", "grass", "ball2")
WAN: dict[str, Any] = {
    "patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 16, "out_channels": 16,
    "text_dim": 32, "freq_dim": 32, "ffn_dim": 32, "num_layers": 2, "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 64,
}  # fmt: skip


def tokenizer(folder: Path, length: int, *, start: bool) -> int:
    """A tokenizer that knows WORDS and splits others into letters; gives the size of its vocabulary."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    names = ["<pad>", "</s>", "<s>", "<unk>", ".", ",", *dict.fromkeys((*WORDS, *letters)), *(f"##{x}" for x in letters)]
    core = Tokenizer(models.WordPiece({name: at for at, name in enumerate(names)}, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    single = "<s> $A </s>" if start else "$A </s>"
    core.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 2), ("</s>", 1)])
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=length
    )
    made.save_pretrained(folder)
    return len(names)


def _index(folder: Path, pipeline: str, parts: dict[str, tuple[str, str]], **more: Any) -> None:
    index = {"_class_name": pipeline, "_diffusers_version": "0.42.1", **{name: list(of) for name, of in parts.items()}, **more}
    (folder / "model_index.json").write_text(json.dumps(index))


def _save(model: Any, folder: Path) -> None:
    """diffusers hides its classes from type checkers."""
    model.save_pretrained(folder)


def _umt5(folder: Path) -> None:
    from transformers import UMT5Config, UMT5EncoderModel

    size = tokenizer(folder / "tokenizer", 512, start=False)
    settings = UMT5Config(vocab_size=size, d_model=32, d_ff=37, d_kv=8, num_layers=2, num_heads=4)
    UMT5EncoderModel(settings).save_pretrained(folder / "text_encoder")


def _wan_autoencoder(folder: Path, *, second: bool) -> None:
    from diffusers import AutoencoderKLWan

    common: dict[str, Any] = {
        "base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1, "temperal_downsample": [False, True, True],
    }  # fmt: skip
    if second:  # as Wan 2.2: 16 pixels to a cell, pictures folded by 2
        common |= {
            "z_dim": 16, "is_residual": True, "in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16,
        }  # fmt: skip
    _save(AutoencoderKLWan(**({"z_dim": 16} | common)), folder / "vae")


def wan(folder: Path, *, second: bool = False) -> Path:
    """A snapshot of Wan text-to-video; `second`: built as Wan 2.2 5B."""
    from diffusers import UniPCMultistepScheduler, WanTransformer3DModel

    torch.manual_seed(0)
    _save(WanTransformer3DModel(**WAN), folder / "transformer")
    _wan_autoencoder(folder, second=second)
    _umt5(folder)
    _save(UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0), folder / "scheduler")
    diffusers, transformers = "diffusers", "transformers"
    parts = {
        "transformer": (diffusers, "WanTransformer3DModel"), "vae": (diffusers, "AutoencoderKLWan"),
        "scheduler": (diffusers, "UniPCMultistepScheduler"), "tokenizer": (transformers, "T5TokenizerFast"),
        "text_encoder": (transformers, "UMT5EncoderModel"),
    }  # fmt: skip
    _index(folder, "WanPipeline", parts, **({"expand_timesteps": True} if second else {}))
    return folder


def vace(folder: Path) -> Path:
    """A snapshot of Wan VACE, with three blocks and two of its own."""
    from diffusers import WanVACETransformer3DModel

    wan(folder)
    torch.manual_seed(1)
    _save(WanVACETransformer3DModel(**WAN | {"num_layers": 3}, vace_layers=[0, 2], vace_in_channels=96), folder / "transformer")
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"_class_name": "WanVACEPipeline", "transformer": ["diffusers", "WanVACETransformer3DModel"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def first_last(folder: Path) -> Path:
    """A snapshot of the first–last model: 4 + 16 more channels, and CLIP's view of two pictures."""
    from diffusers import WanTransformer3DModel
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

    wan(folder)
    torch.manual_seed(2)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=37, num_hidden_layers=3, num_attention_heads=4, image_size=32, patch_size=16
    )
    CLIPVisionModel(vision).save_pretrained(folder / "image_encoder")
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        folder / "image_processor"
    )
    more = {"in_channels": 36, "image_dim": 32, "added_kv_proj_dim": 24, "pos_embed_seq_len": 10}
    model: Any = WanTransformer3DModel(**WAN | more)
    with torch.no_grad():
        model.condition_embedder.image_embedder.pos_embed.normal_()
    _save(model, folder / "transformer")
    index = json.loads((folder / "model_index.json").read_text())
    index |= {
        "_class_name": "WanImageToVideoPipeline", "image_encoder": ["transformers", "CLIPVisionModel"],
        "image_processor": ["transformers", "CLIPImageProcessor"],
    }  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


UNET: dict[str, Any] = {
    "block_out_channels": (32, 64), "layers_per_block": 1, "sample_size": 8, "in_channels": 4, "out_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 32, "attention_head_dim": 4,
}  # fmt: skip


def _clip(folder: Path, number: str, width: int) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    size = tokenizer(folder / f"tokenizer{number}", 77, start=True)
    settings = CLIPTextConfig(
        vocab_size=size, hidden_size=width, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=77, projection_dim=width, bos_token_id=2, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    model = CLIPTextModelWithProjection(settings) if number else CLIPTextModel(settings)
    model.save_pretrained(folder / f"text_encoder{number}")


def _stable_diffusion(folder: Path, unet: dict[str, Any], pipeline: str, *, double: bool) -> Path:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    torch.manual_seed(3)
    _save(UNet2DConditionModel(**UNET | unet), folder / "unet")
    autoencoder = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, layers_per_block=1, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    _save(autoencoder, folder / "vae")
    schedule = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False)
    _save(schedule, folder / "scheduler")
    parts = {
        "unet": ("diffusers", "UNet2DConditionModel"), "vae": ("diffusers", "AutoencoderKL"),
        "scheduler": ("diffusers", "DDIMScheduler"),
    }  # fmt: skip
    kinds = ("CLIPTextModel", "CLIPTextModelWithProjection")
    for number, kind in zip(("", "_2") if double else ("",), kinds, strict=False):
        _clip(folder, number, 16 if double else 32)
        parts |= {f"tokenizer{number}": ("transformers", "CLIPTokenizer"), f"text_encoder{number}": ("transformers", kind)}
    _index(folder, pipeline, parts)
    return folder


def stable_diffusion(folder: Path) -> Path:
    """A snapshot of Stable Diffusion 1.5."""
    return _stable_diffusion(folder, {}, "StableDiffusionPipeline", double=False)


def instruct_pix2pix(folder: Path, *, double: bool = False) -> Path:
    """A snapshot of InstructPix2Pix; `double`: of its XL kind, with two text encoders."""
    if not double:
        return _stable_diffusion(folder, {"in_channels": 8}, "StableDiffusionInstructPix2PixPipeline", double=False)
    more = {
        "in_channels": 8, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 16 + 6 * 8, "transformer_layers_per_block": (1, 2),
    }  # fmt: skip
    return _stable_diffusion(folder, more, "StableDiffusionXLInstructPix2PixPipeline", double=True)


def motion_adapter(folder: Path) -> Path:
    """AnimateDiff's motion adapter for `stable_diffusion`. Its closing layers are zero when it is made; here they are not."""
    from diffusers import MotionAdapter

    torch.manual_seed(4)
    _save(
        MotionAdapter(
            block_out_channels=(32, 64), motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=4
        ),
        folder,
    )
    return folder


def _snapshots() -> dict[str, Callable[[Path], Path]]:
    return {
        "wan": wan, "wan 2.2": partial(wan, second=True), "vace": vace, "first-last": first_last,
        "instruct-pix2pix": instruct_pix2pix, "instruct-pix2pix-xl": partial(instruct_pix2pix, double=True),
        "stable-diffusion": stable_diffusion, "motion-adapter": motion_adapter,
    }  # fmt: skip


@cache
def _room() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@cache
def snapshot(kind: str) -> Path:
    """The folder of a tiny snapshot, made once a process and gone with it."""
    folder = Path(_room().name) / kind
    folder.mkdir()
    return _snapshots()[kind](folder)
