"""The training tasks: each makes of drawn edits what the model is given and what it shall answer.

    edit       [edit] an instruction; the source clip                    SAMA stage 0 on stills, stage 1 on clips
    caption    a caption                                                 text to picture and to video
    pretext    [complete], [speed], [order] and a caption; a spoilt clip Motion Alignment
    restore    [restore]; a blurred and noisy clip
    between    [between] a caption; the first, perhaps the last picture, perhaps edges and flow of the source

What they share: semantic tokens of an anchor frame of the answer (Semantic Anchoring), given most of the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.backbones.bundled_autoencoder import STRIDE, ClipAutoencoder
from engine.backbones.bundled_beside import beside, edges_of, known_video
from engine.backbones.bundled_encoder import DualEncoder
from engine.backbones.bundled_model import EDIT
from engine.training.drawn import Pairs
from engine.training.motion_alignment import PREFIX, draw_pretext, spoil

EDIT_NOISE, TEXT_NOISE = (2.5, 1.5), (2.0, 1.5)
"""Mean and deviation of the logit of t in training. A token holds 96 values, so what it shows can be told from its own noise
below t = 0.9 or so; only above that do tokens have to agree with each other and with the words (our choice)."""
UNCONDITIONAL = 0.1
"""Share of prompts left out in training, for guidance."""
ANCHORED = 0.8
"""Share of examples with semantic tokens."""
SHARES = {"caption": 0.35, "pretext": 0.35, "between": 0.2, "restore": 0.1}
"""Of a clip's second example, beside its edit."""


@dataclass(frozen=True, eq=False, slots=True)
class Example:
    """A batch of one task. Latents (B, C, F, h, w); labels (B, N, LABELS) of source and target tokens, or of the target's alone;
    semantic (B, S, features) clean tokens; beside (B, channels, F, h, w). `noise`: mean and deviation of the logit of t;
    `weight`: in the step's loss."""

    name: str
    texts: list[str]
    target: Tensor
    source: Tensor | None
    labels: Tensor | None
    semantic: Tensor | None = None
    beside: Tensor | None = None
    noise: tuple[float, float] = EDIT_NOISE
    weight: float = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class Maker:
    """Makes examples; everything random comes from `dice`. `anchors`: frames whose semantic tokens are given, evenly spread."""

    autoencoder: ClipAutoencoder
    encoder: DualEncoder | None
    dice: torch.Generator
    anchors: int = 1

    def edit(self, made: Pairs) -> Example:
        texts = [f"{EDIT} {order.instruction}" for order in made.orders]
        for index, (left_out, bare) in enumerate(torch.rand(len(texts), 2, generator=self.dice).tolist()):
            if left_out < UNCONDITIONAL:
                texts[index] = EDIT if bare > 0.5 else ""
        labels = torch.cat([made.source_labels, made.target_labels], 1)
        return Example("edit", texts, made.target, made.source, labels, self.semantic(made.target_video))

    def caption(self, made: Pairs) -> Example:
        semantic = self.semantic(made.target_video, 0.5 * ANCHORED)
        return Example("text", self._captions(made), made.target, None, made.target_labels, semantic, None, TEXT_NOISE)

    def pretext(self, made: Pairs, pretext: str | None = None) -> Example:
        """Motion Alignment; without one it is drawn, and "none" is a caption's example."""
        pretext = pretext or draw_pretext(self.dice)
        if pretext == "none":
            return self.caption(made)
        source = self.autoencoder.encode(spoil(made.target_video, pretext, self.dice))
        texts = [f"{PREFIX[pretext]} {text}".strip() for text in self._captions(made)]
        return Example("pretext", texts, made.target, source, None, self.semantic(made.target_video))

    def restore(self, made: Pairs) -> Example:
        source = self.autoencoder.encode(degraded(made.target_video, self.dice))
        return Example("restore", ["[restore]"] * len(made.orders), made.target, source, None, self.semantic(made.target_video))

    def between(self, made: Pairs) -> Example:
        """Known frames and guidance channels. The edges are the source clip's: an edit keeps most of them."""
        with_last, with_edges, with_flow = (torch.rand(3, generator=self.dice) < 0.5).tolist()
        video = made.target_video
        clip, mask = known_video(video[:, :, 0], video[:, :, -1] if with_last else None, video.shape[2])
        edges = edges_of(made.source_video) if with_edges else None
        flow = made.flow() if with_flow else None
        known = beside(self.autoencoder.encode(clip), mask, edges, flow)
        texts = [f"[between] {text}".strip() for text in self._captions(made)]
        return Example("between", texts, made.target, None, made.target_labels, None, known)

    def beside_edit(self, made: Pairs) -> Example:
        """A clip's second example, drawn by SHARES."""
        shares = torch.tensor(list(SHARES.values()))
        name = list(SHARES)[int(torch.multinomial(shares, 1, generator=self.dice))]
        return {"caption": self.caption, "pretext": self.pretext, "between": self.between, "restore": self.restore}[name](made)

    def semantic(self, video: Tensor, share: float = ANCHORED) -> Tensor | None:
        """Tokens (B, anchors · S, features) of frames of the answer (B, 3, T, H, W), or None, which the dice decide."""
        given = bool(torch.rand((), generator=self.dice) < share)
        if self.encoder is None or not given:
            return None
        return anchor_tokens(self.encoder, video, self.anchors)

    def _captions(self, made: Pairs) -> list[str]:
        kept = (torch.rand(len(made.orders), generator=self.dice) >= UNCONDITIONAL).tolist()
        return [order.target_prompt if keep else "" for order, keep in zip(made.orders, kept, strict=True)]


@torch.no_grad()
def anchor_tokens(encoder: DualEncoder, video: Tensor, anchors: int = 1) -> Tensor:
    """(B, anchors · S, features) of frames spread evenly over video (B, 3, T, H, W); of one anchor, the first."""
    frames = torch.linspace(0, video.shape[2] - 1, anchors).round().long().tolist()
    return torch.cat([encoder.tokens(video[:, :, frame]) for frame in frames], 1)


def degraded(video: Tensor, dice: torch.Generator) -> Tensor:
    """video (B, 3, T, H, W) in [−1, 1], blurred to a half or a quarter of its detail and with noise."""
    factor = (1, 2, STRIDE)[int(torch.randint(3, (), generator=dice))]
    pictures = video.transpose(1, 2).flatten(0, 1)
    small = F.avg_pool2d(pictures, factor)
    pictures = F.interpolate(small, pictures.shape[2:], mode="bilinear", align_corners=False)
    amount = 0.05 + 0.15 * float(torch.rand((), generator=dice))
    noise = torch.randn(pictures.shape, generator=dice).to(pictures)
    return (pictures + amount * noise).clamp(-1, 1).unflatten(0, (video.shape[0], -1)).transpose(1, 2)
