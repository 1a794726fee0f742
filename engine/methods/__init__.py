"""The methods, by name. A new one is one file here and one line below; panel, recipe and tests follow from it."""

from __future__ import annotations

from importlib import import_module

from engine.errors import MethodError
from engine.methods.base import Method

METHODS = {
    "motion": "engine.methods.motion:Motion",
}


def method(name: str) -> Method:
    """The method of that name, loaded now. Raises MethodError for an unknown one."""
    if name not in METHODS:
        raise MethodError(f'There is no method "{name}"; there are: {", ".join(METHODS)}.')
    module, _, attribute = METHODS[name].partition(":")
    made: Method = getattr(import_module(module), attribute)()
    return made
