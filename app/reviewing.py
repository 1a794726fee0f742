"""The review of an opened project, made anew only when something that it rests on has changed."""

from __future__ import annotations

import hashlib
import json
import threading

from engine import InstantPreview, Material, Review, review_of


class Reviewing:
    """Keeps one review per session. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[str, Review] | None = None

    @staticmethod
    def key(material: Material, instant: InstantPreview) -> str:
        """Changes when the review may have changed: the document, what is rendered, previewed, carried, tracked."""
        keys = [material.key_of(one) for one in material.segments]
        done = [
            [key, material.is_done(one), len(instant.measures(key))] for key, one in zip(keys, material.segments, strict=True)
        ]
        carried = [[span.key, material.carried(span)] for one in material.project.subjects for span in material.spans(one.id)]
        tracked = any(one.track_points for one in material.project.subjects)
        solved = len(list(material.workspace.points("any").parent.glob("*/done.json"))) if tracked else 0
        anchors = [[one.frame, one.chosen, len(one.takes)] for one in material.project.edit.anchors]
        ready = bool(material.pack and material.pack.complete)
        said = [done, carried, solved, anchors, ready, [[one.id, one.name] for one in material.project.subjects]]
        return hashlib.sha256(json.dumps([material.project.edit.method, said]).encode()).hexdigest()[:16]

    def of(self, material: Material, instant: InstantPreview) -> Review:
        """The review of the version that `material` holds. Raises EngineError where what it rests on cannot be read."""
        key = self.key(material, instant)
        with self._lock:
            if self._known is None or self._known[0] != key:
                self._known = (key, review_of(material, instant.measures))
            return self._known[1]
