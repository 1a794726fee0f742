"""What work has cost on this machine: seconds, bytes on the disk, memory; noted after every run, read before the next.

Notes are lines of JSON in `pace.jsonl` beside the projects, appended in one write each, so that several runs may note at once.
A forecast rests on notes only: where there is none it says so (engine/review/estimate.py).
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.instant.pictures import proxy_size
from engine.instant.proxy import PHASE
from engine.progress import Progress
from engine.rendering.material import Material
from engine.rendering.outputs import peak_rss_bytes
from engine.rendering.segments import shots
from engine.review.cost import Cost, config_mark, cost_of
from engine.store.cache import cache_entries

FILE = "pace.jsonl"
KEPT = 600
"""Lines that are kept when the file is shortened, which happens at three times as many."""
RECENT = 6
"""So many notes, the latest of the best kind, say how long it takes (our choice)."""
RUN = "run"
"""The phase under which a whole run's memory is noted."""
MADE_BY = {
    "pack-": "Preparing the clip",
    "motion-": "Reading the motion",
    "masks": "Carrying masks",
    "points": "Tracking points",
    "prepared": "Preparing the edit",
    "segments": "Propagating",
    "proxies": "Previewing",
}
"""Where in the cache lies what a phase of a run leaves there."""
log = logging.getLogger("anchorline")


@dataclass(frozen=True, slots=True)
class Note:
    """One phase of one run: `units` of work (frames) took `seconds` and left `disk` bytes; `memory` is the run's peak, bytes.

    `what` decides the cost, `config` the settings behind it, `clip` whose pixels it was (short digest), `size` (H, W).
    """

    phase: str
    what: str
    config: str
    clip: str
    size: tuple[int, int]
    units: float
    seconds: float
    disk: int = 0
    memory: int = 0

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]


def pace_file() -> Path:
    """Beside the projects: in ANCHORLINE_HOME, or in the user's own folder."""
    return Path(os.environ.get("ANCHORLINE_HOME") or Path.home() / "Anchorline").expanduser() / FILE


class PaceBook:
    """The notes of this machine."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or pace_file()

    @property
    def changed(self) -> float:
        """When something was noted last, seconds since the epoch; 0 where nothing was."""
        try:
            return self._path.stat().st_mtime
        except OSError:
            return 0.0

    def notes(self) -> list[Note]:
        """All that can be read, oldest first; damaged lines are left out."""
        try:
            lines = self._path.read_text("utf-8", "replace").splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            try:
                body = json.loads(line)
                found.append(Note(**{**body, "size": tuple(body["size"])}))
            except (ValueError, TypeError, KeyError):
                continue
        return found

    def add(self, notes: Iterable[Note]) -> None:
        """Appends. A place that cannot be written is no reason to fail the run that was noted: the log says so."""
        text = "".join(json.dumps(asdict(note), separators=(",", ":")) + "\n" for note in notes)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(text)
            self._shorten()
        except OSError as error:
            log.warning("what the run has cost was not noted: %s", error.strerror)

    def _shorten(self) -> None:
        lines = self._path.read_text("utf-8", "replace").splitlines(keepends=True)
        if len(lines) > 3 * KEPT:
            part = self._path.with_name(f".{FILE}.part-{os.getpid()}")
            part.write_text("".join(lines[-KEPT:]), "utf-8")
            os.replace(part, self._path)

    def cost(self, phase: str, like: Note) -> Cost | None:
        """What a unit of a phase costs, from the notes that are most like `like`: see engine/review/cost.py."""
        return cost_of([note for note in self.notes() if note.phase == phase and note.what == like.what], like, RECENT)


class Meter:
    """Measures one run: made before it, `write` after it, however it ended."""

    def __init__(self, material: Material, progress: Progress) -> None:
        self._material, self._progress = material, progress
        self._before = disk_use(material.workspace.folder)
        self._prepared = _prepared_frames(material)

    def write(self, book: PaceBook, what: Mapping[str, tuple[str, str]], written: int = 0) -> None:
        """Notes the phases that did something. `what`: what and config by phase, for those whose cost hangs on them;
        `written`: bytes of the exported clip."""
        video, peak = self._material.project.video, peak_rss_bytes()
        grown = {phase: size - self._before.get(phase, 0) for phase, size in disk_use(self._material.workspace.folder).items()}
        grown["Writing the clip"] = written
        notes = []
        for phase, seconds in self._progress.seconds.items():
            units = self._progress.units.get(phase, 0.0)
            if phase == "Preparing the edit":  # whose progress does not count in frames
                units = _prepared_frames(self._material.again()) - self._prepared
            if units >= 1 and seconds > 0:
                name, config = what.get(phase, ("", ""))
                place = (video.digest[:12], proxy_size(video.size) if phase == PHASE else video.size)
                notes.append(Note(phase, name, config, *place, round(units, 2), round(seconds, 3), max(0, grown.get(phase, 0))))
        if notes:
            name, config = what.get("Propagating", ("", ""))
            notes.append(Note(RUN, name, config, video.digest[:12], video.size, 1.0, 0.0, 0, peak))
        book.add(notes)


def _prepared_frames(material: Material) -> int:
    """Frames of the shots for which methods have prepared what their segments share."""
    layers = [layer for layer in material.whole.layers if layer.shared]
    known = [shot for layer in layers for shot in shots(layer.project, layer.cuts) if shot.start in layer.shared]
    return sum(len(shot) for shot in known)


def disk_use(folder: Path) -> dict[str, int]:
    """Bytes in a project's cache by the phase that made them."""
    found: dict[str, int] = {}
    for entry in cache_entries(folder):
        for start, phase in MADE_BY.items():
            if entry.path.name.startswith(start) or entry.path.parent.name == start:
                found[phase] = found.get(phase, 0) + entry.bytes
                break
    return found


def what_of(material: Material, how: str = "serial") -> dict[str, tuple[str, str]]:
    """What the cost of each phase hangs on, for a project as it is: the method with its models, who carries masks."""
    project = material.project
    edit = (method_mark(material, how), config_mark(project.edit.config))
    masks = f"{project.masks_by} x{len(project.edited_subjects()) or 1}"
    return {
        "Propagating": edit,
        "Preparing the edit": edit,
        "Previewing": edit,
        "Carrying masks": (masks, ""),
        "Tracking points": (project.points_by, ""),
    }


def method_mark(material: Material, how: str = "serial") -> str:
    """The method, the models that it was told to use, the device, and how its segments are shared out."""
    from engine.device import chosen_device

    edit = material.project.edit
    models = [str(edit.config.get(name, "")) for name in ("backbone", "interpolation")]
    return " ".join(part for part in (edit.method, *models, chosen_device(), how if how != "serial" else "") if part)


@contextmanager
def noting(
    material: Callable[[], Material], progress: Progress, out: Path | None = None, codec: str = "", *, how: str = "serial"
) -> Iterator[None]:
    """Notes what the work of the block costs, however the block ends. `material()`: of the project as it is then; `out` and
    `codec` of the clip that is written, if one is; `how`: "serial", or "pool"."""
    meter = Meter(material(), progress)
    try:
        yield
    finally:
        written = out.stat().st_size if out is not None and out.is_file() else 0
        now = material()
        meter.write(PaceBook(), {**what_of(now, how), "Writing the clip": (codec, "")}, written)
