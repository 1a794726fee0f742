"""What the verbs of the command line do (engine/commands/cli.py parses them)."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.commands import batch
from engine.commands.recipe import read_recipe
from engine.device import devices, workers
from engine.editor import Editor
from engine.errors import MediaError, RecipeError
from engine.handover.forms import check_form_target, form_of, hand_over, needs_frames
from engine.interchange.project_zip import unpack_project
from engine.media.writer import ExportSettings, check_target, settings_for
from engine.methods.base import Segment
from engine.models import MODELS, digest_of, is_here
from engine.progress import Progress
from engine.rendering import outputs
from engine.rendering.choice import executor_named
from engine.rendering.executors import Executor
from engine.rendering.material import Material
from engine.rendering.render import (
    RenderReport,
    carry,
    dirty_segments,
    export,
    prepare_clip,
    spans_to_carry,
)
from engine.rendering.segments import describe
from engine.rendering.stack import needed, propagate_all
from engine.review.certificate import certify
from engine.review.estimate import estimate_of
from engine.review.pace import noting
from engine.review.report import report_body, write_report
from engine.types import FrameRange


def run(options: argparse.Namespace, progress: Progress) -> int:
    """`launch.py run RECIPE.json`: a project, marked, edited and rendered as the recipe says."""
    if not any((options.out, options.masks, options.tracks, options.project)):
        raise RecipeError("There is nothing to make: give at least one of -o, --masks, --tracks, --project.")
    executor = executor_named(options.executor, options.ray_address)
    recipe = read_recipe(options.recipe)
    settings = _settings(options, recipe.body.get("export") or {})
    _check_outputs(options, settings, [options.recipe, *recipe.files()])
    with progress.timed("Opening the clip"):
        video = batch.look_at(recipe)
        plan = batch.planned(recipe, video)
    if options.tracks:
        outputs.check_tracks(plan.subjects, plan.range)
    if options.dry_run:
        return _tell_plan(batch.plan_of(recipe, video, options.project), options.executor)
    with ExitStack() as stack:
        folder = options.project or Path(stack.enter_context(_temporary_folder()))
        editor = batch.open_project(folder, recipe, video)
        stack.callback(editor.close)
        stack.enter_context(editor.workspace.working(progress.check))
        codec = settings.codec if settings else ""
        stack.enter_context(noting(lambda: editor.material, progress, options.out, codec, how=options.executor))
        warnings = [*video.warnings, *batch.play(editor, recipe, progress)]
        work = _Work(editor.material, options, settings, progress, warnings, recipe.body.get("segmenter", "auto"))
        return work.do(executor, propagates=recipe.edits, keeps=options.project is not None)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="anchorline-")
    except OSError as error:
        raise MediaError(f"Cannot make a folder for working files: {error.strerror}; free some disk space.") from error


def render(options: argparse.Namespace, progress: Progress) -> int:
    """`launch.py render PROJECT -o OUT`: the same bytes as the editor's own run."""
    if not any((options.out, options.masks, options.tracks)):
        raise RecipeError("There is nothing to make: give at least one of -o, --masks, --tracks.")
    executor = executor_named(options.executor, options.ray_address)
    settings = _settings(options, {})
    with ExitStack() as stack:
        folder: Path = options.project
        if folder.is_file():
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="anchorline-"))
            folder = unpack_project(folder, Path(place) / "project")
        editor = Editor(folder)
        stack.callback(editor.close)
        editor.workspace.sweep()
        _check_outputs(options, settings, [Path(editor.reader.video.path)])
        if options.tracks:
            outputs.check_tracks(editor.project.subjects, editor.project.range)
        if options.dry_run:
            return _tell_plan(editor.material, options.executor, options.segments)
        stack.enter_context(editor.workspace.working(progress.check))
        codec = settings.codec if settings else ""
        stack.enter_context(noting(lambda: editor.material, progress, options.out, codec, how=options.executor))
        progress.total += editor.project.video.frames
        prepare_clip(editor.material, progress)
        work = _Work(editor.material, options, settings, progress, list(editor.project.video.warnings))
        return work.do(executor, propagates=bool(options.out), keeps=False)


# --- before the work --------------------------------------------------------------------------------------


def _settings(options: argparse.Namespace, wanted: dict[str, Any]) -> ExportSettings | None:
    if options.out is None or form_of(options.out):
        return None
    return settings_for(options.out, wanted.get("codec"), wanted.get("quality"))


