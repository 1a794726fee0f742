"""The model card that is shipped beside the weights: what they were trained on, how long, and what the checkers say."""

from __future__ import annotations

from pathlib import Path

from engine.training.checkpoint import Record
from engine.training.score import Sampling
from engine.world.words import BACKGROUNDS, COLOURS, MATERIALS, SHAPES

_TEXT = """# The bundled model

A small diffusion model for text to video and for instruction edits of pictures and clips, trained from nothing on the drawn
world (`engine/world`), at 64 × 64 pixels and up to 17 frames. It knows that world and nothing else; on any other video use
motion propagation or a hub model. Its world: {shapes};
{colours};
{materials}; on {backgrounds}.

{parts}

Data: scenes drawn by lot, none seen twice in a run. Machine: {machine}, one thread, shared with other work. Weights are the
moving average, kept as float16. Configuration: `config.json`. Commands: `python -m engine.training --help`.

## Scores

By the exact checkers (`engine/world/checkers.py`) on {scenes} edits of 17 frames and {videos} captions of the test split, seed
{score_seed}; {sampling}. `success` = carried out, and the rest untouched.

| | |
|---|---|
{rows}

While training, on 36 edits and 12 captions of the validation split (stage 0: stills):

{curve}

## Limits

{limits}
"""


def write_card(folder: Path, runs: dict[str, tuple[Record, int]], scores: dict[str, float], how: dict[str, int]) -> None:
    """Writes CARD.md. `runs`: by name, in the order in which they were trained, with their numbers of parameters; `how`: seed,
    scenes and videos of the scoring."""
    text = _TEXT.format(
        shapes=", ".join(SHAPES),
        colours=", ".join(COLOURS),
        materials=", ".join(MATERIALS),
        backgrounds=", ".join(BACKGROUNDS),
        parts=_parts(runs),
        machine=next(reversed(runs.values()))[0].machine,
        scenes=how["scenes"],
        videos=how["videos"],
        score_seed=how["seed"],
        sampling=f"{Sampling().steps} steps, guidance {Sampling().guidance:g}",
        rows="\n".join(f"| `{key}` | {_shown(key, value)} |" for key, value in scores.items()),
        curve=_curve([record for record, _ in runs.values() if record.task == "model"]),
        limits=_limits(scores),
    )
    (folder / "CARD.md").write_text(text, "utf-8")


def _parts(runs: dict[str, tuple[Record, int]]) -> str:
    head = "| part | steps | time | parameters | seed |\n|---|---|---|---|---|\n"
    rows = (
        f"| {name} | {run.step:,} of {run.settings['steps']:,} planned | {run.seconds / 60:.0f} min | {size / 1e6:.1f} M "
        f"| {run.settings['seed']} |"
        for name, (run, size) in runs.items()
    )
    return head + "\n".join(rows)


def _shown(key: str, value: float) -> str:
    if key.startswith(("success_", "t2v_")):
        return f"{100 * value:.0f} %"
    return f"{value:.1f} dB" if key.endswith("psnr") else f"{value:.3f}"


def _curve(runs: list[Record]) -> str:
    """A table of the scores taken during training."""
    keys = ("success_colour", "success_background", "success_removal", "background_psnr", "t2v_attributes")
    head = "| step | " + " | ".join(f"`{key}`" for key in keys) + " |\n|---|" + "---|" * len(keys) + "\n"
    rows = (
        f"| {row['step']} | " + " | ".join(_shown(key, row[key]) for key in keys) + " |" for run in runs for row in run.scores
    )
    return head + "\n".join(rows)


def _limits(scores: dict[str, float]) -> str:
    weak = [key.removeprefix("success_") for key, value in scores.items() if key.startswith("success_") and value < 0.5]
    said = f"Fails more often than not at: {', '.join(weak)}. " if weak else ""
    drawn = " Videos from captions show fewer than nine in ten of the asked attributes." if scores["t2v_attributes"] < 0.9 else ""
    return f"{said}{drawn} One seed, one run.".strip()
