"""Who takes part in an audition: every method with each of its models that can run here; the others with the reason."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from engine.device import free_memory, torch_device
from engine.document.project import Project
from engine.methods import METHODS
from engine.methods.cards import Card
from engine.models import MODELS, is_here
from engine.rendering.material import Material
from engine.rendering.segments import shots
from engine.types import FrameIndex, FrameRange

REACH = 120
"""Frames from the window within which a method that carries takes must find an approved anchor (our choice): it has to carry
everything between."""
MEASURING = ("analytic",)
"""Models that exist to measure methods by and are no choice for a clip."""
TEXT_NAMES = {
    "instruction": "an instruction",
    "source_prompt": "what the clip shows",
    "target_prompt": "what it should show",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A method with settings. `span`: the frames that it has to make, which hold the window that is shown."""

    method: str
    title: str
    config: dict[str, Any]
    span: FrameRange


@dataclass(frozen=True, slots=True)
class Refusal:
    """A method that cannot run here, and one sentence that says why."""

    method: str
    title: str
    why: str


def window_of(material: Material, frame: FrameIndex) -> FrameRange:
    """One second around a frame, inside its shot and the project's range."""
    project = material.project
    shot = next(one for one in shots(project, material.cuts) if frame in one).meet(project.range)
    if frame not in shot:
        shot = FrameRange(frame, frame + 1)
    length = min(len(shot), max(2, round(project.video.rate)))
    start = min(max(shot.start, frame - length // 2), shot.stop - length)
    return FrameRange(start, start + length)


def candidates(material: Material, window: FrameRange, free: float | None) -> tuple[list[Candidate], list[Refusal]]:
    """Who can run and who cannot. `free`: bytes of memory that models may use, None where it is not known."""
    able: list[Candidate] = []
    refused: list[Refusal] = []
    for name, card in METHODS.items():
        why = _lacks(material, card, window)
        if why:
            refused.append(Refusal(name, _plain(card), why))
            continue
        for config in _variants(material.project, name, card):
            title = _titled(card, config)
            why = _lacks_model(card, config, free)
            if why:
                refused.append(Refusal(name, title, why))
            else:
                able.append(Candidate(name, title, config, _span(material, window) if card.anchors else window))
    return able, refused


def free_for_models() -> float | None:
    """Bytes of memory that models may use on the chosen device; None where no model of the hub is here, or torch is not.

    Raises MethodError for a device that this machine does not have.
    """
    if not any(is_here(name) for name in MODELS) or importlib.util.find_spec("torch") is None:
        return None
    return float(free_memory(torch_device()))


def _variants(project: Project, name: str, card: Card) -> Iterator[dict[str, Any]]:
    """The settings to try: the edit's own where it is by this method, and as they come with each of the method's models."""
    mine = dict(project.edit.config) if project.edit.method == name else {}
    yield mine
    default = card.Config(**mine)
    for field in fields(card.Config):
        if field.name != "backbone":
            continue
        for choice in field.metadata["choices"]:
            if choice != default.backbone and choice not in MEASURING:
                yield {**mine, "backbone": choice}


def _titled(card: Card, config: dict[str, Any]) -> str:
    model = getattr(card.Config(**config), "backbone", "")
    return f"{_plain(card)}, {_model_title(model)}" if model else _plain(card)


def _plain(card: Card) -> str:
    """The method's title without what stands in brackets."""
    return card.title.split(" (")[0]


def _model_title(name: str) -> str:
    return MODELS[name].title if name in MODELS else f"{name} model"


def _lacks(material: Material, card: Card, window: FrameRange) -> str:
    """What keeps a method from running whatever its model, as one sentence; "" where nothing does."""
    edit = material.project.edit
    missing = [TEXT_NAMES[text] for text in card.texts if text in TEXT_NAMES and not getattr(edit, text)]
    if missing:
        return f"It reads {' and '.join(missing)}: write it under Propagate, then try again."
    if card.anchors and not _near(material, window):
        return f"It carries approved takes, and no anchor within {REACH} frames has one: approve one nearer to this frame."
    if not card.anchors and importlib.util.find_spec("torch") is None:
        return "It needs torch, which is not installed (yet): the page says at the top when it is."
    return ""


def _lacks_model(card: Card, config: dict[str, Any], free: float | None) -> str:
    """What keeps a method with these settings from running: weights that are not here, or memory."""
    said = card.Config(**config)
    models = [MODELS[value] for field in fields(said) if isinstance(value := getattr(said, field.name), str) and value in MODELS]
    for model in [*models, *(MODELS[name] for one in models for name in one.needs)]:
        if not is_here(model.name):
            place = f"fetch “{model.name}” under Models and device ({model.gigabytes:g} GB)"
            return f"The weights of {model.title} are not here: {place}."
        if free is not None and model.memory * 1e9 > free:
            return f"{model.title} needs about {model.memory:g} GB of memory, and {free / 1e9:.1f} GB are free."
    return ""


def _near(material: Material, window: FrameRange) -> list[FrameIndex]:
    """Approved anchors of the window's shot that are near enough to carry from."""
    shot = next(one for one in shots(material.project, material.cuts) if window.start in one).meet(material.project.range)
    reach = shot.meet(FrameRange(max(0, window.start - REACH), window.stop + REACH))
    return [anchor.frame for anchor in material.project.edit.carried if anchor.frame in reach]


def _span(material: Material, window: FrameRange) -> FrameRange:
    """The window and the frames up to the anchors that it is carried from, so that it comes out as in the whole run."""
    near = _near(material, window)
    start = max((frame for frame in near if frame <= window.start), default=window.start)
    stop = min((frame + 1 for frame in near if frame >= window.stop - 1), default=window.stop)
    return FrameRange(start, stop)


def as_material(material: Material, one: Candidate) -> Material:
    """The project with its edit wholly by the candidate, over its frames only."""
    edit = replace(material.project.edit, method=one.method, config=one.config, by_segment=(), on=True)
    return material.working_on(material.project.with_edit(edit), window=one.span)
