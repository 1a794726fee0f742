"""Training of the drawn world's dual encoder on scenes, their edits and their captions."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.backbones.bundled_encoder import DualEncoder, EncoderConfig
from engine.backbones.wan_lean import training_type
from engine.world.draw import draw
from engine.world.edits import edits
from engine.world.scene import sample
from engine.world.words import VOCABULARY


class EncoderTask:
    """Contrastive: a batch holds scenes and their edits, so many captions differ in one word (our choice: hard negatives)."""

    name = "encoder"

    def __init__(
        self, config: EncoderConfig, *, seed: int = 0, device: torch.device | str = "cpu", scenes: int = 24, size: int = 64
    ) -> None:
        torch.manual_seed(seed)
        self.config, self.seed, self.device, self.scenes, self.size = config, seed, torch.device(device), scenes, size
        self.module = DualEncoder(config, VOCABULARY).to(device)

    def losses(self, step: int) -> dict[str, Tensor]:
        pictures, prompts = self.batch("train", self.scenes * step, self.scenes)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=training_type(self.device) == torch.bfloat16):
            return {"loss": self.module.loss(pictures, prompts)}

    def batch(self, split: str, start: int, count: int) -> tuple[Tensor, list[str]]:
        """2 · count pictures (B, 3, size, size) in [−1, 1], sources then targets, and their captions."""
        made = edits(sample(self.seed, range(start, start + count), split), split)
        both = [draw(scenes.to(self.device), (self.size, self.size), 1).video[:, 0] for scenes in (made.source, made.target)]
        prompts = [order.source_prompt for order in made.orders] + [order.target_prompt for order in made.orders]
        return 2 * torch.cat(both) - 1, prompts

    @torch.no_grad()
    def scores(self, module: DualEncoder) -> dict[str, float]:
        """`found`: pictures whose own caption is nearest of 48; `told_apart`: nearer to its own than to its edit's."""
        pictures, prompts = self.batch("validation", 0, 24)
        near = module.pictures(pictures) @ module.captions(prompts).T
        own, other = near.diagonal(), torch.cat([near[:24, 24:].diagonal(), near[24:, :24].diagonal()])
        found = [prompts[best] == prompt for best, prompt in zip(near.argmax(1).tolist(), prompts, strict=True)]
        return {"found": sum(found) / len(found), "told_apart": float((own > other).float().mean())}
