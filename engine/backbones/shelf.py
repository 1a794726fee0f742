"""The diffusion model that a process has loaded. Nothing is imported before the first one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.backbones import backbone

if TYPE_CHECKING:
    from engine.diffusion.backbone import DiffusionBackbone


class Backbones:
    """`backbones(name, **options)`: that model, loaded now or kept from the time before. One at a time: two rarely fit."""

    def __init__(self) -> None:
        self._loaded: tuple[tuple[str, str], DiffusionBackbone] | None = None

    def __call__(self, name: str, **options: Any) -> DiffusionBackbone:
        """Raises MethodError for an unknown name, and where the model cannot be loaded."""
        wanted = name, repr(sorted(options.items()))
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = None  # its memory goes before the next one comes
            self._loaded = wanted, backbone(name, **options)
        return self._loaded[1]
