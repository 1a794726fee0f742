"""A project as a job of another program: a folder for EbSynth, a timeline with the anchors as markers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.errors import MediaError
from engine.interchange.ebsynth import SYNTHS_A_FILE, EbsProject, Synth, write_ebs
from engine.interchange.files import whole
from engine.interchange.timeline import Mark, MediaClip, Stills, address_of, relative_address, write_timeline
from engine.media.images import encode_png
from engine.media.probe import open_container
from engine.media.sequence import NUMBERED, find_stills
from engine.media.timecode import frames_of, timecode_of
from engine.progress import Progress
from engine.rendering.material import Material
from engine.rendering.render import carry, spans_to_carry
from engine.store.clips import find_clip
from engine.types import Anchor, FrameIndex, Video

VIDEO, KEYS, MASKS = "video", "keys", "mask"


# --- EbSynth ----------------------------------------------------------------------------------------------


def write_ebsynth(material: Material, out: Path, progress: Progress) -> list[str]:
    """A folder with video/, keys/, mask/ and .ebs files of at most 15 keys; pictures carry the numbers of the clip's frames.
    Of several edits it is the one being worked on, over the clip itself. Returns remarks.

    Raises:
        MediaError: no approved anchor in the range, or the disk does not take it.
    """
    span, project = material.project.range, material.project
    anchors = [anchor.frame for anchor in project.edit.approved if anchor.frame in span]
    if not anchors:
        raise MediaError("EbSynth needs key frames: approve a take in the in–out range, then export again.")
    masked = not project.whole_frame
    if masked:
        spans = spans_to_carry(material)
        progress.total += sum(len(one.range) for one in spans)
        carry(material, spans, progress)
    progress.total += len(span)
    step = progress.part("Writing EbSynth's folders", len(span))
    digits = max(5, len(str(span.stop)))
    with whole(out) as temporary:
        for name in (VIDEO, KEYS, *([MASKS] if masked else [])):
            (temporary / name).mkdir(parents=True)
        for done, (frame, picture) in enumerate(zip(span, material.reader.frames(span), strict=True), 1):
            _still(temporary / VIDEO, frame, digits, picture)
            if masked:
                _still(temporary / MASKS, frame, digits, material.region(frame))
            if frame in anchors:
                _still(temporary / KEYS, frame, digits, material.take(frame))
            step(done, len(span))
        for number, synths in enumerate(batched_synths(material, anchors, digits), 1):
            job = _job(synths, digits, masked, float(project.video.rate))
            write_ebs(temporary / f"{'job' if number == 1 else f'job-{number}'}.ebs", job)
    others = len(project.edits) - 1
    return [f"EbSynth gets the edit “{project.edit.name}” alone; it knows no stack of edits."] if others else []


def _still(folder: Path, frame: FrameIndex, digits: int, picture: np.ndarray) -> None:
    (folder / f"{frame:0{digits}d}.png").write_bytes(encode_png(picture))


def _job(synths: tuple[Synth, ...], digits: int, masked: bool, rate: float) -> EbsProject:
    place = f"[{'#' * digits}].png"
    return EbsProject(f"{VIDEO}/{place}", f"{MASKS}/{place}", f"{KEYS}/{place}", synths, masks_on=masked, rate=rate)


def batched_synths(material: Material, anchors: list[FrameIndex], digits: int) -> Iterator[tuple[Synth, ...]]:
    """Every key with how far it is carried, 15 at a time: to the neighbouring keys, or the ends of its shot and the range."""
    synths = []
    for key in anchors:
        before = next((s for s in material.segments if s.stop == key and s.right == key), None)
        after = next((s for s in material.segments if s.left == key), None)
        first = None if before is None else before.start
        last = None if after is None else after.stop - 1 if after.right is None else after.right
        out = f"out-{key:0{digits}d}/[{'#' * digits}].png"
        synths.append(Synth(key, first, None if last == key else last, out))
    for at in range(0, len(synths), SYNTHS_A_FILE):
        yield tuple(synths[at : at + SYNTHS_A_FILE])


# --- timelines --------------------------------------------------------------------------------------------


def write_otio(material: Material, out: Path, *, beside: bool = False) -> None:
    """The clip with its in–out range, and the anchors as markers. `beside`: the clip is named as if it lay with the file.

    Raises:
        MediaError: the clip is gone, or the disk does not take it.
    """
    project, video = material.project, material.project.video
    clip = find_clip(material.workspace, video)
    times = video.seconds()
    ends = [*times.tolist(), float(times[-1]) + float(1 / video.rate)]
    marked = [(anchor, edit.name if len(project.edits) > 1 else "") for edit in project.edits for anchor in edit.anchors]
    marks = tuple(Mark(ends[anchor.frame], _title(anchor, edit), 0.0, _told(anchor)) for anchor, edit in marked)
    shown = MediaClip(clip.name, "", ends[project.range.start], ends[project.range.stop], float(video.rate), marks)
    media = _stills(clip, beside) if video.kind == "sequence" else _address(clip, beside)
    write_timeline(out, project.name, media, shown, (_clock(clip, video), ends[-1]))


def _clock(clip: Path, video: Video) -> float:
    """Seconds on the camera's clock at the first frame; 0 for a clip without timecode."""
    if video.kind != "file":
        return 0.0
    with open_container(clip) as source:
        found = timecode_of(source)
    return float(frames_of(found, video.rate) / video.rate) if found else 0.0


def _address(clip: Path, beside: bool) -> str:
    return relative_address(clip.name) if beside else address_of(clip)


def _stills(folder: Path, beside: bool) -> Stills:
    first = find_stills(folder)[0][0].name
    match = NUMBERED.match(first)
    if match is None:
        raise MediaError(f"“{first}” has no number in its name; number the pictures and open the folder again.")
    return Stills(f"{_address(folder, beside)}/", match[1], match[3], len(match[2]), int(match[2]))


def _title(anchor: Anchor, edit: str) -> str:
    return f"Anchor {anchor.frame}{', ' if edit else ''}{edit}{' (approved)' if anchor.chosen else ''}"


def _told(anchor: Anchor) -> dict[str, object]:
    take = anchor.take
    return {
        "frame": anchor.frame,
        "approved": bool(anchor.chosen),
        "take": take.label if take else "",
        "takes": [one.label for one in anchor.takes],
    }
