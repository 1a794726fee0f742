"""A training run on disk: what is needed to go on to the same result, in files of at most 15 MB.

A run is one flat folder: `run.json` names the step, the settings, the scores so far and the files that hold the tensors.
New files are written beside the old ones and `run.json` is replaced last: a run that is killed at any moment continues from
the last complete state.

A parameter takes 10 bytes: its value as float32; the moments of its gradient and the distance to its moving average as
bfloat16. The trainer rounds its own state in the same way at the same steps (`Trainer.settle`), so nothing is lost on disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.errors import EngineError

FILE_BYTES = 15_000_000


class TrainingError(EngineError):
    """A run that cannot be started, continued or trusted."""


@dataclass(slots=True)
class Record:
    """What `run.json` says. `history`: one row per settled stretch: step, loss by kind; `scores`: one row per scoring."""

    task: str
    config: dict[str, Any]
    settings: dict[str, Any]
    step: int = 0
    seconds: float = 0.0
    machine: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def write_run(folder: Path, record: Record, tensors: dict[str, Tensor]) -> None:
    """Writes the state; the files of the step before go only when the new ones count. Raises TrainingError."""
    old = record.files
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"state-{record.step:07d}-{index}.safetensors" for index, _ in enumerate(shards(tensors))]
        for name, shard in zip(names, shards(tensors), strict=True):
            save_file(shard, folder / name)
        record.files = names
        new = folder / "run.json.new"
        with open(new, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / "run.json")
    except OSError as error:
        record.files = old
        raise TrainingError(f"The run could not be saved in {folder}: {error}. Free some space and start again.") from error
    for name in old:
        if name not in names:
            (folder / name).unlink(missing_ok=True)


def read_run(folder: Path) -> tuple[Record, dict[str, Tensor]] | None:
    """The last complete state, or None where no run was begun. Raises TrainingError for a damaged one."""
    path = folder / "run.json"
    if not path.exists():
        return None
    try:
        record = Record(**json.loads(path.read_text("utf-8")))
        tensors: dict[str, Tensor] = {}
        for name in record.files:
            tensors |= load_file(folder / name)
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise TrainingError(f"The training run in {folder} cannot be read ({error}); take another folder.") from error
    return record, tensors


def shards(tensors: dict[str, Tensor], limit: int = FILE_BYTES) -> Iterator[dict[str, Tensor]]:
    """The tensors in order, in parts of at most `limit` bytes (a larger tensor alone)."""
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        bytes_ = tensor.numel() * tensor.element_size()
        if part and size + bytes_ > limit:
            yield part
            part, size = {}, 0
        part[name] = tensor.detach().cpu().contiguous()
        size += bytes_
    if part:
        yield part


def rounded(tensor: Tensor) -> Tensor:
    """The tensor as a checkpoint keeps it."""
    return tensor.to(torch.bfloat16)
