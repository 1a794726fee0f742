"""What is wrong, or may be, with a project: a list by severity, each entry with its place, one sentence and what to do.

Every entry rests on a measure (engine/review/measures.py) or on a fact of the document and its files; frames in a row that have
the same trouble are one entry. Severity goes from 0 to 1: where a measure goes from 0 to 1 it is that, for facts it is our
choice, below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.methods import card
from engine.quality import WORTH, levels, suggestions
from engine.rendering.material import Material
from engine.rendering.render import spans_to_carry
from engine.rendering.segments import shots
from engine.review.changes import drifts, jumps
from engine.review.facts import facts_of
from engine.review.measures import FrameMeasures, Previewed, measures_of
from engine.review.runs import Run, runs_of
from engine.types import FrameIndex, FrameRange

DOUBTFUL = 0.5
"""Doubt from which a frame is told of (our choice)."""
UNSURE = 0.35
"""The same for a carried mask: it is less than 65 % sure."""
LOST = 0.5
"""The same for a tracked point."""
DRIFTED = 12.0
"""Levels by which the edit's mean colour may differ from that of its anchors."""
DRIFT_FULL = 48.0
"""Levels at which drift counts as 1."""
JUMP = 0.35
"""Share by which the edited region may grow or shrink from one frame to the next."""
STRAYED = 24.0
"""Levels by which a method may miss an approved take before the lock puts it right."""
SEVERE, NOTABLE = 0.66, 0.33
"""From which severity on an entry is "severe", or "doubtful"; below it is a "note" (our choice)."""

ACTS = {
    "correct_mask": "Correct the mask here",
    "correct_point": "Put the point right here",
    "add_anchor": "Add an anchor here",
    "make_take": "Make a take here",
    "approve": "Approve this take",
    "carry": "Carry the masks",
    "propagate": "Propagate",
    "look": "Look at it",
}
"""What can be done about an entry: name -> what its button says."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An entry. Frames [start, stop), `frame` the place to look at; `act` one of ACTS; `subject` whom it is about, or None."""

    kind: str
    start: FrameIndex
    stop: FrameIndex
    frame: FrameIndex
    severity: float
    sentence: str
    act: str
    subject: int | None = None

    @property
    def level(self) -> str:
        """ "severe", "doubtful" or "note"."""
        return "severe" if self.severity >= SEVERE else "doubtful" if self.severity >= NOTABLE else "note"

    def as_json(self) -> dict[str, Any]:
        """As the page and the report hold it."""
        return {**asdict(self), "severity": round(self.severity, 3), "level": self.level, "says": ACTS[self.act]}


@dataclass(frozen=True, eq=False, slots=True)
class Review:
    """All that was measured, and the entries, worst first; of one severity in the order of frames."""

    frames: int
    measures: FrameMeasures
    problems: tuple[Problem, ...]

    def lanes(self) -> dict[str, Any]:
        """Doubt of every frame as text, 0 sure … 9 not at all, - not measured (engine/quality.py `levels`): `doubt` of the
        edit, `unseen` share, `masks` and `points` by subject, and `worst` of all of them."""
        each: dict[str, dict[str, Mapping[FrameIndex, float]]] = {
            "masks": {str(one): _doubted(sure) for one, sure in self.measures.masks.items()},
            "points": {str(one): self.measures.lost_points(one) for one in self.measures.points},
        }
        single = {"doubt": self.measures.doubt, "unseen": self.measures.unseen()}
        worst: dict[FrameIndex, float] = {}
        for values in [single["doubt"], *(lane for lanes in each.values() for lane in lanes.values())]:
            for frame, value in values.items():
                worst[frame] = max(value, worst.get(frame, 0.0))
        told: dict[str, Any] = {name: levels(values, self.frames) for name, values in {**single, "worst": worst}.items()}
        told |= {name: {one: levels(values, self.frames) for one, values in lanes.items()} for name, lanes in each.items()}
        return told

    def as_json(self) -> dict[str, Any]:
        return {"lanes": self.lanes(), "problems": [one.as_json() for one in self.problems]}


def _doubted(sure: Mapping[FrameIndex, float]) -> dict[FrameIndex, float]:
    return {frame: 1 - value for frame, value in sure.items()}


def review_of(material: Material, previewed: Previewed = lambda key: {}) -> Review:
    """Of a version of a project. `previewed(key)`: what was noted of frames of a segment that is not rendered yet.

    Cheap but for reading what was noted: no picture is decoded. Raises nothing of its own.
    """
    measures = measures_of(material, previewed)
    found = [*_of_measures(material, measures), *_of_document(material), *_next_anchor(material, measures)]
    found += facts_of(material, measures.damaged, Problem)
    ranked = sorted(found, key=lambda one: (-round(one.severity, 3), one.frame, one.kind))
    return Review(material.project.video.frames, measures, tuple(ranked))


# --- what is measured ----------------------------------------------------------------------------------------


