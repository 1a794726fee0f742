"""The drawn world's dual encoder: what SigLIP (arXiv 2303.15343) is for photographs, for this world's pictures and captions.

Its picture side gives the semantic tokens of the bundled model (SAMA §3.3), both sides the world's text alignment.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.backbones.bundled_model import SEMANTIC_TOKENS, BundledConfig, TextEncoder, word_ids

SIDE = 4
"""Local tokens along each side of a picture; with the global one they are SEMANTIC_TOKENS."""


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """`features` of a token; `width` of the first convolution, doubled to four times as much by the last."""

    features: int = 64
    width: int = 32


class DualEncoder(nn.Module):
    """Pictures and captions in one space: what belongs together is near."""

    def __init__(self, config: EncoderConfig, vocabulary: tuple[str, ...]) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        widths = [3, config.width, 2 * config.width, 3 * config.width, 4 * config.width]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 3, 2, 1),
                nn.GroupNorm(8, after),
                nn.SiLU(),
                nn.Conv2d(after, after, 3, 1, 1),
                nn.SiLU(),
            ]
        self.layers = nn.Sequential(*layers)
        self.local = nn.Conv2d(widths[-1], config.features, 1)
        self.whole = nn.Linear(config.features, config.features)
        self.text = TextEncoder(len(vocabulary), BundledConfig(text_width=config.features, text_layers=1))
        self.caption = nn.Linear(config.features, config.features)
        self.scale = nn.Parameter(torch.tensor(2.3))  # SigLIP's beginning: ln 10, −10
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def tokens(self, pictures: Tensor) -> Tensor:
        """pictures (B, 3, H, W) in [−1, 1] -> (B, SEMANTIC_TOKENS, features): local ones by rows, then one of all; each with
        mean 0 and mean square 1."""
        local = self._local(pictures)
        tokens = torch.cat([local, self.whole(local.mean(1, keepdim=True))], 1)
        assert tokens.shape[1] == SEMANTIC_TOKENS
        return F.layer_norm(tokens.float(), tokens.shape[-1:])

    def pictures(self, pictures: Tensor) -> Tensor:
        """(B, features), of length 1."""
        return F.normalize(self.whole(self._local(pictures).mean(1)).float(), dim=-1)

    def captions(self, prompts: list[str]) -> Tensor:
        """(B, features), of length 1. Raises UnknownWord."""
        ids = torch.tensor([word_ids(prompt, self.vocabulary) for prompt in prompts]).to(self.bias.device)
        words = self.text(ids)
        mean = words.sum(1) / (ids > 0).sum(1, keepdim=True).clamp_min(1)
        return F.normalize(self.caption(mean).float(), dim=-1)

    def loss(self, pictures: Tensor, prompts: list[str]) -> Tensor:
        """SigLIP's: every pair of a picture and a caption is asked by itself whether it belongs together."""
        logits = self.pictures(pictures) @ self.captions(prompts).T * self.scale.exp() + self.bias
        belongs = torch.tensor([[a == b for b in prompts] for a in prompts], device=logits.device)
        return -F.logsigmoid(torch.where(belongs, logits, -logits)).sum() / len(prompts)

    @torch.no_grad()
    def alignment(self, video: Tensor, prompt: str) -> float:
        """Mean cosine of the pictures of video (T, 3, H, W) in [−1, 1] to the prompt: the world's text alignment."""
        return float((self.pictures(video) @ self.captions([prompt]).T).mean())

    def _local(self, pictures: Tensor) -> Tensor:
        x = self.local(self.layers(pictures))
        return F.adaptive_avg_pool2d(x, SIDE).flatten(2).transpose(1, 2)
