"""Training of the bundled autoencoder: half of the steps on still scenes, half on clips of 17 frames."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.backbones.bundled_autoencoder import AutoencoderConfig, ClipAutoencoder
from engine.training.trainer import generator
from engine.world.draw import draw
from engine.world.scene import sample

LATENT_NOISE = 0.02
"""Added to latents in training: the decoder learns to bear the small errors of a sampler (our choice)."""


class AutoencoderTask:
    """Reconstruction of drawn scenes at `size` × `size` pixels. The loss is 4 · MSE + ½ · L1."""

    name = "autoencoder"

    def __init__(
        self, config: AutoencoderConfig, *, seed: int = 0, device: torch.device | str = "cpu", clips: int = 2, size: int = 64
    ) -> None:
        torch.manual_seed(seed)
        self.config, self.seed, self.device, self.clips, self.size = config, seed, device, clips, size
        self.module = ClipAutoencoder(config).to(device)
        self._start_from_principal_components()

    @torch.no_grad()
    def _start_from_principal_components(self) -> None:
        """The linear part begins as the best linear code of the world's cells, in latents with a mean square of about one."""
        cells = torch.cat([self.module.cells(self.scenes("train", 16 * i, 16, 17))[0] for i in range(4)])
        cells = cells.movedim(1, -1).flatten(0, -2)
        middle = cells.mean(0)
        basis = torch.linalg.eigh((cells - middle).T @ (cells - middle))[1].flip(1)[:, : self.config.channels].T
        scale = ((cells - middle) @ basis.T).square().mean().sqrt()
        wide = slice(None), slice(None), None, None
        code = {"weight": (basis / scale)[wide], "bias": -(basis / scale) @ middle}
        self.module.analysis.load_state_dict(code)
        self.module.synthesis.load_state_dict({"weight": (basis.T * scale)[wide], "bias": middle})

    def losses(self, step: int) -> dict[str, Tensor]:
        moving = step % 2 == 1
        count, frames = (self.clips, 17) if moving else (8 * self.clips, 1)
        video = self.scenes("train", 16 * self.clips * step, count, frames)
        z = self.module.encode(video)
        noise = torch.randn(z.shape, generator=generator(self.seed, step)).to(z)
        error = self.module.decode(z + LATENT_NOISE * noise) - video
        loss = 4 * error.square().mean() + 0.5 * error.abs().mean()
        return {"clip_loss" if moving else "still_loss": loss}

    def scenes(self, split: str, start: int, count: int, frames: int) -> Tensor:
        """(count, 3, frames, size, size) in [−1, 1]."""
        scenes = sample(self.seed, range(start, start + count), split).to(self.device)
        return 2 * draw(scenes, (self.size, self.size), frames).video.transpose(1, 2) - 1

    def scores(self, module: ClipAutoencoder) -> dict[str, float]:
        return {"psnr": reconstruction(module, self.scenes("validation", 0, 16, 17))}

    @torch.no_grad()
    def calibrate(self, module: ClipAutoencoder) -> None:
        """Sets the latents' mean and scale per channel, from 64 clips.

        Our choice: the scale is the geometric mean of the channel's standard deviation and that of all channels, half-way
        between Wan's (each channel counts alike) and pixels' (fine detail counts little and is settled last).
        """
        module.mean.zero_()
        module.std.fill_(1)
        z = torch.cat([module.encode(self.scenes("train", 8 * i, 8, 17)) for i in range(8)])
        deviation = z.std((0, 2, 3, 4))
        module.mean.copy_(z.mean((0, 2, 3, 4)))
        module.std.copy_((deviation * deviation.square().mean().sqrt()).sqrt())


@torch.no_grad()
def reconstruction(module: ClipAutoencoder, video: Tensor) -> float:
    """Mean PSNR over clips (B, 3, T, H, W) in [−1, 1], in dB; full scale is 2."""
    errors = [(module.decode(module.encode(clip[None])).clamp(-1, 1) - clip).square().mean() / 4 for clip in video]
    return float((-10 * torch.log10(torch.stack(errors))).mean())
