"""The review of an opened project, made anew only when something that it rests on has changed."""

from __future__ import annotations

import hashlib
import json
import threading

from engine import Certificate, Estimate, InstantPreview, Material, PaceBook, Review, certificate_of, estimate_of, review_of


class Reviewing:
    """Keeps one review per session. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[str, Review] | None = None
        self._proved: tuple[object, Certificate] | None = None
        self._estimate: tuple[object, Estimate] | None = None

    @staticmethod
    def key(material: Material, instant: InstantPreview) -> str:
        """Changes when the review may have changed: the document, what is rendered, previewed, carried, tracked."""
        keys = {layer.key_of(one): layer.is_done(one) for layer in material.whole.layers for one in layer.segments}
        done = [[key, is_done, len(instant.measures(key))] for key, is_done in keys.items()]
        carried = [[span.key, material.carried(span)] for one in material.project.subjects for span in material.spans(one.id)]
        tracked = any(one.track_points for one in material.project.subjects)
        solved = len(list(material.workspace.points("any").parent.glob("*/done.json"))) if tracked else 0
        anchors = [[one.frame, one.chosen, len(one.takes)] for one in material.project.edit.anchors]
        ready = bool(material.pack and material.pack.complete)
        mine = [material.key_of(one) for one in material.segments]
        said = [done, mine, carried, solved, anchors, ready, [[one.id, one.name] for one in material.project.subjects]]
        return hashlib.sha256(json.dumps([material.project.edit.method, said]).encode()).hexdigest()[:16]

    def of(self, material: Material, instant: InstantPreview) -> Review:
        """The review of the version that `material` holds. Raises EngineError where what it rests on cannot be read."""
        key = self.key(material, instant)
        with self._lock:
            if self._known is None or self._known[0] != key:
                self._known = (key, review_of(material, instant.measures))
            return self._known[1]

    def estimate(self, material: Material, instant: InstantPreview) -> Estimate:
        """What propagating would do and cost; looked at again when something has changed, or a run has noted its costs."""
        book = PaceBook()
        name = (self.key(material, instant), material.project, book.changed)
        with self._lock:
            if self._estimate is None or self._estimate[0] != name:
                self._estimate = (name, estimate_of(material, book))
            return self._estimate[1]

    def certificate(self, material: Material, instant: InstantPreview) -> Certificate:
        """What is proved of the rendered files; looked at again when something was rendered or proved."""
        name = (self.key(material, instant), sorted(material.workspace.segment("any").parent.glob("*/certificate.json")))
        with self._lock:
            if self._proved is None or self._proved[0] != name:
                self._proved = (name, certificate_of(material))
            return self._proved[1]
