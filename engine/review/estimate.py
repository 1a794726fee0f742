"""What a run would do and cost, before it is begun: frames to render and to reuse, time, memory and disk.

All figures come from notes of earlier runs on this machine (engine/review/pace.py). Where there is none for a part of the work,
the time is not known, and is said not to be.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.instant.pictures import proxy_size
from engine.instant.proxy import PHASE, is_smaller, missing_proxies
from engine.methods import card
from engine.methods.base import Segment
from engine.rendering.material import Material
from engine.rendering.render import dirty_segments, spans_to_carry
from engine.rendering.trails import points_to_follow
from engine.review.cost import Cost
from engine.review.pace import RUN, Note, PaceBook, what_of
from engine.types import FrameRange

SPARE = 2**28
"""Bytes that a disk needs beside what a run writes (our choice)."""
UNKNOWN = "not measured yet on this machine"
Wanted = Sequence[tuple[Material, list[Segment]]]


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of work: so many `units` (frames), of which one costs `cost`; None where that was never measured."""

    phase: str
    units: int
    cost: Cost | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would do. Bytes; None where nothing was measured, or where the system does not tell."""

    render: int
    reuse: int
    segments_render: int
    segments_reuse: int
    parts: tuple[Part, ...]
    memory: int | None
    free_memory: int | None
    free_disk: int

    @property
    def seconds(self) -> tuple[float, float, float] | None:
        """(expected, low, high); None where a part of the work was never measured."""
        costs = [(part.units, part.cost) for part in self.parts]
        if any(cost is None for _, cost in costs):
            return None
        known = [(units, cost) for units, cost in costs if cost is not None]
        low, high = sum(units * cost.low for units, cost in known), sum(units * cost.high for units, cost in known)
        return sum(units * cost.seconds for units, cost in known), low, high

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Phases of which nothing is known."""
        return tuple(part.phase for part in self.parts if part.cost is None)

    @property
    def disk(self) -> int | None:
        """Bytes that will be written to the cache; None where a part of it was never measured."""
        if self.unmeasured:
            return None
        return round(sum(part.units * part.cost.disk for part in self.parts if part.cost is not None))

    @property
    def basis(self) -> str:
        """What the time of the largest part rests on."""
        known = [(part.units * part.cost.seconds, part.cost.basis) for part in self.parts if part.cost is not None]
        return max(known)[1] if known else UNKNOWN

    @property
    def trouble(self) -> str:
        """One sentence where the run will not fit, else ""."""
        if self.disk is not None and self.disk + SPARE > self.free_disk:
            need, free = in_bytes(self.disk + SPARE), in_bytes(self.free_disk)
            return f"This run needs about {need} on the disk and {free} are free: free some space first, or clean the cache."
        if self.memory is not None and self.free_memory is not None and self.memory > self.free_memory:
            need, free = in_bytes(self.memory), in_bytes(self.free_memory)
            return f"This run needs about {need} of memory and {free} are free: close other programs first."
        return ""

    def as_json(self) -> dict[str, Any]:
        """For dry runs and the report."""
        seconds = self.seconds
        return {
            "frames_to_render": self.render,
            "frames_to_reuse": self.reuse,
            "segments_to_render": self.segments_render,
            "segments_to_reuse": self.segments_reuse,
            "seconds": None if seconds is None else round(seconds[0], 1),
            "seconds_from_to": None if seconds is None else [round(one, 1) for one in seconds[1:]],
            "memory_bytes": self.memory,
            "disk_bytes": self.disk,
            "free_disk_bytes": self.free_disk,
            "basis": self.basis,
            "not_measured": list(self.unmeasured),
            "trouble": self.trouble or None,
            "work": [{"phase": part.phase, "units": part.units} for part in self.parts],
        }


def estimate_of(
    material: Material, book: PaceBook | None = None, *, how: str = "serial", wanted: Wanted | None = None
) -> Estimate:
    """What propagating the project as it is would do; `how`: by which executor. `wanted`: edits with those of their segments
    that are asked for, else all."""
    book, found = book or PaceBook(), []
    render = reuse = segments_render = segments_reuse = 0
    for layer, segments in [(one, one.segments) for one in material.whole.layers] if wanted is None else wanted:
        dirty = dirty_segments(layer, segments)
        frames = sum(one.stop - one.start for one in dirty)
        render, segments_render = render + frames, segments_render + len(dirty)
        reuse += sum(one.stop - one.start for one in segments) - frames
        segments_reuse += len(segments) - len(dirty)
        if dirty:
            found += _layer_parts(layer, dirty, book, how)
    parts = [*_clip_parts(material, book), *_merged(found)] if found else []
    memory = _memory(material, book, how) if parts else 0
    free = shutil.disk_usage(_there(material.workspace.folder)).free
    return Estimate(render, reuse, segments_render, segments_reuse, tuple(parts), memory, free_main_memory(), free)


