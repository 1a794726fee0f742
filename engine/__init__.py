"""Anchorline's engine. This door holds the names that the page may use; nothing here loads torch."""

from engine import acts
from engine.editor import Editor, OutsideRegion
from engine.effects import EFFECTS
from engine.errors import Cancelled, EngineError, MediaError, MethodError, ProjectError, RecipeError
from engine.jobs import Job, JobManager
from engine.journal import project_name
from engine.material import Material
from engine.media.images import read_image, read_mask
from engine.media.writer import settings_for
from engine.methods import METHODS, method
from engine.methods.base import Segment
from engine.project import Project
from engine.render import dirty_segments, spans_to_carry
from engine.sample import draw_sample
from engine.segments import MaskSpan
from engine.types import FrameRange
from engine.viewing import Viewer, layer_of, mask_png, sound_file

__all__ = [
    "EFFECTS",
    "METHODS",
    "Cancelled",
    "Editor",
    "EngineError",
    "FrameRange",
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
    "Viewer",
    "acts",
    "dirty_segments",
    "draw_sample",
    "layer_of",
    "mask_png",
    "method",
    "project_name",
    "read_image",
    "read_mask",
    "settings_for",
    "sound_file",
    "spans_to_carry",
]
