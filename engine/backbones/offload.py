"""Where a hub model's weights are, chosen from the memory that is free, and what happens when that was too hopeful.

    whole    everything stays on the device
    parts    transformer (or UNet) and autoencoder take turns there, the other one waits in main memory
    blocks   the transformer waits in main memory and comes block by block, the next while the last is at work

When the device runs out of memory in the middle of a job, the next of these is taken, for the autoencoder also tiles
instead of whole pictures, and the pass is done again; that is said. What was lost is one pass. A model that still does not
fit says so in one sentence with what would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import torch

from engine.device import device_name, free_memory, has_streams, is_out_of_memory, let_go
from engine.diffusion.backbone import OutOfMemory

Mode = Literal["whole", "parts", "blocks"]
Part = Literal["model", "autoencoder"]
MODES: tuple[Mode, ...] = get_args(Mode)
BLOCK_SHARE = 0.1
"""Of the model's weights that are on the device at once by blocks: one at work, one on its way, and what is in no block."""
Warn = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes: the weights of the model and of its autoencoder, and `room` for what a pass works with."""

    title: str
    model: int
    autoencoder: int
    room: int

    def on_device(self, mode: Mode) -> int:
        """Bytes that must be free on the device."""
        if mode == "whole":
            return self.model + self.autoencoder + self.room
        model = self.model if mode == "parts" else int(BLOCK_SHARE * self.model)
        return max(model, self.autoencoder) + self.room


def choose(needs: Needs, device: torch.device, free: int | None = None, main: int | None = None) -> Mode:
    """The fastest way that fits into the free bytes of the device and of main memory (None = measure).

    Raises OutOfMemory where none does.
    """
    free = free_memory(device) if free is None else free
    if device.type == "cpu":
        fits: list[Mode] = ["whole"] if needs.on_device("whole") <= free else []
    else:
        main = free_memory(torch.device("cpu")) if main is None else main
        waiting = {"whole": 0, "parts": needs.model + needs.autoencoder, "blocks": needs.model + needs.autoencoder}
        fits = [mode for mode in MODES if needs.on_device(mode) <= free and waiting[mode] <= main]
    if fits:
        return fits[0]
    least = needs.on_device("whole" if device.type == "cpu" else "blocks")
    waits = "" if device.type == "cpu" else f", and {_gigabytes(needs.model + needs.autoencoder)} of main memory"
    raise OutOfMemory(
        f"{needs.title} needs {_gigabytes(least)} of free memory on {device_name(device)}{waits}, and there is less "
        f"({_gigabytes(free)}): close other programs, or choose a smaller model; the bundled one runs anywhere."
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


class Home:
    """Keeps a model and its autoencoder where `mode` says. `run(part, work, asked)` brings a part, works, and steps down.

    `warn(sentence)` is told of every step down. One instance serves one thread.
    """

    def __init__(self, title: str, mode: Mode, model: Any, autoencoder: Any, *, device: torch.device, warn: Warn) -> None:
        self.title, self.device, self.mode, self.warn = title, device, mode, warn
        self.model, self.autoencoder = model, autoencoder
        self._settle()

    def run(self, part: Part, work: Callable[[], T], asked: str = "this") -> T:
        """What `work()` gives, with that part on the device. `asked`: what it is about, as "81 frames of 832 × 480".

        Raises OutOfMemory where nothing is left to step down to.
        """
        while True:
            self._bring(part)
            try:
                return work()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                wanted = error.with_traceback(None)  # its frames hold on to what must be let go
            let_go(self.device)
            self._step_down(part, asked, wanted)

    def _settle(self) -> None:
        if self.mode == "whole":
            self.model.to(self.device)
            self.autoencoder.to(self.device)
        elif self.mode == "blocks":
            self._by_blocks()

    def _by_blocks(self) -> None:
        self.model.to("cpu")
        level = "block_level" if hasattr(self.model, "blocks") else "leaf_level"
        self.model.enable_group_offload(
            onload_device=self.device,
            offload_device=torch.device("cpu"),
            offload_type=level,
            num_blocks_per_group=1 if level == "block_level" else None,
            use_stream=has_streams(self.device),
        )

    def _bring(self, part: Part) -> None:
        """By parts, the other one goes first; by blocks, the model moves itself."""
        if self.mode == "whole":
            return
        here, away = (self.model, self.autoencoder) if part == "model" else (self.autoencoder, self.model)
        movable = [one for one in (away, here) if one is self.autoencoder or self.mode == "parts"]
        for one in movable:
            one.to(self.device if one is here else "cpu")

    def _step_down(self, part: Part, asked: str, error: BaseException) -> None:
        if self.mode == "whole":
            self.mode, how = "parts", "the model and its autoencoder now take turns on it"
        elif part == "autoencoder" and not self.autoencoder.use_tiling:
            self.autoencoder.enable_tiling()
            how = "pictures now go through the autoencoder in tiles"
        elif part == "model" and self.mode == "parts":
            self.mode, how = "blocks", "the model now comes to it block by block"
            self._by_blocks()
        else:
            raise OutOfMemory(
                f"{self.title} has no room for {asked} on {device_name(self.device)}, also with its weights in main memory: "
                "choose about half as many frames, or a smaller size."
            ) from error
        self.warn(f"{device_name(self.device)} ran out of memory at {asked}: {how}, which is slower.")
