"""`python -m engine.training`: trains the bundled model on the drawn world, in slices if need be.

    autoencoder --run DIR                          train the autoencoder
    encoder --run DIR                              train the dual encoder of pictures and captions
    model --run DIR --autoencoder RUN              train the model on its latents
    score [--weights DIR] [--scenes N]             what the exact checkers say
    ship --model RUN --autoencoder RUN --to DIR    write the averaged weights and their card as `assets/bundled` holds them

A run goes on from the last state in its folder; `--out` writes the new state to another one. One slice on a borrowed machine:

    python -m engine.training model --preset gpu --run RUN --autoencoder AE --minutes 9 --out OUT
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import torch

from engine.backbones.bundled import ASSETS, read_encoder, read_parts, write_bundled
from engine.backbones.bundled_autoencoder import AutoencoderConfig, ClipAutoencoder
from engine.backbones.bundled_beside import BESIDE
from engine.backbones.bundled_encoder import DualEncoder, EncoderConfig
from engine.backbones.bundled_model import BundledConfig, BundledModel
from engine.device import torch_device
from engine.errors import EngineError
from engine.training.autoencoder import AutoencoderTask
from engine.training.card import write_card
from engine.training.checkpoint import Record, TrainingError, read_run
from engine.training.drawn import LABELS
from engine.training.encoder import EncoderTask
from engine.training.model import Budget, ModelTask, Plan
from engine.training.score import Sampling, score
from engine.training.trainer import Settings, Task, Trainer
from engine.world.words import KINDS


@dataclass(frozen=True, slots=True)
class Preset:
    """Sizes and lengths that go together. `clips`: of an autoencoder's step."""

    autoencoder: AutoencoderConfig
    autoencoder_settings: Settings
    clips: int
    encoder: EncoderConfig
    encoder_settings: Settings
    model: BundledConfig
    model_settings: Settings
    budget: Budget


