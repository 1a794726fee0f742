"""The model card that is shipped beside the weights: what they were trained on, how long, and what the checkers say."""

from __future__ import annotations

from pathlib import Path

from engine.training.checkpoint import Record
from engine.training.model import Sampling
from engine.world.words import BACKGROUNDS, COLOURS, MATERIALS, SHAPES

_TEXT = """# The bundled model

A small diffusion model for text to video and for instruction edits of pictures and clips, trained from nothing on the drawn
world (`engine/world`), at 64 × 64 pixels and up to 17 frames. It knows that world and nothing else; on any other video use
motion propagation or a hub model. Its world: {shapes};
{colours};
{materials}; on {backgrounds}.

| | autoencoder | model |
|---|---|---|
| data | scenes drawn by lot, seed {ae_seed}, none seen twice | the same, seed {seed} |
| steps | {ae_steps:,} | {steps:,} of {planned:,} planned |
| time | {ae_minutes:.0f} min | {minutes:.0f} min |
| parameters | {ae_size:.1f} M | {size:.1f} M |
| trained by | `python -m engine.training autoencoder --run AE` | `python -m engine.training model --run RUN --autoencoder AE` |

Machine: {machine}, one thread. Weights are the moving average, kept as float16. Configuration: `config.json`.

## Scores

By the exact checkers (`engine/world/checkers.py`) on {scenes} edits of 17 frames and {videos} captions of the test split, seed
{score_seed}; {sampling}. `success` = carried out, and the rest untouched.

| | |
|---|---|
{rows}

While training, on short clips of the validation split:

{curve}

## Limits

{limits}
"""


def write_card(
    folder: Path, autoencoder: tuple[Record, int], model: tuple[Record, int], scores: dict[str, float], how: dict[str, int]
) -> None:
    """Writes CARD.md. Records come with their numbers of parameters; `how`: seed, scenes and videos of the scoring."""
    (ae, ae_size), (run, size) = autoencoder, model
    text = _TEXT.format(
        shapes=", ".join(SHAPES),
        colours=", ".join(COLOURS),
        materials=", ".join(MATERIALS),
        backgrounds=", ".join(BACKGROUNDS),
        ae_seed=ae.settings["seed"],
        seed=run.settings["seed"],
        ae_steps=ae.step,
        steps=run.step,
        planned=run.settings["steps"],
        ae_minutes=ae.seconds / 60,
        minutes=run.seconds / 60,
        ae_size=ae_size / 1e6,
        size=size / 1e6,
        machine=run.machine,
        scenes=how["scenes"],
        videos=how["videos"],
        score_seed=how["seed"],
        sampling=f"{Sampling().steps} steps, guidance {Sampling().guidance:g}",
        rows="\n".join(f"| `{key}` | {_shown(key, value)} |" for key, value in scores.items()),
        curve=_curve(run),
        limits=_limits(scores),
    )
    (folder / "CARD.md").write_text(text, "utf-8")


def _shown(key: str, value: float) -> str:
    if key.startswith(("success_", "t2v_")):
        return f"{100 * value:.0f} %"
    return f"{value:.1f} dB" if key.endswith("psnr") else f"{value:.3f}"


def _curve(run: Record) -> str:
    """A table of the scores taken during training."""
    keys = ("success_colour", "success_background", "success_removal", "background_psnr", "t2v_attributes")
    head = "| step | " + " | ".join(f"`{key}`" for key in keys) + " |\n|---|" + "---|" * len(keys) + "\n"
    rows = (f"| {row['step']} | " + " | ".join(_shown(key, row[key]) for key in keys) + " |" for row in run.scores)
    return head + "\n".join(rows)


def _limits(scores: dict[str, float]) -> str:
    weak = [key.removeprefix("success_") for key, value in scores.items() if key.startswith("success_") and value < 0.5]
    said = f"Fails more often than not at: {', '.join(weak)}. " if weak else ""
    drawn = " Videos from captions show fewer than nine in ten of the asked attributes." if scores["t2v_attributes"] < 0.9 else ""
    return f"{said}{drawn} One seed, one run.".strip()
