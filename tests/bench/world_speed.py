"""What drawing and training cost: scenes per second, steps per second, the share of a step spent drawing, the autoencoder.

One CPU thread throughout, so that figures can be compared; a GPU is measured where torch finds one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from engine.backbones.bundled import read_parts
from engine.backbones.bundled_autoencoder import ClipAutoencoder
from engine.device import torch_device
from engine.training.__main__ import PRESETS
from engine.training.autoencoder import reconstruction
from engine.training.model import ModelTask
from engine.training.trainer import Trainer
from engine.world.draw import PHOTO, PLAIN, Style, draw, frames
from engine.world.edits import edits
from engine.world.scene import Lot, sample
from tests.bench.harness import Figure, Report, say

FIGURES = (
    Figure("scenes_64", "scenes drawn, 64 × 64 × 17, one thread", "per s", better="higher"),
    Figure("scenes_480_plain", "scenes drawn, 480p × 60, plain, one thread", "per s", better="higher"),
    Figure("scenes_480_photo", "the same as a camera sees them (three exposures, noise, six octaves)", "per s", better="higher"),
    Figure("edits", "orders with exact answers drawn by lot, not yet pictures", "per s", better="higher"),
    Figure("steps_cpu", "steps of the trainer, preset cpu, one thread", "per s", better="higher"),
    Figure("drawing_cpu", "share of a step spent drawing, preset cpu", "of 1"),
    Figure("steps_gpu", "steps of the trainer, preset gpu, on the GPU", "per s", better="higher"),
    Figure("drawing_gpu", "share of a step spent drawing, preset gpu, on the GPU", "of 1"),
    Figure("psnr", "reconstruction by the autoencoder, test scenes of 64 × 64 × 17", "dB", 30, "higher"),
    Figure("encode_s", "encoding one clip of 64 × 64 × 17, one thread", "s"),
    Figure("decode_s", "decoding it", "s"),
    Figure("wan_ratio", "AutoencoderKLWan of about the same size (base_dim 16), both ways, over ours", "×"),
)


def run(report: Report, options: argparse.Namespace) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _drawing(report, options)
        autoencoder = read_parts()[1].eval()
        _autoencoder(report, options, autoencoder)
        _training(report, autoencoder)
    finally:
        torch.set_num_threads(threads)


def _drawing(report: Report, options: argparse.Namespace) -> None:
    first, count = options.seed, options.scenes or 32
    say("drawing")
    report.reach("scenes_64", count / seconds(lambda: draw(sample(0, range(first, first + count), "test"), (64, 64), 17)))
    report.reach("edits", 256 / seconds(lambda: edits(sample(0, range(first, first + 256), "test"), "test")))
    for name, style, octaves in (("plain", PLAIN, 3), ("photo", PHOTO, 6)):
        report.reach(f"scenes_480_{name}", 1 / seconds(lambda s=style, o=octaves: _long_clip(first, s, o), repeats=1))  # type: ignore[misc]


def _long_clip(number: int, style: Style, octaves: int) -> None:
    scene = sample(0, [number], "test", Lot(width=854 / 480, octaves=octaves))
    for _ in frames(scene, (480, 854), 60, style):
        pass


def _autoencoder(report: Report, options: argparse.Namespace, autoencoder: ClipAutoencoder) -> None:
    from diffusers import AutoencoderKLWan

    say("autoencoder")
    count = options.scenes or 32
    scenes = sample(1, range(options.seed, options.seed + count), "test")
    clips = 2 * draw(scenes, (64, 64), 17).video.transpose(1, 2) - 1
    report.reach("psnr", reconstruction(autoencoder, clips))
    wan = AutoencoderKLWan(base_dim=16, z_dim=16, dim_mult=[1, 2, 4], num_res_blocks=1, temperal_downsample=[True, True]).eval()
    with torch.no_grad():
        one = clips[:1]
        z, theirs = autoencoder.encode(one), wan.encode(one).latent_dist.mode()
        encode, decode = seconds(lambda: autoencoder.encode(one)), seconds(lambda: autoencoder.decode(z))
        peer = seconds(lambda: wan.encode(one)) + seconds(lambda: wan.decode(theirs))
    report.reach("encode_s", encode)
    report.reach("decode_s", decode)
    report.reach("wan_ratio", peer / (encode + decode))


def _training(report: Report, autoencoder: ClipAutoencoder) -> None:
    say("training")
    for name in ("cpu", "gpu"):
        device = torch_device("cpu" if name == "cpu" else None)
        if name == "gpu" and device.type == "cpu":
            report.lack("there is no GPU here", "steps_gpu")
            report.lack("there is no GPU here", "drawing_gpu")
            continue
        preset = PRESETS[name]
        task = ModelTask(preset.model, autoencoder, device=device, budget=preset.budget)
        trainer = Trainer(task, preset.model_settings, Path())
        rounds = 2
        trainer.step()
        step = seconds(lambda: [trainer.step() for _ in range(rounds)], repeats=2, device=device) / rounds  # noqa: B023
        drawing = seconds(lambda: [_draw_step(task, n) for n in range(rounds)], device=device) / rounds  # noqa: B023
        report.reach(f"steps_{name}", 1 / step)
        report.reach(f"drawing_{name}", drawing / step)


def _draw_step(task: ModelTask, step: int) -> None:
    """All that a step draws: scenes by lot, orders, pictures, latents."""
    task.examples(step)


def seconds(work: Callable[[], object], repeats: int = 3, device: torch.device | None = None) -> float:
    """Median of some runs, after one to warm up (none for a single run)."""
    taken = []
    for index in range(repeats + (repeats > 1)):
        begun = time.perf_counter()
        work()
        if device is not None and device.type != "cpu":
            torch.accelerator.synchronize()
        if index or repeats == 1:
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken)
