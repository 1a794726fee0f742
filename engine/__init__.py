"""Anchorline's engine. This door holds the names that the page may use.

They are loaded when they are first asked for: importing a small part of the engine (its types, its errors) must not
load a video library, and nothing behind this door loads torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine import acts
    from engine.editor import Editor, OutsideRegion
    from engine.effects import EFFECTS
    from engine.errors import EngineError, MediaError, MethodError, ProjectError, RecipeError
    from engine.jobs import Job, JobManager
    from engine.material import Material
    from engine.media.describe import clip_remarks
    from engine.media.formats import FORMATS
    from engine.media.images import read_image, read_mask
    from engine.media.probe import check_file
    from engine.methods import METHODS, method
    from engine.methods.base import Segment
    from engine.project import Project
    from engine.projects import Summary, copy_project, last_change, summary_of
    from engine.render import dirty_segments, spans_to_carry
    from engine.sample import draw_sample
    from engine.segments import MaskSpan
    from engine.viewing import Viewer, layer_of, mask_png, sound_file

_HOME = {
    "EFFECTS": "engine.effects",
    "METHODS": "engine.methods",
    "Editor": "engine.editor",
    "EngineError": "engine.errors",
    "FORMATS": "engine.media.formats",
    "Job": "engine.jobs",
    "JobManager": "engine.jobs",
    "MaskSpan": "engine.segments",
    "Material": "engine.material",
    "MediaError": "engine.errors",
    "MethodError": "engine.errors",
    "OutsideRegion": "engine.editor",
    "Project": "engine.project",
    "ProjectError": "engine.errors",
    "RecipeError": "engine.errors",
    "Segment": "engine.methods.base",
    "Summary": "engine.projects",
    "copy_project": "engine.projects",
    "last_change": "engine.projects",
    "summary_of": "engine.projects",
    "Viewer": "engine.viewing",
    "acts": "engine",
    "check_file": "engine.media.probe",
    "clip_remarks": "engine.media.describe",
    "dirty_segments": "engine.render",
    "draw_sample": "engine.sample",
    "layer_of": "engine.viewing",
    "mask_png": "engine.viewing",
    "method": "engine.methods",
    "read_image": "engine.media.images",
    "read_mask": "engine.media.images",
    "sound_file": "engine.viewing",
    "spans_to_carry": "engine.render",
}

__all__ = [
    "EFFECTS",
    "FORMATS",
    "METHODS",
    "Editor",
    "EngineError",
    "Job",
    "JobManager",
    "MaskSpan",
    "Material",
    "MediaError",
    "MethodError",
    "OutsideRegion",
    "Project",
    "ProjectError",
    "RecipeError",
    "Segment",
    "Summary",
    "Viewer",
    "acts",
    "check_file",
    "clip_remarks",
    "copy_project",
    "dirty_segments",
    "draw_sample",
    "last_change",
    "layer_of",
    "mask_png",
    "method",
    "read_image",
    "read_mask",
    "sound_file",
    "spans_to_carry",
    "summary_of",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"engine has no public name {name!r}")
    value = import_module(f"engine.{name}") if home == "engine" else getattr(import_module(home), name)
    globals()[name] = value
    return value