PRESETS = {
    "cpu": Preset(
        AutoencoderConfig(),
        Settings(2500, score=250),
        2,
        EncoderConfig(),
        Settings(1200, score=200),
        BundledConfig(heads=4, head_width=40, ffn=640, refine=32, semantic=64, beside=24 + BESIDE, labels=LABELS),
        Settings(14000, rate=1.5e-3, matrix_rate=4e-3, score=1500),
        Budget(),
    ),
    "gpu": Preset(
        AutoencoderConfig(width=128),
        Settings(8000, score=1000),
        16,
        EncoderConfig(),
        Settings(6000, score=1000),
        BundledConfig(heads=7, layers=6, ffn=672),
        Settings(30000, rate=6e-4, warmup=500, average=0.9995, settle=100, score=2500),
        Budget(stills=(128, 64), clips=16),
    ),
    "smoke": Preset(
        AutoencoderConfig(channels=8, width=16, encoder_blocks=1, decoder_blocks=1),
        Settings(100, warmup=10, settle=10, score=100),
        1,
        EncoderConfig(8, 8),
        Settings(20, rate=3e-3, warmup=5, settle=10, score=20),
        BundledConfig(8, 2, 16, 2, 64, text_width=32, text_layers=1, refine=4, semantic=8, beside=8 + BESIDE, labels=LABELS),
        Settings(100, rate=3e-3, matrix_rate=3e-3, warmup=10, settle=10, score=100),
        Budget(stills=(2, 2), clips=1, frames=5, size=32),
    ),
}
"""`gpu` keeps a run of the model, ten bytes a parameter, small enough to travel in 64 MB together with the project and the
autoencoder; `cpu` is for two cores and hours; `smoke` for tests."""


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 done, 1 a named failure, 2 wrong usage, 130 stopped by a signal."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        {"autoencoder": _autoencoder, "encoder": _encoder, "model": _model, "score": _score, "ship": _ship}[options.verb](options)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the last saved state goes on from there.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.training", description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")), help="of the CPU (default 1)")
    both.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    training = argparse.ArgumentParser(add_help=False, parents=[both])
    training.add_argument("--run", type=Path, required=True, help="the run's folder; it is made or gone on with")
    training.add_argument("--out", type=Path, help="write the new state here instead")
    training.add_argument("--preset", choices=PRESETS, default="cpu")
    training.add_argument("--minutes", type=float, help="stop after so long, at the next moment that can be saved")
    training.add_argument("--steps", type=int, help="length of the whole run, instead of the preset's")
    training.add_argument("--seed", type=int, default=0)
    verbs.add_parser("autoencoder", parents=[training])
    verbs.add_parser("encoder", parents=[training])
    model = verbs.add_parser("model", parents=[training])
    model.add_argument("--encoder", type=Path, help="its run, or a folder of shipped weights; without, no semantic anchoring")
    model.add_argument(
        "--without", choices=("anchoring", "alignment"), nargs="*", default=[], help="for ablations, parts of SAMA"
    )
    model.add_argument("--anchors", type=int, default=1, help="frames whose semantic tokens are given (default 1, the first)")
    model.add_argument("--stage", type=int, choices=(0, 1), default=0, help="0: stills; 1: clips as well (default 0)")
    model.add_argument("--begin", type=Path, help="a run whose averaged weights a new run begins with")
    model.add_argument("--autoencoder", type=Path, required=True, help="its run, or a folder of shipped weights")
    scoring = verbs.add_parser("score", parents=[both])
    scoring.add_argument("--weights", type=Path, default=ASSETS)
    scoring.add_argument("--scenes", type=int, default=180, help="edits, evenly over the kinds (default 180)")
    scoring.add_argument("--seed", type=int, default=1)
    scoring.add_argument("--steps", type=int, default=Sampling().steps)
    scoring.add_argument("--guidance", type=float, default=Sampling().guidance)
    scoring.add_argument("--anchored", action="store_true", help="the first frame's exact answer guides the semantic tokens")
    scoring.add_argument("--json", type=Path)
    shipping = verbs.add_parser("ship", parents=[both])
    shipping.add_argument("--model", type=Path, required=True, nargs="+", help="its runs, stage by stage; the last is shipped")
    shipping.add_argument("--encoder", type=Path, help="run of the dual encoder")
    shipping.add_argument("--autoencoder", type=Path, required=True, help="run")
    shipping.add_argument("--to", type=Path, default=ASSETS)
    shipping.add_argument("--scenes", type=int, default=180, help="edits to score for the card (default 180; 0: no card)")
    shipping.add_argument("--seed", type=int, default=1, help="of the scenes to score")
    return parser


def _autoencoder(options: argparse.Namespace) -> None:
    preset = PRESETS[options.preset]
    device = torch_device(options.device)
    task = AutoencoderTask(preset.autoencoder, seed=options.seed, device=device, clips=preset.clips)
    _train(task, preset.autoencoder_settings, options)


def _encoder(options: argparse.Namespace) -> None:
    preset = PRESETS[options.preset]
    task = EncoderTask(preset.encoder, seed=options.seed, device=torch_device(options.device))
    _train(task, preset.encoder_settings, options)


def _model(options: argparse.Namespace) -> None:
    preset = PRESETS[options.preset]
    device = torch_device(options.device)
    autoencoder = trained_autoencoder(options.autoencoder, device)
    channels = autoencoder.config.channels
    config = replace(preset.model, channels=channels, beside=channels + BESIDE)
    encoder = trained_encoder(options.encoder, device) if options.encoder else None
    task = ModelTask(
        config,
        autoencoder,
        seed=options.seed,
        device=device,
        budget=preset.budget,
        stage=options.stage,
        encoder=encoder,
        plan=Plan("anchoring" not in options.without, "alignment" not in options.without, options.anchors),
    )
    _train(task, preset.model_settings, options, options.begin)


def _train(task: Task, settings: Settings, options: argparse.Namespace, begin: Path | None = None) -> None:
    settings = replace(settings, seed=options.seed, steps=options.steps or settings.steps)
    trainer = Trainer(task, settings, options.out or options.run)
    if not trainer.resume(options.run):
        if begin is not None:
            new = trainer.warm(begin)
            print(f"Begins with the weights of {begin}; new: {', '.join(new) or 'nothing'}.")
        print(f"A new run of {task.name}, {sum(p.numel() for p in task.module.parameters()):,} parameters.")
    trainer.run(options.minutes, lambda line: print(time.strftime("%H:%M:%S"), line, flush=True))


