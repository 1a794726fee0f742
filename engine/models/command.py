"""The verb `models`: list, fetch NAME, check NAME."""

from __future__ import annotations

import argparse
import json

from engine.errors import MethodError
from engine.models import model
from engine.models.catalogue import MODELS, Model
from engine.models.check import check
from engine.models.fetch import fetch
from engine.models.store import is_here, record_of
from engine.progress import Progress

COLUMNS = ("name", "here", "size", "memory", "licence", "source", "revision", "purpose")


def models(options: argparse.Namespace, progress: Progress) -> int:
    """What the verb does. Raises MethodError."""
    if options.action == "list":
        rows = [row_of(one) for one in MODELS.values()]
        print(json.dumps(rows, indent=1) if options.json else _table(rows))
        return 0
    if not options.name:
        raise MethodError(f"Say which model: models {options.action} NAME; “models list” names them.")
    chosen = model(options.name)
    if options.action == "fetch":
        record = fetch(chosen.name, progress, accepted=options.accept_licence)
        print(f"{chosen.title} is here: {len(record.parts)} files, {record.bytes / 1e9:.2f} GB, state {record.revision[:12]}.")
        lacking = [need for need in chosen.needs if not is_here(need)]
        if lacking:
            print(f"It works together with {', '.join(lacking)}: fetch that too.")
        return 0
    verdict = check(chosen, progress)
    print(f"{chosen.title} is sound: {verdict.files} files, {verdict.bytes / 1e9:.2f} GB, {verdict.tensors} tensors.")
    if verdict.unchecked:
        print(f"Not checked: {verdict.unchecked}.")
    return 0


def row_of(one: Model) -> dict[str, str]:
    """A model as a person reads it."""
    record = record_of(one)
    here = "yes" if is_here(one.name) else "no" if record is None else "in part"
    state = record.revision if record else one.pinned
    licence = one.licence + (" (only by your choice)" if one.chosen_only else " (account needed)" if one.gated else "")
    return {
        "name": one.name,
        "title": one.title,
        "here": here,
        "size": f"{record.bytes / 1e9:.2f} GB" if record else f"{one.gigabytes:g} GB",
        "memory": f"{one.memory:g} GB",
        "licence": licence,
        "source": one.source,
        "revision": state[:12] or "at the first fetch",
        "purpose": one.purpose,
    }


def _table(rows: list[dict[str, str]]) -> str:
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in COLUMNS}
    lines = [{name: name for name in COLUMNS}, *rows]
    return "\n".join("  ".join(line[name].ljust(widths[name]) for name in COLUMNS).rstrip() for line in lines)
