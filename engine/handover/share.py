"""The share package: one zip that shows and proves an edit, and from which it can be made again.

before-after.mp4   the wipe between source and edit       sheet.png   the anchors and their takes
report.json/.html  what was done and measured             recipe.json marks/ anchors/   settings for `launch.py run`
masks/             DAVIS PNGs                              tracks.npz  tracked points, where there are any
timeline.otio      the range and the anchors as markers    README.txt  what is what
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from engine.handover.jobs_out import write_otio
from engine.handover.pictures import sheet_picture
from engine.handover.recipe_of import recipe_of
from engine.interchange.files import whole
from engine.media.formats import ExportSettings
from engine.media.images import encode_png
from engine.progress import Progress
from engine.rendering import outputs
from engine.rendering.material import Material
from engine.rendering.render import export
from engine.review.certificate import certify
from engine.review.report import report_body, write_report
from engine.store.clips import find_clip

WIPE, SHEET, RECIPE = "before-after.mp4", "sheet.png", "recipe.json"
MASKS, TRACKS, TIMELINE = "masks", "tracks.npz", "timeline.otio"
REPORTS = ("report.json", "report.html")
SMALL = (".json", ".html", ".otio", ".txt")  # worth packing; pictures and clips do not shrink
LONG_AGO = (1980, 1, 1, 0, 0, 0)
AT_ONCE = 2**20
UNITS = 20
READ_ME = """{name}: an edit made with Anchorline

before-after.mp4  source and edit, with a wipe between them
sheet.png         the anchors: frames that were edited and approved, and their takes
report.json       what was done and measured; report.html is the same to read
masks/            the subjects, one indexed PNG per frame (DAVIS)
tracks.npz        tracked points, where there are any
timeline.otio     the clip, its range and the anchors as markers (OpenTimelineIO)
recipe.json       all settings; marks/ and anchors/ belong to it

To make the edit again, put the clip “{clip}” beside recipe.json and run:  python launch.py run recipe.json -o out.mp4
{remarks}"""


def write_share(material: Material, out: Path, progress: Progress) -> list[str]:
    """Writes the package of the project's range; every segment must be rendered. Returns remarks.

    Raises:
        MediaError: the clip is gone, or the disk does not take it.
        Cancelled: nothing is left.
    """
    span, clip = material.project.range, find_clip(material.workspace, material.project.video)
    progress.total += len(span) + UNITS
    with material.workspace.scratch() as scratch:
        body, remarks = recipe_of(material.project, clip.name, lambda name, key: _put(material, scratch / name, key))
        (scratch / RECIPE).write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        remarks += export(material, scratch / WIPE, ExportSettings("h264-wipe"), progress)
        (scratch / SHEET).write_bytes(encode_png(sheet_picture(material)))
        outputs.masks(material, scratch / MASKS, None, span, progress)
        if any(subject.track_points for subject in material.project.subjects):
            outputs.tracks(material, scratch / TRACKS, progress)
        write_otio(material, scratch / TIMELINE, beside=True)
        report = report_body(material, certificate=certify(material, progress))
        for name in REPORTS:
            write_report(scratch / name, material, report)
        text = READ_ME.format(name=material.project.name, clip=clip.name, remarks="".join(f"\nNote: {one}\n" for one in remarks))
        (scratch / "README.txt").write_text(text, encoding="utf-8")
        _pack(scratch, out, progress)
    return remarks


def _put(material: Material, place: Path, key: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(material.objects.path(key), place)


def _pack(folder: Path, out: Path, progress: Progress) -> None:
    """All files below `folder` into the zip `out`, streamed, in an order that does not depend on the disk."""
    files = list(_files(folder))
    total, done = sum(path.stat().st_size for path in files), 0
    step = progress.part("Packing", UNITS)
    with whole(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as packed:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED if path.suffix in SMALL else zipfile.ZIP_STORED
            with open(path, "rb") as file, packed.open(entry, "w", force_zip64=True) as place:
                while piece := file.read(AT_ONCE):
                    place.write(piece)
                    done += len(piece)
                    step(done, total)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
