"""Whether a fetched model is what it should be: every file there, unchanged, sound; every tensor there, of its shape, finite."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.errors import MethodError
from engine.models.catalogue import Model
from engine.models.fetch import sha256_of
from engine.models.forms import check_form, first_not_finite, tensors
from engine.models.store import missing_parts, place_of, record_of
from engine.models.weights import COVERED, check_keys, load_weights
from engine.progress import Progress

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was checked; `unchecked` says what could not be, and why ("" = all was)."""

    files: int
    bytes: int
    tensors: int
    unchecked: str = ""


def check(model: Model, progress: Progress) -> Verdict:
    """Raises MethodError with the first thing that is wrong."""
    record = record_of(model)
    again = f"run “python launch.py models fetch {model.name}”"
    if record is None:
        raise MethodError(f"{model.title} is not on this machine: {again}.")
    for part in missing_parts(model, record):
        raise MethodError(f"{part.path} of {model.title} is missing or cut off: {again}.")
    folder = place_of(model, record)
    progress.total += max(1, record.bytes // 10**6)
    step, done, count = progress.part(f"Checking {model.title}", max(1, record.bytes // 10**6)), 0, 0
    for part in record.parts:
        if sha256_of(folder / part.path) != part.sha256:
            raise MethodError(
                f"{part.path} of {model.title} has changed since it was fetched: delete {folder / part.path}, then {again}."
            )
        check_form(folder / part.path)
        count += _check_tensors(folder / part.path)
        done += part.size
        step(done, max(1, record.bytes))
    return Verdict(len(record.parts), record.bytes, count, _check_coverage(folder))


def _check_tensors(path: Path) -> int:
    """How many tensors a file of weights holds. Raises MethodError for numbers that are none."""
    if path.suffix == ".safetensors":
        wrong = first_not_finite(path)
        if wrong:
            raise MethodError(f"{path.name} holds values that are no numbers (in {wrong}): fetch the model again.")
        return len(tensors(path))
    if path.suffix in (".pth", ".pt") and find_spec("torch"):
        return len(load_weights(path))
    return 0


def _check_coverage(folder: Path) -> str:
    """Compares every part's files with the class that its configuration names. Returns what could not be compared."""
    if not (find_spec("torch") and find_spec("transformers") and find_spec("diffusers")):
        return "whether every tensor is there: model packages are not installed yet"
    left = []
    for config in sorted({*folder.glob("config.json"), *folder.glob("*/config.json")}):
        files = [path for path in config.parent.glob("*.safetensors") if path.is_file()]
        wanted = shapes_of(config) if files else {}
        if wanted is None:
            left.append(config.parent.name if config.parent != folder else "the class that its configuration names")
        elif files:
            found: Shapes = {name: entry.shape for path in files for name, entry in tensors(path).items()}
            check_covers(wanted, found, files[0].relative_to(folder).as_posix())
    return f"tensors one by one against {', '.join(left)}" if left else ""


def check_covers(wanted: Shapes, found: Shapes, name: str) -> None:
    """Raises MethodError where files do not cover a model. Files of older libraries name tensors otherwise, and these are
    renamed while they are loaded: then there must be a tensor of the same size for every one that is wanted."""
    sizes = Counter(math.prod(shape) for shape in wanted.values())
    lacking = sum((sizes - Counter(math.prod(shape) for shape in found.values())).values())
    if lacking > (1 - COVERED) * len(wanted):
        check_keys(wanted, found, name)


def shapes_of(config: Path) -> Shapes | None:
    """Names and shapes of the tensors of the class in a configuration; None for a class that cannot be built here.

    Classes come from the installed libraries by name; they are built without memory for their tensors.
    """
    body = json.loads(config.read_text(encoding="utf-8"))
    if not (body.get("_class_name") or body.get("architectures")):
        return None
    import torch

    try:
        with torch.device("meta"):
            made = _from_diffusers(body) or _from_transformers(config, body)
    except (TypeError, ValueError, AttributeError, RuntimeError, ImportError):  # of a newer library than this one
        return None
    if made is None:
        return None
    tied = [re.compile(pattern) for pattern in getattr(made, "_tied_weights_keys", None) or ()]
    buffers = {name for name, _ in made.named_buffers()}
    state = made.state_dict()
    kept = [name for name in state if name not in buffers and not any(one.search(name) for one in tied)]
    return {name: tuple(state[name].shape) for name in kept}


def _from_diffusers(body: dict[str, Any]) -> Any:
    import diffusers

    name = str(body.get("_class_name", ""))
    made = getattr(diffusers, name, None) if name.isidentifier() else None
    if not (isinstance(made, type) and issubclass(made, diffusers.ModelMixin)):
        return None
    return made.from_config(body)


def _from_transformers(config: Path, body: dict[str, Any]) -> Any:
    import transformers

    names = body.get("architectures") or [""]
    name = str(names[0]) if isinstance(names, list) else ""
    made = getattr(transformers, name, None) if name.isidentifier() else None
    if not (isinstance(made, type) and issubclass(made, transformers.PreTrainedModel)):
        return None
    configuration: Any = made.config_class
    return made(configuration.from_json_file(str(config)))
