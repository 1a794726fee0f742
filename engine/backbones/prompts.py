"""Prompts for hub models: encoded once each, then the text encoder's memory is given back.

Wan's text encoder is four times as large as its smallest transformer, so the two are never in memory together: the encoder
comes when a prompt is new and goes before the next pass. Encoded prompts are kept.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.diffusion.backbone import Text
from engine.errors import MethodError

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class Encoder(Protocol):
    """A tokenizer and a text encoder, loaded: `tokenizer` splits, `length` is how many pieces are read."""

    tokenizer: Any
    length: int

    def embed(self, prompt: str, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """ids and mask (1, J) -> embeddings (1, J, C), and the pooled vector (1, C') of models that have one."""
        ...


class Prompts:
    """`prompts(text)`: the encoded prompt, from memory where it was asked for before."""

    def __init__(self, load: Callable[[], Encoder]) -> None:
        self._load = load
        self._encoder: Encoder | None = None
        self._known: dict[str, Text] = {}

    @property
    def loaded(self) -> bool:
        """Whether the encoder takes memory now."""
        return self._encoder is not None

    def free(self) -> None:
        """Gives the encoder's memory back; it is loaded again for the next unknown prompt."""
        self._encoder = None

    def __call__(self, prompt: str) -> Text:
        """Raises MethodError for more pieces than the model reads."""
        if prompt not in self._known:
            self._encoder = self._encoder or self._load()
            self._known[prompt] = encoded(prompt, self._encoder)
        return self._known[prompt]


@torch.no_grad()
def encoded(prompt: str, encoder: Encoder) -> Text:
    """The prompt cleaned as in the models' training, its words in lower case, and which pieces each of them became."""
    cleaned = clean(prompt)
    split = encoder.tokenizer(
        cleaned,
        padding="max_length",
        max_length=encoder.length,
        return_offsets_mapping=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    count = split.input_ids.shape[1]
    if count > encoder.length:
        raise MethodError(f"The prompt is too long for this model, {count} pieces of {encoder.length}: shorten it.")
    words, pieces = words_of(cleaned, split.offset_mapping[0].tolist())
    embeddings, pooled = encoder.embed(cleaned, split.input_ids, split.attention_mask)
    return Text(prompt, words, pieces, embeddings.float(), None if pooled is None else pooled.float())


def clean(prompt: str) -> str:
    """Broken characters mended, HTML's escapes resolved, white space made single: what Wan's prompts went through."""
    import ftfy

    return re.sub(r"\s+", " ", html.unescape(html.unescape(ftfy.fix_text(prompt)))).strip()


def words_of(prompt: str, offsets: list[list[int]]) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Words in lower case without marks, and for each the positions of the pieces that share a letter with it.

    `offsets`: [start, stop] of every piece in the prompt; empty for marks that the tokenizer adds.
    """
    found = list(WORD.finditer(prompt))
    pieces = tuple(
        tuple(at for at, (start, stop) in enumerate(offsets) if max(start, word.start()) < min(stop, word.end()))
        for word in found
    )
    return tuple(word.group().lower() for word in found), pieces
