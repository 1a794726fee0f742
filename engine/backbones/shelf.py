"""The diffusion model that a process has loaded. Nothing is imported before the first one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.backbones import backbone

if TYPE_CHECKING:
    from engine.diffusion.backbone import DiffusionBackbone


class Backbones:
    """`backbones(name, **options)`: that model, loaded now or kept from the time before. One at a time: two rarely fit.

    `warn(sentence)` is told what a model has to say: that memory ran short, and what it did.
    """

    def __init__(self) -> None:
        self.warn: Callable[[str], None] = lambda sentence: None
        self._loaded: tuple[tuple[str, str], DiffusionBackbone] | None = None

    def __call__(self, name: str, **options: Any) -> DiffusionBackbone:
        """Raises MethodError for an unknown name, and where the model cannot be loaded."""
        wanted = name, repr(sorted(options.items()))
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = None  # its memory goes before the next one comes
            model = backbone(name, **options)
            model.warn = lambda sentence: self.warn(sentence)
            self._loaded = wanted, model
        return self._loaded[1]
