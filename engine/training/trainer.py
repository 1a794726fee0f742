"""One loop for every training task: AdamW, moving average of the weights, checkpoints, scores.

Everything random in step n is drawn from (seed, n) and nothing else, so a run needs no generator's state. Every
`settle` steps the state is rounded to what a checkpoint keeps, whether one is written or not: a run that was stopped
or killed and continued ends with the same weights, bit by bit, as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.device import device_name
from engine.training.checkpoint import Record, TrainingError, read_run, rounded, write_run
from engine.training.muon import Muon


@dataclass(frozen=True, slots=True)
class Settings:
    """The learning rate rises over `warmup` steps, stays, and falls to zero over the last fifth of `steps`.

    `average`: decay of the moving average of the weights, smaller at the start. `settle`: steps between the moments at
    which the state could be saved; `score`: between scorings, a multiple of `settle`.
    """

    steps: int
    rate: float = 1e-3
    warmup: int = 100
    average: float = 0.999
    weight_decay: float = 0.01
    clip: float = 1.0
    settle: int = 50
    score: int = 1000
    seed: int = 0
    matrix_rate: float = 0.0

    def rate_at(self, step: int) -> float:
        return self.rate * self.share_at(step)

    def share_at(self, step: int) -> float:
        """Of the full rates, at a step."""
        fall = max(1, self.steps // 5)
        return min(1.0, (step + 1) / self.warmup, max(0.0, (self.steps - step) / fall))


class Task(Protocol):
    """What is trained: a module, the loss of step n (its parts by name, the first is minimised), and how it is scored."""

    name: str

    @property
    def config(self) -> Any: ...
    @property
    def module(self) -> Any: ...
    def losses(self, step: int) -> dict[str, Tensor]: ...
    def scores(self, module: Any) -> dict[str, float]: ...


class Trainer:
    """A task, its optimiser and its moving average. `module` of the task is trained in place."""

    def __init__(self, task: Task, settings: Settings, folder: Path) -> None:
        if settings.score % settings.settle:
            raise ValueError("scores are taken where the state settles")
        self.task, self.settings, self.folder = task, settings, folder
        self.parameters = dict(task.module.named_parameters())
        self.average = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.optimisers = self._optimisers()
        self.record = Record(
            task.name, asdict(task.config), asdict(settings), machine=device_name(next(task.module.parameters()).device)
        )
        self._sums: dict[str, list[Tensor]] = {}

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        settings = self.settings
        named = getattr(self.task, "matrices", ()) if settings.matrix_rate else ()
        matrices = [value for name, value in self.parameters.items() if name in named]
        rest = [value for name, value in self.parameters.items() if name not in named]
        made: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=settings.rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay)
        ]
        if matrices:
            made.append(Muon(matrices, settings.matrix_rate, weight_decay=settings.weight_decay))
        return made

    def _state(self, value: Tensor) -> dict[str, Any]:
        """Of the optimiser whose parameter it is."""
        owner = next(
            one for one in self.optimisers if any(value is other for group in one.param_groups for other in group["params"])
        )
        return owner.state[value]

    def warm(self, folder: Path) -> list[str]:
        """Begins with the averaged weights of another run, where name and shape agree; returns the names that stay new.

        Raises TrainingError where there is no run.
        """
        found = read_run(folder)
        if found is None:
            raise TrainingError(f"{folder} holds no run to begin with; train one first.")
        new = []
        with torch.no_grad():
            for name, value in self.parameters.items():
                old = found[1].get(f"weight/{name}")
                if old is None or old.shape != value.shape:
                    new.append(name)
                    continue
                value.copy_(old - found[1][f"lag/{name}"].to(old))
                self.average[name].copy_(value)
        return new

    def resume(self, folder: Path | None = None) -> bool:
        """Takes up the state in `folder`, else in the run's own. Raises TrainingError if it is of another task or setting."""
        found = read_run(folder or self.folder)
        if found is None:
            return False
        record, tensors = found
        mine = (self.record.task, self.record.config, {**self.record.settings, "steps": 0})
        theirs = asdict(Settings(**record.settings))  # a run from before a setting was there has its default
        if (record.task, record.config, {**theirs, "steps": 0}) != mine:
            raise TrainingError(f"{folder or self.folder} holds a run of {record.task} with other settings; take another folder.")
        self.record = record
        self.record.settings = asdict(self.settings)
        if folder not in (None, self.folder):
            self.record.files = []
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(tensors[f"weight/{name}"])
                self.average[name].copy_(value - tensors[f"lag/{name}"].to(value))
                self._state(value).update(
                    step=torch.tensor(float(record.step)),
                    exp_avg=tensors[f"first/{name}"].to(value),
                    exp_avg_sq=tensors[f"second/{name}"].to(value),
                )
        return True

    def run(self, minutes: float | None = None, say: Callable[[str], None] = print, until: int | None = None) -> None:
        """Trains until `settings.steps`, step `until` or the end of the minutes; saves where it stops, and now and then."""
        begun = saved = time.monotonic()
        spent = self.record.seconds
        end = min(self.settings.steps, until or self.settings.steps)
        while self.record.step < end:
            self.step()
            step = self.record.step
            if step % self.settings.settle and step < end:
                continue
            self.settle()
            now = time.monotonic()
            self.record.seconds = spent + now - begun
            if step % self.settings.score == 0 or step == self.settings.steps:
                self.record.scores.append({"step": step, **self.scores()})
                say(f"step {step}: " + ", ".join(f"{key} {value:.3f}" for key, value in self.record.scores[-1].items()))
            over = minutes is not None and now - begun >= 60 * minutes
            if over or step >= end or now - saved > 120:
                self.save()
                saved = time.monotonic()
                say(self._line())
            if over:
                return

    def step(self) -> None:
        """One step of the optimiser and the moving average."""
        step, settings = self.record.step, self.settings
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                full = settings.matrix_rate if isinstance(optimiser, Muon) else settings.rate
                group["lr"] = full * settings.share_at(step)
        losses = self.task.losses(step)
        loss = next(iter(losses.values()))
        for value in self.parameters.values():
            value.grad = None
        loss.backward()
        for value in self.parameters.values():  # a part that a step does not use still ages with the others
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        nn.utils.clip_grad_norm_(list(self.parameters.values()), settings.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        decay = min(settings.average, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - decay)
        self.record.step += 1
        for name, value in losses.items():
            self._sums.setdefault(name, []).append(value.detach())

    @torch.no_grad()
    def settle(self) -> None:
        """Rounds the state to what a checkpoint keeps, and notes the mean losses since the last time.

        Raises TrainingError where a loss is not a number (looked at here only: looking waits for the device).
        """
        for name, value in self.parameters.items():
            self.average[name] = value - rounded(value - self.average[name]).to(value)
            state = self._state(value)
            for moment in ("exp_avg", "exp_avg_sq"):
                state[moment].copy_(rounded(state[moment]))
        means = {name: float(torch.stack(values).mean()) for name, values in self._sums.items()}
        self._sums = {}
        if not all(isfinite(mean) for mean in means.values()):
            raise TrainingError(f"The loss before step {self.record.step} is not a number; start again with a smaller rate.")
        self.record.history.append({"step": self.record.step, **means})

    def save(self) -> None:
        """Writes the run; only right after `settle`."""
        tensors = {}
        for name, value in self.parameters.items():
            state = self._state(value)
            tensors[f"weight/{name}"] = value
            tensors[f"lag/{name}"] = rounded(value - self.average[name])
            tensors[f"first/{name}"] = rounded(state["exp_avg"])
            tensors[f"second/{name}"] = rounded(state["exp_avg_sq"])
        write_run(self.folder, self.record, tensors)

    @torch.no_grad()
    def averaged(self) -> dict[str, Tensor]:
        """The module's state with the moving average for weights."""
        return {**self.task.module.state_dict(), **self.average}

    def scores(self) -> dict[str, float]:
        """The task's scores with the averaged weights; training goes on with its own."""
        own = {name: value.detach().clone() for name, value in self.parameters.items()}
        module = self.task.module.eval()
        try:
            module.load_state_dict(self.averaged())
            with torch.no_grad():
                return self.task.scores(module)
        finally:
            with torch.no_grad():
                for name, value in self.parameters.items():
                    value.copy_(own[name])
            module.train()

    def _line(self) -> str:
        means = ", ".join(f"{name} {value:.4f}" for name, value in list(self.record.history[-1].items())[1:])
        return f"step {self.record.step} of {self.settings.steps}, {self.record.seconds / 60:.1f} min: {means}"


def generator(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The source of everything random in a step, apart from the scenes."""
    return torch.Generator(device).manual_seed((seed << 32) + step)
