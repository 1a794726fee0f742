"""The bundled diffusion model: Wan's transformer in a small configuration, with a text encoder for the world's words.

Source and target tokens stand in one sequence at identical positions, told apart by a type embedding (SAMA §3.2).

Our choices, which let a network of a few million parameters learn in an hour what otherwise takes days:
- It predicts clean latents, not velocity (as Li and He, arXiv 2511.13720, do for the same reason), and where there is a source,
  their difference to it: before any training, the answer to every instruction is the source itself.
- Each target token also receives, through a linear map, the source token of its place. What is to be copied is at hand; the
  attention is left to find out what is to be changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.backbones.bundled_autoencoder import start_at_zero
from engine.errors import EngineError

PATCH = (1, 2, 2)
WORDS = 20
"""Longest prompt, in words."""
SOURCE, SEMANTIC, TARGET = range(3)
"""Rows of the type embedding, in the order of the sequence."""


class UnknownWord(EngineError):
    """A prompt with a word that the bundled model never saw."""


@dataclass(frozen=True, slots=True)
class BundledConfig:
    """Sizes of the transformer (width = heads · head_width) and of the text encoder; `channels` of the latents."""

    channels: int = 24
    heads: int = 6
    head_width: int = 32
    layers: int = 6
    ffn: int = 576
    text_width: int = 128
    text_layers: int = 2


class TextEncoder(nn.Module):
    """Word embeddings and a small bidirectional transformer, so that an attribute knows its subject. Word 0 is padding."""

    def __init__(self, words: int, config: BundledConfig) -> None:
        super().__init__()
        width = config.text_width
        self.words = nn.Embedding(words + 1, width)
        self.place = nn.Parameter(0.02 * torch.randn(WORDS, width))
        layer = nn.TransformerEncoderLayer(width, 4, 3 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, config.text_layers, enable_nested_tensor=False)
        self.nothing = nn.Parameter(0.02 * torch.randn(width))

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, WORDS), 0 = padding -> (B, WORDS, text_width): zero where there is no word; a prompt without words is one
        learned vector."""
        empty = (ids == 0).all(1)
        padding = (ids == 0) & ~empty[:, None]
        x = self.layers(self.words(ids) + self.place, src_key_padding_mask=padding)
        x = torch.where((ids > 0)[..., None], x, 0.0)
        first = torch.arange(WORDS, device=ids.device) == 0
        return torch.where((empty[:, None] & first)[..., None], self.nothing, x)


def word_ids(prompt: str, vocabulary: tuple[str, ...]) -> list[int]:
    """The prompt's words as 1-based indices into the vocabulary, padded with 0 to WORDS. Commas and full stops are dropped.

    Raises UnknownWord for a word outside the vocabulary, or more than WORDS words.
    """
    words = prompt.lower().replace(",", " ").replace(".", " ").split()
    for word in words:
        if word not in vocabulary:
            raise UnknownWord(f'The bundled model does not know the word "{word}"; it knows: {", ".join(sorted(vocabulary))}.')
    if len(words) > WORDS:
        raise UnknownWord(f"The bundled model reads {WORDS} words at most, this prompt has {len(words)}; shorten it.")
    return [vocabulary.index(word) + 1 for word in words] + [0] * (WORDS - len(words))


class BundledModel(nn.Module):
    """Predicts clean latents from noisy ones, with or without a source clip to edit."""

    def __init__(self, config: BundledConfig, vocabulary: tuple[str, ...]) -> None:
        super().__init__()
        from diffusers import WanTransformer3DModel

        self.config, self.vocabulary = config, vocabulary
        width = config.heads * config.head_width
        sizes: dict[str, Any] = {"num_attention_heads": config.heads, "attention_head_dim": config.head_width}
        transformer: Any = WanTransformer3DModel(
            patch_size=PATCH,
            in_channels=config.channels,
            out_channels=config.channels,
            text_dim=config.text_width,
            freq_dim=128,
            ffn_dim=config.ffn,
            num_layers=config.layers,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=64,
            **sizes,
        )
        self.transformer = transformer
        self.text = TextEncoder(len(vocabulary), config)
        self.kinds = nn.Embedding(3, width)
        self.same_place = nn.Linear(width, width)
        nn.init.normal_(self.kinds.weight, std=0.02)
        start_at_zero(self.same_place)
        start_at_zero(self.transformer.proj_out)

    def encode_text(self, prompts: list[str]) -> Tensor:
        """(B, WORDS, text_width); an empty prompt is the unconditional one. Raises UnknownWord."""
        ids = torch.tensor([word_ids(prompt, self.vocabulary) for prompt in prompts])
        return self.text(ids.to(self.kinds.weight.device))

    def forward(self, z: Tensor, t: Tensor, text: Tensor, source: Tensor | None = None) -> Tensor:
        """z, source (B, C, F, h, w), t (B,) in [0, 1], text (B, WORDS, text_width) -> x0, shaped like z.

        Without a source the computation is the stock transformer's, but for the type embedding.
        """
        wan = self.transformer
        cos, sin = wan.rope(z)
        x = self._tokens(z)
        count = x.shape[1]
        x = x + self.kinds.weight[TARGET]
        if source is not None:
            given = self._tokens(source)
            x = torch.cat([given + self.kinds.weight[SOURCE], x + self.same_place(given)], 1)
            cos, sin = torch.cat([cos, cos], 1), torch.cat([sin, sin], 1)
        time, modulation, text, _ = wan.condition_embedder(1000 * t, text, None)
        modulation = modulation.unflatten(1, (6, -1))
        for block in wan.blocks:
            x = block(x, text, modulation, (cos, sin))
        shift, scale = (wan.scale_shift_table + time[:, None]).chunk(2, 1)
        x = wan.proj_out(wan.norm_out(x[:, -count:]) * (1 + scale) + shift)
        x = self._picture(x, z.shape)
        return x if source is None else x + source

    def _tokens(self, z: Tensor) -> Tensor:
        return self.transformer.patch_embedding(z).flatten(2).transpose(1, 2)

    @staticmethod
    def _picture(x: Tensor, shape: torch.Size) -> Tensor:
        """Tokens (B, N, 2·2·C) back to latents of `shape`; Wan's order of values: rows, columns, channels."""
        batch, _, frames, height, width = shape
        x = x.reshape(batch, frames, height // 2, width // 2, 2, 2, -1)
        return x.permute(0, 6, 1, 2, 4, 3, 5).reshape(batch, -1, frames, height, width)
