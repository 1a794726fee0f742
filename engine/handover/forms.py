"""What a project can be handed over as beside a clip: one row for each form, told by the suffix of the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import MediaError
from engine.progress import Progress
from engine.rendering.material import Material


@dataclass(frozen=True, slots=True)
class Form:
    """`suffix` of its target. `renders`: needs every segment of the range rendered. `folder`: the target is a folder."""

    title: str
    suffix: str
    write: Callable[[Material, Path, Progress], list[str]]
    """`write(material, out, progress)` gives back remarks."""
    renders: bool = False
    folder: bool = False


def _share(material: Material, out: Path, progress: Progress) -> list[str]:
    from engine.handover.share import write_share

    return write_share(material, out, progress)


def _ebsynth(material: Material, out: Path, progress: Progress) -> list[str]:
    from engine.handover.jobs_out import write_ebsynth

    return write_ebsynth(material, out, progress)


def _timeline(material: Material, out: Path, progress: Progress) -> list[str]:
    from engine.handover.jobs_out import write_otio

    write_otio(material, out)
    return []


FORMS = {
    "share": Form("ZIP, share package (wipe, sheet, report, recipe, masks)", ".zip", _share, renders=True),
    "ebsynth": Form("EbSynth project (a folder)", ".ebsynth", _ebsynth, folder=True),
    "otio": Form("OpenTimelineIO, anchors as markers", ".otio", _timeline),
}


def form_of(out: Path) -> Form | None:
    """The form that a target's suffix asks for; None for clips and frames."""
    return next((form for form in FORMS.values() if out.suffix.lower() == form.suffix), None)


def needs_frames(out: Path | None) -> bool:
    """Whether what goes to `out` shows rendered frames."""
    form = form_of(out) if out else None
    return out is not None and (form is None or form.renders)


def check_form_target(out: Path, form: Form, force: bool) -> None:
    """Refuses a target that cannot be written or may not be replaced. Raises MediaError."""
    if not out.parent.is_dir():
        raise MediaError(f"The folder “{out.parent.name}” for the export does not exist; make it first.")
    if out.exists() and not force:
        raise MediaError(f"“{out.name}” exists already; choose another name or allow replacing it (--force).")
    if out.exists() and form.folder and not _is_ours(out):
        raise MediaError(f"“{out.name}” holds more than an EbSynth project and is not replaced; choose another name.")
    if out.exists() and not form.folder and not out.is_file():
        raise MediaError(f"“{out.name}” is not a file and is not replaced; choose another name.")


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds what an export for EbSynth does, and nothing else."""
    names = {"video", "keys", "mask"}
    return folder.is_dir() and all(one.name in names or one.suffix == ".ebs" for one in folder.iterdir())


def hand_over(material: Material, out: Path, form: Form, progress: Progress) -> list[str]:
    """Writes the project in a form. Returns remarks. Raises MediaError, Cancelled: then there is nothing new."""
    return form.write(material, out, progress)