def trained_autoencoder(run: Path, device: torch.device) -> ClipAutoencoder:
    """The averaged weights of an autoencoder's run, calibrated, or those of a folder that was shipped.

    Raises TrainingError where there is neither.
    """
    if (run / "autoencoder.safetensors").exists():
        return read_parts(run)[1].to(device)
    record, _ = _run_of(run, "autoencoder")
    task = AutoencoderTask(AutoencoderConfig(**record.config), seed=record.settings["seed"], device=device)
    trainer = Trainer(task, Settings(**record.settings), run)
    trainer.resume()
    task.module.load_state_dict(trainer.averaged())
    task.calibrate(task.module)
    return task.module


def trained_encoder(run: Path, device: torch.device) -> DualEncoder:
    """The averaged weights of an encoder's run, or those of a folder that was shipped.

    Raises TrainingError where there is neither.
    """
    shipped = read_encoder(run) if (run / "encoder.safetensors").exists() else None
    if shipped is not None:
        return shipped.to(device).eval()
    record, _ = _run_of(run, "encoder")
    task = EncoderTask(EncoderConfig(**record.config), seed=record.settings["seed"], device=device)
    trainer = Trainer(task, Settings(**record.settings), run)
    trainer.resume()
    task.module.load_state_dict(trainer.averaged())
    return task.module.eval()


def _score(options: argparse.Namespace) -> None:
    device = torch_device(options.device)
    model, autoencoder, encoder = _shipped(options.weights, device)
    how = Sampling(options.steps, options.guidance)
    share = max(1, options.scenes // len(KINDS))
    scores = score(model, autoencoder, how, encoder, seed=options.seed, edits_per_kind=share, anchored=options.anchored)
    for key, value in scores.items():
        print(f"{key:24s} {value:.3f}")
    if options.json:
        options.json.write_text(json.dumps(scores, indent=1) + "\n", "utf-8")


def _shipped(folder: Path, device: torch.device) -> tuple[BundledModel, ClipAutoencoder, DualEncoder | None]:
    """As they come back from half precision."""
    (model, autoencoder), encoder = read_parts(folder), read_encoder(folder)
    return model.to(device).eval(), autoencoder.to(device).eval(), None if encoder is None else encoder.to(device).eval()


def _ship(options: argparse.Namespace) -> None:
    device = torch_device(options.device)
    autoencoder = trained_autoencoder(options.autoencoder, device).eval()
    encoder = trained_encoder(options.encoder, device) if options.encoder else None
    record, _ = _run_of(options.model[-1], "model")
    task = ModelTask(BundledConfig(**record.config), autoencoder, seed=record.settings["seed"], device=device)
    trainer = Trainer(task, Settings(**record.settings), options.model[-1])
    trainer.resume()
    task.module.load_state_dict(trainer.averaged())
    write_bundled(options.to, task.module, autoencoder, encoder)
    print(f"{options.to}: the model after {record.step} steps and {record.seconds / 60:.0f} minutes.")
    share = options.scenes // len(KINDS)
    if share:
        model, autoencoder, encoder = _shipped(options.to, device)
        scores = score(model, autoencoder, Sampling(), encoder, seed=options.seed, edits_per_kind=share, videos=2 * share)
        runs = {"autoencoder": (_run_of(options.autoencoder, "autoencoder")[0], _size(autoencoder))}
        if encoder is not None:
            runs["dual encoder"] = _run_of(options.encoder, "encoder")[0], _size(encoder)
        runs |= {f"model, stage {stage}": (_run_of(run, "model")[0], _size(model)) for stage, run in enumerate(options.model)}
        write_card(options.to, runs, scores, {"seed": options.seed, "scenes": share * len(KINDS), "videos": 2 * share})


def _size(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def _run_of(folder: Path, task: str) -> tuple[Record, dict[str, torch.Tensor]]:
    """The run in a folder. Raises TrainingError where there is none of that task."""
    found = read_run(folder)
    if found is None or found[0].task != task:
        raise TrainingError(f"{folder} holds no run of the {task}; train one first.")
    return found


def _end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
