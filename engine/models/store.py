"""Where models lie, and the record of what was fetched.

They lie in the folder `models` beside the projects, each under its name and state, with a record (a small JSON file).
What another program has fetched into the hub library's cache is used where it lies.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import MethodError
from engine.models.catalogue import MODELS, Model

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Part:
    """One fetched file: its path inside the model's folder, its bytes, their sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """What a fetch left: the commit (or the file's digest) and every file. `place`: "own" folder or the "hub" library's cache."""

    revision: str
    parts: tuple[Part, ...]
    place: str = "own"

    @property
    def bytes(self) -> int:
        return sum(part.size for part in self.parts)


def home() -> Path:
    """The folder of our own records and single files."""
    return Path(os.environ.get("ANCHORLINE_HOME") or Path.home() / "Anchorline").expanduser() / "models"


def own_place(model: Model, revision: str) -> Path:
    return home() / model.name / revision[:12]


def hub_place(model: Model, revision: str) -> Path:
    """Where the hub library's cache keeps that state."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{model.repo.replace('/', '--')}" / "snapshots" / revision


def place_of(model: Model, record: Record) -> Path:
    """The folder that holds the files of a record, whether they are there or not."""
    return hub_place(model, record.revision) if record.place == "hub" else own_place(model, record.revision)


def record_of(model: Model) -> Record | None:
    """What was fetched of a model, in the state that is asked for now; None where nothing was."""
    try:
        body = json.loads((home() / f"{model.name}.json").read_text(encoding="utf-8"))
        record = Record(body["revision"], tuple(Part(**part) for part in body["parts"]), body["place"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never fetched, or cut off: the next fetch looks at the files again
    known = model.pinned in ("", record.revision)
    return record if body.get("schema") == SCHEMA and body.get("source") == model.source and known else None


def write_record(model: Model, record: Record) -> None:
    """Raises MethodError when the disk does not take it."""
    body = {"schema": SCHEMA, "source": model.source, **asdict(record)}
    part = home() / f".{model.name}.{os.getpid()}.part"
    try:
        home().mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(body, indent=1), encoding="utf-8")
        os.replace(part, home() / f"{model.name}.json")
    except OSError as error:
        raise MethodError(f"The record of {model.title} cannot be written: {error.strerror}; free some disk space.") from error
    finally:
        part.unlink(missing_ok=True)


def missing_parts(model: Model, record: Record) -> Iterator[Part]:
    """Fetched files that are gone or have another size."""
    folder = place_of(model, record)
    for part in record.parts:
        try:
            if (folder / part.path).stat().st_size != part.size:
                yield part
        except OSError:
            yield part


def is_here(name: str) -> bool:
    """Whether all of a model was fetched and is still there, as far as sizes tell."""
    record = record_of(MODELS[name])
    return record is not None and next(missing_parts(MODELS[name], record), None) is None


def models_here() -> set[str]:
    """The names of all models that are here; costs one look at the folder of records where few were fetched."""
    try:
        recorded = {file.removesuffix(".json") for file in os.listdir(home())}
    except OSError:
        return set()  # nothing was ever fetched
    return {name for name in MODELS if name in recorded and is_here(name)}


def folder_of(name: str) -> Path:
    """The folder of a model's files. Raises MethodError where the model is not here; the sentence says how to get it."""
    model = MODELS[name]
    record = record_of(model)
    if record is None:
        raise MethodError(
            f"{model.title} is not on this machine: run “python launch.py models fetch {name}”, or fetch it on the page."
        )
    gone = next(missing_parts(model, record), None)
    if gone is not None:
        raise MethodError(
            f"{model.title} is not whole, {gone.path} is missing or cut off: run “python launch.py models fetch {name}”."
        )
    return place_of(model, record)


def digest_of(name: str) -> dict[str, Any]:
    """The model as reports and content keys name it: id, revision and one digest over its files."""
    import hashlib

    model = MODELS[name]
    record = record_of(model)
    if record is None:
        return {"id": model.source, "revision": model.revision, "sha256": None}
    text = "\n".join(f"{part.sha256}  {part.path}" for part in sorted(record.parts, key=lambda part: part.path))
    return {"id": model.source, "revision": record.revision, "sha256": hashlib.sha256(text.encode()).hexdigest()}
