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
import torch.nn.functional as F
from torch import Tensor, nn

from engine.backbones.bundled_autoencoder import start_at_zero
from engine.backbones.sama_sequence import SEMANTIC, SOURCE, TARGET, SemanticTokens, Tokens, head, standing, through
from engine.backbones.wan_lean import linear
from engine.errors import EngineError

PATCH = (1, 2, 2)
WORDS = 20
"""Longest prompt, in words."""
EDIT = "[edit]"
PREFIXES = (EDIT, "[complete]", "[speed]", "[order]", "[restore]", "[between]")
"""Words before a prompt that say what the task is: SAMA's, in one word each."""
SEMANTIC_TOKENS = 17
"""Of one anchor frame: 4 × 4 local ones and one for all of it."""


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
    refine: int = 0
    """Channels of the convolutions that draw edges; 0: none."""
    semantic: int = 0
    """Features of the semantic tokens; 0: the model takes none."""
    beside: int = 0
    """Channels of what else may be known of a clip; 0: the model takes none."""
    labels: int = 0
    """Kinds of things that a token may show, which training asks about; 0: it does not ask."""


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


@dataclass(frozen=True, eq=False, slots=True)
class Output:
    """x0 shaped like z; clean semantic tokens (B, S, features) where some were given; logits of what each token of source and
    target shows (B, N, labels), where the model was trained to say so."""

    x0: Tensor
    semantic: Tensor | None
    labels: Tensor | None


def _bias(layer: nn.Conv2d, dtype: torch.dtype) -> Tensor | None:
    return None if layer.bias is None else layer.bias.to(dtype)


class Refiner(nn.Module):
    """Draws edges: sees noisy and source latents at full resolution beside what the transformer says of each token."""

    def __init__(self, channels: int, width: int, refine: int) -> None:
        super().__init__()
        self.spread = nn.Linear(width, 4 * refine)
        self.mix = nn.Conv2d(2 * channels + refine, 2 * refine, 3, padding=1)
        self.out = nn.Conv2d(2 * refine, channels, 3, padding=1)
        start_at_zero(self.out)

    def forward(self, x: Tensor, z: Tensor, source: Tensor, dtype: torch.dtype) -> Tensor:
        """x (B, N, width), z and source (B, C, F, h, w) -> a correction shaped like z."""
        said = picture(linear(self.spread, x.to(dtype)), z.shape)
        cells = torch.cat([said, z.to(dtype), source.to(dtype)], 1).transpose(1, 2).flatten(0, 1)
        h = F.silu(F.conv2d(cells, self.mix.weight.to(dtype), _bias(self.mix, dtype), padding=1))
        out = F.conv2d(h, self.out.weight.to(dtype), _bias(self.out, dtype), padding=1)
        return out.unflatten(0, (len(z), -1)).transpose(1, 2).float()


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
        self.refiner = Refiner(config.channels, width, config.refine) if config.refine else None
        self.semantic = SemanticTokens(config.semantic, 2 * width, width) if config.semantic else None
        self.semantic_place = nn.Parameter(0.02 * torch.randn(SEMANTIC_TOKENS, width)) if config.semantic else None
        self.beside = nn.Linear(4 * config.beside, width) if config.beside else None
        self.labels = nn.Linear(width, config.labels) if config.labels else None
        if self.beside is not None:
            start_at_zero(self.beside)

    def encode_text(self, prompts: list[str]) -> Tensor:
        """(B, WORDS, text_width); an empty prompt is the unconditional one. Raises UnknownWord."""
        ids = torch.tensor([word_ids(prompt, self.vocabulary) for prompt in prompts])
        return self.text(ids.to(self.kinds.weight.device))

    def order(self, prefix: str, prompt: str) -> str:
        """The prompt with the task's prefix before it, where the model was trained with prefixes."""
        return f"{prefix} {prompt}".strip() if prefix in self.vocabulary else prompt

    def forward(self, z: Tensor, t: Tensor, text: Tensor, source: Tensor | None = None) -> Tensor:
        """z, source (B, C, F, h, w), t (B,) in [0, 1], text (B, WORDS, text_width) -> x0, shaped like z.

        Without a source the computation is the stock transformer's, but for the type embedding.
        """
        return self.answer(z, t, text, source).x0

    def answer(
        self,
        z: Tensor,
        t: Tensor,
        text: Tensor,
        source: Tensor | None = None,
        *,
        semantic: Tensor | None = None,
        beside: Tensor | None = None,
        lean: torch.dtype | None = None,
    ) -> Output:
        """As `forward`, with noisy semantic tokens (B, S, features) and what else is known of the clip (B, channels, F, h, w;
        `engine/backbones/bundled_beside.py` says which)."""
        rotary = self.transformer.rope(z)
        x = self._tokens(z) + self.kinds.weight[TARGET]
        if self.beside is not None and beside is not None:
            x = x + self.beside(patches(beside))
        parts = [Tokens(x, rotary)]
        if self.semantic is not None and self.semantic_place is not None and semantic is not None:
            place = self.semantic_place.repeat(semantic.shape[1] // SEMANTIC_TOKENS, 1)
            told = self.semantic.into(semantic) + place + self.kinds.weight[SEMANTIC]
            parts.insert(0, Tokens(told, standing(semantic.shape[1], rotary)))
        if source is not None:
            given = self._tokens(source)
            parts[-1] = Tokens(x + self.same_place(given), rotary)
            parts.insert(0, Tokens(given + self.kinds.weight[SOURCE], rotary))
        middle: list[Tensor] = []
        keep = middle.append if self.labels is not None and torch.is_grad_enabled() else None
        states, time = through(
            self.transformer,
            parts,
            1000 * t,
            text,
            lean=lean,
            after=None if keep is None else lambda index, x: keep(x) if index == self.config.layers // 2 else None,
        )
        x0 = picture(head(self.transformer, states[-1], time), z.shape)
        if source is not None:
            x0 = x0 + source
        if self.refiner is not None:
            x0 = x0 + self.refiner(states[-1], z, torch.zeros_like(z) if source is None else source, lean or z.dtype)
        said = None
        if self.semantic is not None and semantic is not None:
            said = self.semantic.out(states[-2].float())
        return Output(x0, said, self._labels(middle, x.shape[1], source is not None))

    def _labels(self, middle: list[Tensor], count: int, edits: bool) -> Tensor | None:
        if self.labels is None or not middle:
            return None
        shown = torch.cat([middle[0][:, :count], middle[0][:, -count:]], 1) if edits else middle[0][:, -count:]
        return self.labels(shown.float())

    def _tokens(self, z: Tensor) -> Tensor:
        return self.transformer.patch_embedding(z).flatten(2).transpose(1, 2)


def picture(x: Tensor, shape: torch.Size) -> Tensor:
    """Tokens (B, N, 2·2·C) back to cells (B, C, F, h, w) of the grid in `shape`; Wan's order: rows, columns, channels."""
    batch, _, frames, height, width = shape
    x = x.reshape(batch, frames, height // 2, width // 2, 2, 2, -1)
    return x.permute(0, 6, 1, 2, 4, 3, 5).reshape(batch, -1, frames, height, width)


def patches(cells: Tensor) -> Tensor:
    """The inverse of `picture`: (B, C, F, h, w) -> (B, N, 2·2·C)."""
    cells = cells.unflatten(4, (-1, 2)).unflatten(3, (-1, 2))  # (B, C, F, h/2, 2, w/2, 2)
    return cells.permute(0, 2, 3, 5, 4, 6, 1).flatten(4).flatten(1, 3)
