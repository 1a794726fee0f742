"""What each method can run with on this machine: the models that it may be told to use, which of them are here and fit.

Derived from the method's `Config`: a field of choices that names models of the catalogue, and from what is installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib.util import find_spec

from engine.methods import METHODS
from engine.models import MODELS, models_here

OURS = {"bundled": "Bundled model", "analytic": "Analytic model (drawn world, no weights)", "motion": "Motion propagation"}
"""Choices that need nothing from the hub."""


@dataclass(frozen=True, slots=True)
class Option:
    """One value of a method's field of models. `missing`: names of the catalogue that are not here; `memory` bytes to run, 0 for
    ours; `fits`: whether the device has that free, None where it is not known."""

    field: str
    value: str
    title: str
    missing: tuple[str, ...]
    memory: float
    fits: bool | None

    @property
    def ready(self) -> bool:
        """Whether it can be used now."""
        return not self.missing and self.fits is not False

    @property
    def need(self) -> str:
        """What is missing, in a few words; "" where nothing is."""
        said = []
        if self.missing:
            download = sum(MODELS[name].gigabytes for name in self.missing)
            said.append(f"{download:g} GB to download")
        if self.memory:
            short = ", more than is free" if self.fits is False else ""
            said.append(f"about {self.memory / 1e9:g} GB of memory{short}")
        return ", ".join(said) if self.missing or self.fits is False else ""

    @property
    def label(self) -> str:
        """As a list of choices shows it."""
        return f"{self.title} – {self.need}" if self.need else self.title


@dataclass(frozen=True, slots=True)
class Fitting:
    """A method with its options, those that can be used now first, then those that need least. `lacks`: a package that the
    method needs and that is not installed, or ""."""

    name: str
    title: str
    options: tuple[Option, ...]
    lacks: str

    @property
    def ready(self) -> bool:
        """Whether it can run now, with one option for each of its fields."""
        every = {option.field for option in self.options}
        return not self.lacks and all(any(one.ready for one in self.options if one.field == field) for field in every)

    def of_field(self, field: str) -> list[Option]:
        return [option for option in self.options if option.field == field]


def fittings(free: int | None = None) -> list[Fitting]:
    """All methods, those that can run here first; `free`: bytes that the device has free, None where nobody has looked."""
    here, has_torch = models_here(), find_spec("torch") is not None
    found = [_fitting(name, here, free, has_torch) for name in METHODS]
    return sorted(found, key=lambda one: not one.ready)


def _fitting(name: str, here: set[str], free: int | None, has_torch: bool) -> Fitting:
    card = METHODS[name]
    options = [
        _option(field.name, value, here, free)
        for field in fields(card.Config)
        if names_models(choices := field.metadata.get("choices", ()))
        for value in choices
    ]
    ranked = sorted(options, key=lambda one: (not one.ready, one.fits is False, one.memory))
    return Fitting(name, card.title, tuple(ranked), "torch" if options and not has_torch else "")


def names_models(choices: Iterable[str]) -> bool:
    """Whether a field of choices says which model is used."""
    return any(value in MODELS or value == "bundled" for value in choices)


def _option(field: str, value: str, here: set[str], free: int | None) -> Option:
    if value not in MODELS:
        return Option(field, value, OURS.get(value, value), (), 0.0, None)
    model = MODELS[value]
    missing = tuple(name for name in (value, *model.needs) if name not in here)
    memory = model.memory * 1e9
    return Option(field, value, model.title, missing, memory, None if free is None else memory <= free)
