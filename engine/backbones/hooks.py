"""The hooks that every backbone offers, kept in one place: attention control, states read, states changed.

A backbone derives from `Hooks`, hands `self.installed` to its attention calls and its states to `self.passing`. All three
hooks are context managers and nest: what was there before a block is there after it, however the block ends. One instance
serves one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import getLogger

from torch import Tensor, nn

from engine.diffusion.attention import AttentionControl
from engine.diffusion.backbone import Condition
from engine.errors import MethodError


class Hooks:
    """`sites`: the names that `features` and `inject` take, in the order in which a pass meets them.

    `takes`: the tensors of a Condition that the model has an input for.
    """

    takes: tuple[str, ...] = ("source",)

    @property
    def denoiser(self) -> nn.Module | None:
        """The network that an adapter is put on; None where there are no weights."""
        return None

    def __init__(self, sites: tuple[str, ...]) -> None:
        self.sites = sites
        self.warn: Callable[[str], None] = getLogger(__name__).warning
        self.installed: AttentionControl | None = None
        self._readers: dict[str, tuple[list[Tensor], ...]] = dict.fromkeys(sites, ())
        self._changes: dict[str, tuple[Callable[[Tensor], Tensor], ...]] = dict.fromkeys(sites, ())

    @contextmanager
    def control(self, control: AttentionControl) -> Iterator[None]:
        """Within the block `control` is asked at every attention call; an inner block's control stands in for the outer's."""
        before, self.installed = self.installed, control
        try:
            yield
        finally:
            self.installed = before

    @contextmanager
    def features(self, site: str) -> Iterator[list[Tensor]]:
        """Within the block, every pass through `site` appends its state, with gradients, after any change to it.

        Raises MethodError for an unknown site.
        """
        before = self._readers[self._known(site)]
        got: list[Tensor] = []
        self._readers[site] = (*before, got)
        try:
            yield got
        finally:
            self._readers[site] = before

    @contextmanager
    def inject(self, site: str, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Within the block, `change` replaces the state at `site`; an inner block's change works on the outer's result.

        Raises MethodError for an unknown site.
        """
        before = self._changes[self._known(site)]
        self._changes[site] = (*before, change)
        try:
            yield
        finally:
            self._changes[site] = before

    def passing(self, site: str, state: Tensor) -> Tensor:
        """What goes on from `site` with this state. Raises ValueError where a change returns another shape."""
        for change in self._changes[site]:
            changed = change(state)
            if changed.shape != state.shape:
                raise ValueError(f'the change at "{site}" made {tuple(changed.shape)} of {tuple(state.shape)}')
            state = changed
        for reader in self._readers[site]:
            reader.append(state)
        return state

    def watched(self, site: str) -> bool:
        """Whether anyone reads or changes the state at `site`."""
        return bool(self._changes[site] or self._readers[site])

    @property
    def busy(self) -> bool:
        """Whether any hook is in use."""
        return self.installed is not None or any(map(self.watched, self.sites))

    def accept(self, condition: Condition | None) -> None:
        """Raises MethodError, naming it, for a part of the condition that the model has no input for."""
        unknown = sorted(condition.given().difference(self.takes)) if condition else []
        if unknown:
            taken = f"it takes: {', '.join(self.takes)}" if self.takes else "it goes by text alone"
            raise MethodError(f"This model has no input for: {', '.join(unknown)}; {taken}. Choose another model.")

    def _known(self, site: str) -> str:
        if site not in self._readers:
            raise MethodError(f'This model has no site "{site}"; it has: {", ".join(self.sites)}.')
        return site
