"""What the hooks cost: idle, keys and values swapped, scores changed; on tiny models and, where there is a GPU, at full size.

Stock is the same model without our processors and hooks. Ways take turns; each is held against the stock of its own round,
which other work on the machine slows alike, and the median of the rounds counts. On a CPU the time is that of the process, on
one thread. Time and memory do not depend on what the weights are, so full-size models have random ones: they are made on the
device from their published configurations, without a download.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from engine.backbones import animatediff, instruct_pix2pix, vace, wan
from engine.backbones.hooks import Hooks
from engine.device import device_name, torch_device, working_dtype
from engine.diffusion.attention import AttentionSite, Untouched, attend
from engine.diffusion.backbone import Condition
from tests.bench.full_size import FULL, Full, forget, peak
from tests.bench.harness import Figure, Report, say
from tests.tiny_models import snapshot

TINY = ("wan", "vace", "first-last", "instruct-pix2pix", "instruct-pix2pix-xl", "animatediff")
KINDS = {"swap": "keys and values swapped", "scores": "cross-attention scores changed"}
ROUNDS = 150
LONG = (21 * 30 * 52, 512, 12, 128)
"""Queries, words, heads and their width of Wan 1.3B at 81 frames of 480p."""


def _figures() -> Iterator[Figure]:
    yield Figure("idle_difference", "hooks idle, largest difference from stock, all tiny models", "", 0)
    yield Figure("idle_time", "hooks idle, time over stock, the worst of the tiny models", "×", 1.02)
    for name in TINY:
        key = name.replace("-", "_")
        yield Figure(f"{key}_idle", f"{name}, tiny: hooks idle, time over stock", "×")
        for kind, label in KINDS.items():
            yield Figure(f"{key}_{kind}", f"{name}, tiny: {label}, time over stock", "×")
    yield Figure("map_fused_s", "one cross-attention of Wan 1.3B at 81 frames of 480p, fused, one CPU thread", "s")
    yield Figure("map_scores_s", "the same with its scores changed", "s")
    yield Figure("map_scores_mb", "memory that the scores take, sliced by head", "MB", 300)
    yield Figure("map_whole_mb", "what the whole map would take", "MB")
    for full in FULL:
        for mode in full.modes:
            yield Figure(f"gpu_{full.key}_{mode}_stock_s", f"{full.title}, {mode}: stock, a pass", "s")
            for kind in ("idle", *KINDS):
                yield Figure(f"gpu_{full.key}_{mode}_{kind}", f"{full.title}, {mode}: {kind} over stock", "×")
            yield Figure(f"gpu_{full.key}_{mode}_stock_gb", f"{full.title}, {mode}: peak memory, stock", "GB")
            yield Figure(f"gpu_{full.key}_{mode}_scores_gb", f"{full.title}, {mode}: peak memory, scores changed", "GB")


FIGURES = tuple(_figures())


class Swapped(Untouched):
    """Keys and values of the video's tokens in another order: as much work as any swap, less what a method adds."""

    def keys_values(self, site: AttentionSite, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return (keys, values) if site.kind == "cross" else (keys.flip(2), values.flip(2))


class Scored(Untouched):
    """Cross-attention's scores, in every layer, with a bias."""

    def wants_scores(self, site: AttentionSite) -> bool:
        return True

    def scores(self, site: AttentionSite, logits: Tensor, heads: slice) -> Tensor:
        return logits.mul_(1.1)


CONTROLS: dict[str, Callable[[], Untouched]] = {"swap": Swapped, "scores": Scored}


def run(report: Report, options: argparse.Namespace) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _tiny(report)
        _long_map(report)
    finally:
        torch.set_num_threads(threads)
    device = torch_device()
    if device.type == "cpu":
        report.lack("There is no GPU here, and a pass of these sizes on a CPU takes minutes.", "gpu_")
        return
    report.note(f"Full-size models: random weights, {working_dtype(device)}, {device_name(device)}.")
    for full in FULL:
        _full(report, full, device)


# --- tiny models ------------------------------------------------------------------------------------------


def _tiny(report: Report) -> None:
    differences, idle = [], []
    for name in TINY:
        say(f"tiny {name}")
        hooked = _load(name)
        core = _core(hooked)
        plain = _stock(core)
        work = _work(hooked, name)
        ways: dict[str, Callable[[], AbstractContextManager[Any]]] = {
            "stock": lambda core=core, plain=plain: _plain(core, plain),  # type: ignore[misc]
            "idle": nullcontext,
            **{kind: lambda make=make, hooked=hooked: hooked.control(make()) for kind, make in CONTROLS.items()},  # type: ignore[misc]
        }
        outcomes, ratios, _ = _in_turn(work, ways)
        differences.append(float((outcomes["idle"] - outcomes["stock"]).abs().max()))
        idle.append(ratios["idle"])
        key = name.replace("-", "_")
        for kind in ("idle", *KINDS):
            report.reach(f"{key}_{kind}", ratios[kind])
    report.reach("idle_difference", max(differences))
    report.reach("idle_time", max(idle))


def _load(name: str) -> Any:
    if name == "animatediff":
        return animatediff.load(snapshot("motion-adapter"), snapshot("stable-diffusion"), "cpu")
    loaders = {"wan": wan.load, "vace": vace.load, "first-last": vace.load_first_last}
    return loaders.get(name, instruct_pix2pix.load)(snapshot(name), "cpu")  # type: ignore[operator]


def _core(model: Hooks) -> Any:
    parts: Any = model.parts  # type: ignore[attr-defined]
    return parts.transformer if hasattr(parts, "transformer") else parts.unet


def _stock(core: Any) -> dict[str, Any]:
    """The library's own processors, by name."""
    return {name: type(processor).__mro__[1]() for name, processor in core.attn_processors.items()}


@contextmanager
def _plain(core: Any, processors: dict[str, Any]) -> Iterator[None]:
    """The model without our processors and torch hooks."""
    ours = dict(core.attn_processors)
    held = [(module, module._forward_hooks, module._forward_pre_hooks) for module in core.modules()]
    core.set_attn_processor(dict(processors))
    for module, _, _ in held:
        module._forward_hooks, module._forward_pre_hooks = type(module._forward_hooks)(), type(module._forward_pre_hooks)()
    try:
        yield
    finally:
        core.set_attn_processor(ours)
        for module, after, before in held:
            module._forward_hooks, module._forward_pre_hooks = after, before


def _work(model: Any, name: str) -> Callable[[], Tensor]:
    """One prediction of a few milliseconds, short enough to be left alone by other work now and then."""
    size, frames = (64, 96), 5
    clip = torch.rand(frames, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    z, text = model.encode(clip), model.encode_text("a red ball on grass")
    condition = None
    if name == "first-last":
        condition = Condition(first=clip[0], last=clip[-1])
    elif name == "vace":
        condition = Condition(video=clip)
    elif "source" in model.takes:
        condition = Condition(z)

    @torch.no_grad()
    def work() -> Tensor:
        return model.predict(z, 0.7, text, condition).x0

    return work


def _in_turn(
    work: Callable[[], Tensor],
    ways: dict[str, Callable[[], AbstractContextManager[Any]]],
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.process_time,
) -> tuple[dict[str, Tensor], dict[str, float], float]:
    """What each way gives, the median of its times over stock's of the same round, and the median seconds of stock."""
    outcomes: dict[str, Tensor] = {}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for at in range(rounds + 1):
        for name in list(ways) if at % 2 else list(ways)[::-1]:
            with ways[name]():
                started = clock()
                outcomes[name] = work()
                times[name].append(clock() - started)
    stock = times["stock"][1:]  # the first round warms up
    ratios = {name: statistics.median(a / b for a, b in zip(taken[1:], stock, strict=True)) for name, taken in times.items()}
    return outcomes, ratios, statistics.median(stock)


# --- the map of a long clip -------------------------------------------------------------------------------


def _long_map(report: Report) -> None:
    say("cross-attention of 81 frames of 480p")
    tokens, words, heads, width = LONG
    q, k, v = (torch.randn(1, heads, count, width) for count in (tokens, words, words))
    site = AttentionSite(0, "cross", (21, 30, 52))
    for key, control in (("map_fused_s", None), ("map_scores_s", Scored())):
        started = time.process_time()
        attend(q, k, v, site, control)
        report.reach(key, time.process_time() - started)
    report.reach("map_scores_mb", _largest(lambda: attend(q, k, v, site, Scored())) / 2**20)
    report.reach("map_whole_mb", tokens * words * heads * 4 / 2**20)


def _largest(work: Callable[[], Any]) -> int:
    """The most bytes that the work holds at once beyond what it returns and was given, by torch's own count."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        out = work()
    held = most = 0
    for event in sorted(seen.events() or (), key=lambda event: event.time_range.start):
        held += event.self_cpu_memory_usage  # of an operation what it leaves, of "[memory]" what went between two
        most = max(most, held)
    return most - out.nbytes


# --- full size --------------------------------------------------------------------------------------------


def _full(report: Report, full: Full, device: torch.device) -> None:
    for mode in full.modes:
        say(f"{full.title}, {mode}")
        model, work = full.make(device, working_dtype(device), mode)
        core, key = _core(model), f"gpu_{full.key}_{mode}"
        plain = _stock(core)
        ways: dict[str, Callable[[], AbstractContextManager[Any]]] = {
            "stock": lambda core=core, plain=plain: _plain(core, plain),  # type: ignore[misc]
            "idle": nullcontext,
            **{kind: lambda make=make, model=model: model.control(make()) for kind, make in CONTROLS.items()},  # type: ignore[misc]
        }
        _, ratios, seconds = _in_turn(lambda work=work: work().cpu(), ways, 3, time.perf_counter)  # type: ignore[misc]
        report.reach(f"{key}_stock_s", seconds)
        for kind in ("idle", *KINDS):
            report.reach(f"{key}_{kind}", ratios[kind])
        for kind in ("stock", "scores"):
            forget(device)
            with ways[kind]():
                work()
            report.reach(f"{key}_{kind}_gb", peak(device) / 1e9)
        del model, work, core
        forget(device)
