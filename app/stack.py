"""The stack of edits as the page shows it."""

from __future__ import annotations

import hashlib
from typing import Any

from engine import Edit, Material, finished_below


def edits_view(material: Material) -> dict[str, Any]:
    """`edit`: the number of the one that is worked on; `edits`: all of them, from the lowest up."""
    project = material.project
    return {"edit": project.edit.id, "edits": [_edit_view(edit) for edit in project.edits]}


def _edit_view(edit: Edit) -> dict[str, Any]:
    return {
        "id": edit.id,
        "name": edit.name,
        "on": edit.on,
        "method": edit.method,
        "subjects": None if edit.subjects is None else list(edit.subjects),
        "anchors": len(edit.anchors),
        "approved": len(edit.approved),
        "by_segment": [[one.start, one.stop, one.method] for one in edit.by_segment],
    }


def below_view(material: Material) -> dict[str, Any] | None:
    """Where the result of the edits below is, as half-open ranges, under a key that changes with it; None for the lowest."""
    if material.below is None:
        return None
    keys = "".join(material.keys_below(material.project.range))
    ranges = [[span.start, span.stop] for span in finished_below(material)]
    return {"key": hashlib.sha256(keys.encode()).hexdigest()[:16], "ranges": ranges}