def _check_outputs(options: argparse.Namespace, settings: ExportSettings | None, inputs: list[Path]) -> None:
    """Refuses before hours of work what would be refused after them, and what would write over its own input."""
    given = {name: getattr(options, name, None) for name in ("out", "masks", "tracks", "report", "project")}
    places: dict[str, Path] = {name: path.absolute() for name, path in given.items() if path is not None}
    if len({path.resolve() for path in places.values()}) < len(places):
        raise MediaError("Two of -o, --masks, --tracks, --report and --project name the same place; give each its own.")
    for name, path in places.items():
        if name == "project":
            continue
        if not path.parent.is_dir():
            raise MediaError(f"The folder for {path.name} does not exist: {path.parent}.")
        if path.exists() and not options.force and name != "report":
            raise MediaError(f"{path.name} exists; give --force to replace it, or another name.")
        if any(one.exists() and path.exists() and path.samefile(one) for one in inputs):
            raise MediaError(f"{path.name} is what this run reads; give another name.")
    if settings:
        check_target(options.out, settings, options.force)
    elif options.out and (form := form_of(options.out)):
        check_form_target(options.out, form, options.force)
        if getattr(options, "segments", None):
            raise RecipeError(f"{options.out.name} takes the whole in–out range; leave out --segments.")
    outputs.check_formats(options.masks, options.masks_as, options.tracks)
    if options.report:
        outputs.check_file(options.report)


def _tell_plan(material: Material, how: str, segments: str | None = None) -> int:
    """A dry run: what would be done, as JSON on standard output. Cuts are only known once the clip was prepared."""
    top = _top(material)
    chosen = _chosen(top, segments) if segments else top.segments
    masks = {span.key: span.range for layer in top.layers for span in spans_to_carry(layer)}
    plan: dict[str, Any] = {
        "frames": len(_span(material, chosen if segments else None)),
        "cuts": material.cuts if material.pack and material.pack.complete else None,
        "segments": _states(top, chosen),
        "masks_to_carry": [[span.start, span.stop] for span in masks.values()],
    }
    wanted = list(needed(top, chosen if segments else None))
    plan["estimate"] = estimate_of(top, how=how, wanted=wanted).as_json()
    lower = [one for one in wanted if one[0].project.edit is not top.project.edit]
    if lower:
        plan["below"] = [{"edit": layer.project.edit.name, "segments": _states(layer, found)} for layer, found in lower]
    print(json.dumps(plan, indent=1))
    return 0


def _states(material: Material, segments: list[Segment]) -> list[dict[str, object]]:
    """The segments as plain values, with the method that makes each and what would be done."""
    dirty = {segment.index for segment in dirty_segments(material, segments)}
    methods = {segment.index: material.of(segment).project.edit.method for segment in segments}
    return [{**describe(s), "method": methods[s.index], "state": "render" if s.index in dirty else "reuse"} for s in segments]


def _top(material: Material) -> Material:
    """Of the topmost edit that has segments: --segments counts these."""
    whole = material.whole
    return next((layer for layer in reversed(whole.layers) if layer.segments), whole)


def _chosen(material: Material, text: str) -> list[Segment]:
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise RecipeError(f'--segments takes A-B, such as 0-2, not "{text}".')
    chosen = [s for s in material.segments if int(first) <= s.index <= int(last or first)]
    if not chosen:
        raise RecipeError(f"--segments {text} names no segment: there are {len(material.segments)}, counted from 0.")
    return chosen


def _span(material: Material, chosen: list[Segment] | None) -> FrameRange:
    """The frames of OUT: the range, or what the chosen segments cover."""
    return FrameRange(chosen[0].start, chosen[-1].stop) if chosen else material.project.range


