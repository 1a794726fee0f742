"""Anchorline's engine. This door holds the names that the page may use.

They are loaded when they are first asked for: importing a small part of the engine (its types, its errors) must not
load a video library, and nothing behind this door loads torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.audition.run import picture_of as audition_picture
    from engine.device import choose_device, chosen_device, devices
    from engine.document import acts, edit_acts, point_acts, token_acts
    from engine.document.config_files import as_shown as config_as_shown
    from engine.document.config_files import file_fields
    from engine.document.project import Project
    from engine.editor import Editor, OutsideRegion
    from engine.effects import EFFECTS, picture_fields
    from engine.errors import EngineError, MediaError, MethodError, ProjectError, RecipeError
    from engine.fitting import Fitting, Option, fittings
    from engine.handover.forms import FORMS as HANDOVER_FORMS
    from engine.handover.jobs_in import import_job, is_job, take_markers
    from engine.handover.watching import PaintingWatch
    from engine.instant.preview import InstantPreview
    from engine.instant.proxy import is_smaller
    from engine.interchange.project_zip import import_project, is_zip
    from engine.jobs import Job, JobManager
    from engine.media.describe import clip_remarks
    from engine.media.formats import FORMATS
    from engine.media.images import read_image, read_mask
    from engine.media.probe import check_file
    from engine.methods import METHODS
    from engine.methods.base import Segment
    from engine.models import MODELS, is_here, models_here
    from engine.models.command import row_of as model_row
    from engine.models.desk import ModelDesk
    from engine.quality import Overview, overview
    from engine.rendering.choice import check_executor, choose_executor, chosen_executor, why_no_ray
    from engine.rendering.choosing import choose_anchors
    from engine.rendering.fits import shown_first
    from engine.rendering.material import Material
    from engine.rendering.render import dirty_segments, spans_to_carry
    from engine.rendering.segments import MaskSpan
    from engine.rendering.stack import finished_below
    from engine.rendering.token_view import found_tokens
    from engine.rendering.trails import points_to_follow, track_values, tracks_key
    from engine.review.certificate import Certificate, certificate_of
    from engine.review.estimate import Estimate, estimate_of, preview_sentence
    from engine.review.estimate import sentences as estimate_sentences
    from engine.review.pace import PaceBook
    from engine.review.problems import Review, review_of
    from engine.review.report import page_of as report_page
    from engine.review.report import report_body
    from engine.sample import draw_sample
    from engine.sample_world import draw_world_sample
    from engine.segmentation import BY_MODELS as SEGMENTERS_BY_MODELS
    from engine.segmentation import segmenter_names
    from engine.segmentation.remote import box_of_words
    from engine.sheet import contact_sheet, in_one_shot, take_thumbnail
    from engine.store.backups import BackupClock, backups_of
    from engine.store.cache import DEFAULT_CACHE_GB, cache_bytes, clean_cache, limit_cache
    from engine.store.clips import AnotherClip, find_clip
    from engine.store.projects import Summary, copy_project, last_change, poster_of, summary_of
    from engine.store.workspace import sweep_parts
    from engine.tracking.choice import MASK_TRACKERS, POINT_TRACKERS
    from engine.types import Edit, Take
    from engine.viewing import Viewer, layer_of, mask_png, sound_file

_HOME = {  # name -> module; module:other name there; module: for the module itself
    "DEFAULT_CACHE_GB": "engine.store.cache",
    "EFFECTS": "engine.effects",
    "picture_fields": "engine.effects",
    "FORMATS": "engine.media.formats",
    "MASK_TRACKERS": "engine.tracking.choice",
    "HANDOVER_FORMS": "engine.handover.forms:FORMS",
    "METHODS": "engine.methods",
    "MODELS": "engine.models",
    "POINT_TRACKERS": "engine.tracking.choice",
    "SEGMENTERS_BY_MODELS": "engine.segmentation:BY_MODELS",
    "AnotherClip": "engine.store.clips",
    "BackupClock": "engine.store.backups",
    "Edit": "engine.types",
    "Take": "engine.types",
    "Certificate": "engine.review.certificate",
    "Editor": "engine.editor",
    "EngineError": "engine.errors",
    "Estimate": "engine.review.estimate",
    "Fitting": "engine.fitting",
    "InstantPreview": "engine.instant.preview",
    "Job": "engine.jobs",
    "JobManager": "engine.jobs",
    "MaskSpan": "engine.rendering.segments",
    "Material": "engine.rendering.material",
    "MediaError": "engine.errors",
    "MethodError": "engine.errors",
    "ModelDesk": "engine.models.desk",
    "Option": "engine.fitting",
    "OutsideRegion": "engine.editor",
    "Overview": "engine.quality",
    "PaintingWatch": "engine.handover.watching",
    "PaceBook": "engine.review.pace",
    "Project": "engine.document.project",
    "ProjectError": "engine.errors",
    "RecipeError": "engine.errors",
    "Review": "engine.review.problems",
    "Segment": "engine.methods.base",
    "Summary": "engine.store.projects",
    "shown_first": "engine.rendering.fits",
    "Viewer": "engine.viewing",
    "acts": "engine.document.acts:",
    "box_of_words": "engine.segmentation.remote",
    "audition_picture": "engine.audition.run:picture_of",
    "backups_of": "engine.store.backups",
    "cache_bytes": "engine.store.cache",
    "certificate_of": "engine.review.certificate",
    "check_executor": "engine.rendering.choice",
    "check_file": "engine.media.probe",
    "choose_anchors": "engine.rendering.choosing",
    "choose_device": "engine.device",
    "choose_executor": "engine.rendering.choice",
    "chosen_device": "engine.device",
    "chosen_executor": "engine.rendering.choice",
    "why_no_ray": "engine.rendering.choice",
    "clean_cache": "engine.store.cache",
    "clip_remarks": "engine.media.describe",
    "config_as_shown": "engine.document.config_files:as_shown",
    "file_fields": "engine.document.config_files",
    "contact_sheet": "engine.sheet",
    "copy_project": "engine.store.projects",
    "devices": "engine.device",
    "dirty_segments": "engine.rendering.render",
    "draw_sample": "engine.sample",
    "draw_world_sample": "engine.sample_world",
    "estimate_of": "engine.review.estimate",
    "estimate_sentences": "engine.review.estimate:sentences",
    "find_clip": "engine.store.clips",
    "fittings": "engine.fitting",
    "found_tokens": "engine.rendering.token_view",
    "import_job": "engine.handover.jobs_in",
    "is_job": "engine.handover.jobs_in",
    "take_markers": "engine.handover.jobs_in",
    "import_project": "engine.interchange.project_zip",
    "in_one_shot": "engine.sheet",
    "is_here": "engine.models",
    "models_here": "engine.models",
    "is_smaller": "engine.instant.proxy",
    "is_zip": "engine.interchange.project_zip",
    "last_change": "engine.store.projects",
    "layer_of": "engine.viewing",
    "limit_cache": "engine.store.cache",
    "mask_png": "engine.viewing",
    "model_row": "engine.models.command:row_of",
    "overview": "engine.quality",
    "point_acts": "engine.document.point_acts:",
    "points_to_follow": "engine.rendering.trails",
    "poster_of": "engine.store.projects",
    "preview_sentence": "engine.review.estimate",
    "read_image": "engine.media.images",
    "read_mask": "engine.media.images",
    "report_body": "engine.review.report",
    "report_page": "engine.review.report:page_of",
    "review_of": "engine.review.problems",
    "segmenter_names": "engine.segmentation",
    "sound_file": "engine.viewing",
    "spans_to_carry": "engine.rendering.render",
    "summary_of": "engine.store.projects",
    "sweep_parts": "engine.store.workspace",
    "take_thumbnail": "engine.sheet",
    "token_acts": "engine.document.token_acts:",
    "edit_acts": "engine.document.edit_acts:",
    "finished_below": "engine.rendering.stack",
    "track_values": "engine.rendering.trails",
    "tracks_key": "engine.rendering.trails",
}

__all__ = [
    "DEFAULT_CACHE_GB",
    "EFFECTS",
    "FORMATS",
    "HANDOVER_FORMS",
    "MASK_TRACKERS",
    "METHODS",
    "MODELS",
    "POINT_TRACKERS",
    "SEGMENTERS_BY_MODELS",
    "AnotherClip",
    "BackupClock",
    "Certificate",
    "Edit",
    "Editor",
    "EngineError",
    "Estimate",
    "Fitting",
    "InstantPreview",
    "Job",
    "JobManager",
    "MaskSpan",
    "Material",
    "MediaError",
    "MethodError",
    "ModelDesk",
    "Option",
    "OutsideRegion",
    "Overview",
    "PaceBook",
    "PaintingWatch",
    "Project",
    "ProjectError",
    "RecipeError",
    "Review",
    "Segment",
    "Summary",
    "Take",
    "Viewer",
    "acts",
    "audition_picture",
    "backups_of",
    "box_of_words",
    "cache_bytes",
    "certificate_of",
    "check_executor",
    "check_file",
    "choose_anchors",
    "choose_device",
    "choose_executor",
    "chosen_device",
    "chosen_executor",
    "clean_cache",
    "clip_remarks",
    "config_as_shown",
    "contact_sheet",
    "copy_project",
    "devices",
    "dirty_segments",
    "draw_sample",
    "draw_world_sample",
    "edit_acts",
    "estimate_of",
    "estimate_sentences",
    "file_fields",
    "find_clip",
    "finished_below",
    "fittings",
    "found_tokens",
    "import_job",
    "import_project",
    "in_one_shot",
    "is_here",
    "is_job",
    "is_smaller",
    "is_zip",
    "last_change",
    "layer_of",
    "limit_cache",
    "mask_png",
    "model_row",
    "models_here",
    "overview",
    "picture_fields",
    "point_acts",
    "points_to_follow",
    "poster_of",
    "preview_sentence",
    "read_image",
    "read_mask",
    "report_body",
    "report_page",
    "review_of",
    "segmenter_names",
    "shown_first",
    "sound_file",
    "spans_to_carry",
    "summary_of",
    "sweep_parts",
    "take_markers",
    "take_thumbnail",
    "token_acts",
    "track_values",
    "tracks_key",
    "why_no_ray",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"engine has no public name {name!r}")
    path, colon, attribute = home.partition(":")
    module = import_module(path)
    value = module if colon and not attribute else getattr(module, attribute or name)
    globals()[name] = value
    return value