def _of_measures(material: Material, measures: FrameMeasures) -> Iterator[Problem]:
    cuts = material.cuts
    anchors = {anchor.frame for anchor in material.project.edit.approved}
    unseen = measures.unseen()
    for run in runs_of(measures.doubt, DOUBTFUL, cuts):
        yield _doubt(run, measures.noted[run.frame], unseen.get(run.frame, 0.0))
    for subject, sure in measures.masks.items():
        name = material.project.subject(subject).name
        for run in runs_of(_doubted(sure), UNSURE, cuts):
            said = f"The mask of “{name}” is carried with little trust, at worst {1 - run.value:.0%}."
            yield _entry("mask", run, run.value, said, "correct_mask", subject=subject)
    for subject in measures.points:
        name = material.project.subject(subject).name
        for run in runs_of(measures.lost_points(subject), LOST, cuts):
            said = f"A tracked point of “{name}” hardly looks like itself, at worst {1 - run.value:.0%}."
            yield _entry("point", run, run.value, said, "correct_point", subject=subject)
    for run in runs_of(drifts(measures.noted, sorted(anchors), cuts), DRIFTED, cuts):
        said = f"The edit's mean colour is {run.value:.0f} levels away from that of its anchors."
        yield _entry("drift", run, min(1.0, run.value / DRIFT_FULL), said, "add_anchor")
    for run in runs_of(jumps(measures.noted, cuts), JUMP, cuts, 0):
        said = f"The edited region grows or shrinks by {run.value:.0%} from one frame to the next."
        yield _entry("jump", run, min(1.0, run.value), said, "correct_mask", subject=_only_subject(material))
    strayed = {frame: float(one["strayed"]) for frame, one in measures.noted.items() if "strayed" in one}
    for run in runs_of(strayed, STRAYED, cuts, 0):
        said = f"The method missed the approved take by {run.value:.0f} levels; frames nearby are corrected towards it."
        yield _entry("strayed", run, min(1.0, run.value / 128), said, "add_anchor")


def _entry(kind: str, run: Run, severity: float, sentence: str, act: str, *, subject: int | None = None) -> Problem:
    return Problem(kind, run.start, run.stop, run.frame, severity, sentence, act, subject)


def _doubt(run: Run, noted: Mapping[str, Any], unseen: float) -> Problem:
    """Says what the doubt is made of at its worst frame."""
    if unseen >= run.value / 2:
        said = f"No anchor saw {unseen:.0%} of the region here; it is filled in."
    else:
        said = f"What is carried here hardly fits any more: confidence {float(noted['confidence']):.0%} at worst."
    return _entry("unseen" if unseen >= run.value / 2 else "doubt", run, run.value, said, "add_anchor")


def _only_subject(material: Material) -> int | None:
    subjects = material.project.edited_subjects()
    return subjects[0].id if len(subjects) == 1 else None


def _next_anchor(material: Material, measures: FrameMeasures) -> Iterator[Problem]:
    """The frame that would gain most by an anchor, where it is worth it."""
    anchors = [anchor.frame for anchor in material.project.edit.carried]
    spans = sorted({segment.shot for segment in material.segments}, key=lambda shot: shot.start)
    best = next(iter(suggestions(measures.noted, anchors, spans)), None)
    if best is not None and best.gain >= WORTH:
        said = f"An anchor here would take away most doubt: {best.gain:.0%} of it on average."
        worth = min(0.6, 0.3 + best.gain)
        yield Problem("next_anchor", best.frame, best.frame + 1, best.frame, worth, said, "add_anchor")


# --- what the document and its files say -----------------------------------------------------------------------


def _of_document(material: Material) -> Iterator[Problem]:
    yield from _uncarried(material)
    yield from _shots_without_anchor(material)


def _uncarried(material: Material) -> Iterator[Problem]:
    for span in spans_to_carry(material):
        start, stop = span.range.start, span.range.stop
        said = "Masks are not carried over these frames yet."
        yield Problem("uncarried", start, stop, start, 0.3, said, "carry", span.subject)


def _shots_without_anchor(material: Material) -> Iterator[Problem]:
    """Shots between cuts that the method leaves as they are, once something is edited at all."""
    project = material.project
    approved = [anchor.frame for anchor in project.edit.approved]
    if not approved or not card(project.edit.method).anchors:
        return
    for shot in shots(project, material.cuts):
        span = shot.meet(project.range)
        if not len(span) or any(frame in span for frame in approved):
            continue
        marked = _marked_in(material, span)
        said = "This shot has no approved anchor, so nothing of it is edited."
        if not marked and not project.whole_frame:
            said = "This shot has neither marks nor an anchor; if the subject is in it, mark it and add an anchor."
        severity = 0.9 if marked or project.whole_frame else 0.25
        middle = (span.start + span.stop) // 2
        yield Problem("no_anchor", span.start, span.stop, middle, severity, said, "add_anchor")


def _marked_in(material: Material, span: FrameRange) -> bool:
    edited = {subject.id for subject in material.project.edited_subjects()}
    return any(key.frame in span and key.subject in edited for key in material.project.keyframes)
