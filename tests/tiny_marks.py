"""Models for marks in tiny random configurations of the real classes, put on disk as a fetch leaves them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from engine.models import MODELS, store
from engine.models.fetch import sha256_of

WIDE = 128  # the memory of SAM 2 is 64 wide, and the rest must be a larger multiple
SIDE = 112


def installed(name: str, write: Any) -> Path:
    """Lets `write(folder)` fill the folder of a model of the catalogue and records it as fetched."""
    model = MODELS[name]
    revision = model.pinned or "0" * 40
    folder = store.own_place(model, revision)
    folder.mkdir(parents=True)
    write(folder)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    parts = [store.Part(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path)) for path in paths]
    store.write_record(model, store.Record(revision, tuple(parts)))
    return folder


def livened(module: Any, seed: int = 0) -> Any:
    """The module with weights large enough that its answers differ from pixel to pixel."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, one in module.named_parameters():
            noise = torch.randn(one.shape, generator=generator)
            gain = one.dim() == 1 and name.endswith("weight")  # of a normalisation
            one.copy_(1 + 0.1 * noise if gain else 0.1 * noise if one.dim() == 1 else noise * one[0].numel() ** -0.5)
            if name.endswith("obj_score_head.proj_out.bias"):
                one.add_(30)  # subjects are there
    return module.eval()


@functools.cache
def sam2() -> Any:
    """A tiny Sam2VideoModel."""
    import transformers as t

    backbone = t.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[SIDE + 16, SIDE + 16],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 24, 32],
        num_attention_heads_per_stage=[1, 1, 1, 1],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    side = (SIDE + 16) // 16
    sizes = [[4 * side, 4 * side], [2 * side, 2 * side], [side, side]]
    vision = t.Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[32, 24, 16, 8], backbone_feature_sizes=sizes, fpn_hidden_size=WIDE
    )
    prompts = t.Sam2VideoPromptEncoderConfig(hidden_size=WIDE, image_size=SIDE + 16, patch_size=16)
    decoder = t.Sam2VideoMaskDecoderConfig(hidden_size=WIDE, mlp_dim=32, iou_head_hidden_dim=16, num_attention_heads=2)
    config = t.Sam2VideoConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder, image_size=SIDE + 16, **_memory(side)
    )
    return livened(t.Sam2VideoModel(config))


@functools.cache
def sam3() -> Any:
    """A tiny Sam3TrackerVideoModel."""
    import transformers as t
    from transformers.models.sam3.configuration_sam3 import Sam3VisionConfig, Sam3ViTConfig

    side = SIDE // 14
    backbone = Sam3ViTConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=14,
        window_size=4,
        global_attn_indexes=[1],
        pretrain_image_size=56,
    )
    sizes = [[4 * side, 4 * side], [2 * side, 2 * side], [side, side]]
    vision = Sam3VisionConfig(backbone_config=backbone, fpn_hidden_size=WIDE, backbone_feature_sizes=sizes)
    prompts = t.Sam3TrackerVideoPromptEncoderConfig(hidden_size=WIDE, image_size=SIDE, patch_size=14)
    decoder = t.Sam3TrackerVideoMaskDecoderConfig(hidden_size=WIDE, mlp_dim=32, iou_head_hidden_dim=16, num_attention_heads=2)
    config_of: Any = t.Sam3TrackerVideoConfig
    config = config_of(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder, image_size=SIDE, **_memory(side)
    )
    return livened(t.Sam3TrackerVideoModel(config))


def _memory(side: int) -> dict[str, Any]:
    return {
        "memory_attention_hidden_size": WIDE,
        "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 32,
        "memory_attention_rope_feat_sizes": [side, side],
        "memory_encoder_hidden_size": WIDE,
        "mask_downsampler_embed_dim": WIDE,
        "memory_fuser_embed_dim": WIDE,
        "memory_fuser_intermediate_dim": 16,
        "memory_fuser_num_layers": 1,
    }


def sam() -> Any:
    """A tiny Sam of the package segment-anything."""
    import torch

    from engine.segmentation.sam import package

    parts = package().modeling
    encoder = parts.ImageEncoderViT(
        img_size=128,
        patch_size=16,
        embed_dim=32,
        depth=2,
        num_heads=2,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
        out_chans=64,
        use_rel_pos=True,
        window_size=5,
        global_attn_indexes=(1,),
    )
    prompts = parts.PromptEncoder(embed_dim=64, image_embedding_size=(8, 8), input_image_size=(128, 128), mask_in_chans=16)
    transformer = parts.TwoWayTransformer(depth=2, embedding_dim=64, mlp_dim=32, num_heads=8)
    decoder = parts.MaskDecoder(transformer_dim=64, transformer=transformer, iou_head_depth=3, iou_head_hidden_dim=16)
    return livened(parts.Sam(encoder, prompts, decoder))


def write_sam(folder: Path) -> None:
    import torch

    torch.save(sam().state_dict(), folder / MODELS["sam-b"].downloads[0].name)


def write_grounding_dino(folder: Path) -> None:
    """A tiny GroundingDinoForObjectDetection with a tokenizer of a few words."""
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", "red", "bag", "ball"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    t.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    config_of: Any = t.GroundingDinoConfig
    swin: Any = t.SwinConfig
    config = config_of(
        backbone_config=swin(
            embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=4, out_features=["stage2", "stage3", "stage4"]
        ),
        text_config=t.BertConfig(vocab_size=16, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=12,
        num_feature_levels=4,
    )
    t.GroundingDinoForObjectDetection(config).eval().save_pretrained(folder)


def picture(size: tuple[int, int] = (90, 120), seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 with something to see."""
    blocks = np.random.default_rng(seed).integers(0, 255, (9, 12, 3))
    return np.kron(blocks, np.ones((10, 10, 1)))[: size[0], : size[1]].astype(np.uint8)
