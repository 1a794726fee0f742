"""What the verbs of the command line do (engine/cli.py parses them)."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from engine.device import workers
from engine.editor import Editor
from engine.errors import MediaError, MethodError, RecipeError
from engine.executors import Executor, PoolExecutor, SerialExecutor
from engine.interchange.davis import index_map, write_masks
from engine.interchange.tracks import write_tracks
from engine.material import Material
from engine.media.writer import settings_for
from engine.progress import Progress
from engine.recipe import Recipe, anchors_of, marks_of, read_recipe
from engine.render import RenderReport, carry, dirty_segments, export, prepare_clip, propagate, render_segment, spans_to_carry
from engine.segments import describe
from engine.tracking.points import track_points


def run(options: argparse.Namespace, progress: Progress) -> int:
    """`launch.py run RECIPE.json`: a fresh project, marked, edited and rendered as the recipe says."""
    recipe = read_recipe(options.recipe)
    if not any((options.out, options.masks, options.tracks, options.project)):
        raise RecipeError("There is nothing to make: give at least one of -o, --masks, --tracks, --project.")
    _check_outputs(options)
    with ExitStack() as stack:
        folder = options.project or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anchorline-")))
        if options.dry_run:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anchorline-")))
        editor = Editor.create(folder, recipe.clip, options.recipe.stem) if _fresh(folder) else None
        if editor is None:
            raise RecipeError(f"--project {folder.name} is not empty; name a new folder, or render the project in it.")
        stack.callback(editor.close)
        warnings = list(editor.project.video.warnings)
        _play(editor, recipe, progress, warnings)
        return _finish(editor, options, progress, warnings, wants_edit="anchors" in recipe.body or "edit" in recipe.body)


def _fresh(folder: Path) -> bool:
    return not folder.exists() or not any(folder.iterdir())


def _play(editor: Editor, recipe: Recipe, progress: Progress, warnings: list[str]) -> None:
    """Marks, then the masks that the anchors' effects need, then the takes."""
    marks_of(editor, recipe)
    progress.total += editor.project.video.frames
    prepare_clip(editor.material, progress)
    needed = [spec["frame"] for spec in recipe.body.get("anchors", []) if spec.get("effect")]
    spans = [
        span for span in spans_to_carry(editor.material) if any(f in span.range and f not in dict(span.given) for f in needed)
    ]
    progress.total += sum(len(span.range) for span in spans)
    carry(editor.material, spans, progress)
    anchors_of(editor, recipe, warnings.append)


