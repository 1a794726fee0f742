"""The diffusion backbones, by name. A new one is one file here and one line below; the conformance tests run on it.

Two are always here. The others come from the hub and are called what the models' catalogue calls them.
"""

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
HUB = {
    "wan2.1-1.3b": "engine.backbones.wan:load",
    "wan2.1-14b": "engine.backbones.wan:load",
    "wan2.2-5b": "engine.backbones.wan:load",
    "wan2.1-vace-1.3b": "engine.backbones.vace:load",
    "wan2.1-vace-14b": "engine.backbones.vace:load",
    "wan2.1-flf2v-14b": "engine.backbones.vace:load_first_last",
    "instruct-pix2pix": "engine.backbones.instruct_pix2pix:load",
    "instruct-pix2pix-xl": "engine.backbones.instruct_pix2pix:load",
    "animatediff-1.5.2": "engine.backbones.animatediff:load",
}
"""Name in the catalogue -> what loads a model from its folder."""


def backbone(name: str, **options: Any) -> DiffusionBackbone:
    """The backbone of that name, loaded now, made with its own options; hub models take `device`, `dtype` and `offload`.

    Raises MethodError for an unknown one, one that was not fetched or is not whole, or where the memory cannot do.
    """
    if name not in BACKBONES and name not in HUB:
        raise MethodError(f'There is no backbone "{name}"; there are: {", ".join((*BACKBONES, *HUB))}.')
    if name in HUB:
        options = _fetched(name) | options
    module, _, attribute = (BACKBONES | HUB)[name].partition(":")
    made: DiffusionBackbone = getattr(import_module(module), attribute)(**options)
    return made


def _fetched(name: str) -> dict[str, Any]:
    """Where the model lies and what it is called; `base`: where the model lies that it works with."""
    from engine.models import folder_of, model

    entry = model(name)
    found: dict[str, Any] = {"folder": folder_of(name), "title": entry.title}
    return found | ({"base": folder_of(entry.needs[0])} if entry.needs else {})
