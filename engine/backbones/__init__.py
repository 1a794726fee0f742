"""The diffusion backbones, by name. A new one is one file here and one line below; the conformance tests run on it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.errors import MethodError

if TYPE_CHECKING:
    from engine.diffusion.backbone import DiffusionBackbone

BACKBONES = {
    "analytic": "engine.backbones.analytic:AnalyticBackbone",
    "bundled": "engine.backbones.bundled:load",
}
"""Name -> where the class is; nothing is imported before it is asked for."""


def backbone(name: str, **options: Any) -> DiffusionBackbone:
    """The backbone of that name, loaded now, made with its own options. Raises MethodError for an unknown one."""
    if name not in BACKBONES:
        raise MethodError(f'There is no backbone "{name}"; there are: {", ".join(BACKBONES)}.')
    module, _, attribute = BACKBONES[name].partition(":")
    made: DiffusionBackbone = getattr(import_module(module), attribute)(**options)
    return made