# --- the work ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class _Work:
    """What `run` and `render` share: render, write, report."""

    material: Material
    options: argparse.Namespace
    settings: ExportSettings | None
    progress: Progress
    warnings: list[str]
    segmenter: str = "auto"

    def do(self, executor: Executor, *, propagates: bool, keeps: bool) -> int:
        """`keeps`: the project stays, so that it holds everything although no OUT was asked for."""
        material, options, progress = self.material, self.options, self.progress
        text = getattr(options, "segments", None)
        top = _top(material)
        chosen = _chosen(top, text) if text else None
        span = _span(material, chosen)
        report = RenderReport()
        if propagates and (needs_frames(options.out) or keeps):
            for layer, found in needed(top, chosen):
                layer.drop_damaged(found)
            report = propagate_all(material if chosen is None else top, progress, executor, chosen)
        elif keeps:
            spans = spans_to_carry(material)
            progress.total += sum(len(one.range) for one in spans)
            carry(material, spans, progress)
        if options.masks:
            outputs.masks(material, options.masks, options.masks_as, span, progress)
        if options.tracks:
            outputs.tracks(material, options.tracks, progress)
        if self.settings:
            progress.total += len(span)
            self.warnings.extend(export(material, options.out, self.settings, progress, force=options.force, span=span))
        elif options.out and (form := form_of(options.out)):
            self.warnings.extend(hand_over(material.again(), options.out, form, progress))
        for warning in self.warnings:
            print(f"Note: {warning}", file=sys.stderr)
        if options.report:
            self._report(report, span)
        return 0

    def _models(self) -> list[str]:
        """Names of the models that marks and tracks asked for."""
        project = self.material.project
        return sorted({self.segmenter, project.masks_by, project.points_by})

    def _report(self, report: RenderReport, span: FrameRange) -> None:
        body = {
            "frames": len(span),
            "segments": {"rendered": report.rendered, "reused": report.reused},
            "seconds": {phase: round(seconds, 3) for phase, seconds in self.progress.seconds.items()},
            "peak_rss_bytes": outputs.peak_rss_bytes(),
            "outside_mask_max_abs": report.outside_mask_max_abs,
            "anchor_max_abs": report.anchor_max_abs,
            "quality": report.quality,
            "models": [digest_of(name) for name in self._models() if name in MODELS],
            "warnings": [*self.warnings, *report.warnings],
            "output_sha256": outputs.digest(self.options.out) if self.options.out else None,
        }
        material = self.material.again()
        proved = report_body(material, certificate=certify(material, self.progress))
        write_report(self.options.report, material, {**proved, **body})


# --- doctor, node and models ------------------------------------------------------------------------------------


def doctor(options: argparse.Namespace, progress: Progress) -> int:
    """What was found, what is missing and the command that adds it."""
    import av

    rows = [("Python", platform.python_version(), "")]
    for package in ("gradio", "av", "opencv-python-headless", "numpy", "scipy"):
        rows.append(_package_row(package, "python launch.py"))
    for codec in ("libx264", "prores_ks", "ffv1", "exr", "aac"):
        rows.append((f"codec {codec}", "yes" if codec in av.codecs_available else "missing", ""))
    for package in ("torch", "diffusers", "transformers", "segment-anything"):
        rows.append(_package_row(package, "python launch.py (installs models' packages in the background)"))
    rows += [_torchvision_row(), _package_row("ray", "optional: --executor ray, several machines")]
    rows.append(("device", f"CPU, {workers()} cores", "motion propagation needs no more"))
    for one in devices():
        if one["name"] != "cpu":
            memory = f"{int(str(one['free'])) / 1e9:.0f} of {int(str(one['total'])) / 1e9:.0f} GB free"
            rows.append((f"device {one['name']}", f"{one['title']}, {memory}", ""))
    here = [name for name in MODELS if is_here(name)]
    rows.append(("models", ", ".join(here) or "none fetched", "" if here else "python launch.py models list"))
    free = shutil.disk_usage(Path.home()).free / 2**30
    rows.append(("free disk at home", f"{free:.0f} GB", "low: a project needs about 0.1 GB a minute of 720p" if free < 5 else ""))
    width = max(len(name) for name, _, _ in rows)
    for name, value, remark in rows:
        print(f"{name:<{width}}  {value}{'  – ' + remark if remark else ''}")
    return 0


def _package_row(package: str, remedy: str) -> tuple[str, str, str]:
    try:
        return (package, metadata.version(package), "")
    except metadata.PackageNotFoundError:
        return (package, "not installed", remedy)


def _torchvision_row() -> tuple[str, str, str]:
    """Whether torchvision is there and can be loaded: a broken one keeps diffusers and transformers from loading too."""
    name, version, _ = _package_row("torchvision", "")
    if version == "not installed":
        return (name, version, "optional: for RAFT; set-up adds it where this torch can load it")
    code = "import torch, torchvision; torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)"
    if subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0:
        return (name, version, "")
    remedy = "does not fit this torch and breaks diffusers and transformers: .venv/bin/python -m pip uninstall torchvision"
    return (name, version, remedy)


def node(options: argparse.Namespace, progress: Progress) -> int:
    """A machine of a Ray cluster, until it is stopped."""
    from engine.rendering.cluster.node import start_node

    return start_node(options.join, host=options.host, cpus=options.cpus, gpus=options.gpus)


def models(options: argparse.Namespace, progress: Progress) -> int:
    """What models there are; fetches or checks one."""
    from engine.models import command

    return command.models(options, progress)
