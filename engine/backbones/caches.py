"""Caches that leave out parts of a pass, against the hooks that must see all of it.

diffusers can skip blocks or attention on some steps (first-block cache, pyramid attention broadcast, FasterCache, MagCache,
SeaCache, TaylorSeer, text K/V cache). Then attention is not asked, and a block that was left out hands on an old state as if
it were new. Nothing would fail; the edit would be wrong. So a hook in use and such a cache exclude each other.
"""

from __future__ import annotations

from torch import nn

from engine.errors import MethodError

HARMLESS = frozenset(
    (
        "group_offloading",
        "layer_execution_tracker",
        "lazy_prefetch_group_offloading",
        "layerwise_casting",
        "peft_autocast_disable",
    )
)
"""Names of diffusers' hooks that move or cast weights only. Any other is refused, so a new cache is too."""


def cache_in(model: nn.Module) -> str | None:
    """The name of what skips or rearranges parts of the model's passes; None where nothing does."""
    config = getattr(model, "_cache_config", None)
    if config is not None:
        return type(config).__name__.removesuffix("Config")
    for module in model.modules():
        registry = getattr(module, "_diffusers_hook", None)
        for name, hook in registry.hooks.items() if registry is not None else ():
            if name not in HARMLESS:
                return type(hook).__name__
    return None


def refuse_caches(model: nn.Module) -> None:
    """Raises MethodError that names the cache, where one is switched on."""
    name = cache_in(model)
    if name is not None:
        raise MethodError(
            f"{name} skips parts of the model's passes, so nothing can be read or changed in them: "
            "switch it off (disable_cache) before a method that works inside the model."
        )