def _clip_parts(material: Material, book: PaceBook) -> list[Part]:
    if material.pack is not None and material.pack.complete:
        return []
    phase = "Preparing the clip"
    return [Part(phase, material.project.video.frames, book.cost(phase, _like(material, phase, "serial")))]


def _layer_parts(layer: Material, dirty: Sequence[Segment], book: PaceBook, how: str) -> list[Part]:
    """What has to be done for one edit; frames of each kind."""
    edit = layer.project.edit
    seen = layer.segments if card(edit.method).shares else list(dirty)
    spans = spans_to_carry(layer, seen)
    covered = [FrameRange(one.start, one.stop + (one.right is not None)) for one in seen]
    shots = {one.shot.start: one.shot for one in dirty if card(edit.method).shares and one.shot.start not in layer.shared}
    units = {
        "Reading the motion": _pairs(layer, [*(span.reach for span in spans), *covered]),
        "Carrying masks": sum(len(span.range) for span in spans),
        "Tracking points": _track_steps(layer) if card(edit.method).tracks else 0,
        "Preparing the edit": sum(len(shot) for shot in shots.values()),
        "Propagating": sum(one.stop - one.start for one in dirty),
    }
    return [Part(phase, count, _known(layer, phase, book, how)) for phase, count in units.items() if count]


def _known(layer: Material, phase: str, book: PaceBook, how: str) -> Cost | None:
    """A run that was never measured is told by its preview, scaled."""
    found = book.cost(phase, _like(layer, phase, how))
    return book.cost(PHASE, _like(layer, PHASE, how)) if found is None and phase == "Propagating" else found


def _track_steps(layer: Material) -> int:
    """Points are followed in two passes over the frames that they have in common."""
    return 2 * len({frame for one in points_to_follow(layer).values() for frame in one.range})


def _pairs(layer: Material, spans: list[FrameRange]) -> int:
    """Neighbouring frames between which the motion is not known yet."""
    if layer.pack is not None and layer.pack.complete:
        return len(layer.steps.missing(spans))
    return len({frame for span in spans for frame in list(span)[:-1]})


def _merged(parts: list[Part]) -> list[Part]:
    """Motion and masks are of the clip: what two edits need is done once."""
    found: list[Part] = []
    for part in parts:
        before = next((i for i, one in enumerate(found) if one.phase == part.phase), None)
        if before is not None and part.phase in ("Reading the motion", "Carrying masks", "Tracking points"):
            found[before] = max(found[before], part, key=lambda one: one.units)
        else:
            found.append(part)
    return found


def _memory(material: Material, book: PaceBook, how: str) -> int | None:
    like = _like(material, "Propagating", how)
    known = book.cost(RUN, like)
    return known.memory or None if known is not None else None


def _like(material: Material, phase: str, how: str) -> Note:
    video = material.project.video
    what, config = what_of(material, how).get(phase, ("", ""))
    return Note(phase, what, config, video.digest[:12], video.size, 1.0, 0.0)


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def free_main_memory() -> int | None:
    """Bytes of main memory that can be had; None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return None
    return None


def preview_sentence(material: Material, book: PaceBook | None = None) -> str:
    """What previewing first would take; "" where the clip is no larger than a preview, or all is previewed."""
    frames = sum(one.stop - one.start for one in missing_proxies(material))
    if not is_smaller(material) or not frames:
        return ""
    height, width = proxy_size(material.project.video.size)
    like = replace(_like(material, PHASE, "serial"), size=(height, width))
    cost = (book or PaceBook()).cost(PHASE, like)
    known = f"about {in_time(frames * cost.seconds)}, {cost.basis}" if cost else f"time {UNKNOWN}; it measures what the run costs"
    return f"Preview first at {width}×{height}: {known}."


def in_bytes(count: float) -> str:
    """ "1.4 GB", "320 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"


def in_time(seconds: float) -> str:
    """ "8 s", "3 min", "1.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def sentences(estimate: Estimate) -> list[str]:
    """The estimate for a person, a line each."""
    if not estimate.render:
        return [f"Everything is rendered: {estimate.reuse} frames ({_segments(estimate.segments_reuse)}) are reused."]
    lines = [f"To render: {estimate.render} frames ({_segments(estimate.segments_render)}). To reuse: {estimate.reuse} frames."]
    time = estimate.seconds
    if time is None:
        lines.append(f"Time: {UNKNOWN} ({', '.join(one.lower() for one in estimate.unmeasured)}).")
    else:
        span = f" ({in_time(time[1])} to {in_time(time[2])})" if in_time(time[1]) != in_time(time[2]) else ""
        lines.append(f"Time: about {in_time(time[0])}{span}, {estimate.basis}.")
    memory = f"about {in_bytes(estimate.memory)}" if estimate.memory else "not measured yet at this size"
    disk = f"about {in_bytes(estimate.disk)}" if estimate.disk is not None else "not measured yet"
    lines.append(f"Memory: {memory}. Disk: {disk}, {in_bytes(estimate.free_disk)} free.")
    return lines


def _segments(count: int) -> str:
    return f"{count} segment{'s' if count != 1 else ''}"