def render(options: argparse.Namespace, progress: Progress) -> int:
    """`launch.py render PROJECT -o OUT`: the same bytes as the editor's own run."""
    if not any((options.out, options.masks, options.tracks)):
        raise RecipeError("There is nothing to make: give at least one of -o, --masks, --tracks.")
    _check_outputs(options)
    editor = Editor(options.project)
    try:
        progress.total += editor.project.video.frames
        prepare_clip(editor.material, progress)
        return _finish(editor, options, progress, list(editor.project.video.warnings), wants_edit=True)
    finally:
        editor.close()


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuses before hours of work what would be refused after them."""
    for path in (options.out, options.masks, options.tracks, options.report):
        if path is None:
            continue
        if not path.absolute().parent.is_dir():
            raise MediaError(f"The folder for {path.name} does not exist: {path.parent}.")
        if path.exists() and not options.force and path is not options.report:
            raise MediaError(f"{path.name} exists; give --force to replace it, or another name.")
    if options.out:
        settings_for(options.out)


def _finish(editor: Editor, options: argparse.Namespace, progress: Progress, warnings: list[str], *, wants_edit: bool) -> int:
    """Renders and writes what was asked for."""
    material = editor.material
    if options.dry_run:
        return _tell_plan(material)
    report = RenderReport()
    if options.out and wants_edit:
        if getattr(options, "segments", None):
            material.segments[:] = _chosen(material, options.segments)
        report = propagate(material, progress, _executor(options.executor))
    if options.masks:
        _write_masks(material, options.masks, progress, force=options.force)
    if options.tracks:
        _write_tracks(material, options.tracks, progress)
    if options.out:
        progress.total += len(material.project.range)
        warnings += export(material, options.out, settings_for(options.out), progress, force=options.force)
    for warning in warnings:
        print(f"Note: {warning}", file=sys.stderr)
    if options.report:
        _write_report(options, progress, report, warnings)
    return 0


def _chosen(material: Material, text: str) -> list[Any]:
    first, _, last = text.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise RecipeError(f'--segments takes A-B, such as 0-2, not "{text}".')
    chosen = [s for s in material.segments if int(first) <= s.index <= int(last or first)]
    if not chosen:
        raise RecipeError(f"--segments {text} names no segment: there are {len(material.segments)}, counted from 0.")
    return chosen


def _tell_plan(material: Material) -> int:
    dirty = {segment.index for segment in dirty_segments(material)}
    segments = [{**describe(s), "state": "render" if s.index in dirty else "reuse"} for s in material.segments]
    spans = [[span.range.start, span.range.stop] for span in spans_to_carry(material)]
    print(json.dumps({"frames": len(material.project.range), "segments": segments, "masks_to_carry": spans}, indent=1))
    return 0


def _executor(name: str) -> Executor:
    if name == "ray":
        raise MethodError("The ray executor is not part of this version; use --executor pool.")
    return PoolExecutor(workers()) if name == "pool" else SerialExecutor(render_segment)


def _write_masks(material: Material, folder: Path, progress: Progress, *, force: bool) -> None:
    spans = spans_to_carry(material)
    span = material.project.range
    progress.total += sum(len(one.range) for one in spans) + len(span)
    carry(material, spans, progress)
    step = progress.part("Writing masks", len(span))
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    try:
        for done, frame in enumerate(span):
            masks = [(subject.id, material.alpha(subject.id, frame)) for subject in material.project.subjects]
            write_masks(temporary, frame, index_map(material.project.video.size, masks))
            step(done + 1, len(span))
        if folder.exists() and force:
            shutil.rmtree(folder)
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_tracks(material: Material, path: Path, progress: Progress) -> None:
    project = material.project
    rows = [(subject.id, *point) for subject in project.subjects for point in subject.track_points]
    if not rows:
        raise RecipeError("--tracks needs track points: give a subject track_points [[frame, x, y], …].")
    table = np.array(rows, np.float64)
    progress.total += len(project.range)
    step = progress.part("Tracking points", len(project.range))
    queries = table[:, 1:].astype(np.float32)
    tracks = track_points(material.ready_pack, project.video.size, queries, project.range, step)
    write_tracks(path, tracks, table[:, 0].astype(np.int32), project.video.size, project.video.rate)


def _write_report(options: argparse.Namespace, progress: Progress, report: RenderReport, warnings: list[str]) -> None:
    body = {
        "frames": len(report.quality),
        "segments": {"rendered": report.rendered, "reused": report.reused},
        "seconds": {phase: round(seconds, 3) for phase, seconds in progress.seconds.items()},
        "peak_rss_bytes": peak_rss_bytes(),
        "outside_mask_max_abs": report.outside_mask_max_abs,
        "anchor_max_abs": report.anchor_max_abs,
        "quality": report.quality,
        "models": [],
        "warnings": warnings,
        "output_sha256": _digest(options.out) if options.out else None,
    }
    temporary = options.report.with_name(f".{options.report.name}.part")
    temporary.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, options.report)


def peak_rss_bytes() -> int:
    """The largest resident size of this process so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _digest(out: Path) -> str:
    """sha256 of the file; of a folder of frames, over names and contents in order."""
    total = hashlib.sha256()
    for path in [out] if out.is_file() else sorted(out.iterdir()):
        if out.is_dir():
            total.update(path.name.encode())
        with open(path, "rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest() if out.is_dir() else file.read())
    return total.hexdigest()


# --- doctor and models ------------------------------------------------------------------------------------


def doctor(options: argparse.Namespace, progress: Progress) -> int:
    """What was found, what is missing and the command that adds it."""
    import av

    rows = [("Python", platform.python_version(), "")]
    for package in ("gradio", "av", "opencv-python-headless", "numpy", "scipy"):
        rows.append(_package_row(package, "python launch.py"))
    for codec in ("libx264", "prores_ks", "aac"):
        rows.append((f"codec {codec}", "yes" if codec in av.codecs_available else "missing", ""))
    for package in ("torch", "diffusers", "transformers", "segment-anything"):
        rows.append(_package_row(package, "python launch.py (installs models' packages in the background)"))
    rows.append(_package_row("ray", "optional; not used by this version"))
    rows.append(("device", f"CPU, {workers()} cores", "motion propagation needs no more"))
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


def models(options: argparse.Namespace, progress: Progress) -> int:
    """Hub models. None is wired in yet, and this says so."""
    if options.action == "list":
        print("No hub models are used by this version: motion propagation needs none.")
        return 0
    raise MethodError("No hub models are used by this version, so there is nothing to fetch or check.")
